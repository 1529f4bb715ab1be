"""No worse than the model in use: what passes, what fails, and what is not compared at all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from ml_governance.decide import case_champion, cases
from ml_governance.decide.cases import AT, PREVIOUS, decide_case
from ml_governance.decide.champion import PAIRED, compare
from ml_governance.decide.finding import Finding
from ml_governance.decide.passage import pass_of
from ml_governance.decide.policy import Policy, Require, parse_policy
from ml_governance.decide.rules import apply
from ml_governance.evidence import paired
from ml_governance.evidence.attestation import Attestation, EvidenceView, Void
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.metrics import metric
from ml_governance.evidence.predicates import Measurement, Performance, Resource, Revocation
from ml_governance.evidence.statement import Subject


def policy(**require: Any) -> Policy:
    asked = {"evidence": "performance", "metric": "accuracy", "champion": {"margin": 0.02}, **require}
    base = parse_policy(
        "policy: p\nversion: 1\nstage: production\npromote: {roles: [release_manager]}\nreview: {roles: [risk_officer]}\n"
        "rules:\n  - {id: CHA-01, title: No worse, require: {evidence: registration}}\n"
    )
    rule = base.rules[0].model_copy(update={"require": Require.model_validate(asked)})
    return base.model_copy(update={"rules": [rule]})


def view_of(asked: Policy, case: dict[str, Any]) -> EvidenceView:
    kept: list[EvidenceView] = []
    original = cases._view

    def remember(*entries: Any) -> EvidenceView:
        kept.append(original(*entries))
        return kept[-1]

    cases._view = remember
    try:
        decide_case(asked, case, {})
    finally:
        cases._view = original
    return kept[-1]


def judged(asked: Policy, view: EvidenceView) -> Finding:
    (finding,) = apply(asked.rules[0], cases.SUBJECT, view, AT, policy=asked, project=cases.PROJECT)
    return finding


def case(candidate: Any, champion: Any, **more: Any) -> dict[str, Any]:
    return {
        "evidence": {"performance": candidate if isinstance(candidate, dict) else {"all": candidate}},
        "champion": {"performance": champion if isinstance(champion, dict) else {"all": champion}, **more},
    }


def against(candidate: Any, champion: Any, **require: Any) -> Finding:
    asked = policy(**require)
    return judged(asked, view_of(asked, case(candidate, champion)))


def through_the_gate(view: EvidenceView, asked: Policy, subject: Subject, name: str = "credit-risk") -> EvidenceView:
    """Return evidence with every record of a promotion by max, now."""
    entries = list(view.attestations)

    def add(who: str, content: Any) -> Attestation:
        cases._add(entries, cases._USUAL, who, timedelta(0), content, subject)
        return entries[-1]

    case_champion.promotion(
        asked, subject, name, stage="production", project=cases.PROJECT, by="max", at=AT, add=add,
        view=lambda: cases._view(entries),
    )  # fmt: skip
    return replace(view, attestations=tuple(entries), size=len(entries))


GOOD, WORSE, FEW = [8500, 750, 750, 10_000], [8000, 1250, 1250, 9500], [85, 8, 7, 100]


def test_an_equal_model_passes_a_worse_one_fails_and_few_rows_settle_nothing() -> None:
    assert against(GOOD, GOOD).status == "pass"
    assert against(WORSE, GOOD).status == "fail"
    assert against(GOOD, WORSE).status == "pass"
    assert against(FEW, FEW).status == "inconclusive"


def test_the_bounds_are_those_of_two_wilson_intervals_at_half_the_error() -> None:
    finding = against(GOOD, WORSE)
    ours = proportion_confint(18_500, 20_000, alpha=0.05, method="wilson")  # two-sided 95 % is one-sided 97.5 %
    theirs = proportion_confint(17_500, 20_000, alpha=0.05, method="wilson")
    assert finding.lower == pytest.approx(ours[0] - theirs[1], abs=1e-12)
    assert finding.upper == pytest.approx(ours[1] - theirs[0], abs=1e-12)
    assert finding.value == pytest.approx(0.05)
    assert finding.bound == -0.02
    assert len(finding.evidence) == 2
    assert "+0.050" in finding.sentence and PREVIOUS.name in finding.sentence


def test_less_is_better_where_the_metric_says_so() -> None:
    more_false = [8000, 1250, 750, 10_000]
    assert against(more_false, GOOD, metric="false_positive_rate").status == "fail"
    assert against(GOOD, more_false, metric="false_positive_rate").status == "pass"


def rates(right: int, n: int) -> Performance:
    one = Measurement(metric="accuracy", value=right / n, numerator=right, denominator=n, n=n, status="ok")
    return Performance(
        predictions="recomputed", dataset=Resource(name="t", sha256="0" * 64), columns={}, confidence=0.95, min_group_size=30,
        measurements=(one,), software={},
    )  # fmt: skip


@pytest.mark.parametrize("together", [1.0, 0.5, 0.0])
def test_a_model_worse_by_exactly_the_margin_passes_no_more_often_than_the_error_allows(together: float) -> None:
    """Whether the two models err on the same rows, independently, or on different ones."""
    random = np.random.default_rng(7)
    n, champion, candidate = 500, 0.80, 0.75
    require = policy(champion={"margin": 0.05}).rules[0].require
    passed = 0
    for _ in range(1500):
        u = random.random(n)
        # Shares of rows whose outcome under the two models follows one draw, its mirror, or two draws.
        v = u if together == 1.0 else 1 - u if together == 0.0 else random.random(n)
        (one,) = compare(
            require, metric("performance", "accuracy"), rates(int((u < candidate).sum()), n), rates(int((v < champion).sum()), n), PREVIOUS
        )  # fmt: skip
        passed += one.status == "pass"
    assert passed / 1500 <= 0.05 + 2 * (0.05 * 0.95 / 1500) ** 0.5


@given(st.integers(60, 100), st.integers(60, 100), st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_wider_margin_never_turns_a_pass_into_anything_else(
    ours: int, theirs: int, margin: float, more: float
) -> None:
    definition = metric("performance", "accuracy")

    def status(width: float) -> str:
        require = policy(champion={"margin": width}).rules[0].require
        return compare(require, definition, rates(ours, 100), rates(theirs, 100), PREVIOUS)[0].status

    if status(margin) == "pass":
        assert status(margin + more) == "pass"


def test_one_group_that_got_worse_is_seen_though_the_others_made_up_for_it() -> None:
    before = {"groups": {"sex": {"Female": [4000, 500, 500, 5000], "Male": [4000, 500, 500, 5000]}}}
    after = {"groups": {"sex": {"Female": [3500, 1000, 1000, 4500], "Male": [4500, 0, 0, 5500]}}}
    asked = policy(evidence="fairness", by=["sex"])
    view = view_of(asked, {"evidence": {"fairness": after}, "champion": {"fairness": before}})
    finding = judged(asked, view)
    assert finding.status == "fail" and "of Female" in finding.sentence
    turned = view_of(asked, {"evidence": {"fairness": before}, "champion": {"fairness": after}})
    assert judged(asked, turned).status == "fail"


def test_a_group_that_one_of_the_two_lacks_is_an_error() -> None:
    both = {"groups": {"sex": {"Female": [4000, 500, 500, 5000], "Male": [4000, 500, 500, 5000]}}}
    one = {"groups": {"sex": {"Male": [4000, 500, 500, 5000]}}}
    asked = policy(evidence="fairness", by=["sex"])
    for ours, theirs in ((both, one), (one, both)):
        finding = judged(asked, view_of(asked, {"evidence": {"fairness": ours}, "champion": {"fairness": theirs}}))
        assert finding.status == "error" and "Female" in finding.sentence


def test_ratios_and_scores_are_compared_as_numbers_of_each_model() -> None:
    equal = {"groups": {"sex": {"Female": [40_000, 5000, 5000, 50_000], "Male": [40_000, 5000, 5000, 50_000]}}}
    unequal = {"groups": {"sex": {"Female": [70_000, 5000, 5000, 20_000], "Male": [40_000, 5000, 5000, 50_000]}}}
    asked = policy(evidence="fairness", metric="selection_rate_ratio", by=["sex"], champion={"margin": 0.05})
    assert (
        judged(asked, view_of(asked, {"evidence": {"fairness": equal}, "champion": {"fairness": unequal}})).status
        == "pass"
    )
    assert (
        judged(asked, view_of(asked, {"evidence": {"fairness": unequal}, "champion": {"fairness": equal}})).status
        == "fail"
    )
    high = {"scores": {"roc_auc": [0.90, 0.89, 0.91, 0.888, 0.912]}}
    low = {"scores": {"roc_auc": [0.80, 0.79, 0.81, 0.788, 0.812]}}
    assert against(high, low, metric="roc_auc").status == "pass"
    assert against(low, high, metric="roc_auc").status == "fail"
    one_sided_only = {"scores": {"roc_auc": [0.90, 0.89, 0.91]}}
    assert against(one_sided_only, low, metric="roc_auc").status == "error"


def test_numbers_from_different_rows_are_not_compared() -> None:
    finding = against({"all": GOOD, "dataset": "other rows"}, GOOD)
    assert finding.status == "error"
    assert "different rows are not compared" in finding.sentence


def test_without_a_model_in_use_the_policy_says_what_follows() -> None:
    lonely = {"evidence": {"performance": {"all": GOOD}}}
    for first in ("missing", "pass"):
        asked = policy(champion={"margin": 0.02, "first": first})
        assert judged(asked, view_of(asked, lonely)).status == first
    elsewhere = policy(champion={"margin": 0.02, "first": "missing"})
    assert judged(elsewhere, view_of(elsewhere, case(GOOD, GOOD, stage="staging"))).status == "missing"
    there = policy(champion={"margin": 0.02, "stage": "staging"})
    assert judged(there, view_of(there, case(GOOD, GOOD, stage="staging"))).status == "pass"


def test_a_promotion_by_somebody_who_may_not_promote_makes_no_champion() -> None:
    """Otherwise an author would put a weak model there to be compared with."""
    asked = policy()
    finding = judged(asked, view_of(asked, case(GOOD, WORSE, promoted_by="ada")))
    assert finding.status == "missing"
    assert "signed by ada, who may not promote" in finding.sentence


def test_a_second_name_does_not_bring_a_weaker_champion() -> None:
    """Whoever registers the same bytes once more, under the name of a poor model, would be compared with that one."""
    asked = policy()
    view = view_of(asked, case(WORSE, GOOD))
    poor = Subject(name="poor/1", sha256="d" * 64)
    mine = next(a for a in view.about(cases.SUBJECT.sha256, "registration"))
    again = replace(mine, index=view.size, content=mine.content.model_copy(update={"name": "poor"}))
    its = replace(again, index=view.size + 1, subjects=(poor,))
    assert judged(asked, view).status == "fail"
    both = replace(view, attestations=(*view.attestations, again, its), size=view.size + 2)
    finding = judged(asked, through_the_gate(both, asked, poor, "poor"))
    assert finding.status == "error" and "several names" in finding.sentence


def test_a_promotion_that_counts_no_more_leaves_the_question_to_people() -> None:
    asked = policy(champion={"margin": 0.02, "first": "pass"})
    view = view_of(asked, case(WORSE, GOOD))
    promotion = next(a for a in view.attestations if a.kind == "promotion")
    gone = Void(index=promotion.index, kind="promotion", subjects=frozenset({PREVIOUS.sha256}), why="it was erased")
    kept = tuple(a for a in view.attestations if a is not promotion)
    found = judged(asked, replace(view, attestations=kept, void=(gone,)))
    assert found.status == "inconclusive" and f"#{promotion.index} counts no more" in found.sentence


def test_evidence_about_the_model_in_use_that_counts_no_more_blocks() -> None:
    asked = policy()
    view = view_of(asked, case(GOOD, GOOD))
    gone = Void(index=view.size, kind="performance", subjects=frozenset({PREVIOUS.sha256}), why="it was erased")
    assert judged(asked, replace(view, void=(gone,))).status == "error"


def test_the_model_in_use_is_no_worse_than_itself() -> None:
    asked = policy()
    view = view_of(asked, case(GOOD, GOOD))
    assert judged(asked, through_the_gate(view, asked, cases.SUBJECT)).status == "pass"


def test_the_champions_evidence_must_count_as_the_candidates_must() -> None:
    asked = policy(signed_by="validator")
    finding = judged(asked, view_of(asked, case(GOOD, {"all": WORSE, "signed_by": "rita"})))
    assert finding.status == "error" and "none signed by a validator" in finding.sentence


def test_the_newest_promotion_names_the_champion() -> None:
    asked = policy()
    view = view_of(asked, case(WORSE, GOOD))
    assert judged(asked, view).status == "fail"
    assert judged(asked, through_the_gate(view, asked, cases.SUBJECT)).status == "pass"


# --- promotions that did not go through the gate ----------------------------------------------------------

WEAK = Subject(name="credit-risk/7", sha256="7" * 64)


def with_weak(asked: Policy, found: dict[str, Any] | None = None) -> EvidenceView:
    """Return evidence about a candidate that is worse than the model in use, and about one that is as weak as the candidate."""
    view = view_of(asked, found or case(WORSE, GOOD))
    mine = [a for a in view.about(cases.SUBJECT.sha256) if a.kind in ("registration", "performance")]
    same = tuple(
        replace(a, index=view.size + n, subjects=(WEAK,), payload_digest=f"{n}" * 64) for n, a in enumerate(mine)
    )
    return replace(view, attestations=(*view.attestations, *same), size=view.size + len(same))


def tampered(view: EvidenceView, since: int, kind: str, change: Any) -> EvidenceView:
    """Return evidence in which some entries since a place are others, or are missing where the change gives None."""
    entries = [change(a) if a.index >= since and a.kind == kind else a for a in view.attestations]
    return replace(view, attestations=tuple(a for a in entries if a is not None))


def test_the_weak_model_would_be_the_champion_if_it_had_gone_through_the_gate() -> None:
    asked = policy()
    assert judged(asked, with_weak(asked)).status == "fail"
    assert judged(asked, through_the_gate(with_weak(asked), asked, WEAK)).status == "pass"


def said(a: Attestation, **change: Any) -> Attestation:
    return replace(a, content=a.content.model_copy(update=change))


def only_outcome(a: Attestation) -> Attestation | None:
    return a if getattr(a.content, "phase", "") == "outcome" else None


FORGERIES: dict[str, tuple[str, Any, str]] = {
    "the outcome alone": ("promotion", only_outcome, "no promotion was announced"),
    "no decision": ("decision", lambda _: None, "the decision that it names is not in the log"),
    "a decision of another stage": ("decision", lambda a: said(a, stage="staging"), "is about something else"),
    "a decision that denies": ("decision", lambda a: said(a, result="deny"), "is deny"),
    "another binding": ("decision", lambda a: said(a, binding="0" * 64), "nobody had approved what its decision names"),
    "nobody approved": ("approval", lambda _: None, "nobody had approved what its decision names"),
    "approved by the promoter": (
        "approval", lambda a: replace(a, principal=cases._person("max")), "nobody had approved what its decision names"
    ),
    "a pass of one's own": ("promotion", lambda a: said(a, token="0" * 64), "its pass is not that of its decision"),
    "a decision on what is to come": ("decision", lambda a: said(a, log_size=10**6), "rests on 1000000 entries"),
    "another name": ("registration", lambda a: said(a, name="other"), "were not registered as credit-risk before it"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "words"), FORGERIES.values(), ids=FORGERIES)
def test_a_weak_model_that_a_release_manager_alone_says_is_in_use_is_not_compared_with(
    kind: str, change: Any, words: str
) -> None:
    """The comparison stays the one with the model that did go through the gate, and its result cannot become better."""
    asked = policy()
    before = with_weak(asked)
    finding = judged(asked, tampered(through_the_gate(before, asked, WEAK), before.size - 2, kind, change))
    assert finding.status == "fail" and "did not go through the gate" in finding.sentence
    assert words in finding.sentence and PREVIOUS.name in finding.sentence


def test_nothing_passes_by_comparison_while_it_is_in_doubt_which_model_is_in_use() -> None:
    """Nor because there was none before, nor because the candidate itself is said to be in use."""
    asked = policy(champion={"margin": 0.02, "first": "pass"})
    lonely = {"evidence": {"performance": {"all": GOOD}}}
    for found, subject in ((case(GOOD, GOOD), WEAK), (lonely, WEAK), (case(GOOD, GOOD), cases.SUBJECT)):
        view = with_weak(asked, found)
        assert judged(asked, view).status == "pass"
        forged = tampered(through_the_gate(view, asked, subject), view.size, "approval", lambda _: None)
        assert judged(asked, forged).status == "inconclusive"
        assert (
            judged(asked, through_the_gate(forged, asked, WEAK if subject is not WEAK else PREVIOUS)).status != "fail"
        )


def test_a_later_promotion_through_the_gate_ends_the_doubt() -> None:
    asked = policy()
    view = with_weak(asked, case(GOOD, GOOD))
    forged = tampered(through_the_gate(view, asked, WEAK), view.size, "approval", lambda _: None)
    assert judged(asked, forged).status == "inconclusive"
    later = replace(forged, size=forged.size)
    assert judged(asked, through_the_gate(filled(later), asked, PREVIOUS)).status == "pass"


def filled(view: EvidenceView) -> EvidenceView:
    """Return evidence whose places have no gaps after the last entry of a removed one."""
    gap = replace(
        view.attestations[0], index=-1, subjects=(Subject(name="x", sha256="e" * 64),), payload_digest="e" * 64
    )
    missing = set(range(view.size)) - {a.index for a in view.attestations}
    entries = sorted([*view.attestations, *(replace(gap, index=index) for index in missing)], key=lambda a: a.index)
    return replace(view, attestations=tuple(entries))


def test_the_records_of_an_old_promotion_written_once_more_bring_nothing_back() -> None:
    asked = policy()
    weak = through_the_gate(with_weak(asked), asked, WEAK)
    after = through_the_gate(weak, asked, PREVIOUS)
    assert judged(asked, after).status == "fail"
    old = list(weak.about(WEAK.sha256, "promotion"))
    for again in (old, old[1:]):
        more = tuple(replace(a, index=after.size + n) for n, a in enumerate(again))
        finding = judged(asked, replace(after, attestations=(*after.attestations, *more)))
        assert finding.status == "fail" and "did not go through the gate" in finding.sentence


def test_an_outcome_that_is_signed_late_brings_no_old_model_back() -> None:
    asked = policy()
    weak = through_the_gate(with_weak(asked), asked, WEAK)
    after = through_the_gate(weak, asked, PREVIOUS)
    outcome = weak.attestations[-1]
    late = [a for a in after.attestations if a is not outcome]
    assert judged(asked, replace(after, attestations=(*late, replace(outcome, index=after.size)))).status == "fail"


def test_an_approval_from_before_the_evidence_shows_no_promotion() -> None:
    """Else a model that was approved once, and was found weak since, could be put up by whoever has the old decision."""
    asked = policy()
    view = through_the_gate(with_weak(asked), asked, WEAK)
    decided, intent, outcome = view.attestations[-3:]
    again = replace(view.about(WEAK.sha256, "registration")[-1], index=decided.index, payload_digest="9" * 64)
    moved = replace(decided, index=decided.index + 1)
    late = said(moved, log_size=moved.index)
    rest = (replace(intent, index=intent.index + 1), replace(outcome, index=outcome.index + 1))
    finding = judged(
        asked, replace(view, attestations=(*view.attestations[:-3], again, late, *rest), size=view.size + 1)
    )
    assert finding.status == "fail" and "after somebody had approved it" in finding.sentence


def signed_under(view: EvidenceView, change: Any) -> EvidenceView:
    """Return evidence in which the policy of then was another, and the weak model's decision says that it was made by that."""
    entry = view.of_kind("policy")[0]
    text = change(entry.content.text)
    now = said(entry, text=text, sha256=sha256_hex(text.encode()))
    return replace(view, attestations=tuple(now if a is entry else a for a in view.attestations))


def test_a_decision_by_a_policy_that_was_not_in_force_makes_no_champion() -> None:
    asked = policy()
    view = through_the_gate(with_weak(asked), asked, WEAK)
    finding = judged(asked, signed_under(view, lambda text: text.replace("It is registered", "It is so")))
    assert finding.status == "missing" and "by another policy than the one in force" in finding.sentence


def test_an_approved_model_that_fails_its_own_rules_is_no_champion() -> None:
    """A validator may have approved what does not pass, and a waiver may never have come."""
    asked = policy()
    weak = with_weak(asked)
    asking = (
        '"rules": ['
        + json.dumps({"id": "OLD-02", "title": "A text", "require": {"evidence": "human-text", "text": "t"}})
        + ", "
    )
    view = signed_under(through_the_gate(weak, asked, WEAK), lambda text: text.replace('"rules": [', asking))
    entry = view.of_kind("policy")[0]

    def resigned(a: Attestation) -> Attestation:
        ref = a.content.policy.model_copy(update={"digest": {"sha256": entry.content.sha256}})
        return said(a, policy=ref)

    view = tampered(view, weak.size, "decision", resigned)
    decided = view.about(WEAK.sha256, "decision")[-1]
    token = pass_of(WEAK, "production", entry.content.sha256, decided.payload_digest)
    finding = judged(asked, tampered(view, weak.size, "promotion", lambda a: said(a, token=token)))
    assert "OLD-02 of the policy then in force is missing" in finding.sentence and finding.status == "missing"


def test_a_model_in_use_whose_decision_was_withdrawn_is_still_compared_with_and_lets_nothing_pass() -> None:
    asked = policy()
    for ours, status in ((GOOD, "inconclusive"), (WORSE, "fail")):
        view = view_of(asked, case(ours, GOOD))
        decided = view.about(PREVIOUS.sha256, "decision")[-1]
        entry = replace(
            decided, index=view.size, kind="revocation", payload_digest="c" * 64,
            content=Revocation(target=decided.payload_digest, reason="wrong"),
        )  # fmt: skip
        finding = judged(asked, replace(view, attestations=(*view.attestations, entry), size=view.size + 1))
        assert finding.status == status and "was withdrawn" in finding.sentence


# --- pairs ------------------------------------------------------------------------------------------------


def paired_case(both: int, mine: int, other: int, neither: int, **more: Any) -> dict[str, Any]:
    n = both + mine + other + neither
    ours, theirs = both + mine, both + other
    return case(
        {"all": [0, n - ours, 0, ours], "paired": {"accuracy": [both, mine, other, neither]}, **more},
        [0, n - theirs, 0, theirs],
    )


def test_joint_counts_narrow_the_bounds_and_settle_what_two_intervals_cannot() -> None:
    asked = policy()
    joint = paired_case(840, 10, 10, 140)
    finding = judged(asked, view_of(asked, joint))
    assert finding.status == "pass" and finding.sentence.count("paired") == 1
    del joint["evidence"]["performance"]["paired"]
    apart = judged(asked, view_of(asked, joint))
    assert apart.status == "inconclusive" and "whatever their correlation" in apart.sentence
    assert apart.lower is not None and finding.lower is not None
    assert apart.lower < finding.lower and apart.value == finding.value


@pytest.mark.parametrize("joint", [[845, 5, 5, 145], [850, 0, 0, 149], [700, 150, 150, 0], [8400, 100, 100, 1400]])
def test_joint_counts_that_contradict_what_was_signed_of_each_are_an_error(joint: list[int]) -> None:
    """Made up to look alike, they would show a difference with hardly any uncertainty."""
    asked = policy()
    wrong = paired_case(840, 10, 10, 140, paired={"accuracy": joint})
    finding = judged(asked, view_of(asked, wrong))
    if joint[0] + joint[1] == 850 and joint[0] + joint[2] == 850 and sum(joint) == 1000:
        assert finding.status != "error"  # what both say together is right; only its signer stands for the rest
    else:
        assert finding.status == "error" and "contradict" in finding.sentence


@pytest.mark.parametrize("counts", [[1, 2, 3], [1.5, 2, 3, 4], [-1, 2, 3, 4], "1234", None, ["1", "2", "3", "4"]])
def test_joint_counts_in_another_form_are_an_error(counts: Any) -> None:
    asked = policy()
    view = view_of(asked, paired_case(840, 10, 10, 140))
    broken = {"with": PREVIOUS.sha256, "counts": [{"metric": "accuracy", "by": [], "group": [], "counts": counts}]}
    for said in (broken, {"with": PREVIOUS.sha256, "counts": 7}, {}, "x"):
        damaged = tuple(
            replace(a, content=a.content.model_copy(update={"details": {"paired": said}}))
            if a.kind == "performance" and a.about(cases.SUBJECT.sha256)
            else a
            for a in view.attestations
        )
        assert judged(asked, replace(view, attestations=damaged)).status == "error"


def test_joint_counts_with_another_model_say_nothing_of_this_one() -> None:
    asked = policy()
    view = view_of(asked, paired_case(840, 10, 10, 140))
    other = tuple(
        replace(
            a,
            content=a.content.model_copy(
                update={"details": {"paired": {**a.content.details["paired"], "with": "c" * 64}}}
            ),
        )
        if a.kind == "performance" and a.about(cases.SUBJECT.sha256)
        else a
        for a in view.attestations
    )
    assert judged(asked, replace(view, attestations=other)).status == "inconclusive"


@pytest.mark.parametrize("discordant", [0.05, 0.2])
def test_pairs_of_a_model_worse_by_exactly_the_margin_pass_about_as_often_as_the_error_allows(
    discordant: float,
) -> None:
    random = np.random.default_rng(11)
    n, margin, runs = 800, 0.03, 4000
    only_champion, only_candidate = (discordant + margin) / 2, (discordant - margin) / 2
    drawn = random.multinomial(n, [0.7, only_candidate, only_champion, 0.3 - discordant], size=runs)
    passed = sum(
        paired.difference(*map(int, row), confidence=0.95, sides="one-sided").lower >= -margin for row in drawn
    )
    assert 0.03 <= passed / runs <= 0.06


NEAR = {"scores": {"roc_auc": [0.86, 0.85, 0.87, 0.849, 0.871]}}
IN_USE = {"scores": {"roc_auc": [0.858, 0.848, 0.868, 0.847, 0.869]}}


def paired_auc(numbers: list[float], ours: dict[str, Any] = NEAR) -> Finding:
    asked = policy(metric="roc_auc", champion={"margin": 0.005})
    return judged(asked, view_of(asked, case({**ours, "paired": {"roc_auc": numbers}}, IN_USE)))


def test_a_signed_paired_difference_settles_what_two_intervals_leave_open() -> None:
    asked = policy(metric="roc_auc", champion={"margin": 0.005})
    assert judged(asked, view_of(asked, case(NEAR, IN_USE))).status == "inconclusive"
    finding = paired_auc([0.002, -0.004, 0.008])
    assert (finding.status, finding.lower, finding.upper) == ("pass", -0.004, 0.008)
    assert "paired" in finding.sentence
    assert paired_auc([0.002, -0.006, 0.010]).status == "inconclusive"


def test_a_paired_difference_that_contradicts_what_was_signed_of_each_model_is_an_error() -> None:
    for numbers in ([0.02, 0.01, 0.03], [-0.002, -0.004, 0.008]):
        finding = paired_auc(numbers)
        assert finding.status == "error" and "contradicts" in finding.sentence
    assert "does not hold the difference" in paired_auc([0.002, 0.003, 0.008]).sentence


def test_a_paired_difference_with_another_model_is_not_used() -> None:
    asked = policy(metric="roc_auc", champion={"margin": 0.005})
    view = view_of(asked, case({**NEAR, "paired": {"roc_auc": [0.002, -0.004, 0.008]}}, IN_USE))
    (entry,) = [a for a in view.attestations if PAIRED in getattr(a.content, "details", {})]
    details = {**entry.content.details, PAIRED: {**entry.content.details[PAIRED], "with": "0" * 64}}
    other = replace(entry, content=entry.content.model_copy(update={"details": details}))
    moved = replace(view, attestations=tuple(other if a is entry else a for a in view.attestations))
    finding = judged(asked, moved)
    assert finding.status == "inconclusive" and "whatever their correlation" in finding.sentence


def test_what_is_said_of_two_models_together_and_cannot_be_read_is_an_error() -> None:
    asked = policy(metric="roc_auc", champion={"margin": 0.005})
    view = view_of(asked, case({**NEAR, "paired": {"roc_auc": [0.002, -0.004, 0.008]}}, IN_USE))
    (entry,) = [a for a in view.attestations if PAIRED in getattr(a.content, "details", {})]
    said = entry.content.details[PAIRED]
    for differences in ([{"metric": "roc_auc"}], said["differences"] * 2, 7):
        details = {**entry.content.details, PAIRED: {**said, "differences": differences}}
        other = replace(entry, content=entry.content.model_copy(update={"details": details}))
        moved = replace(view, attestations=tuple(other if a is entry else a for a in view.attestations))
        assert judged(asked, moved).status == "error"


def test_a_number_of_all_rows_that_rests_on_too_few_is_insufficient() -> None:
    few = Measurement(
        metric="accuracy", value=0.9, numerator=9, denominator=10, n=10, status="insufficient", reason="10 rows"
    )
    one = rates(90, 100).model_copy(update={"measurements": (few,)})
    require = policy().rules[0].require
    (found,) = compare(require, metric("performance", "accuracy"), one, rates(90, 100), PREVIOUS)
    assert found.status == "insufficient" and "10 rows" in found.text
