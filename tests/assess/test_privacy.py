from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score, roc_curve
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

import ml_governance as gov
from ml_governance.assess import copies, membership
from ml_governance.assess.columns import coded, opened
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import METRICS

LEVELS: dict[str, Any] = {"confidence": 0.95, "min_rows": 30, "seed": 0}


def two_sided(one: Any) -> tuple[float, float]:
    return next((i.lower, i.upper) for i in one.intervals if i.sides == "two-sided")


# --- membership -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "n"), [(0, 60), (1, 61), (2, 150), (3, 300), (4, 1000)])
def test_the_auc_of_the_attack_is_that_of_scikit_learn(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    member, y = random.integers(0, 2, n), random.integers(0, 2, n)
    member[:2], y[:2] = [0, 1], [0, 1]
    score = random.random(n).round(1).clip(0.1, 0.9)
    found = gov.assess_privacy(member=member, y_true=y, y_score=score).get("membership_auc")
    losses = [log_loss([true], [[1 - p, p]], labels=[0, 1]) for true, p in zip(y, score, strict=True)]
    assert found.value == pytest.approx(roc_auc_score(member, -np.round(losses, 12)), abs=1e-9)


def test_a_model_that_learnt_by_heart_is_caught_and_one_that_did_not_is_not() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    random = np.random.default_rng(0)
    x = random.normal(size=(4000, 5))
    y = (x[:, 0] + random.normal(size=4000) > 0).astype(int)
    member = np.arange(4000) < 2000
    caught = {}
    for name, model in (("tree", DecisionTreeClassifier(random_state=0)), ("line", LogisticRegression())):
        score = model.fit(x[member], y[member]).predict_proba(x)[:, 1]
        caught[name] = gov.assess_privacy(member=member, y_true=y, y_score=score)
    tree, line = caught["tree"], caught["line"]
    assert two_sided(tree.get("membership_auc"))[0] > 0.6 and two_sided(tree.get("membership_advantage"))[0] > 0.2
    lower, upper = two_sided(line.get("membership_auc"))
    assert lower <= 0.5 <= upper < 0.54
    assert two_sided(line.get("membership_tpr_at_low_fpr"))[1] < 0.04


def test_the_advantage_is_judged_on_rows_that_did_not_set_the_threshold() -> None:
    """With small samples the best threshold of noise looks like an attack; judged on other rows it is worth nothing."""
    honest, sought, held = [], [], 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        loss, member = random.random(80), np.repeat([1, 0], 40).astype(np.uint8)
        (one,) = (
            m for m in membership.attacked(loss, member, **LEVELS | {"seed": seed}) if m.metric.endswith("advantage")
        )
        honest.append(one.value)
        fpr, tpr, _ = roc_curve(member, -loss)
        sought.append((tpr - fpr).max())
        lower, upper = two_sided(one)
        held += lower <= 0 <= upper
    assert abs(np.mean(honest)) < 0.03
    assert np.mean(sought) > 0.12
    assert held >= 135


def test_the_advantage_has_newcombes_interval() -> None:
    loss, member = np.repeat([0.0, 1.0, 0.0, 1.0], [80, 20, 40, 60]), np.repeat([1, 0], 100).astype(np.uint8)
    _, one, _ = membership.attacked(loss, member, **LEVELS)
    learnt = membership._halved(member, 0)
    k1, k2 = (int(((loss == 0) & ~learnt & (member == kind)).sum()) for kind in (1, 0))
    assert one.value == pytest.approx(k1 / 50 - k2 / 50)
    assert two_sided(one) == pytest.approx(confint_proportions_2indep(k1, 50, k2, 50, method="newcomb"), abs=1e-9)


def test_the_careful_attack_is_wrong_about_one_in_a_hundred() -> None:
    random = np.random.default_rng(1)
    rates = []
    for seed in range(40):
        loss, member = random.random(2000), np.repeat([1, 0], 1000).astype(np.uint8)
        _, _, one = membership.attacked(loss, member, **LEVELS | {"seed": seed})
        assert two_sided(one) == pytest.approx(proportion_confint(one.numerator, 500, method="wilson"), abs=1e-12)
        rates.append(one.value)
    assert 0.005 < np.mean(rates) < 0.015
    loss = np.concatenate([np.full(1000, 0.001), random.random(1000)])
    _, _, one = membership.attacked(loss, np.repeat([1, 0], 1000).astype(np.uint8), **LEVELS)
    assert one.value == 1


def test_a_score_that_calls_the_label_impossible_is_an_infinite_loss_and_no_error() -> None:
    member, y, score = np.repeat([1, 0], 50), np.ones(100, dtype=int), np.repeat([0.9, 0.0], 50)
    assert gov.assess_privacy(member=member, y_true=y, y_score=score, pos_label=1).get("membership_auc").value == 1


def test_each_group_is_attacked_by_itself_and_small_ones_are_insufficient() -> None:
    random = np.random.default_rng(2)
    member, group = random.integers(0, 2, 600), np.array(["a"] * 570 + ["b"] * 30)
    loss = random.random(600) - 0.5 * member * (group == "b")
    found = gov.assess_privacy(member=member, loss=loss, sensitive_features={"g": group})
    assert found.get("membership_auc", by=("g",), group=("b",)).status == "insufficient"
    rows = group == "a"
    assert found.get("membership_auc", by=("g",), group=("a",)).value == pytest.approx(
        roc_auc_score(member[rows], -loss[rows])
    )


def test_without_both_kinds_of_rows_nothing_is_said() -> None:
    found = gov.assess_privacy(member=np.ones(50, dtype=bool), loss=np.arange(50.0))
    assert {one.status for one in found.measurements} == {"undefined"}
    few = gov.assess_privacy(member=np.repeat([1, 0], [500, 99]), loss=np.arange(599.0))
    assert few.get("membership_tpr_at_low_fpr").status == "undefined"


# --- anonymity --------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, None]), st.sampled_from("xy"), st.sampled_from(["flu", "flu", "cold", None])),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_classes_are_those_that_a_group_by_finds(rows: list[tuple[Any, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["age", "zip", "illness"]).astype({"age": "Int64", "illness": "string"})
    found = gov.assess_privacy(released=frame, quasi_identifiers=["age", "zip"], confidential=["illness"], k=3)
    classes = [part.illness.fillna("none") for _, part in frame.groupby(["age", "zip"], dropna=False)]
    sizes = [len(part) for part in classes]
    assert found.get("k_anonymity").value == min(sizes)
    assert found.get("rows_below_k").numerator == sum(size for size in sizes if size < 3)
    assert found.get("unique_row_rate").numerator == sizes.count(1)
    whole = frame.illness.fillna("none").value_counts(normalize=True)
    where = {"by": ("column",), "group": ("illness",)}
    assert found.get("l_diversity", **where).value == min(part.nunique() for part in classes)
    shares = [part.value_counts(normalize=True) for part in classes]
    assert found.get("entropy_l_diversity", **where).value == pytest.approx(
        min(float(np.exp(-(own * np.log(own)).sum())) for own in shares)
    )
    assert found.get("t_closeness", **where).value == pytest.approx(
        max(float(own.sub(whole, fill_value=0).abs().sum() / 2) for own in shares), abs=1e-12
    )


def test_leaving_a_quasi_identifier_out_never_hides_less() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": random.integers(0, 5, 300), "b": random.integers(0, 5, 300), "c": random.integers(0, 5, 300)}
    )
    three, two = (gov.assess_privacy(released=frame, quasi_identifiers=names) for names in (list("abc"), list("ab")))
    assert two.get("k_anonymity").value >= three.get("k_anonymity").value
    assert two.get("unique_row_rate").value <= three.get("unique_row_rate").value


# --- copies -----------------------------------------------------------------------------------------------


def rows(n: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({"a": random.normal(size=n), "b": random.choice(list("xyz"), n), "c": random.integers(0, 9, n)})


def test_generated_rows_from_the_same_place_are_as_near_to_either_kind() -> None:
    held = 0
    for seed in range(40):
        found = gov.assess_privacy(
            generated=rows(200, seed), training=rows(300, 100 + seed), held_out=rows(300, 200 + seed)
        )
        lower, upper = two_sided(found.get("nearer_to_training_rate"))
        held += lower <= 0.5 <= upper
    assert held >= 34


def test_copies_are_counted_and_rows_with_a_little_noise_are_nearer_to_training() -> None:
    training = rows(400, 1)
    noisy = training[:100].assign(a=lambda f: f.a + 1e-4)
    generated = pd.concat([training[100:150], noisy], ignore_index=True)
    found = gov.assess_privacy(generated=generated, training=training, held_out=rows(400, 2))
    assert found.get("copied_row_rate").numerator == 50
    assert found.get("held_out_copied_row_rate").numerator == 0
    assert two_sided(found.get("excess_copied_row_rate")) == pytest.approx(
        confint_proportions_2indep(50, 150, 0, 400, method="newcomb"), abs=1e-9
    )
    assert two_sided(found.get("nearer_to_training_rate"))[0] > 0.9


def test_distances_are_gowers() -> None:
    frames = [rows(20, seed) for seed in range(3)]
    frames[0].loc[0, "b"] = None
    frames[1].loc[:4, "a"] = np.nan
    stack, picks = [opened(one) for one in frames], [np.arange(20)] * 3
    found = [np.zeros((20, 20), dtype=np.float32) for _ in range(2)]
    for name in "abc":
        copies._add(found, coded(name, stack), picks)
    ranks = {name: pd.concat([f[name] for f in frames], ignore_index=True).rank(pct=True) for name in "ac"}
    n = {name: int(own.notna().sum()) for name, own in ranks.items()}
    for table, other in ((0, 1), (1, 2)):
        expected = np.zeros((20, 20))
        for name in "ac":
            own = ranks[name].to_numpy() - 0.5 / n[name]
            one, two = own[:20], own[20 * other : 20 * other + 20]
            gap = np.abs(one[:, None] - two[None, :])
            expected += np.where(np.isnan(gap), np.isnan(one)[:, None] ^ np.isnan(two)[None, :], gap)
        words = [frame.b.fillna("none").to_numpy() for frame in (frames[0], frames[other])]
        expected += words[0][:, None] != words[1][None, :]
        assert found[table] == pytest.approx(expected, abs=1e-5)


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "nothing to measure"),
        ({"loss": [1.0]}, "nobody says which rows"),
        ({"member": [1, 0]}, "given twice, or not at all"),
        ({"member": [1, 0], "loss": [1.0, np.nan]}, "1 losses are NaN"),
        ({"member": [1, 2], "loss": [1.0, 1.0]}, "no column of flags"),
        ({"member": [1], "loss": [1.0, 1.0]}, "differ in length"),
        ({"quasi_identifiers": ["a"]}, "no table is released"),
        ({"released": rows(9, 0)}, "0 quasi-identifiers"),
        ({"released": rows(9, 0), "quasi_identifiers": ["age"]}, "no column 'age'"),
        ({"released": rows(9, 0), "quasi_identifiers": ["a"], "confidential": ["a"]}, "twice"),
        ({"released": rows(9, 0), "quasi_identifiers": ["a"], "k": 1}, "k is 1"),
        ({"generated": rows(9, 0)}, "two yardsticks"),
        ({"generated": rows(9, 0), "training": rows(9, 0)[["a"]], "held_out": rows(9, 0)}, "different columns"),
    ],
)
def test_bad_input_is_refused_in_words(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        gov.assess_privacy(**options)


def test_every_number_is_in_the_catalogue_and_no_row_is_in_what_is_signed() -> None:
    secret = rows(60, 0).assign(b="Smith, 7 High Street")
    report = gov.assess_privacy(
        member=np.repeat([1, 0], 30), loss=np.arange(60.0), released=secret, quasi_identifiers=["c"], confidential=["b"],
        generated=rows(60, 1), training=rows(60, 2), held_out=rows(60, 3),
    )  # fmt: skip
    assert {one.metric for one in report.measurements} == {name for kind, name in METRICS if kind == "privacy"}
    content = report.to_content(predictions="caller-supplied", dataset=report.inputs())
    assert content.kind == "privacy" and "Smith" not in str(content.to_wire())
