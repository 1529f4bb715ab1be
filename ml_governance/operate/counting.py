"""Counting predictions: one pass over a batch, into arrays whose size the baseline fixes. No row is kept.

A column costs one look-up per row; memory does not grow with traffic. Levels that the baseline does not list are one slot,
missing values another.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess.baseline import OTHER, PREDICTION, SCORE, Baseline, level_of
from ml_governance.assess.cube import MISSING
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ml_governance.assess.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Where the values of one column are counted.

    Parameters
    ----------
    name : str
        The column.
    edges : array of float64 or None
        Inner edges of a numeric column; bin i holds ``edges[i-1] < x <= edges[i]``.
    place : dict of str to int
        Slot of each level of a category.
    other : int
        Slot of levels that are not listed; -1 for a numeric column.
    size : int
        Slots, the last being missing values.
    """

    name: str
    edges: NDArray[np.float64] | None
    place: Mapping[str, int]
    other: int
    size: int

    @classmethod
    def of(cls, one: Profile) -> Slots:
        """Return the slots of a profile."""
        if one.kind == "numeric":
            edges = np.array(one.edges, dtype=np.float64)
            return cls(name=one.name, edges=edges, place={}, other=-1, size=len(edges) + 2)
        return cls.levels(one.name, [level for level in one.levels if level != OTHER])

    @classmethod
    def levels(cls, name: str, listed: Sequence[str]) -> Slots:
        """Return slots of listed levels, of the others, and of missing values."""
        place = {level: at for at, level in enumerate(listed)}
        return cls(name=name, edges=None, place=place, other=len(place), size=len(place) + 2)

    def codes(self, values: Any) -> NDArray[np.intp]:
        """Return the slot of each value.

        Raises
        ------
        DataError
            If a numeric column holds something else.
        """
        if self.edges is not None:
            try:
                # A column's own array, where it has one: asking the column for it takes longer than counting.
                numbers = np.asarray(getattr(values, "values", values)).astype(np.float64, copy=False)
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"{self.name!r} is not numeric: {error}", expected="numbers, as in the baseline"
                ) from error
            found = np.searchsorted(self.edges, numbers, side="left")
            gone = np.isnan(numbers)
            if gone.any():
                found[gone] = self.size - 1
            return found
        return self.coded(*_factorized(values))

    def coded(self, own: NDArray[np.integer], uniques: Any) -> NDArray[np.intp]:
        """Return the slot of each value of a category, given by its place among the distinct ones, -1 where it is missing."""
        if len(uniques) > len(own) // 2 and len(uniques) > 1000:
            return np.full(len(own), self.other, dtype=np.intp)  # identifiers: looking each up would tell nothing
        table = np.array(
            [*(self.place.get(level_of(one), self.other) for one in uniques), self.size - 1], dtype=np.intp
        )
        found: NDArray[np.intp] = table[own]  # a missing value is -1, so the last entry
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is counted, in which order.

    Parameters
    ----------
    digest : str
        Of the baseline.
    columns : tuple of Slots
        Columns that the service receives.
    prediction, score : Slots or None
        The output.
    attributes : tuple of Slots
        Sensitive attributes; missing values are a group of their own.
    positive : str
        How the positive prediction reads.
    """

    digest: str
    columns: tuple[Slots, ...]
    prediction: Slots | None
    score: Slots | None
    attributes: tuple[Slots, ...]
    positive: str

    @classmethod
    def of(cls, baseline: Baseline, inputs: Sequence[str] | None) -> Layout:
        """Return the layout of a baseline; ``inputs`` are the columns that the model takes, None if it does not say."""
        by_name = {one.name: Slots.of(one) for one in baseline.columns}
        prediction, score = by_name.pop(PREDICTION, None), by_name.pop(SCORE, None)
        taken = by_name if inputs is None else {name: by_name[name] for name in inputs if name in by_name}
        return cls(
            digest=baseline.digest, columns=tuple(taken.values()), prediction=prediction, score=score,
            attributes=tuple(
                Slots.levels(name, [level for level in levels if level not in (OTHER, MISSING)])
                for name, levels in zip(baseline.attributes, baseline.levels, strict=True)
            ),
            positive=baseline.positive,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Groups by attribute."""
        return tuple(one.size for one in self.attributes)

    def flags(self, values: Any) -> NDArray[np.intp]:
        """Return 1 where a prediction or label reads as the positive one, 0 elsewhere, and -1 where it is missing."""
        return self.flagged(*_factorized(np.asarray(values).reshape(-1)))

    def flagged(self, own: NDArray[np.integer], uniques: Any) -> NDArray[np.intp]:
        """Return the flags of values that are given by their place among the distinct ones, -1 where they are missing."""
        flags: NDArray[np.intp] = np.array(
            [*(int(level_of(one) == self.positive) for one in uniques), -1], dtype=np.intp
        )[own]
        return flags

    def cells(
        self, features: Mapping[str, Any], rows: int, codes: Mapping[str, NDArray[np.intp]]
    ) -> NDArray[np.intp] | None:
        """Return the group of each row, or None where an attribute is not among what is given."""
        found = np.zeros(rows, dtype=np.intp)
        for one in self.attributes:
            own = codes.get(one.name)
            if own is None and one.name not in features:
                return None
            found = found * one.size + (own if own is not None else one.codes(features[one.name]))
        return found


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one window.

    Parameters
    ----------
    layout : Layout
        What is counted.
    predicted, calls, failed, uncounted : int
        Rows predicted; calls; calls in which the model raised; rows that could not be counted.
    columns : dict of str to array
        Rows by slot.
    selected : array of int64, shape (groups, 2)
        Rows by group and prediction.
    why : str
        Why rows could not be counted, the last time.
    """

    layout: Layout
    predicted: int = 0
    calls: int = 0
    failed: int = 0
    uncounted: int = 0
    columns: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    selected: NDArray[np.int64] | None = None
    why: str = ""

    def add(self, other: Tally) -> None:
        """Add the counts of other rows of the same layout."""
        if self.layout.digest != other.layout.digest:
            raise DataError("the windows were counted on different baselines", expected="one baseline")
        for name in ("predicted", "calls", "failed", "uncounted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, counts in other.columns.items():
            mine = self.columns.get(name)
            if mine is None:
                self.columns[name] = counts.copy()
            else:
                mine += counts
        if other.selected is not None:
            self.selected = other.selected.copy() if self.selected is None else self.selected + other.selected
        self.why = other.why or self.why

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "predicted": self.predicted, "calls": self.calls, "failed": self.failed, "uncounted": self.uncounted,
            "columns": {name: counts.tolist() for name, counts in self.columns.items()},
            "selected": None if self.selected is None else self.selected.tolist(), "why": self.why,
            "inputs": [one.name for one in self.layout.columns],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], layout: Layout) -> Tally:
        """Read :meth:`to_dict`.

        Raises
        ------
        DataError
            If it is not of this layout, or a count is no whole number of 0 or more.
        """
        slots = {one.name: one.size for one in layout.columns}
        slots |= {one.name: one.size for one in (layout.prediction, layout.score) if one is not None}
        groups = int(np.prod(layout.shape, dtype=np.int64))
        try:
            numbers = {name: _whole(value[name]) for name in ("predicted", "calls", "failed", "uncounted")}
            columns = {name: _counts(counts, (slots[name],)) for name, counts in value["columns"].items()}
            selected = None if value["selected"] is None else _counts(value["selected"], (groups, 2))
            return cls(layout=layout, columns=columns, selected=selected, why=str(value["why"]), **numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"a window cannot be read: {type(error).__name__}: {error}", expected="what a deployment wrote",
                next_step="move the file of windows away; what it counted is lost",
            ) from error  # fmt: skip


def count(
    layout: Layout, features: Mapping[str, Any], extra: Mapping[str, Any], predicted: Any, score: Any
) -> tuple[Tally, NDArray[np.intp] | None, NDArray[np.intp]]:
    """Count one batch.

    Parameters
    ----------
    layout : Layout
        What is counted.
    features : mapping of str to column
        What the model was given.
    extra : mapping of str to column
        Sensitive columns that the model was not given.
    predicted : array of shape (n,)
        Predictions.
    score : array of shape (n,) or None
        Probability of the positive class.

    Returns
    -------
    tally, cells, flags
        The counts; and for each row its group, or None where groups are not known, and its prediction as a flag.

    Raises
    ------
    DataError
        If a column that the baseline has is absent, of another length or of another type.
    """
    predicted = np.asarray(predicted)
    predicted = predicted[:, 0] if predicted.ndim == 2 and predicted.shape[1] == 1 else predicted
    if predicted.ndim != 1:
        raise DataError(f"the predictions have the shape {predicted.shape}", expected="one for each row")
    rows = len(predicted)
    tally = Tally(layout=layout, predicted=rows, calls=1)
    codes: dict[str, NDArray[np.intp]] = {}
    for one in layout.columns:
        try:
            values = features[one.name]
        except KeyError:
            raise DataError(
                f"the rows have no column {one.name!r}", expected="every column that the model takes"
            ) from None
        codes[one.name] = own = one.codes(values)
        if len(own) != rows:
            raise DataError(f"{one.name!r} has {len(own)} values", expected=f"{rows}, one for each prediction")
        tally.columns[one.name] = np.bincount(own, minlength=one.size)
    distinct = _factorized(predicted)
    if (output := layout.prediction) is not None:
        own = output.coded(*distinct) if output.edges is None else output.codes(predicted)
        tally.columns[output.name] = np.bincount(own, minlength=output.size)
    if layout.score is not None and score is not None:
        tally.columns[layout.score.name] = np.bincount(layout.score.codes(score), minlength=layout.score.size)
    flags = layout.flagged(*distinct)
    # A column's slots are those of an attribute of its name only where they have the same levels.
    same = {one.name: codes[one.name] for one in layout.attributes for own in layout.columns
            if own.name == one.name and own.place == one.place and one.name not in extra}  # fmt: skip
    groups_of: Mapping[str, Any] = ChainMap(extra, features)  # type: ignore[arg-type]  # nothing is written
    cells = layout.cells(groups_of, rows, same) if layout.attributes else None
    if cells is not None:
        if len(cells) != rows:
            raise DataError(f"the sensitive features have {len(cells)} values", expected=f"{rows}")
        groups = int(np.prod(layout.shape, dtype=np.int64))
        tally.selected = np.bincount(cells * 2 + (flags == 1), minlength=groups * 2).reshape(groups, 2)
    return tally, cells, flags


def _factorized(values: Any) -> tuple[NDArray[np.integer], Any]:
    """Return each value's place among the distinct ones, -1 where it is missing, and those."""
    import pandas as pd

    array = getattr(values, "array", values)
    if isinstance(getattr(array, "dtype", None), pd.StringDtype) and hasattr(array, "__arrow_array__"):
        # Half the time that pandas takes for the same.
        import pyarrow as pa

        text = array.__arrow_array__()
        encoded = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).dictionary_encode()
        places = encoded.indices.fill_null(-1) if encoded.indices.null_count else encoded.indices
        return places.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    extended = isinstance(getattr(values, "dtype", None), pd.api.extensions.ExtensionDtype)
    return pd.factorize(values if extended else np.asarray(values))


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def _counts(value: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    found = np.array(value)
    if found.shape != shape or found.dtype.kind != "i" or (found < 0).any():
        raise ValueError(f"counts of the shape {found.shape}")
    return found.astype(np.int64)
