"""Discrimination: against scikit-learn and scipy, and how often the bounds hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, norm, somersd
from sklearn.metrics import average_precision_score

from ml_governance.assess import discrimination


def sample(n: int, seed: int, positives: float = 0.4) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    y = (generator.random(n) < positives).astype(np.uint8)
    return y, norm.cdf(generator.normal(y.astype(float)))


@given(st.integers(0, 1000), st.integers(20, 300), st.booleans())
def test_numbers_agree_with_scikit_learn_and_scipy(seed: int, n: int, ties: bool) -> None:
    y, s = sample(n, seed)
    s = s.round(1) if ties else s
    if y.min() == y.max():
        return
    assert discrimination.average_precision(y, s).value == pytest.approx(average_precision_score(y, s), abs=1e-12)
    assert discrimination.ks(y, s).value == pytest.approx(ks_2samp(s[y == 1], s[y == 0]).statistic, abs=1e-12)
    assert discrimination.gini(y, s).value == pytest.approx(somersd(y, s).statistic, abs=1e-12)


@pytest.mark.parametrize(("name", "at_least"), [("average_precision", 0.92), ("ks", 0.95), ("gini", 0.93)])
def test_intervals_hold(name: str, at_least: float) -> None:
    measure = getattr(discrimination, name)
    truth = measure(*sample(150_000, 10**6)).value
    held = 0
    for seed in range(250):
        lower, upper = measure(*sample(250, seed)).bounds(0.95, "two-sided")
        held += lower <= truth <= upper
    assert held / 250 >= at_least


@pytest.mark.parametrize("name", ["roc_auc", "gini", "ks"])
def test_with_one_class_there_is_nothing_to_tell_apart(name: str) -> None:
    number = getattr(discrimination, name)(np.ones(5, dtype=np.uint8), np.linspace(0, 1, 5))
    assert number.value is None and "one class" in (number.reason or "")


def test_average_precision_of_no_positives_is_undefined_and_a_perfect_one_claims_no_interval() -> None:
    zeros, score = np.zeros(5, dtype=np.uint8), np.linspace(0, 1, 5)
    assert discrimination.average_precision(zeros, score).value is None
    perfect = discrimination.average_precision(np.array([0, 0, 0, 1, 1], dtype=np.uint8), score)
    assert perfect.value == 1 and perfect.bounds is None and perfect.reason
