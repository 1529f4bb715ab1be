"""Turning labels, predictions and scores into clean arrays, or saying what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.uint8]
    Floats = NDArray[np.float64]


def column(values: Any, name: str) -> Any:
    """Return one column as a one-dimensional array.

    Raises
    ------
    DataError
        If it is no column, or empty.
    """
    if isinstance(values, str | bytes) or values is None:
        raise DataError(f"{name} is {values!r}", expected="a column of values")
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data
        if mask.any():
            values = values.astype(object)
            values[mask] = None  # what lies under a mask is no value
    own = hasattr(values, "to_numpy") and not type(values).__module__.startswith(
        "pyarrow"
    )  # which refuses to copy flags
    array = values.to_numpy() if own else np.asarray(values)
    if isinstance(values, list | tuple) and (
        array.dtype.kind in "US" or (array.dtype.kind in "iuf" and any(isinstance(value, bool) for value in values))
    ):
        array = np.array(
            values, dtype=object
        )  # or NaN beside text would be the text "nan", and True beside 2 the number 1
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{name} has {array.ndim} dimensions", expected="one column")
    if array.size == 0:
        raise DataError(f"{name} is empty", expected="at least one row")
    return array


def same_length(**columns: Any) -> int:
    """Check that columns have the same length, and return it.

    Raises
    ------
    DataError
        If they do not.
    """
    lengths = {name: len(values) for name, values in columns.items() if values is not None}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise DataError(f"the columns differ in length: {told}", expected="one value of each for every row")
    return next(iter(lengths.values()))


def binary(values: Any, name: str, pos_label: Any) -> tuple[Flags, Any]:
    """Return which rows are positive, and which label that is.

    Parameters
    ----------
    values : array of shape (n,)
        Labels or predicted labels.
    name : str
        For messages.
    pos_label : object or None
        The positive label; None is allowed only for 0/1 and False/True.

    Returns
    -------
    flags : array of uint8, shape (n,)
        1 where positive.
    pos_label : object
        The positive label.

    Raises
    ------
    DataError
        If there are missing values, probabilities, more than two labels, or two labels without ``pos_label``.
    """
    array = column(values, name)
    if array.dtype == bool:
        return _flags(array, name, pos_label, default=True)
    if np.issubdtype(array.dtype, np.floating):
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise DataError(f"{name} has {bad} values that are NaN or infinite", expected="a label in every row")
        if pos_label is None and not np.isin(array, (0.0, 1.0)).all():
            inside = bool(((array >= 0) & (array <= 1)).all())
            kind = "what look like probabilities" if inside else "numbers other than 0 and 1"
            example = float(array[~np.isin(array, (0.0, 1.0))][0])
            raise DataError(
                f"{name} holds {kind}, such as {example!r}",
                expected="labels",
                next_step="pass scores as y_score, and labels as y_pred"
                if inside
                else "name the positive label with pos_label",
            )
    if array.dtype == object:
        missing = sum(1 for value in array if value is None or value != value)  # noqa: PLR0124  NaN differs from itself
        if missing:
            raise DataError(f"{name} has {missing} missing values", expected="a label in every row")
    return _flags(array, name, pos_label, default=1)


def _flags(array: Any, name: str, pos_label: Any, default: Any) -> tuple[Flags, Any]:
    try:
        found = np.unique(array)
    except TypeError as error:
        raise DataError(f"{name} mixes types of labels", expected="labels of one type") from error
    shown = ", ".join(repr(value.item() if hasattr(value, "item") else value) for value in found[:6])
    if len(found) > 2:
        raise DataError(f"{name} has {len(found)} labels: {shown}", expected="two classes; for a score, pass y_score")
    if pos_label is None:
        if not set(found.tolist()) <= {0, 1}:
            raise DataError(
                f"{name} has the labels {shown}",
                expected="0 and 1, or pos_label to say which one is positive",
            )
        return (array == default).astype(np.uint8), default
    same_type = isinstance(pos_label, str) == isinstance(
        found[0].item() if hasattr(found[0], "item") else found[0], str
    )
    if not same_type:
        raise DataError(
            f"{name} has the labels {shown}, and pos_label is {pos_label!r}",
            expected="labels and pos_label of the same type",
        )
    return (array == pos_label).astype(np.uint8), pos_label


def pair(y_true: Any, y_pred: Any, pos_label: Any) -> tuple[Flags, Flags, Any]:
    """Return labels and predictions as flags under one positive label.

    Raises
    ------
    DataError
        As :func:`binary`; also if ``pos_label`` occurs in neither, or a prediction is no label.
    """
    true, positive = binary(y_true, "y_true", pos_label)
    predicted, _ = binary(y_pred, "y_pred", pos_label)
    same_length(y_true=true, y_pred=predicted)
    if pos_label is not None:
        if not true.any() and not predicted.any():
            labels = ", ".join(repr(v) for v in np.unique(column(y_true, "y_true"))[:6].tolist())
            raise DataError(f"the positive label {pos_label!r} occurs nowhere", expected=f"one of {labels}")
        both = np.union1d(np.unique(column(y_true, "y_true")), np.unique(column(y_pred, "y_pred")))
        if len(both) > 2:
            shown = ", ".join(repr(v) for v in both[:6].tolist())
            raise DataError(
                f"labels and predictions together have the values {shown}",
                expected="the same two labels in both",
            )
    return true, predicted, positive


def numbers(values: Any, name: str, expected: str) -> Floats:
    """Return a column as floats; text is no number, even if it reads like one, and neither is a date.

    Raises
    ------
    DataError
        If it is not numeric.
    """
    array = column(values, name)
    try:
        if array.dtype.kind not in "biufO" or (
            array.dtype == object and any(isinstance(v, str | bytes) for v in array)
        ):
            raise TypeError(array.dtype)
        floats: Floats = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is not numeric", expected=expected) from error
    return floats


def finite(values: Any, name: str) -> Floats:
    """Return a column as finite floats.

    Raises
    ------
    DataError
        If it is not numeric, or has NaN or infinite values.
    """
    floats = numbers(values, name, "numbers")
    bad = int((~np.isfinite(floats)).sum())
    if bad:
        raise DataError(f"{name} has {bad} values that are NaN or infinite", expected="a number in every row")
    return floats


def scores(values: Any, name: str = "y_score") -> Floats:
    """Return scores as floats.

    Raises
    ------
    DataError
        If they are not numbers, NaN or infinite, or outside 0 to 1.
    """
    floats = numbers(values, name, "probabilities of the positive class")
    check_scores(name, *extent(floats))
    return floats


def selected(score: Floats, threshold: float) -> Flags:
    """Return flags of the rows whose score is at least a threshold.

    Raises
    ------
    DataError
        If the threshold is not from 0 to 1, where scores are.
    """
    if not 0 <= threshold <= 1:
        raise DataError(f"the threshold is {threshold}", expected="a number from 0 to 1")
    return (score >= threshold).astype(np.uint8)


def extent(floats: Floats) -> tuple[int, float, float]:
    """Return how many numbers are NaN or infinite, and the smallest and largest of the others."""
    finite = np.isfinite(floats)
    lowest, highest = floats.min(where=finite, initial=np.inf), floats.max(where=finite, initial=-np.inf)
    return int((~finite).sum()), float(lowest), float(highest)


def check_scores(name: str, missing: int, lowest: float, highest: float) -> None:
    """Refuse scores that are no probabilities.

    Parameters
    ----------
    name : str
        For the message.
    missing : int
        How many are missing, NaN or infinite.
    lowest, highest : float
        The range of the others.

    Raises
    ------
    DataError
        If one is missing, or outside 0 to 1.
    """
    if missing:
        raise DataError(
            f"{name} has {missing:,} values that are missing, NaN or infinite", expected="a probability in every row"
        )
    if lowest < 0 or highest > 1:
        raise DataError(
            f"{name} runs from {lowest:.4g} to {highest:.4g}",
            expected="probabilities of the positive class, 0 to 1",
        )


def weights(values: Any) -> Floats:
    """Return sample weights as floats.

    Raises
    ------
    DataError
        If they are not finite and non-negative, or all zero.
    """
    floats = numbers(values, "sample_weight", "numbers of 0 or more")
    if not np.isfinite(floats).all() or floats.min() < 0 or floats.sum() <= 0:
        raise DataError(
            "sample_weight holds NaN, infinite or negative numbers, or only zeros",
            expected="numbers of 0 or more",
        )
    return floats
