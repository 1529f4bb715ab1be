"""Reads the trees of scikit-learn: forests, single trees, gradient boosting and histogram gradient boosting.

Forests and single trees average what their leaves hold, so their probability is a sum over trees and has exact Shapley
values. Boosted trees add up a margin; a regression with another link than the identity is refused, and so is whatever
else is not a plain sum of leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ml_governance.assess.trees import LEFT, RIGHT, Ensemble, Tree, TreesRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Output = Literal["probability", "margin"]
_AVERAGED = (
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor",
    "ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor",
)  # fmt: skip
_BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_IDENTITY = ("squared_error", "absolute_error", "quantile", "huber")


def knows(model: Any) -> bool:
    """Tell whether a model is of a kind that is read here."""
    ours = type(model).__module__.startswith("sklearn.")
    return ours and type(model).__name__ in (*_AVERAGED, *_BOOSTED, *_HISTOGRAM)


def read(model: Any, output: Output) -> Ensemble:
    """Read a fitted model of scikit-learn.

    Parameters
    ----------
    model : object
        Fitted.
    output : {'probability', 'margin'}
        ``probability`` of forests and single trees; ``margin`` of boosted classifiers. Regressors have one output, which
        goes by either name.

    Returns
    -------
    Ensemble
        One output for two classes (that of the second) or a number, else one for each class.

    Raises
    ------
    TreesRefusedError
        If the output of the model is not a sum over leaves, or the model is of another kind.
    """
    name = type(model).__name__
    classifies = name.endswith("Classifier")
    if not knows(model):
        raise TreesRefusedError(
            f"a {name} is not a model whose trees are read here", expected="trees of a known library"
        )
    if classifies and (output == "probability") != (name in _AVERAGED):
        raise TreesRefusedError(
            f"the {output} of a {name} is no sum over its leaves",
            expected="the probability of a forest, or the margin of boosted trees",
        )
    if name in _AVERAGED:
        return _averaged(model, classifies=classifies)
    return _boosted(model, classifies=classifies) if name in _BOOSTED else _histogram(model, classifies=classifies)


def _averaged(model: Any, *, classifies: bool) -> Ensemble:
    if model.n_outputs_ != 1:
        raise TreesRefusedError(f"the model predicts {model.n_outputs_} targets at once", expected="one target")
    members = [one.tree_ for one in getattr(model, "estimators_", [model])]
    outputs = model.n_classes_ if classifies else 1
    trees = []
    for grown in members:
        held = grown.value[:, 0, :]
        if classifies:
            held = held / held.sum(axis=1, keepdims=True)
        wanted = [1] if classifies and outputs == 2 else range(outputs)
        for place, column in enumerate(wanted):
            trees.append(_tree(grown, held[:, column] / len(members), place))
    base = np.zeros(1 if outputs == 2 else outputs)
    return Ensemble(trees=tuple(trees), base=base, columns=model.n_features_in_, strict=False, single=True)


def _tree(grown: Any, value: NDArray[np.float64], output: int) -> Tree:
    return Tree(
        left=grown.children_left.astype(np.int32),
        right=grown.children_right.astype(np.int32),
        feature=np.maximum(grown.feature, 0).astype(np.int32),
        threshold=grown.threshold.astype(np.float64),
        missing=np.where(np.asarray(grown.missing_go_to_left, dtype=bool), LEFT, RIGHT).astype(np.uint8),
        value=value.astype(np.float64),
        cover=grown.weighted_n_node_samples.astype(np.float64),
        output=output,
    )


def _boosted(model: Any, *, classifies: bool) -> Ensemble:
    if model.init is not None and not (isinstance(model.init, str) and model.init == "zero"):
        raise TreesRefusedError("the boosting starts from another model", expected="init=None or 'zero'")
    grown = model.estimators_
    rate = model.learning_rate
    trees = tuple(
        _tree(one.tree_, one.tree_.value[:, 0, 0] * rate, output) for row in grown for output, one in enumerate(row)
    )
    # Where boosting starts is a constant, and public only through a prediction: any row shows it.
    row = np.zeros((1, model.n_features_in_))
    named = _named(row, model)
    whole = np.asarray(
        model.decision_function(named) if classifies else model.predict(named), dtype=np.float64
    ).reshape(-1)
    added = rate * np.array([sum(one.predict(row)[0] for one in column) for column in grown.T])
    return Ensemble(trees=trees, base=whole - added, columns=model.n_features_in_, strict=False, single=True)


def _named(row: NDArray[np.float64], model: Any) -> Any:
    """Return a row with the names that the model was fitted with, if it was."""
    import pandas as pd

    names = getattr(model, "feature_names_in_", None)
    return row if names is None else pd.DataFrame(row, columns=names)


def _histogram(model: Any, *, classifies: bool) -> Ensemble:
    if not classifies and model.loss not in _IDENTITY:
        raise TreesRefusedError(f"the loss {model.loss} predicts through a link", expected="a sum over leaves")
    order, levels = _encoding(model)
    known = _known(model, levels)
    trees = tuple(
        _grown(one, output, order, levels, known)
        for row in model._predictors  # noqa: SLF001  nothing public has the trees
        for output, one in enumerate(row)
    )
    return Ensemble(
        trees=trees,
        base=np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1),  # noqa: SLF001  see above
        columns=model.n_features_in_,
        strict=False,
        single=False,
        categories={int(order[inner]): np.sort(levels[inner][which]) for inner, which in known.items()},
    )


def _encoding(model: Any) -> tuple[NDArray[np.int64], dict[int, NDArray[np.float64]]]:
    """Return the original column of each column inside, and the category behind each code by column inside.

    Columns of categories come first inside, and hold codes.
    """
    flags = model.is_categorical_
    if flags is None or not np.any(flags):
        return np.arange(model.n_features_in_), {}
    order = np.concatenate([np.flatnonzero(flags), np.flatnonzero(~np.asarray(flags))])
    encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001  nothing public has the codes
    levels = {}
    for inner, found in enumerate(encoder.categories_):
        if not np.issubdtype(np.asarray(found).dtype, np.number):
            raise TreesRefusedError(
                "the trees split on categories that are text", expected="categories that are numbers"
            )
        levels[inner] = np.asarray(found, dtype=np.float64)
    return order, levels


def _known(model: Any, levels: dict[int, NDArray[np.float64]]) -> dict[int, NDArray[np.intp]]:
    """Return by column inside: the codes that training saw; the model treats all others as missing."""
    if not levels:
        return {}
    bitsets, place = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001  nothing public has them
    found = {}
    for inner, own in levels.items():
        bits = bitsets[place[inner]]
        codes = [code for code, level in enumerate(own) if not np.isnan(level) and _has(bits, code)]
        found[inner] = np.array(codes, dtype=np.intp)
    return found


def _has(bits: Iterable[int], code: int) -> bool:
    return bool((int(list(bits)[code // 32]) >> (code % 32)) & 1)


def _grown(
    predictor: Any,
    output: int,
    order: NDArray[np.int64],
    levels: dict[int, NDArray[np.float64]],
    known: dict[int, NDArray[np.intp]],
) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    members = {}
    for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf):
        inner = int(nodes["feature_idx"][node])
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        members[int(node)] = np.array([levels[inner][code] for code in known[inner] if _has(bits, code)])
    return Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)).astype(np.int32),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)).astype(np.int32),
        feature=np.where(leaf, 0, order[np.where(leaf, 0, nodes["feature_idx"])]).astype(np.int32),
        threshold=nodes["num_threshold"].astype(np.float64),
        missing=np.where(nodes["missing_go_to_left"].astype(bool), LEFT, RIGHT).astype(np.uint8),
        value=nodes["value"].astype(np.float64),
        cover=nodes["count"].astype(np.float64),
        members=members,
        output=output,
    )
