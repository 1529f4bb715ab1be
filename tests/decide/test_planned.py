"""What an inconclusive finding says about the size of a next test set."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ml_governance import FairnessReport
from ml_governance.decide.bounds import Judged, judge
from ml_governance.decide.policy import Require
from ml_governance.evidence.metrics import metric
from ml_governance.evidence.predicates import Resource


def judged(counts: dict[str, tuple[int, int, int, int]], **require: Any) -> Judged:
    content = FairnessReport.from_counts(counts, by="sex").to_content(
        predictions="recomputed", dataset=Resource(name="t", sha256="0" * 64)
    )
    rule = Require.model_validate({"evidence": "fairness", "by": ["sex"], **require})
    (one,) = judge(rule, metric("fairness", rule.metric or ""), content)
    return one


def times(one: Judged) -> float:
    found = re.search(r"about ([\d.,]+) times as many rows would (\w+)", one.text)
    assert found, one.text
    return float(found[1].replace(",", ""))


@pytest.mark.parametrize(
    "require",
    [
        {"metric": "selection_rate_ratio", "lower_bound_at_least": 0.8},
        {"metric": "demographic_parity_difference", "upper_bound_at_most": 0.05},
        {"metric": "equalized_odds_difference", "upper_bound_at_most": 0.1},
        {"metric": "accuracy", "lower_bound_at_least": 0.55},
        {"metric": "false_positive_rate", "upper_bound_at_most": 0.3},
    ],
    ids=lambda require: require["metric"],
)
def test_a_set_as_large_as_it_says_settles_it(require: dict[str, Any]) -> None:
    few = {"Female": (75, 25, 60, 40), "Male": (76, 24, 62, 38)}
    if require["metric"] == "accuracy":
        few = {"Female": (60, 40, 38, 62), "Male": (60, 40, 40, 60)}
    one = judged(few, **require)
    assert one.status == "inconclusive"
    assert "never added to this one" in one.text
    larger = {group: tuple(round(count * times(one) * 1.02) for count in counts) for group, counts in few.items()}
    assert judged(larger, **require).status == "pass"  # type: ignore[arg-type]
    smaller = {group: tuple(round(count * times(one) * 0.3) for count in counts) for group, counts in few.items()}
    assert judged(smaller, **require).status in {"inconclusive", "insufficient"}  # type: ignore[arg-type]


def test_rates_at_the_bound_are_settled_by_no_set() -> None:
    at_bound = {"Female": (120, 80, 0, 0), "Male": (100, 100, 0, 0)}
    one = judged(at_bound, metric="selection_rate_ratio", lower_bound_at_least=0.8)
    assert one.status == "inconclusive" and "no test set would settle it" in one.text


def test_what_is_settled_says_nothing_of_another_set() -> None:
    clear = {"Female": (100, 100, 0, 0), "Male": (180, 20, 0, 0)}
    one = judged(clear, metric="selection_rate_ratio", lower_bound_at_least=0.8)
    assert one.status == "fail" and "test set" not in one.text
