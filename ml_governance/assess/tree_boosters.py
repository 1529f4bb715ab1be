"""Reads the trees of XGBoost, LightGBM and CatBoost, each from the form that its library documents.

How each library decides, which the numbers depend on:

- XGBoost: ``x < threshold`` in single precision; NaN goes the node's default way; listed categories go right. It adds up in
  single precision.
- LightGBM: ``x <= threshold`` in double precision; NaN goes the default way where training met NaN, and is zero where it did
  not; listed categories go left, all others and NaN right.
- CatBoost: ``x <= border`` in single precision, one question for a whole level of a tree; NaN goes with the smallest or the
  largest values, by column.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.trees import AS_ZERO, LEFT, RIGHT, Ensemble, Tree, TreesRefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ml_governance.assess.tree_readers import Output

    Record = dict[str, Any]

_KNOWN = {
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "catboost": ("CatBoostClassifier", "CatBoostRegressor"),
}
_XGB_LOGIT = ("binary:logistic", "binary:logitraw", "reg:logistic")
_XGB_LOG = ("count:poisson", "reg:gamma", "reg:tweedie")
_XGB_IDENTITY = (
    "reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror",
    "multi:softmax", "multi:softprob",
)  # fmt: skip
_LGB_IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
_CAT_IDENTITY = ("RMSE", "MAE", "Quantile", "Huber", "MAPE", "Expectile", "LogCosh")


def knows(model: Any) -> bool:
    """Tell whether a model is of a library that is read here."""
    library = type(model).__module__.partition(".")[0]
    return type(model).__name__ in _KNOWN.get(library, ())


def margin(model: Any, table: Any) -> NDArray[np.float64]:
    """Return the sum over leaves as the library computes it, shape (n,), or (n, classes) of several classes."""
    name = type(model).__name__
    if name.startswith("XGB"):
        made = model.predict(table, output_margin=True)
    elif name.startswith("LGBM"):
        made = model.predict(table, raw_score=True)
    else:
        made = model.predict(table, prediction_type="RawFormulaVal")
    return np.asarray(made, dtype=np.float64)


def read(model: Any, output: Output) -> Ensemble:
    """Read a fitted model.

    Parameters
    ----------
    model : object
        That :func:`knows` knows.
    output : {'probability', 'margin'}
        The margin of classifiers; of regressors that predict their sum, either.

    Returns
    -------
    Ensemble

    Raises
    ------
    TreesRefusedError
        If the output is no sum over leaves, or the trees are of a form that is not read here.
    """
    name = type(model).__name__
    if output == "probability" and name.endswith("Classifier"):
        raise TreesRefusedError(
            f"the probability of a {name} is no sum over its leaves", expected="the margin of boosted trees"
        )
    if name.startswith("XGB"):
        return _xgboost(model, output)
    return _lightgbm(model, output) if name.startswith("LGBM") else _catboost(model, output)


@dataclass(slots=True, kw_only=True)
class _Nodes:
    """A tree while it is written down: children come after their parent."""

    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    other: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    cover: list[float] = field(default_factory=list)
    members: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, cover: float, *, value: float = 0.0) -> int:
        """Add a node, for now a leaf."""
        for column, start in (
            (self.left, -1), (self.right, -1), (self.feature, 0), (self.missing, LEFT), (self.other, LEFT)
        ):  # fmt: skip
            column.append(start)
        self.threshold.append(0.0)
        self.value.append(value)
        self.cover.append(cover)
        return len(self.left) - 1

    def split(self, node: int, feature: int, threshold: float, missing: int, other: int = LEFT) -> None:
        """Make a node ask."""
        self.feature[node], self.threshold[node], self.missing[node] = feature, threshold, missing
        self.other[node] = other

    def tree(self, output: int) -> Tree:
        return Tree(
            left=np.array(self.left, dtype=np.int32),
            right=np.array(self.right, dtype=np.int32),
            feature=np.array(self.feature, dtype=np.int32),
            threshold=np.array(self.threshold, dtype=np.float64),
            missing=np.array(self.missing, dtype=np.uint8),
            other=np.array(self.other, dtype=np.uint8),
            value=np.array(self.value, dtype=np.float64),
            cover=np.array(self.cover, dtype=np.float64),
            members=self.members,
            output=output,
        )


# --- XGBoost ----------------------------------------------------------------------------------------------


def _xgboost(model: Any, output: Output) -> Ensemble:
    missing = getattr(model, "missing", np.nan)
    if missing is not None and not math.isnan(missing):
        raise TreesRefusedError(f"the model takes {missing} for missing", expected="missing=NaN")
    rounds = getattr(model, "best_iteration", None) if getattr(model, "early_stopping_rounds", None) else None
    return from_xgboost(
        json.loads(bytes(model.get_booster().save_raw("json"))),
        linked=output == "probability",
        rounds=None if rounds is None else int(rounds) + 1,
    )


def from_xgboost(document: Record, *, linked: bool = False, rounds: int | None = None) -> Ensemble:
    """Read XGBoost's JSON model (its schema is published with its documentation, *Introduction to Model IO*).

    Parameters
    ----------
    document : dict
    linked : bool, default False
        Whether the output behind the link is wanted; then the link has to be the identity.
    rounds : int, optional
        How many boosting rounds count; default is all.
    """
    learner = document["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise TreesRefusedError(f"the booster is {booster['name']}", expected="gbtree")
    if linked and objective not in _XGB_IDENTITY:
        raise TreesRefusedError(f"the objective {objective} predicts through a link", expected="output='margin'")
    parameters, grown = learner["learner_model_param"], booster["model"]
    outputs = max(int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1)), 1)
    kept, info = grown["trees"], grown["tree_info"]
    if rounds is not None:
        ends = grown.get("iteration_indptr")
        each = outputs * int(grown["gbtree_model_param"].get("num_parallel_tree", 1))
        kept = kept[: ends[rounds] if ends else rounds * each]
    lists = [_xgb_lists(tree) for tree in kept]
    known: dict[int, set[float]] = {}
    for tree, listed in zip(kept, lists, strict=True):
        for node, own in listed.items():
            known.setdefault(int(tree["split_indices"][node]), set()).update(own)
    categories = {column: np.array(sorted(own)) for column, own in known.items()}
    return Ensemble(
        trees=tuple(_xgb_tree(*parts, categories) for parts in zip(kept, info, lists, strict=False)),
        base=np.resize(_xgb_base(parameters["base_score"], objective), outputs).astype(np.float64),
        columns=int(parameters["num_feature"]),
        strict=True,
        single=True,
        single_sum=True,
        categories=categories,
    )


def _xgb_base(score: str, objective: str) -> NDArray[np.float64]:
    """Return where the margin starts: one number, or since version 3.1 a list."""
    start = np.array(str(score).strip("[]").split(","), dtype=np.float32).astype(np.float64)
    if objective in _XGB_LOGIT:
        return np.asarray(np.log(start / (1 - start)))
    if objective in _XGB_LOG:
        return np.asarray(np.log(start))
    if objective not in _XGB_IDENTITY:
        raise TreesRefusedError(f"the objective {objective} is not known here", expected="one whose base is known")
    return start


def _xgb_lists(tree: Record) -> dict[int, set[float]]:
    """Return by node: the categories that go right."""
    found = {}
    pieces = (tree.get("categories_nodes", []), tree.get("categories_segments", []), tree.get("categories_sizes", []))
    for node, start, size in zip(*pieces, strict=True):
        found[int(node)] = {float(one) for one in tree["categories"][start : start + size]}
    return found


def _xgb_tree(tree: Record, output: int, lists: dict[int, set[float]], categories: dict[int, Any]) -> Tree:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise TreesRefusedError("the leaves hold vectors", expected="one number in a leaf")
    values = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    nodes = _Nodes()
    ready = [(0, nodes.add(float(tree["sum_hessian"][0])))]
    while ready:  # only what the root leads to: pruning leaves dead nodes behind
        old, new = ready.pop()
        if tree["left_children"][old] < 0:
            nodes.value[new] = values[old]
            continue
        column = int(tree["split_indices"][old])
        nodes.split(new, column, values[old], LEFT if tree["default_left"][old] else RIGHT)
        if old in lists:
            nodes.members[new] = np.array(
                [one for one in categories[column] if one not in lists[old]], dtype=np.float64
            )
        for side, children in ((nodes.left, "left_children"), (nodes.right, "right_children")):
            child = int(tree[children][old])
            side[new] = nodes.add(float(tree["sum_hessian"][child]))
            ready.append((child, side[new]))
    return nodes.tree(output)


# --- LightGBM ---------------------------------------------------------------------------------------------


def _lightgbm(model: Any, output: Output) -> Ensemble:
    return from_lightgbm(model.booster_.dump_model(), linked=output == "probability")


def from_lightgbm(document: Record, *, linked: bool = False) -> Ensemble:
    """Read what LightGBM's ``dump_model`` returns.

    Parameters
    ----------
    document : dict
    linked : bool, default False
        Whether the output behind the link is wanted; then the link has to be the identity.
    """
    objective = str(document.get("objective", "custom")).split(" ", maxsplit=1)
    if linked and (objective[0] not in _LGB_IDENTITY or "sqrt" in objective[1:]):
        raise TreesRefusedError(
            f"the objective {' '.join(objective)} predicts through a link", expected="output='margin'"
        )
    outputs, infos = int(document["num_tree_per_iteration"]), document["tree_info"]
    share = outputs / len(infos) if document.get("average_output") and infos else 1.0
    known: dict[int, set[float]] = {}
    for info in infos:
        _lgb_known(info["tree_structure"], known)
    return Ensemble(
        trees=tuple(_lgb_tree(info["tree_structure"], place % outputs, share) for place, info in enumerate(infos)),
        base=np.zeros(outputs),
        columns=int(document["max_feature_idx"]) + 1,
        strict=False,
        single=False,
        categories={column: np.array(sorted(own)) for column, own in known.items()},
    )


def _listed(node: Record) -> NDArray[np.float64]:
    return np.array([float(one) for one in str(node["threshold"]).split("||")])


def _lgb_known(root: Record, known: dict[int, set[float]]) -> None:
    ready = [root]
    while ready:
        node = ready.pop()
        if "split_feature" in node:
            if node["decision_type"] == "==":
                known.setdefault(int(node["split_feature"]), set()).update(_listed(node).tolist())
            ready += [node["left_child"], node["right_child"]]


def _lgb_tree(root: Record, output: int, share: float) -> Tree:
    nodes = _Nodes()

    def added(node: Record) -> int:
        if "leaf_const" in node or "leaf_coeff" in node:
            raise TreesRefusedError("the leaves hold linear models", expected="one number in a leaf")
        inner = "split_feature" in node
        cover = node["internal_count"] if inner else node.get("leaf_count", 1)
        return nodes.add(float(cover), value=0.0 if inner else float(node["leaf_value"]) * share)

    ready = [(root, added(root))]
    while ready:
        node, new = ready.pop()
        if "split_feature" not in node:
            continue
        column, kind = int(node["split_feature"]), node["missing_type"]
        if node["decision_type"] == "==":
            nodes.split(new, column, 0.0, RIGHT, RIGHT)
            nodes.members[new] = _listed(node)
        elif kind not in {"None", "NaN"}:
            raise TreesRefusedError(f"the model takes {kind.lower()} for missing", expected="zero_as_missing=False")
        else:
            default = LEFT if node["default_left"] else RIGHT
            nodes.split(new, column, float(node["threshold"]), AS_ZERO if kind == "None" else default)
        for side, child in ((nodes.left, node["left_child"]), (nodes.right, node["right_child"])):
            side[new] = added(child)
            ready.append((child, side[new]))
    return nodes.tree(output)


# --- CatBoost ---------------------------------------------------------------------------------------------


def _catboost(model: Any, output: Output) -> Ensemble:
    loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    if output == "probability" and loss not in _CAT_IDENTITY:
        raise TreesRefusedError(f"the loss {loss} predicts through a link", expected="output='margin'")
    with tempfile.TemporaryDirectory(prefix="mlgov-trees-") as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        return from_catboost(json.loads(path.read_text(encoding="utf-8")))


def from_catboost(document: Record) -> Ensemble:
    """Read CatBoost's JSON model (its documentation, *JSON model tutorial*)."""
    if "oblivious_trees" not in document:
        raise TreesRefusedError(
            "the trees ask different questions in one level", expected="grow_policy='SymmetricTree'"
        )
    if document["features_info"].get("categorical_features"):
        raise TreesRefusedError("the trees ask about categories through statistics", expected="columns of numbers")
    columns = {one["feature_index"]: one for one in document["features_info"]["float_features"]}
    scale, bias = document.get("scale_and_bias", [1.0, [0.0]])
    base = np.atleast_1d(np.asarray(bias, dtype=np.float64))
    grown = document["oblivious_trees"]
    outputs = max(len(grown[0]["leaf_values"]) >> len(grown[0]["splits"] or ()), 1) if grown else 1
    return Ensemble(
        trees=tuple(_cat_tree(one, columns, scale, outputs, place) for one in grown for place in range(outputs)),
        base=np.resize(base, outputs),
        columns=1 + max(int(one["flat_feature_index"]) for one in columns.values()),
        strict=False,
        single=True,
    )


def _cat_tree(tree: Record, columns: dict[int, Record], scale: float, outputs: int, output: int) -> Tree:
    """Write an oblivious tree out: its last question is the root, and bit i of a leaf's number answers question i."""
    splits = tree["splits"] or []
    depth = len(splits)
    # A model may be saved without weights; then nothing is known of covers.
    cover = np.asarray(tree.get("leaf_weights") or np.zeros(1 << depth), dtype=np.float64)
    values = np.asarray(tree["leaf_values"], dtype=np.float64).reshape(-1, outputs)[:, output] * scale
    nodes = _Nodes()
    ready = [(depth, 0, nodes.add(float(cover.sum())))]
    while ready:
        level, first, new = ready.pop()
        if level == 0:
            nodes.value[new] = float(values[first])
            continue
        split = splits[level - 1]
        if split["split_type"] != "FloatFeature":
            raise TreesRefusedError(f"a tree asks a {split['split_type']}", expected="columns of numbers")
        own = columns[split["float_feature_index"]]
        missing = RIGHT if own.get("nan_value_treatment") == "AsTrue" else LEFT
        border = float(np.float32(split["border"]))
        nodes.split(new, int(own["flat_feature_index"]), border, missing)
        half = 1 << (level - 1)
        for side, start in ((nodes.left, first), (nodes.right, first + half)):
            side[new] = nodes.add(float(cover[start : start + half].sum()))
            ready.append((level - 1, start, side[new]))
    return nodes.tree(output)
