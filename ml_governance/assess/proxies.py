"""How well the other columns, all together, tell a sensitive attribute: what a model could do that is not given it.

Boosted trees (Friedman, Annals of Statistics 29 (2001) 1189) learn the attribute on four fifths of the rows and are judged on the
rest, five times; a level's AUC is the average of the five, with the variance of LeDell, Petersen and van der Laan (Electronic
Journal of Statistics 9 (2015) 1583). What the trees do not find, another learner may: the AUC is what can be had at least.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import ranks
from ml_governance.assess.halves import draws
from ml_governance.assess.separability import FOLDS, Separation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ml_governance.assess.columns import Column

    Codes = NDArray[np.int64]

MAX_ROWS = 10_000
"""Rows that trees learn from and are judged on; more are drawn from."""
MAX_CATEGORIES = 200
"""Values of a category that are told apart; the others are one."""
_TREES: dict[str, Any] = {"max_iter": 30, "max_leaf_nodes": 15, "early_stopping": False}


def feature(column: Column, pick: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return a column of some rows as trees take it: numbers, or the rank of a category by how common it is; NaN if missing."""
    code = column.of(0)[pick]
    if column.kind != "text":
        numbers = np.append(np.asarray(column.values, dtype=np.float64), np.nan)
        return numbers[code]
    count = np.bincount(code + 1, minlength=len(column.values) + 1)[1:]
    rank = np.empty(len(count) + 1)
    rank[np.argsort(-count, kind="stable")] = np.minimum(np.arange(len(count)), MAX_CATEGORIES - 1)
    rank[-1] = np.nan
    return rank[code]


def predicted(
    features: Mapping[str, NDArray[np.float64]], categories: set[str], groups: Codes, levels: int, *, seed: int
) -> list[Separation]:
    """Return how well rows of each level are told from all others by all features together.

    Parameters
    ----------
    features : mapping of name to array of float64, shape (n,)
        As :func:`feature` gives them.
    categories : set of str
        Names of those that are categories.
    groups : array of int64, shape (n,)
        Level of each row.
    levels : int
        How many there are.
    seed : int
        Of the folds and the trees.

    Returns
    -------
    list of Separation
        NaN for a level with fewer than ten rows, or fewer than ten rows beside it: every fold needs both.
    """
    rows = np.bincount(groups, minlength=levels)
    n = len(groups)
    scores = (
        _out_of_fold(features, categories, groups, levels, seed) if (rows >= FOLDS).sum() > 1 and features else None
    )
    made = []
    for level in range(levels):
        value, variance = math.nan, math.nan
        if scores is not None and 2 * FOLDS <= rows[level] <= n - 2 * FOLDS:
            probability, fold = scores
            true = (groups == level).astype(np.uint8)
            parts = [ranks.exact_auc(true[fold == k], probability[fold == k, level]) for k in range(FOLDS)]
            value = float(np.mean([part.value[0] for part in parts]))
            variance = float(np.sum([part.variance[0] for part in parts])) / FOLDS**2
        made.append(
            Separation(value=value, variance=variance, rows=int(rows[level]), others=n - int(rows[level]), turned=False)
        )
    return made


def _out_of_fold(
    features: Mapping[str, NDArray[np.float64]], categories: set[str], groups: Codes, levels: int, seed: int
) -> tuple[NDArray[np.float64], Codes]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    table = np.stack(list(features.values()), axis=1)
    mask = np.array([name in categories for name in features])
    fold = _stratified(groups, seed)
    probability = np.zeros((len(groups), levels))
    for k in range(FOLDS):
        held = fold == k
        model = HistGradientBoostingClassifier(categorical_features=mask, random_state=seed, **_TREES)
        with threadpool_limits(1):  # so few rows are done sooner by one thread, and alike on every machine
            model.fit(table[~held], groups[~held])
            probability[np.ix_(held, model.classes_)] = model.predict_proba(table[held])
    return probability, fold


def _stratified(groups: Codes, seed: int) -> Codes:
    """Deal the rows of every level over the folds in turn, after shuffling them."""
    shuffled = draws(seed).permutation(len(groups))
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    fold = np.empty(len(groups), dtype=np.int64)
    fold[order] = np.arange(len(groups)) % FOLDS
    return fold
