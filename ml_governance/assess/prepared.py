"""Which original column each column of a prepared table is made of: so that its parts are one player."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNWISE = (
    "MaxAbsScaler", "MinMaxScaler", "OrdinalEncoder", "PowerTransformer", "QuantileTransformer", "RobustScaler",
    "StandardScaler", "SimpleImputer", "TargetEncoder",
)  # fmt: skip
"""Steps of scikit-learn whose output has the same columns in the same order, each made of its own alone."""


def parents(prepare: Any, columns: Sequence[str]) -> tuple[int, ...] | None:
    """Return the original column of each prepared column, or None if that is not certain.

    Parameters
    ----------
    prepare : object
        A fitted ``ColumnTransformer``, or a pipeline of only one.
    columns : sequence of str
        The original columns.

    Returns
    -------
    tuple of int, or None
        Positions in ``columns``, in the order of the prepared columns.
    """
    steps = getattr(prepare, "steps", None)
    if steps is not None:
        return parents(steps[0][1], columns) if len(steps) == 1 else None
    if not hasattr(prepare, "output_indices_"):
        return None
    made: dict[int, int] = {}
    for name, transformer, wanted in prepare.transformers_:
        own = prepare.output_indices_[name]
        width = own.stop - own.start
        if width == 0:
            continue
        taken = [wanted] if isinstance(wanted, str) else list(wanted) if isinstance(wanted, list) else None
        if taken is None or not all(isinstance(one, str) and one in columns for one in taken):
            return None
        widths = _widths(transformer, len(taken), width)
        if widths is None or sum(widths) != width:
            return None
        order = [columns.index(one) for one, parts in zip(taken, widths, strict=True) for _ in range(parts)]
        made.update(zip(range(own.start, own.stop), order, strict=True))
    return tuple(made[place] for place in range(len(made))) if sorted(made) == list(range(len(made))) else None


def _widths(transformer: Any, columns: int, width: int) -> list[int] | None:
    """Return how many prepared columns each column becomes."""
    if columns == 1:
        return [width]
    steps = [step for _, step in getattr(transformer, "steps", [("", transformer)])]
    for step in steps[:-1]:
        if not _columnwise(step):
            return None
    last = steps[-1]
    if _columnwise(last):
        return [1] * columns
    if type(last).__name__ == "OneHotEncoder" and type(last).__module__.startswith("sklearn."):
        dropped = last.drop_idx_ if last.drop_idx_ is not None else [None] * columns
        rare = getattr(last, "infrequent_categories_", [None] * columns)
        return [
            len(levels) - (drop is not None) - (len(few) - 1 if few is not None else 0)
            for levels, drop, few in zip(last.categories_, dropped, rare, strict=True)
        ]
    return None


def _columnwise(step: Any) -> bool:
    if isinstance(step, str):
        return step == "passthrough"
    ours = type(step).__module__.startswith("sklearn.") and type(step).__name__ in _COLUMNWISE
    multiclass = type(step).__name__ == "TargetEncoder" and len(getattr(step, "classes_", ()) or ()) > 2
    return (ours and not multiclass and not getattr(step, "add_indicator", False)) or _identity(step)


def _identity(step: Any) -> bool:
    return type(step).__name__ == "FunctionTransformer" and step.func is None
