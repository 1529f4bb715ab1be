"""What the steps before a model's last make of rows, and which original column each column of that is made of: its parts are one player."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNWISE = (
    "Binarizer", "MaxAbsScaler", "MinMaxScaler", "OrdinalEncoder", "PowerTransformer", "QuantileTransformer", "RobustScaler",
    "StandardScaler", "TargetEncoder",
)  # fmt: skip
"""Steps of scikit-learn whose output has the same columns in the same order, each made of its own alone."""


def prepared(model: Any, table: Any) -> Any:
    """Return what all steps of a pipeline but the last make of rows, as the pipeline itself makes it.

    A part of a pipeline would ask whether it is fitted, which a step that learns nothing cannot show; the pipeline asks its last step only.

    Parameters
    ----------
    model : Pipeline
        Fitted.
    table : DataFrame or array of shape (n, columns)
    """
    for _, step in model.steps[:-1]:
        # "passthrough" does nothing, and what draws rows anew does so only when it is fitted.
        if not (step is None or isinstance(step, str) or hasattr(step, "fit_resample")):
            table = step.transform(table)
    return table


def parents(prepare: Any, columns: Sequence[str]) -> tuple[int, ...] | None:
    """Return the original column of each prepared column, or None if that is not certain.

    Parameters
    ----------
    prepare : object
        A fitted preparation of scikit-learn: steps that work on each column alone, ``ColumnTransformer``, ``FeatureUnion``, and
        pipelines of them.
    columns : sequence of str
        The original columns, in the order that the preparation takes them.

    Returns
    -------
    tuple of int, or None
        Positions in ``columns``, in the order of the prepared columns.
    """
    found = _through(prepare, list(range(len(columns))))
    return None if found is None else tuple(found)


def _through(step: Any, origins: list[int]) -> list[int] | None:
    """Return the origins of what a step makes of columns with these origins."""
    if isinstance(step, str):
        return {"passthrough": origins, "drop": []}.get(step)
    if getattr(step, "n_features_in_", len(origins)) != len(origins):
        return None
    if not type(step).__module__.startswith("sklearn."):
        return None
    if hasattr(step, "steps"):
        found: list[int] | None = origins
        for _, inner in step.steps:
            found = None if found is None else _through(inner, found)
        return found
    if hasattr(step, "output_indices_"):
        return _side_by_side(step, origins)
    if hasattr(step, "transformer_list"):
        parts = [_through(inner, origins) for _, inner in step.transformer_list]
        return None if any(one is None for one in parts) else [at for one in parts if one is not None for at in one]
    return _of_a_kind(step, type(step).__name__, origins)


def _of_a_kind(step: Any, name: str, origins: list[int]) -> list[int] | None:
    if name in _COLUMNWISE:
        several = name == "TargetEncoder" and len(getattr(step, "classes_", None) or ()) > 2
        return None if several else origins
    if name == "FunctionTransformer":
        alone = step.func is None or (isinstance(step.func, np.ufunc) and step.func.nin == 1 and step.func.nout == 1)
        return origins if alone and not step.kw_args else None
    if name == "SimpleImputer":
        return _imputed(step, origins)
    if name == "MissingIndicator":
        return [origins[at] for at in step.features_]
    if name == "OneHotEncoder":
        return _repeated(origins, _hot(step))
    if name == "KBinsDiscretizer":
        return origins if step.encode == "ordinal" else _repeated(origins, step.n_bins_)
    if name == "SplineTransformer":
        plain = getattr(step, "handle_missing", "error") == "error"
        return _repeated(origins, [step.n_features_out_ // len(origins)] * len(origins)) if plain else None
    if hasattr(step, "get_support") and type(step).__module__.startswith("sklearn.feature_selection."):
        return [origins[at] for at in step.get_support(indices=True)]
    return None


def _repeated(origins: list[int], widths: Sequence[int]) -> list[int] | None:
    if len(widths) != len(origins):
        return None
    return [one for one, width in zip(origins, widths, strict=True) for _ in range(width)]


def _imputed(step: Any, origins: list[int]) -> list[int] | None:
    """Follow an imputer, which leaves out columns with no value at all and may add what was missing."""
    names = list(getattr(step, "feature_names_in_", [f"x{at}" for at in range(len(origins))]))
    told = step.indicator_.features_ if step.add_indicator else ()
    made = list(step.get_feature_names_out())
    kept = made[: len(made) - len(told)]
    if len(set(names)) != len(names) or not set(kept) <= set(names):
        return None
    return [*(origins[names.index(name)] for name in kept), *(origins[at] for at in told)]


def _hot(step: Any) -> list[int]:
    count = len(step.categories_)
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * count
    rare = getattr(step, "infrequent_categories_", [None] * count)
    return [
        len(levels) - (drop is not None) - (len(few) - 1 if few is not None else 0)
        for levels, drop, few in zip(step.categories_, dropped, rare, strict=True)
    ]


def _side_by_side(step: Any, origins: list[int]) -> list[int] | None:
    """Follow a ``ColumnTransformer``, which says where it puts what each part makes."""
    names = [str(name) for name in getattr(step, "feature_names_in_", ())]
    made: dict[int, int] = {}
    for name, transformer, wanted in step.transformers_:
        own = step.output_indices_[name]
        width = own.stop - own.start
        if width == 0:
            continue
        taken = _positions(wanted, names, len(origins))
        if taken is None:
            return None
        given = [origins[at] for at in taken]
        # Whatever a step makes of one column alone, that column is its only parent.
        parts = given * width if len(given) == 1 else _through(transformer, given)
        if parts is None or len(parts) != width:
            return None
        made.update(zip(range(own.start, own.stop), parts, strict=True))
    return [made[place] for place in range(len(made))] if sorted(made) == list(range(len(made))) else None


def _positions(wanted: Any, names: Sequence[str], width: int) -> list[int] | None:
    """Return the places of the columns that one part of a ``ColumnTransformer`` takes."""
    if isinstance(wanted, slice):
        whole = all(one is None or isinstance(one, int) for one in (wanted.start, wanted.stop))
        return list(range(width))[wanted] if whole else None
    if isinstance(wanted, np.ndarray):
        wanted = wanted.tolist()
    listed: list[Any] | None = (
        [wanted] if isinstance(wanted, str | int) else list(wanted) if isinstance(wanted, list | tuple) else None
    )
    if listed is None:
        return None
    if all(isinstance(one, bool) for one in listed):
        return [at for at, one in enumerate(listed) if one] if len(listed) == width else None
    if all(isinstance(one, int) for one in listed):
        return [at % width for at in listed] if all(-width <= at < width for at in listed) else None
    if all(isinstance(one, str) and one in names for one in listed):
        return [names.index(one) for one in listed]
    return None
