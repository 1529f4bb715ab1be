"""What a rule asks of test data and of texts, and how each can be got round if nobody looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ml_governance.decide import cases
from ml_governance.decide.cases import AT, SUBJECT, TRIED
from ml_governance.decide.finding import Finding
from ml_governance.decide.policy import Policy
from ml_governance.decide.rules import apply
from ml_governance.evidence.attestation import EvidenceView, Void
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import Revocation
from ml_governance.evidence.statement import Subject
from tests.decide.test_champion import policy as asking
from tests.decide.test_champion import view_of

ROWS = [400, 100, 100, 400]
TEST = f"sha256:{sha256_hex(b'test')}"


def policy(**require: Any) -> Policy:
    return asking(**{"metric": None, "champion": None, **require})


def evidence(**performance: Any) -> dict[str, Any]:
    return {"evidence": {"training-run": {"inputs": 2}, "performance": {"all": ROWS, **performance}}}


def findings(asked: Policy, view: EvidenceView) -> dict[str, Finding]:
    return {one.id: one for one in apply(asked.rules[0], SUBJECT, view, AT, policy=asked, project="credit")}


def found(suffix: str, asked: Policy, case: dict[str, Any]) -> Finding:
    return findings(asked, view_of(asked, case))[f"CHA-01/{suffix}"]


# --- which test data --------------------------------------------------------------------------------------


def test_only_named_test_data_count() -> None:
    assert found("dataset", policy(dataset=[TEST]), evidence()).status == "pass"
    assert found("dataset", policy(dataset=[TEST]), evidence(dataset="easy rows")).status == "fail"


def test_a_condition_stands_beside_the_bound_and_hides_nothing() -> None:
    asked = asking(champion=None, value_at_least=0.9, dataset=[TEST])
    both = findings(asked, view_of(asked, evidence()))
    assert {name: one.status for name, one in both.items()} == {"CHA-01": "fail", "CHA-01/dataset": "pass"}
    assert both["CHA-01/dataset"].metric is None


def test_only_named_data_may_have_been_trained_on() -> None:
    digests = [f"sha256:{sha256_hex(name)}" for name in (b"data/0", b"data/1")]
    both = found("inputs", policy(evidence="training-run", inputs=digests), evidence())
    assert both.status == "pass"
    one = found("inputs", policy(evidence="training-run", inputs=digests[:1]), evidence())
    assert one.status == "fail" and "data/1" in one.sentence and "data/0" not in one.sentence
    nothing = {"evidence": {"training-run": {"inputs": 0}}}
    assert found("inputs", policy(evidence="training-run", inputs=digests), nothing).status == "missing"


# --- how often --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "allowed", "status"), [(0, 1, "pass"), (2, 3, "pass"), (3, 3, "fail"), (1, 1, "fail")]
)
def test_attempts_on_one_test_set_are_counted_over_all_versions(earlier: int, allowed: int, status: str) -> None:
    one = found("attempts", policy(max_attempts=allowed), evidence(earlier=earlier))
    assert one.status == status
    assert one.value == earlier + 1
    assert f"attempt {earlier + 1}" in one.sentence


def test_an_attempt_that_was_revoked_or_erased_still_counts() -> None:
    asked = policy(max_attempts=2)
    view = view_of(asked, evidence(earlier=2))
    first = next(a for a in view.attestations if a.kind == "performance")
    withdrawn = replace(
        first, index=view.size, kind="revocation", content=Revocation(target=first.payload_digest, reason="looked bad")
    )
    revoked = replace(view, attestations=(*view.attestations, withdrawn))
    assert findings(asked, revoked)["CHA-01/attempts"].status == "fail"
    gone = Void(index=first.index, kind="performance", subjects=frozenset({TRIED.sha256}), why="it was erased")
    erased = replace(view, attestations=tuple(a for a in view.attestations if a is not first), void=(gone,))
    assert findings(asked, erased)["CHA-01/attempts"].status == "fail"


def test_attempts_of_other_models_and_on_other_rows_are_no_attempts_of_this_one() -> None:
    asked = policy(max_attempts=1)
    view = view_of(asked, evidence(earlier=2))
    strange = Subject(name="churn/1", sha256="c" * 64)
    others = tuple(
        replace(a, subjects=(strange,)) if a.subjects == (TRIED,) and a.kind == "performance" else a
        for a in view.attestations
    )
    one = findings(asked, replace(view, attestations=others))["CHA-01/attempts"]
    assert one.status == "pass" and "other models were assessed on them 2 times" in one.sentence
    elsewhere = view_of(asked, {"champion": {"performance": {"all": ROWS, "dataset": "other"}}, **evidence()})
    assert findings(asked, elsewhere)["CHA-01/attempts"].status == "pass"


# --- test data that were trained on -----------------------------------------------------------------------


def test_the_training_data_are_no_test_data() -> None:
    assert found("overlap", policy(no_overlap_with="training"), evidence(dataset="data/1")).status == "fail"


def test_another_digest_alone_does_not_show_that_no_row_is_shared() -> None:
    one = found("overlap", policy(no_overlap_with="training"), evidence())
    assert one.status == "missing" and "data/0, data/1" in one.sentence
    half = found("overlap", policy(no_overlap_with="training"), evidence(shared={"data/0": 0}))
    assert half.status == "missing" and "data/0" not in half.sentence


@pytest.mark.parametrize(
    ("shared", "most", "status"),
    [(0, 0.0, "pass"), (1, 0.0, "fail"), (10, 0.01, "pass"), (11, 0.01, "fail"), (2000, 0.5, "error"), (-1, 0.5, "error"),
     ("0", 0.5, "error"), (0.5, 0.5, "error"), (True, 0.5, "error")],
)  # fmt: skip
def test_shared_rows_are_counted_where_the_evidence_has_them(shared: Any, most: float, status: str) -> None:
    asked = policy(no_overlap_with="training", max_overlap=most)
    one = found("overlap", asked, evidence(shared={"data/0": 0, "data/1": shared}))
    assert one.status == status, one.sentence


def test_what_was_trained_on_must_be_known() -> None:
    case = evidence(shared={"data/0": 0})
    del case["evidence"]["training-run"]
    assert found("overlap", policy(no_overlap_with="training"), case).status == "missing"


def test_shared_rows_that_are_reported_in_another_form_are_an_error() -> None:
    asked = policy(no_overlap_with="training")
    view = view_of(asked, evidence(shared={"data/0": 0, "data/1": 0}))
    for strange in ({"rows": 0}, "none", [{"with": "data/0", "rows": 0}], [7], [None], None):
        damaged = tuple(
            replace(a, content=a.content.model_copy(update={"details": {"rowOverlap": strange}})) if a.kind == "performance" else a
            for a in view.attestations
        )  # fmt: skip
        assert findings(asked, replace(view, attestations=damaged))["CHA-01/overlap"].status == "error"


# --- texts ------------------------------------------------------------------------------------------------


def text(**require: Any) -> Policy:
    return policy(evidence="human-text", text="intended-use", **require)


def signed(**one: Any) -> dict[str, Any]:
    return {"evidence": {"human-text": {"intended-use": one, "limits": {}}}}


def test_a_text_counts_by_its_name_its_age_and_its_signer() -> None:
    def status(asked: Policy, case: dict[str, Any]) -> str:
        (one,) = findings(asked, view_of(asked, case)).values()
        return one.status

    assert status(text(), signed()) == "pass"
    assert status(text(signed_by="risk_officer"), signed(signed_by="rita")) == "pass"
    assert status(text(signed_by="risk_officer"), signed(signed_by="ada")) == "missing"
    assert status(text(max_age="7d"), signed(age="8d")) == "stale"
    assert status(text(), {"evidence": {"human-text": {"limits": {}}}}) == "missing"


def test_a_text_of_somebody_without_a_role_is_named_and_does_not_count() -> None:
    asked = text()
    view = view_of(asked, signed(signed_by="rita"))
    nobody = replace(cases._person("rita"), roles=frozenset())
    stripped = tuple(replace(a, principal=nobody) if a.kind == "human-text" else a for a in view.attestations)
    (one,) = findings(asked, replace(view, attestations=stripped)).values()
    assert one.status == "missing" and "signed by rita, who has no role here" in one.sentence


@pytest.mark.parametrize("kind", ["data-quality", "robustness", "privacy", "security-scan", "monitoring"])
def test_evidence_that_nobody_has_recorded_is_missing(kind: str) -> None:
    asked = policy(evidence=kind)
    (one,) = findings(asked, view_of(asked, evidence())).values()
    assert one.status == "missing" and kind in one.sentence


def test_a_number_of_all_rows_that_rests_on_too_few_never_passes() -> None:
    asked = policy(evidence="privacy", metric="membership_auc", upper_bound_at_most=0.6)
    made = {"scores": {"membership_auc": [0.5, 0.49, 0.51]}}
    passing = view_of(asked, {"evidence": {"privacy": made}})
    (entry,) = (a for a in passing.attestations if a.kind == "privacy")
    (one,) = entry.content.measurements
    for status, expected in (("ok", "pass"), ("insufficient", "insufficient")):
        measured = one.model_copy(update={"status": status, "reason": "12 rows where 30 are required"})
        content = entry.content.model_copy(update={"measurements": (measured,)})
        others = tuple(a for a in passing.attestations if a is not entry)
        (found,) = findings(asked, replace(passing, attestations=(*others, replace(entry, content=content)))).values()
        assert found.status == expected
