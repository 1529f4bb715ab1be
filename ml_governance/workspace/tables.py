"""Tables as a workspace reads them: from a path or an object, with their logical digest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_governance.errors import DataError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.predicates import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd


class Read(NamedTuple):
    """A table that was read and digested; reading it again returns it as it is."""

    frame: pd.DataFrame
    resource: Resource


def read(data: Any) -> Read:
    """Read a table from a path or take the one given, with its logical digest.

    Raises
    ------
    DataError
        If the file is missing, empty, or neither Parquet nor CSV, or the object is not a table.
    """
    import pandas as pd

    if isinstance(data, Read):
        return data
    if isinstance(data, str | Path):
        path = Path(data)
        frame = read_file(path)
        name = path.name
    elif isinstance(data, pd.DataFrame):
        frame, name = data, str(data.attrs.get("name", "table"))
    else:
        import narwhals as nw

        try:
            frame, name = nw.from_native(data, eager_only=True).to_pandas(), "table"
        except TypeError as error:
            raise DataError(
                f"the data is a {type(data).__name__}", expected="a data frame, or a path to Parquet or CSV"
            ) from error
    if frame.empty:
        raise DataError(f"{name} has no rows", expected="held-out rows with labels")
    digest = fingerprint.table(frame)
    return Read(frame, Resource(name=name, sha256=digest.sha256, rows=len(frame)))


def read_file(path: Path) -> pd.DataFrame:
    """Read a table by what its name ends in; see :func:`read`."""
    import pandas as pd

    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is neither Parquet nor CSV by its name", expected="a file ending in .parquet or .csv")
    try:
        return reader(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", expected="a Parquet or CSV file") from None
    except (OSError, ValueError) as error:  # pyarrow's and pandas' parse errors are ValueErrors
        raise DataError(f"{path} cannot be read: {error}", expected="a Parquet or CSV file") from error


def require_columns(frame: pd.DataFrame, wanted: Sequence[str], name: str) -> None:
    """Refuse rows without a column that is needed."""
    from difflib import get_close_matches

    for column in wanted:
        if column not in frame.columns:
            columns = [str(known) for known in frame.columns]
            near = get_close_matches(column, columns, n=1)
            raise DataError(
                f"{name} has no column {column!r}",
                expected=f"one of {', '.join(columns[:40])}",
                next_step=f"did you mean {near[0]!r}?" if near else None,
            )


def label_like(pos_label: Any, labels: pd.Series) -> Any:
    """Read a label that was typed on a command line as a number where the labels are numbers."""
    if isinstance(pos_label, str) and labels.dtype.kind in "iuf":
        try:
            return labels.dtype.type(pos_label)
        except ValueError:
            return pos_label
    return pos_label
