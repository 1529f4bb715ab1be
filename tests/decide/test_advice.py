"""What would make a decision pass: advice that, when it is followed, is true."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance import FairnessReport
from ml_governance.decide import advice, cases
from ml_governance.decide.advice import APPROVALS, multiplicity
from ml_governance.decide.decision import Decision
from ml_governance.decide.finding import OPEN, Finding
from ml_governance.decide.policy import parse_policy
from ml_governance.evidence.predicates import Resource
from ml_governance.evidence.verdicts import Approval
from tests.decide.test_decision import ALLOWED, POLICY, READ, TEXT, TEXTS, decide, view_of, with_entry


def decided(name: str) -> Decision:
    return decide(view_of(name))


@given(st.sampled_from(sorted(TEXTS)))
def test_there_is_advice_for_exactly_what_blocks(name: str) -> None:
    decision = decided(name)
    blocking = [
        f.id
        for f in decision.findings
        if f.status not in ("pass", "waived") and not (f.status in OPEN and f.id in decision.accepted)
    ]
    assert [one.about for one in decision.advice] == [*blocking, *[APPROVALS] * len(decision.approvals_missing)]
    assert (decision.result == "allow") == (not decision.advice)
    assert all(f"to pass: {one.about}: {one.text}" in decision.explain() for one in decision.advice)


def test_whoever_is_named_for_an_approval_can_give_it() -> None:
    decision = decided("no-approvals")
    assert decision.approvals_missing == ("risk_officer", "validator")
    view = view_of("no-approvals")
    for role, one, person in zip(decision.approvals_missing, decision.advice, ("rita", "vera"), strict=True):
        assert person in one.people and f"by a {role.replace('_', ' ')}" in one.text
        content = Approval(stage="production", binding=decision.binding, verdict="approve", role=role, reason="x")
        view = with_entry(view, person, content)
    assert decide(view).result == "allow"


def test_nobody_who_made_the_model_is_named() -> None:
    assert all("omar" not in one.people for one in decided("self-approval").advice)
    assert any("omar" in one.people for one in decided("no-approvals").advice)


def test_what_is_missing_is_named_with_everything_that_makes_it_count() -> None:
    (one,) = [one for one in decided("signed-by-author").advice if one.about == "CRD-01"]
    for words in (
        "fairness evidence",
        "predictions at least recomputed",
        "validator who did not make the model",
        "3 days",
    ):
        assert words in one.text


def test_a_missed_bound_says_by_how_much() -> None:
    decision = decided("unequal")
    (one,) = [one for one in decision.advice if one.about == "CRD-01/sex"]
    (finding,) = [f for f in decision.findings if f.id == "CRD-01/sex"]
    assert finding.lower is not None and one.shortfall == pytest.approx(0.8 - finding.lower)
    assert "More rows will not mend it" in one.text and "rita" in one.people


def test_the_group_that_is_too_small_is_named_with_what_it_has() -> None:
    (one,) = [one for one in decided("too-small").advice if one.about != APPROVALS]
    assert one.rows == (("Asian-Pac-Islander", 340),) and "has 110" in one.text


def measured(counts: dict[str, tuple[int, ...]]) -> Decision:
    report = FairnessReport.from_counts(counts, by="race").to_content(  # type: ignore[arg-type]
        predictions="recomputed", dataset=Resource(name="t", sha256="0" * 64)
    )
    old = next(a for a in ALLOWED.attestations if a.kind == "fairness")
    sex = [one for one in old.content.measurements if one.by == ("sex",)]  # type: ignore[attr-defined]
    content = report.model_copy(update={"measurements": (*report.measurements, *sex)})
    view = replace(
        ALLOWED, attestations=tuple(replace(a, content=content) if a is old else a for a in ALLOWED.attestations)
    )
    return decide(view)


def test_a_test_set_with_the_rows_that_it_names_settles_what_was_inconclusive() -> None:
    few: dict[str, tuple[int, ...]] = {
        "White": (1500, 500, 0, 0), "Black": (380, 120, 0, 0), "Asian-Pac-Islander": (262, 78, 0, 0),
    }  # fmt: skip
    decision = measured(few)
    (one,) = [one for one in decision.advice if one.about == "CRD-01/race"]
    assert one.power == pytest.approx(0.8) and "would pass" in one.text
    rows = dict(one.rows)
    many = {g: tuple(round(c * rows[g] / sum(counts)) for c in counts) for g, counts in few.items()}
    again = measured(many)
    assert {f.id: f.status for f in again.findings}["CRD-01/race"] == "pass"
    assert all(one.about != "CRD-01/race" for one in again.advice)


def test_the_family_of_comparisons_is_stated_in_the_decision_that_is_signed() -> None:
    said = multiplicity(POLICY)
    assert "7 comparisons in 6 rules" in said and "intersection-union" in said and "simultaneous" in said
    assert decided("allow").to_content().multiplicity == said and said in decided("allow").explain()
    only_runs = parse_policy(
        TEXT[: TEXT.index("  - id: CRD-01")] + TEXT[TEXT.index("  - id: CRD-02") : TEXT.index("  - id: CRD-03")]
    )
    assert multiplicity(only_runs) == "no number is compared"


def test_advice_changes_no_decision() -> None:
    for name in READ:
        decision = cases.decide_case(POLICY, READ[name], READ)
        assert replace(decision, advice=()).to_content() == decision.to_content()


def test_advice_that_cannot_be_given_leaves_the_decision_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = decided("uncertain")

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ml_governance.decide.advice._planned", broken)
    after = decided("uncertain")
    assert (after.result, after.exit_code) == (before.result, before.exit_code) == ("review", 3)
    assert [one.about for one in after.advice] == [one.about for one in before.advice]


def test_advice_is_plain_json() -> None:
    import json

    values: list[dict[str, Any]] = [one.to_dict() for name in TEXTS for one in decided(name).advice]
    assert json.loads(json.dumps(values, allow_nan=False)) == values


# --- the signed form --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_a_decision_has_every_field_that_a_verification_summary_requires(name: str) -> None:
    """SLSA Verification Summary Attestation v1: what it requires, and what its fields may hold."""
    wire = decided(name).to_content().to_wire()
    for required in ("verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"):
        assert required in wire
    assert wire["verifier"]["id"] and wire["policy"]["uri"] and set(wire["policy"]["digest"]) == {"sha256"}
    assert all(set(one["digest"]) == {"sha256"} for one in wire["inputAttestations"])
    allowed = wire["result"] == "allow"
    assert wire["verificationResult"] == ("PASSED" if allowed else "FAILED")
    assert wire["verifiedLevels"] == (["ml-governance:production"] if allowed else ["FAILED"])
    assert not any(level.startswith("SLSA_") for level in wire["verifiedLevels"])


def test_both_forms_of_a_decision_are_read_and_neither_passes_for_the_other(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from ml_governance.errors import VerificationError
    from ml_governance.evidence import entry
    from ml_governance.evidence.envelope import sign
    from ml_governance.evidence.keys import generate
    from ml_governance.evidence.predicates import predicate_type
    from ml_governance.evidence.statement import Statement, Subject
    from ml_governance.evidence.verdicts import DecisionRecord, DecisionSummary
    from ml_governance.evidence.wire import Chain

    signer = generate(tmp_path / "key.pem")
    chain = Chain(
        log="l", writer="w", seq=1, prev="0" * 64, nonce="0" * 32, recorded_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    new = decided("allow").to_content()
    old = DecisionRecord(**{name: getattr(new, name) for name in DecisionRecord.model_fields})
    subjects = [Subject(name="credit-risk/1", sha256="1" * 64)]
    for content, form in ((old, 1), (new, 2)):
        made = entry.make(chain, content, subjects, signer)
        assert Statement.from_bytes(made.envelope.payload).predicate_type == predicate_type("decision", form)
        read = entry.read(made.data)
        assert type(read.content) is (DecisionRecord if form == 1 else DecisionSummary)
        assert read.kind == "decision" and read.content == content
        swapped = Statement.build(
            predicate_type=predicate_type("decision", 3 - form),
            subjects=subjects,
            predicate=entry.predicate(chain, content),
        )
        with pytest.raises(VerificationError, match="does not have its form"):
            entry.read(sign(swapped.payload, [signer]).to_bytes())


def test_whatever_a_gate_says_of_the_circumstances_comes_with_advice_of_its_own() -> None:
    sources = Path(advice.__file__).parent.glob("*.py")
    named = {name for source in sources for name in re.findall(r'"(GATE-[a-z]+)', source.read_text(encoding="utf-8"))}
    assert len(named) > 10
    for name in named:
        finding = Finding(id=name, rule=name, title="t", status="fail", sentence="s")
        assert advice._circumstance(finding).text != "What it says must no longer be so.", name
