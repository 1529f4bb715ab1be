"""Laws of the cube: shards add up, in any order; what is stored comes back; what does not fit is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given
from hypothesis import strategies as st

from ml_governance import FairnessReport, assess_fairness
from ml_governance.assess.cube import Cube
from ml_governance.errors import DataError

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", "z"]), st.booleans(), st.booleans(),
        st.integers(0, 8).map(lambda w: w / 4),
    ),
    min_size=2,
    max_size=60,
)  # fmt: skip


def report(rows: list[tuple[object, ...]], *, weighted: bool) -> FairnessReport:
    frame = pd.DataFrame(rows, columns=["g", "h", "y", "p", "w"]).astype({"g": "str", "h": "str"})
    return assess_fairness(
        data=frame, y_true="y", y_pred="p", sensitive_features=["g", "h"], sample_weight="w" if weighted else None
    )


def same(one: Cube, two: Cube) -> bool:
    arrays = ((one.counts, two.counts), (one.weights, two.weights), (one.squares, two.squares))
    return (one.attributes, one.levels) == (two.attributes, two.levels) and all(
        np.array_equal(a, b) if a is not None and b is not None else a is b for a, b in arrays
    )


@given(ROWS, st.data())
@pytest.mark.parametrize("weighted", [False, True])
def test_the_reports_of_shards_merge_to_the_report_of_the_whole(
    weighted: bool, rows: list[tuple[object, ...]], data: st.DataObject
) -> None:
    rows = [(*row[:4], 0.25 + float(row[4])) for row in rows]  # type: ignore[arg-type]  # quarters add exactly
    cut = data.draw(st.integers(1, len(rows) - 1))
    one, two, whole = (report(part, weighted=weighted) for part in (rows[:cut], rows[cut:], rows))
    assert same(one.cube.merge(two.cube), whole.cube)
    assert same(two.cube.merge(one.cube), whole.cube)
    assert one.merge(two).measurements == whole.measurements
    assert one.merge(two).details == whole.details


@given(ROWS)
def test_squares_are_those_of_the_weights_also_of_a_marginal(rows: list[tuple[object, ...]]) -> None:
    rows = [(*row[:4], 0.25 + float(row[4])) for row in rows]  # type: ignore[arg-type]
    cube = report(rows, weighted=True).cube.marginal(["h"])
    assert cube.squares is not None
    for position, level in enumerate(cube.levels[0]):
        assert cube.squares[position].sum() == sum(float(row[4]) ** 2 for row in rows if row[1] == level)  # type: ignore[arg-type]
    assert report(rows, weighted=False).cube.squares is None


@given(ROWS, st.booleans())
def test_a_cube_comes_back_from_json(rows: list[tuple[object, ...]], weighted: bool) -> None:
    cube = report([(*row[:4], 1 + float(row[4])) for row in rows], weighted=weighted).cube  # type: ignore[arg-type]
    assert same(Cube.from_dict(json.loads(json.dumps(cube.to_dict()))), cube)
    assert FairnessReport.from_cube(cube).cube is cube


GOOD = {
    "attributes": ["g"], "levels": [["a", "b"]], "counts": [[[1, 1], [1, 1]], [[2, 0], [0, 1]]],
    "weights": None, "squares": None,
}  # fmt: skip
WEIGHTS = [[[1.5, 1], [1, 1]], [[2, 0], [0, 1]]]


@pytest.mark.parametrize(
    "change",
    [
        {"levels": [["a", "a"]]},
        {"levels": [["a"]]},
        {"attributes": ["g", "h"]},
        {"counts": [[[1, 1], [1, 1]]]},
        {"counts": [[[1.5, 1], [1, 1]], [[2, 0], [0, 1]]]},
        {"counts": [[[-1, 1], [1, 1]], [[2, 0], [0, 1]]]},
        {"counts": "no"},
        {"squares": WEIGHTS},
        {"weights": [[[1, 1], [1, 1]], [[2, 1], [0, 1]]]},
        {"weights": [[[math.nan, 1], [1, 1]], [[2, 0], [0, 1]]]},
        {"weights": [[[-1, 1], [1, 1]], [[2, 0], [0, 1]]]},
        {"weights": WEIGHTS, "squares": WEIGHTS},
    ],
    ids=str,
)
def test_what_is_no_cube_is_refused(change: dict[str, object]) -> None:
    assert Cube.from_dict(GOOD).counts.sum() == 7
    with pytest.raises(DataError):
        Cube.from_dict({**GOOD, **change})
    with pytest.raises(DataError, match="no cube"):
        Cube.from_dict({name: value for name, value in GOOD.items() if name != "weights"})


def scored(rows: slice = slice(None), **options: Any) -> FairnessReport:
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "sex": generator.choice(["f", "m", "x"], 900), "age": generator.integers(0, 3, 900),
            "site": generator.choice(["a", "b"], 900), "y": generator.integers(0, 2, 900), "s": generator.random(900),
        }
    )[rows]  # fmt: skip
    call = {"y_score": frame.s, "control_features": frame[["site"]], "exact_auc": False, **options}
    return assess_fairness(
        y_true=frame.y, y_pred=(frame.s >= 0.5).astype(int), sensitive_features=frame[["sex", "age"]], **call
    )


@pytest.mark.parametrize("cut", [1, 300, 850])
def test_reports_with_scores_and_strata_merge_to_the_report_of_the_whole(cut: int) -> None:
    merged, whole = scored(slice(0, cut)).merge(scored(slice(cut, None))), scored()
    for ours, theirs in zip(merged.measurements, whole.measurements, strict=True):
        assert (ours.metric, ours.by, ours.group, ours.n, ours.status) == (
            theirs.metric, theirs.by, theirs.group, theirs.n, theirs.status
        )  # fmt: skip
        assert ours.value == (None if theirs.value is None else pytest.approx(theirs.value, rel=1e-9, abs=1e-12))
    assert merged.details["conditional"] == whole.details["conditional"]
    (ours_,), (theirs_,) = merged.scored, whole.scored
    assert np.array_equal(ours_.counts, theirs_.counts)
    again = merged.merge(scored(slice(0, 10)))
    assert again.scored[0].counts.sum() == 910


def test_a_merged_report_takes_the_auc_of_bins_and_says_so() -> None:
    exact = scored(exact_auc=True)
    merged = exact.merge(exact)
    assert {one.method for one in merged.get("roc_auc").intervals} != {
        one.method for one in exact.get("roc_auc").intervals
    }
    assert merged.get("roc_auc").value == pytest.approx(exact.get("roc_auc").value, abs=1e-3)


def test_scores_of_one_report_only_do_not_merge() -> None:
    for without in ({"y_score": None}, {"control_features": None}):
        for one, two in ((scored(), scored(**without)), (scored(**without), scored())):
            with pytest.raises(DataError):
                one.merge(two)
    plain = scored(y_score=None, control_features=None)
    assert plain.merge(plain).scored == ()


def test_reports_that_do_not_belong_together_do_not_merge() -> None:
    y, p = [0, 1] * 40, [1, 0] * 40
    one = assess_fairness(y_true=y, y_pred=p, sensitive_features={"g": ["a", "b"] * 40})
    for other in (
        assess_fairness(y_true=y, y_pred=p, sensitive_features={"h": ["a", "b"] * 40}),
        assess_fairness(y_true=y, y_pred=p, sensitive_features={"g": ["a", "b"] * 40}, confidence=0.9),
        assess_fairness(y_true=y, y_pred=p, sensitive_features={"g": ["a", "b"] * 40}, pos_label=0),
        assess_fairness(y_true=y, y_pred=p, sensitive_features={"g": ["a", "b"] * 40}, sample_weight=[1] * 80),
        assess_fairness(y_true=y, y_pred=p, sensitive_features={"g": ["a", "b"] * 40}, min_group_size=5),
    ):
        with pytest.raises(DataError):
            one.merge(other)
    with pytest.raises(DataError, match="without rows"):
        one.merge(one).inputs()


def test_weighted_tables_give_the_report_of_their_rows() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"g": np.resize(["a", "b"], 200), "w": generator.random(200)})
    frame["y"], frame["p"] = generator.integers(0, 2, 200), generator.integers(0, 2, 200)
    ours = assess_fairness(data=frame, y_true="y", y_pred="p", sensitive_features="g", sample_weight="w")
    tables = {}
    for name, array in (("counts", ours.cube.counts), ("weights", ours.cube.weights), ("squares", ours.cube.squares)):
        assert array is not None
        tables[name] = {level: array[i].ravel().tolist() for i, level in enumerate("ab")}
    again = FairnessReport.from_counts(tables["counts"], by="g", weights=tables["weights"], squares=tables["squares"])
    assert again.measurements == ours.measurements and same(again.cube, ours.cube)
    for wrong in (
        {"weights": {"a": (1, 1, 1, 1)}},
        {"weights": {"a": (1, 1, 1), "b": (1, 1, 1, 1)}},
        {"weights": {"a": (0, 0, 0, 0), "b": (0, 0, 0, 0)}},
        {"weights": {"a": (1, -1, 1, 1), "b": (1, 1, 1, 1)}},
        {"squares": tables["squares"]},
        {
            "weights": tables["weights"],
            "squares": {level: [99.0 * v**2 for v in own] for level, own in tables["weights"].items()},
        },
    ):
        with pytest.raises(DataError):
            FairnessReport.from_counts(tables["counts"], by="g", **wrong)  # type: ignore[arg-type]


def test_an_empty_cube_makes_no_report() -> None:
    empty = Cube(attributes=("g",), levels=(("a",),), counts=np.zeros((1, 2, 2), dtype=np.int64))
    with pytest.raises(DataError, match="no counts"):
        FairnessReport.from_cube(empty)


@pytest.mark.parametrize("weighted", [False, True])
def test_fairlearn_frames_have_the_rates_of_the_report(weighted: bool) -> None:
    generator = np.random.default_rng(1)
    rows = [
        (g, h, bool(y), bool(p), w)
        for g, h, y, p, w in zip(
            generator.choice(["a", "b"], 300), generator.choice(["x", "y"], 300), generator.integers(0, 2, 300),
            generator.integers(0, 2, 300), generator.lognormal(0, 1, 300), strict=True,
        )
    ] + [("c", "x", False, True, 1.0)]  # fmt: skip
    ours = report(rows, weighted=weighted)
    theirs = ours.to_metric_frame()
    assert isinstance(theirs, MetricFrame)
    for group in ours.by_group.index:
        np.testing.assert_allclose(
            theirs.by_group.loc[group].to_numpy(float), ours.by_group.loc[group].to_numpy(), rtol=0, atol=1e-12
        )
    np.testing.assert_allclose(theirs.overall.to_numpy(float), ours.overall.to_numpy(), rtol=0, atol=1e-12)
    assert math.isnan(theirs.by_group.loc[("c", "x"), "true_positive_rate"])
    gap = ours.difference("selection_rate").value
    assert theirs.difference()["selection_rate"] == pytest.approx(gap, abs=1e-12)
