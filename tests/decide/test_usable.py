"""Numbers that cannot be used to judge: those that whoever measured them doubts, and those that no such metric can have."""

from __future__ import annotations

from typing import Any

import pytest

from ml_governance.decide import bounds, champion
from ml_governance.decide.require import Champion, Require
from ml_governance.evidence.predicates import Interval, Measurement, Performance, Resource
from ml_governance.evidence.statement import Subject

ASKED: tuple[dict[str, Any], ...] = (
    {"lower_bound_at_least": 0.8},
    {"value_at_least": 0.8},
    {"value_at_least": 0.8, "by": ["sex"], "levels": {"sex": ["f"]}},
)


def report(value: float, status: Any = "ok", metric: str = "roc_auc", half: float = 0.01) -> Performance:
    """Return measurements of all rows and of one large group."""
    made = tuple(
        Interval(confidence=level, sides="one-sided", lower=value - half, upper=value + half, method="delong")
        for level in (0.95, 0.975)
    )
    common: dict[str, Any] = {
        "metric": metric, "value": value, "n": 1000, "intervals": made, "status": status,
        "reason": None if status == "ok" else "3 rows of the positive class",
    }  # fmt: skip
    return Performance(
        predictions="recomputed", dataset=Resource(name="test", sha256="a" * 64, rows=1000), columns={}, confidence=0.95,
        min_group_size=30, software={},
        measurements=(Measurement(**common), Measurement(by=("sex",), group=("f",), **common)),
    )  # fmt: skip


def judged(asked: dict[str, Any], content: Performance, metric: str = "roc_auc") -> bounds.Judged:
    require = Require(evidence="performance", metric=metric, **asked)
    (one,) = bounds.judge(require, require.definition(), content)
    return one


@pytest.mark.parametrize("asked", ASKED)
def test_a_number_that_rests_on_too_few_rows_of_a_kind_passes_no_rule(asked: dict[str, Any]) -> None:
    """There are a thousand rows, and three of the class that it depends on: so says whoever measured it."""
    assert judged(asked, report(0.9)).status == "pass"
    doubted = judged(asked, report(0.9, "insufficient"))
    assert doubted.status == "insufficient"
    assert "3 rows of the positive class" in doubted.text


def test_such_a_number_is_not_compared_with_the_model_in_use() -> None:
    status: Any = "insufficient"
    require = Require(evidence="performance", metric="roc_auc", champion=Champion(margin=0.05))
    weak, incumbent = report(0.7), Subject(name="credit/1", sha256="b" * 64)
    for ours, theirs, outcome in (("ok", "ok", "pass"), (status, "ok", status), ("ok", status, status)):
        sides = report(0.9, ours), weak if theirs == "ok" else report(0.7, theirs)
        (one,) = champion.compare(require, require.definition(), *sides, incumbent)
        assert one.status == outcome


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("value", [1.5, 7.0, -0.2])
def test_a_number_that_no_such_metric_can_have_is_an_error(asked: dict[str, Any], value: float) -> None:
    wrong = judged(asked, report(value))
    assert wrong.status == "error" and "its range is 0 to 1" in wrong.text


def test_a_metric_without_an_end_takes_large_numbers() -> None:
    assert judged({"value_at_most": 1e9}, report(1e6, metric="log_loss"), "log_loss").status == "pass"
