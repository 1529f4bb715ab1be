"""Counting Parquet and CSV files with an embedded DuckDB, in bounded memory, and saying which files they were.

- DuckDB holds at most :data:`MEMORY`, writes no temporary files, and loads no extensions.
- Files whose columns differ in type or place are counted apart and added, so that no value is cast on the way.
- A CSV file has commas, a header, UTF-8 and as many cells in every row as in the header, or it is refused. Sensitive
  values are taken as they are written; an empty cell is missing. Labels are whole numbers, numbers, or truth values if
  all of them read so, and otherwise text.
"""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.assess import grouped
from ml_governance.assess.cells import LIMIT, Cells, Roles, join
from ml_governance.errors import DataError, UnavailableError, VerificationError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.predicates import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb
    import pyarrow as pa

MEMORY = "400MB"
_SETTINGS = {
    "memory_limit": MEMORY,
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "false",
}
_PARQUET, _CSV = (".parquet", ".pq"), (".csv", ".csv.gz")
_WILD = "*?["
State = tuple[tuple[int, ...], ...]


def expand(data: Any) -> tuple[Path, ...]:
    """Return the files that paths and patterns name, in order of their names.

    Parameters
    ----------
    data : str, Path, or list of them
        Paths, or patterns such as ``dir/*.parquet`` and ``dir/**/*.csv``.

    Raises
    ------
    DataError
        If a pattern matches nothing, a path is no Parquet or CSV file, or a file is named twice.
    """
    found: list[Path] = []
    for one in [data] if isinstance(data, str | Path) else data:
        text = str(one)
        if "://" in text:
            raise DataError(
                f"{text} is not on this machine",
                expected="a path",
                next_step="open it with an engine that has the access, and pass its table",
            )
        is_pattern = any(sign in text for sign in _WILD) and not Path(text).exists()
        matches = sorted(glob.glob(text, recursive=True)) if is_pattern else [text]  # noqa: PTH207  absolute patterns too
        if not matches:
            raise DataError(f"{text} matches no file", expected="at least one Parquet or CSV file")
        found += [Path(match) for match in matches]
    for path in found:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no file"
            raise DataError(f"{path} is {what}", expected="a Parquet or CSV file, or a pattern such as dir/*.parquet")
        if not path.name.lower().endswith(_PARQUET + _CSV):
            raise DataError(f"{path} is neither Parquet nor CSV", expected=f"a name in {', '.join(_PARQUET + _CSV)}")
        if any(sign in str(path) for sign in _WILD):
            raise DataError(f"{path} has {_WILD!r} in its name", expected="a name that is no pattern")
    if len({path.resolve() for path in found}) != len(found):
        raise DataError("a file is named twice", expected="each file once, or its rows count twice")
    return tuple(found)


def state(paths: Sequence[Path]) -> State:
    """Return what changes when somebody writes to the files."""
    found = [path.stat() for path in paths]
    return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def scan(paths: Sequence[Path], roles: Roles) -> Cells:
    """Count the rows of files by label, prediction and sensitive columns.

    Raises
    ------
    DataError
        If a file cannot be read, or lacks a column.
    UnavailableError
        If the count needs more than :data:`MEMORY`.
    VerificationError
        If a file changed while it was read.
    """
    counted = _run(paths, roles, lambda relation, named: relation.query("rows", _query(named)).to_arrow_table())
    parts = {
        is_parquet: [grouped.cells(one, len(roles.keys), weighted=roles.weight is not None) for one in found]
        for is_parquet, found in counted.items()
    }
    written = [_with_labels(join(parts[False]))] if parts[False] else []
    return join(written + parts[True])


def _run(
    paths: Sequence[Path], roles: Roles, count: Callable[[duckdb.DuckDBPyRelation, Roles], pa.Table]
) -> dict[bool, list[pa.Table]]:
    """Count the rows of files that are alike; return the results by whether they are of Parquet.

    ``count`` is given a relation, and what its columns are called: numbers have names of their own, since a column may
    be a number and a key.
    """
    import duckdb

    before = state(paths)
    batches: dict[tuple[Any, ...], list[Path]] = {}
    for path in paths:
        layout = _parquet_layout(path, roles) if _is_parquet(path) else _csv_layout(path, roles)
        batches.setdefault(layout, []).append(path)
    found: dict[bool, list[pa.Table]] = {True: [], False: []}
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        for layout, group in batches.items():
            query = _parquet(group, roles) if _is_parquet(group[0]) else _csv(group, layout[1:], roles)
            try:
                found[_is_parquet(group[0])].append(count(connection.sql(query), _renamed(roles)))
            except duckdb.OutOfMemoryException as error:
                raise UnavailableError(
                    f"counting needs more than {MEMORY}: {error}",
                    next_step="write smaller row groups, or pass a DuckDB relation with the memory you allow",
                ) from error
            except duckdb.Error as error:
                named = ", ".join(str(path) for path in group[:3]) + (", ..." if len(group) > 3 else "")
                says = (
                    str(error).partition("\nPossible")[0].strip()[:1000]
                )  # what follows is about DuckDB's own options
                form = (
                    "as many cells in every row as in the header, and UTF-8"
                    if isinstance(error, duckdb.InvalidInputException)
                    else None
                )
                raise DataError(f"{named} cannot be read: {says}", expected=form) from error
    _require_same(paths, before)
    return found


def scores(
    paths: Sequence[Path], roles: Roles, count: Callable[[duckdb.DuckDBPyRelation, Roles], pa.Table]
) -> list[pa.Table]:
    """Count the scores of files: the tables that ``count`` gives, whose key ``k0`` is the label, typed as :func:`scan` types it.

    Parameters
    ----------
    paths : sequence of Path
        Files.
    roles : Roles
        Which column is what.
    count : callable
        Counts a relation.

    Raises
    ------
    DataError, UnavailableError, VerificationError
        As :func:`scan`.
    """
    import pyarrow as pa

    found = _run(paths, roles, count)
    if not found[False]:
        return found[True]
    written = pa.concat_tables(found[False]).unify_dictionaries()
    codes, values = grouped.encoded(written["k0"])
    typed = pa.array(_typed(values)).take(pa.array(codes))
    return [written.set_column(written.column_names.index("k0"), "k0", typed), *found[True]]


def source(paths: Sequence[Path], before: State) -> Resource:
    """Return the digest of the files: that of the table of one file; of many, that of lines of digest and name.

    Parameters
    ----------
    paths : sequence of Path
        The files that were counted.
    before : tuple
        Their :func:`state` then.

    Raises
    ------
    VerificationError
        If a file changed since it was counted.
    """
    _require_same(paths, before)
    found = [fingerprint.of(path) for path in paths]
    _require_same(paths, before)
    rows = [one.rows for one in found]
    total = None if None in rows else sum(n for n in rows if n is not None)
    if len(paths) == 1:
        return Resource(name=paths[0].name, sha256=found[0].sha256, rows=total)
    lines = sorted(f"{one.sha256}  {path.name}\n" for one, path in zip(found, paths, strict=True))
    return Resource(
        name=f"{len(paths)} files, {min(path.name for path in paths)} to {max(path.name for path in paths)}",
        sha256=hashlib.sha256("".join(lines).encode()).hexdigest(),
        rows=total,
    )


def _require_same(paths: Sequence[Path], before: State) -> None:
    try:
        now: State | None = state(paths)
    except FileNotFoundError:
        now = None
    if now != before:
        changed = [p for p, a, b in zip(paths, before, now or before, strict=True) if a != b or now is None]
        raise VerificationError(
            f"{changed[0]} changed since it was counted", next_step="assess again when nobody writes to it"
        )


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(_PARQUET)


# --- Parquet ----------------------------------------------------------------------------------------------


def _parquet_layout(path: Path, roles: Roles) -> tuple[Any, ...]:
    """Return the types of the columns that are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    _require(schema.names, roles, path)
    kinds = {name: schema.field(name).type for name in grouped.used(roles)}
    for name in roles.keys:
        if pa.types.is_nested(kinds[name]) or pa.types.is_duration(kinds[name]):  # which DuckDB reads as whole numbers
            raise DataError(f"{name} of {path} has values of the type {kinds[name]}", expected="plain values")
    for what, number in (("sample_weight", roles.weight), ("y_score", roles.score)):
        if number is not None:
            grouped.check_numeric(kinds[number], what)
    values = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in kinds.values())
    return ("parquet", *(str(kind) for kind in values))


def _require(names: list[str], roles: Roles, path: Path) -> None:
    grouped.require(names, roles)
    for name in grouped.used(roles):
        alike = [other for other in names if other.casefold() == name.casefold()]
        if len(alike) > 1:  # which DuckDB does not tell apart
            raise DataError(f"{path} has columns that differ only in case: {', '.join(alike)}", expected="one of them")


def _parquet(paths: Sequence[Path], roles: Roles) -> str:
    return _chosen(roles, f"read_parquet({_list(paths)}, hive_partitioning = false, union_by_name = false)", "{}")


def _chosen(roles: Roles, table: str, number: str) -> str:
    """Return the query of the columns that are read; ``number`` is how numbers are written there."""
    chosen = [_quoted(name) for name in dict.fromkeys(roles.keys)]
    named = _renamed(roles)
    for name, own in ((roles.weight, named.weight), (roles.score, named.score)):
        if name is not None and own is not None:
            chosen.append(f"TRY_CAST({number.format(_quoted(name))} AS DOUBLE) AS {_quoted(own)}")
    return f"SELECT {', '.join(chosen)} FROM {table}"  # noqa: S608  names are quoted


def _renamed(roles: Roles) -> Roles:
    return replace(
        roles, weight=None if roles.weight is None else "(weight)", score=None if roles.score is None else "(score)"
    )


def _query(roles: Roles) -> str:
    keys = [f"{_quoted(name)} AS k{number}" for number, name in enumerate(roles.keys)]
    sums = [f"count(*) AS {grouped.COUNT}"]
    if roles.weight is not None:
        weight = _quoted(roles.weight)
        sums += [
            f"sum({weight}) AS {grouped.WEIGHTS}",
            f"sum({weight} * {weight}) AS {grouped.SQUARES}",
            f"min({weight}) AS {grouped.LOWEST}",
            f"count({weight}) AS {grouped.WEIGHTED}",
        ]
    return f"SELECT {', '.join(keys + sums)} FROM rows GROUP BY ALL LIMIT {LIMIT + 1}"  # noqa: S608  names are quoted


def _list(paths: Sequence[Path]) -> str:
    return "[" + ", ".join(_text(str(path)) for path in paths) + "]"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- CSV --------------------------------------------------------------------------------------------------


def _csv_layout(path: Path, roles: Roles) -> tuple[Any, ...]:
    """Return the header."""
    try:
        with io.TextIOWrapper(_opened(path), encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream, strict=True), None)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}", expected="UTF-8 text with a header") from error
    if not header:
        raise DataError(f"{path} is empty", expected="a header, and at least one row")
    other = next((sign for sign in ";\t|" if len(header) == 1 and sign in header[0]), None)
    if other is not None:
        raise DataError(
            f"the cells of {path} are separated by {other!r}", expected="commas", next_step="write the file again"
        )
    _require(header, roles, path)
    if len({name.casefold() for name in header}) != len(header) or not all(header):
        raise DataError(f"{path} has column names that are empty or repeat", expected="distinct names")
    return ("csv", *header)


def _opened(path: Path) -> Any:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _csv(paths: Sequence[Path], header: Sequence[str], roles: Roles) -> str:
    columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in header)
    options = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', strict_mode = true"
    table = f"read_csv({_list(paths)}, {options}, columns = {{{columns}}})"
    return _chosen(roles, table, "trim({})")  # a plain column would be cast by the reader, which fails at a word


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _with_labels(cells: Cells) -> Cells:
    """Read labels and predictions as what their text says."""
    return replace(cells, values=(*(_typed(own) for own in cells.values[:2]), *cells.values[2:]))


def _typed(values: list[Any]) -> list[Any]:
    truths = {"true": True, "false": False}
    readings: tuple[Callable[[str], Any], ...] = (int, float, lambda text: truths[text.lower()])
    for reading in readings:
        try:
            return [None if value is None else reading(value) for value in values]
        except (ValueError, KeyError):
            continue
    return values
