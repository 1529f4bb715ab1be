"""The risk tier of a model, as expressions read it: a signed word, by somebody who may say it."""

from __future__ import annotations

import pytest

from ml_governance.decide.case_evidence import contents
from ml_governance.evidence.predicates import HumanText
from tests.decide.worlds import SUBJECT, Log, decide, settled, voided, world_of

HIGH = world_of({"evidence": "performance", "metric": "accuracy", "lower_bound_at_least": 0.7})
POLICY = HIGH.policy.model_copy(
    update={
        "rules": [HIGH.policy.rules[0].model_copy(update={"when": 'model.risk_tier == "high"'}), HIGH.policy.rules[0]]
    }
)


def said(*texts: tuple[str, str]) -> Log:
    log = world_of({"evidence": "registration"}).log
    for by, word in texts:
        content = next(iter(contents("human-text", {"risk-tier": {"text": word}}, model="credit-risk"))).content
        assert isinstance(content, HumanText)
        log.add(by, content)
    return log


def condition(log: Log) -> str:
    found = decide(log.view(), POLICY).findings
    (one,) = [one for one in found if one.id.endswith("/when")]
    return "applies" if "the rule applies" in one.sentence.lower() else one.status


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        ([("rita", "high")], "applies"),
        ([("rita", " high\n")], "applies"),
        ([("rita", "low")], "pass"),
        ([("rita", "low"), ("rita", "high")], "applies"),
        ([("rita", "High, I think")], "error"),
        ([], "error"),
        ([("vera", "low")], "error"),
        ([("ada", "low")], "error"),
        ([("nobody", "low")], "error"),
        ([("rita", "high"), ("ada", "low")], "applies"),
    ],
)
def test_a_risk_tier_is_the_newest_word_of_somebody_who_may_say_it(texts: list[tuple[str, str]], answer: str) -> None:
    """Without one, whatever asks for it has no answer, which blocks."""
    assert condition(said(*texts)) == answer


def test_whoever_made_a_model_does_not_say_its_tier() -> None:
    log = said(("omar", "low"))
    assert condition(log) == "pass"
    log.add("omar", next(iter(contents("training-run", {}, model="credit-risk"))).content)
    assert condition(log) == "error"


@pytest.mark.parametrize("erased", [True, False])
def test_a_tier_that_counts_no_more_does_not_bring_an_earlier_one_back(erased: bool) -> None:
    view = said(("rita", "low"), ("rita", "high")).view()
    assert settled(voided(view, {0: erased}), POLICY).exit_code == 4


def test_approvals_bind_to_the_tier_that_was_read() -> None:
    log = said(("rita", "high"))
    assert log.view().attestations[-1].index in {one.index for one in decide(log.view(), POLICY).inputs}
    assert SUBJECT.sha256 == log.view().attestations[-1].subjects[0].sha256
