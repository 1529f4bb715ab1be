from __future__ import annotations

import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ml_governance.assess.distances import (
    DISTANCES,
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    total_variation,
)
from ml_governance.assess.drift import assess_drift
from ml_governance.assess.profile import Profile, profile, profiles_of
from ml_governance.errors import DataError
from tests.assess.test_fairness import data, report

counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8).filter(
    lambda pairs: sum(a for a, _ in pairs) and sum(b for _, b in pairs)
)


def table(n: int = 500, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": generator.normal(shift, 1, n),
            "zeros": np.where(generator.random(n) < 0.6, 0.0, generator.exponential(1, n)),
            "few": generator.integers(0, 4, n),
            "g": generator.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
        }
    )
    frame.loc[: n // 20, "x"] = np.nan
    frame.loc[: n // 10, "g"] = None
    return frame


# --- distances against oracles -------------------------------------------------------------------------------


@given(counts)
def test_distances_agree_with_scipy(pairs: list[tuple[int, int]]) -> None:
    p, q = np.array(pairs, dtype=float).T
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    both = p + q > 0
    if both.sum() > 1:
        assert chi_square(p, q) == pytest.approx(stats.chi2_contingency([p[both], q[both]], correction=False).statistic)
    raw = [np.repeat(np.arange(len(p)), one.astype(int)) for one in (p, q)]
    assert kolmogorov_smirnov(p, q) == pytest.approx(stats.ks_2samp(*raw).statistic)
    smooth = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    assert psi(p, q) == pytest.approx(stats.entropy(*smooth) + stats.entropy(*smooth[::-1]))


@given(counts)
def test_distances_are_zero_at_equality_symmetric_and_bounded(pairs: list[tuple[int, int]]) -> None:
    p, q = np.array(pairs, dtype=float).T
    for name, distance in DISTANCES.items():
        assert distance(p, p) == pytest.approx(0, abs=1e-7)
        assert distance(p, q) == pytest.approx(distance(q, p), abs=1e-9)
        assert distance(p, q) >= 0
        if name in ("jensen_shannon", "total_variation", "kolmogorov_smirnov"):
            assert distance(p, q) <= 1 + 1e-12
    assert kolmogorov_smirnov(p, q) <= total_variation(p, q) + 1e-12


# --- null levels -----------------------------------------------------------------------------------------------


def test_psi_of_equal_distributions_has_the_mean_that_is_stated() -> None:
    generator = np.random.default_rng(1)
    n, m, bins = 2000, 500, 10
    p, q = (generator.multinomial(size, np.full(bins, 0.1), 4000).astype(float) for size in (n, m))
    assert psi(p, q).mean() == pytest.approx((bins - 1) * (1 / n + 1 / m), rel=0.04)


@pytest.mark.parametrize(("n", "m", "null"), [(1000, 400, "chi-square"), (60, 40, "simulated")])
def test_the_null_level_is_exceeded_about_as_often_as_alpha_says(n: int, m: int, null: str) -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.1]) if null == "chi-square" else np.array([0.55, 0.3, 0.1, 0.05])
    generator = np.random.default_rng(7)
    repeats = 300
    beyond = {name: 0 for name in DISTANCES if name != "kolmogorov_smirnov"}
    for _ in range(repeats):
        profiles = [
            {"c": Profile.from_counts("c", dict(zip("abcd", generator.multinomial(size, shares), strict=True)))}
            for size in (n, m)
        ]
        made = assess_drift(*profiles, metrics=tuple(beyond), replicates=200)
        for one in made.distances:
            beyond[one.metric] += one.p_value is not None and one.p_value <= 0.05
    for name, times in beyond.items():
        # 0.05 +- 4 standard errors, and room for the pooled shares being estimated
        assert times / repeats <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / repeats), (name, times)
        assert times >= 2, (name, times)


def test_bins_at_the_references_own_quantiles_keep_the_level() -> None:
    beyond = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        one = assess_drift(
            pd.DataFrame({"x": generator.normal(size=600)}),
            pd.DataFrame({"x": generator.normal(size=300)}),
            metrics=["psi"],
        ).get("x", "psi")
        assert one.method == "chi-square"
        beyond += one.p_value is not None and one.p_value <= 0.05
    assert 1 <= beyond <= 22


def test_simulated_and_approximate_nulls_agree_for_large_counts() -> None:
    reference, current = table(4000, 1), table(3000, 2)
    near = assess_drift(reference, current, metrics=["psi", "jensen_shannon", "chi_square"], columns=["x"])
    drawn = assess_drift(
        reference,
        current,
        metrics=["psi", "jensen_shannon", "chi_square"],
        columns=["x"],
        null="simulated",
        replicates=8000,
    )
    for a, b in zip(near.distances, drawn.distances, strict=True):
        assert (a.method, b.method) == ("chi-square", "simulated")
        assert a.value == b.value
        assert a.null_level == pytest.approx(b.null_level, rel=0.06)


# --- what is compared -----------------------------------------------------------------------------------------


def test_a_shift_is_found_and_no_shift_is_not() -> None:
    same = assess_drift(table(seed=1), table(seed=2))
    moved = assess_drift(table(seed=1), table(seed=2, shift=0.6))
    for metric in ("psi", "total_variation", "jensen_shannon", "chi_square"):
        assert same.drifted(metric) == ()
        assert moved.drifted(metric) == ("x",)
    assert moved.drifted("kolmogorov_smirnov") == ("x",)


def test_unseen_levels_and_missing_values_count() -> None:
    before = pd.DataFrame({"g": ["a"] * 200 + ["b"] * 200})
    after = pd.DataFrame({"g": ["a"] * 150 + ["b"] * 150 + ["new"] * 50 + [None] * 50})
    made = assess_drift(before, after)
    assert made.unseen == {"g": ("new",)}
    assert made.get("g", "total_variation").value == pytest.approx(0.25)
    assert made.get("g", "psi").bins == 4
    assert "new" in made.to_html()


def test_values_below_a_lump_at_the_low_end_are_noticed() -> None:
    before = table(seed=1)[["zeros"]]
    after = before.assign(zeros=before.zeros.where(before.zeros > 0, -3.0))
    assert assess_drift(before, after, metrics=["total_variation"]).get("zeros", "total_variation").value > 0.5  # type: ignore[operator]


def test_the_bins_of_the_reference_hold_equal_shares_and_stay() -> None:
    reference = profile(table(seed=1), columns=["x"])["x"]
    assert len(reference.counts) == 10
    assert max(reference.counts) - min(reference.counts) <= 1
    again = profile(table(seed=2, shift=9.0), like={"x": reference})["x"]
    assert again.edges == reference.edges and again.counts[-1] > 400


def test_small_samples_are_insufficient_and_empty_ones_undefined() -> None:
    made = assess_drift(table(seed=1), table(12, seed=2))
    assert {one.status for one in made.distances} == {"insufficient"}
    with pytest.raises(DataError, match="cannot be used"):
        made.drifted()
    nothing = pd.DataFrame({"x": [np.nan] * 40})
    one = assess_drift(table(seed=1), nothing, columns=["x"]).get("x", "kolmogorov_smirnov")
    assert (one.status, one.value) == ("undefined", None) and "no rows" in (one.reason or "")


def test_a_column_of_one_value_has_no_distance() -> None:
    constant = pd.DataFrame({"c": ["only"] * 50})
    one = assess_drift(constant, constant).get("c", "psi")
    assert (one.value, one.p_value, one.status) == (0.0, 1.0, "ok")


def test_the_same_call_gives_the_same_numbers_whatever_else_is_compared() -> None:
    reference, current = table(seed=1), table(seed=2)
    assert assess_drift(reference, current).to_dict() == assess_drift(reference, current).to_dict()
    one = assess_drift(reference, current, metrics=["total_variation"], columns=["x"]).distances[0]
    assert one == assess_drift(reference, current, columns=["x"]).get("x", "total_variation")


# --- profiles ----------------------------------------------------------------------------------------------------


def test_profiles_are_the_same_from_every_kind_of_table() -> None:
    frame = table()
    expected = profile(frame)
    assert {name: one.kind for name, one in expected.items()} == {
        "x": "numeric", "zeros": "numeric", "few": "category", "g": "category",
    }  # fmt: skip
    connection = duckdb.connect()
    relation = connection.from_arrow(pa.Table.from_pandas(frame))
    for other in (pl.from_pandas(frame), pl.from_pandas(frame).lazy(), pa.Table.from_pandas(frame), relation):
        assert profile(other) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 498), st.integers(0, 20))
def test_the_profile_of_all_rows_is_the_sum_of_the_profiles_of_parts(cut: int, seed: int) -> None:
    frame = table(seed=seed)
    reference = profile(table(seed=99))
    one, two = profile(frame[:cut], like=reference), profile(frame[cut:], like=reference)
    whole = profile(frame, like=reference)
    for name in reference:
        merged = one[name].merge(two[name])
        assert merged == whole[name] == two[name].merge(one[name])
        assert merged.n == 500


def test_profiles_survive_json() -> None:
    for one in profile(table()).values():
        assert Profile.from_dict(json.loads(json.dumps(one.to_dict(), allow_nan=False))) == one
    with pytest.raises(DataError, match="no profile"):
        Profile.from_dict({"name": "x", "colour": 1})


def test_a_cube_gives_profiles_of_groups_labels_and_predictions() -> None:
    frame = data()
    made = profiles_of(report(frame).cube)
    assert set(made) == {"sex", "race", "y_true", "y_pred"}
    assert dict(zip(made["y_pred"].levels, made["y_pred"].counts, strict=True)) == {
        "0": int((frame.p == 0).sum()), "1": int((frame.p == 1).sum()),
    }  # fmt: skip
    assert assess_drift(made, made).get("race", "psi").value == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: profile([1, 2]), "no table"),
        (lambda: profile(table(), columns=["nope"]), "no column 'nope'"),
        (lambda: profile(table(), bins=1), "bins is 1"),
        (lambda: profile(pd.DataFrame({"x": ["a"]}), like=profile(table(), columns=["x"])), "not numeric"),
        (lambda: profile(pd.DataFrame({"id": map(str, range(20_000))})), "20,000 levels"),
        (lambda: assess_drift(table(), table().drop(columns="g")), "no column 'g'"),
        (lambda: assess_drift(profile(table(seed=1)), profile(table(seed=2))), "different bins"),
        (lambda: assess_drift(profile(table()), {"x": profile(table())["x"]}), "no profile of"),
        (lambda: assess_drift(table(), table(), alpha=5), "alpha is 5"),
        (lambda: assess_drift(table(), table(), metrics=["wasserstein"]), "no distance"),
        (lambda: profile(table(seed=1))["x"].merge(profile(table(seed=2))["x"]), "different bins"),
        (lambda: Profile(name="x", kind="numeric", edges=(1.0, 1.0), counts=(1, 1, 1)), "do not rise"),
        (lambda: Profile(name="x", kind="category", levels=("a",), counts=(1, 2)), "2 counts"),
        (lambda: Profile.from_counts("x", {"a": -1}), "whole number"),
    ],
    ids=range(14),
)
def test_what_cannot_be_compared_is_named(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=words):
        make()


def test_the_report_reads_as_frame_dict_and_html() -> None:
    made = assess_drift(table(seed=1), table(seed=2, shift=1))
    frame = made.to_frame()
    assert (frame["p_holm"].dropna() >= frame["p_value"].dropna()).all()
    json.dumps(made.to_dict(), allow_nan=False)
    assert "null level" in made._repr_html_() and "x" in repr(made)
    with pytest.raises(KeyError):
        made.get("g", "kolmogorov_smirnov")


def test_a_report_whose_columns_could_not_be_compared_does_not_read_as_none_moved() -> None:
    rows = pd.DataFrame({"x": range(100)})
    assert "not measured by some: x" in repr(assess_drift(rows, rows[:0]))
    assert "not measured" not in repr(assess_drift(rows, rows))
