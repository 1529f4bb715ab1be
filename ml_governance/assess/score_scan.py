"""Scores counted wherever the rows are, by group, label and score bin: the same cube as from arrays.

- DuckDB, Ibis, Polars, PySpark, and Parquet and CSV through DuckDB: one narwhals expression bins and groups the scores
  where they are, and only the bins that occur are fetched;
- Dask and Arrow datasets: part by part, with the code for arrays;
- Arrow streams: :mod:`ml_governance.assess.score_stream`.

A score is in the same bin on all of them: the bin is first guessed, then set right by the edges, ``j / bins`` in double
precision; see :func:`ml_governance.assess.histogram.bin_of`.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ml_governance.assess import blocks, engines, grouped, labels
from ml_governance.assess import rows as coded_rows
from ml_governance.assess.cells import text_of
from ml_governance.assess.histogram import BINS, ScoreCube, bounded, count_rows
from ml_governance.errors import DataError, UnavailableError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import narwhals as nw
    import pyarrow as pa

    from ml_governance.assess.cells import Roles
    from ml_governance.assess.cube import Cube

LIMIT = 8_000_000
"""Bins that are fetched at most: a missing value may come as null and as NaN, so more than a cube can have."""
_BAD, _OUTSIDE = -1.0, -2.0
"""Bins of what is no number, and of numbers that are no probabilities."""
_SCORE, _FALSE, _TRUE, LOWEST, HIGHEST = "s", "q0", "q1", "low", "high"
"""Columns: sum of the score, of its squared error under label 0 and under label 1, its smallest and largest value."""


class Part(NamedTuple):
    """What some of the rows add.

    Parameters
    ----------
    cube : ScoreCube
        Their scores, those in [0, 1].
    missing : int
        Scores that are missing, NaN or infinite.
    lowest, highest : float
        The smallest and the largest score.
    """

    cube: ScoreCube
    missing: int
    lowest: float
    highest: float

    def join(self, other: Part) -> Part:
        """Add other rows."""
        return Part(
            self.cube.merge(other.cube),
            self.missing + other.missing,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
        )


def scan(data: Any, roles: Roles, cube: Cube, positive: Any) -> ScoreCube:
    """Count the scores of a table by sensitive columns, label and bin.

    Parameters
    ----------
    data : table
        As :func:`ml_governance.assess.engines.scan` takes.
    roles : Roles
        Which column is what; the sensitive columns are those of the cube.
    cube : Cube
        What was counted of the same rows: it has the levels.
    positive : object
        The positive label.

    Returns
    -------
    ScoreCube
        Equal to that of the arrays; sums up to the order of addition.

    Raises
    ------
    DataError
        If scores are not numeric, missing, NaN, infinite or outside 0 to 1, or there are too many groups.
    UnavailableError
        If the engine fails.
    VerificationError
        If the rows are not those of the cube.
    """
    bounded(cube.levels, BINS)
    return _checked(_parts(data, roles, cube, positive), roles, cube)


def added(tables: Iterable[pa.Table], roles: Roles, cube: Cube, positive: Any) -> ScoreCube:
    """Return the scores of tables that :func:`fetched` gave, which are parts of the rows.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Bins that occur.
    roles, cube, positive
        As :func:`scan`, which says too what is raised.
    """
    bounded(cube.levels, BINS)
    return _checked((_dense(table, roles, cube, positive) for table in tables), roles, cube)


def _checked(parts: Iterable[Part], roles: Roles, cube: Cube) -> ScoreCube:
    made = reduce(Part.join, parts, _nothing(cube, roles))
    labels.check_scores("y_score", made.missing, made.lowest, made.highest)
    if not np.array_equal(made.cube.counts.sum(axis=-1), cube.counts.sum(axis=-1)):
        raise VerificationError(
            "the rows changed between counting the labels and counting the scores",
            next_step="pass what gives the same rows when it is read twice: a table, a dataset, files",
        )
    return made.cube


def _parts(data: Any, roles: Roles, cube: Cube, positive: Any) -> Iterator[Part]:
    """Count the scores, all at once or part by part."""
    import pyarrow as pa

    if engines.is_files(data):
        from ml_governance.assess import files

        for table in files.scores(files.expand(data), roles, fetched):
            yield _dense(table, roles, cube, positive)
    elif engines.is_dask(data):
        yield _dask(data, roles, cube, positive)
    elif (held := engines.in_memory(data, roles)) is not None:
        yield _columns(held, roles, cube, positive)
    elif type(data).__module__.startswith("pyarrow._dataset"):
        grouped.require(data.schema.names, roles)
        for batch in data.to_batches(columns=grouped.used(roles)):
            if batch.num_rows:
                yield _columns(_named(batch), roles, cube, positive)
    else:
        source = engines.opened(data)
        if isinstance(source, pa.RecordBatchReader):
            raise DataError("a stream is read only once", expected="its scores to be counted with its labels")
        engines.check_schema(source, roles)
        try:
            table = fetched(source, roles)
        except Exception as error:
            raise engines.failed(source, error) from error
        yield _dense(table, roles, cube, positive)


def _nothing(cube: Cube, roles: Roles) -> Part:
    shape = (*map(len, cube.levels), 2, BINS)
    empty = ScoreCube(
        attributes=cube.attributes, levels=cube.levels, bins=BINS, counts=np.zeros(shape, dtype=np.int64),
        scores=np.zeros(shape), errors=np.zeros(shape), weights=None if roles.weight is None else np.zeros(shape),
    )  # fmt: skip
    return Part(empty, 0, np.inf, -np.inf)


# --- engines ------------------------------------------------------------------------------------------------


def fetched(source: Any, roles: Roles) -> pa.Table:
    """Run the count where the rows are, and fetch the bins that occur."""
    import narwhals as nw

    found: pa.Table = (
        _expression(nw.from_native(source, pass_through=True).lazy(), roles).collect(backend="pyarrow").to_native()
    )
    return found


def _expression(frame: nw.LazyFrame[Any], roles: Roles) -> nw.LazyFrame[Any]:
    """Return the count as one expression: keys ``k0``, ``k1``, ..., the last of which is the bin, and sums."""
    import narwhals as nw

    names = (roles.y_true, *roles.sensitive)
    keys = [f"k{number}" for number in range(len(names) + 1)]
    own = [nw.col(name).alias(key) for key, name in zip(keys, names, strict=False)]
    weight = nw.lit(1.0) if roles.weight is None else nw.col(roles.weight).cast(nw.Float64)
    given, score, bins, guess, place = (nw.col(name) for name in ("given", "score", "bins", "guess", "place"))
    finite = (
        given.is_finite()
    )  # asked first: DuckDB takes a comparison for true where the statistics of Parquet omit NaN
    good = finite & (given >= 0.0) & (given <= 1.0)
    bad = nw.when(finite).then(nw.lit(_OUTSIDE)).otherwise(nw.lit(_BAD))
    below, above = score < place / bins, (score >= (place + 1.0) / bins) & (place < BINS - 1.0)
    kept = keys[:-1]
    frame = (
        frame.select(*own, nw.col(roles.score or "").cast(nw.Float64).alias("given"), weight.alias("weight"))
        .with_columns(nw.when(good).then(given).otherwise(nw.lit(0.0)).alias("score"))
        # a column, not a constant: an engine may multiply by the reciprocal of a constant, which is not the same edge
        .with_columns((score * 0.0 + float(BINS)).alias("bins"))
        .with_columns((score * bins).cast(nw.Int64).alias("guess"))  # cut or rounded: at most one off
        .with_columns(nw.when(guess > BINS - 1).then(nw.lit(BINS - 1)).otherwise(guess).cast(nw.Float64).alias("place"))
        .with_columns((place + above.cast(nw.Float64) - below.cast(nw.Float64)).alias("place"))
    )
    weight = nw.col("weight")
    miss = 1.0 - score
    return (
        frame.select(
            *kept,
            "given",
            "weight",
            nw.when(good).then(place).otherwise(bad).alias(keys[-1]),
            (weight * score).alias(_SCORE),
            (weight * (score * score)).alias(_FALSE),
            (weight * (miss * miss)).alias(_TRUE),
        )
        .group_by(keys, drop_null_keys=False)
        .agg(
            nw.len().alias(grouped.COUNT),
            *(nw.col(name).sum().alias(name) for name in (_SCORE, _FALSE, _TRUE)),
            weight.sum().alias(grouped.WEIGHTS),
            given.min().alias(LOWEST),
            given.max().alias(HIGHEST),
        )
        .head(LIMIT + 1)
    )


def _dense(found: pa.Table, roles: Roles, cube: Cube, positive: Any) -> Part:
    """Put the fetched bins where they belong."""
    if found.num_rows > LIMIT:
        raise DataError(
            f"there are more than {LIMIT:,} combinations of {', '.join(roles.keys)} and score bin",
            expected="fewer groups",
        )
    found = found.unify_dictionaries()
    place = found[f"k{len(cube.levels) + 1}"].to_numpy()
    good = place >= 0
    keys = [grouped.encoded(found[f"k{number}"]) for number in range(len(cube.levels) + 1)]
    flags = [value is not None and bool(value == positive) for value in keys[0][1]]
    label = np.array(flags, dtype=np.intp)[keys[0][0]]
    groups = [
        _places(values, levels, name)[codes]
        for (codes, values), levels, name in zip(keys[1:], cube.levels, cube.attributes, strict=True)
    ]
    at = tuple(one[good] for one in (*groups, label, place.astype(np.intp)))
    shape = (*map(len, cube.levels), 2, BINS)

    def dense(values: Any, dtype: Any = np.float64) -> Any:
        made = np.zeros(shape, dtype=dtype)
        np.add.at(made, at, values[good])
        return made

    columns: dict[str, Any] = {
        name: found[name].to_numpy()
        for name in (grouped.COUNT, grouped.WEIGHTS, _SCORE, _FALSE, _TRUE, LOWEST, HIGHEST)
    }
    outside = place == _OUTSIDE
    return Part(
        cube=ScoreCube(
            attributes=cube.attributes, levels=cube.levels, bins=BINS,
            counts=dense(columns[grouped.COUNT], np.int64), scores=dense(columns[_SCORE]),
            errors=dense(np.where(label == 1, columns[_TRUE], columns[_FALSE])),
            weights=None if roles.weight is None else dense(columns[grouped.WEIGHTS]),
        ),
        missing=int(columns[grouped.COUNT][place == _BAD].sum()),
        lowest=min(columns[LOWEST][outside | good], default=np.inf),
        highest=max(columns[HIGHEST][outside | good], default=-np.inf),
    )  # fmt: skip


def _places(values: Sequence[Any], levels: Sequence[str], name: str) -> Any:
    known = {level: index for index, level in enumerate(levels)}
    if any(text_of(value) not in known for value in values[1:]):
        raise VerificationError(
            f"{name} has values now that it had not when it was counted",
            next_step="pass what gives the same rows when it is read twice: a table, a dataset, files",
        )
    return np.array([known.get(text_of(value), 0) for value in values], dtype=np.intp)


# --- part by part -------------------------------------------------------------------------------------------


def _columns(columns: Mapping[str, Any], roles: Roles, cube: Cube, positive: Any) -> Part:
    """Count columns in memory."""
    score = blocks.floats(columns[roles.score or ""], "y_score")
    weight = None if roles.weight is None else blocks.floats(columns[roles.weight])
    good = (score >= 0) & (score <= 1)
    coded = [blocks.column(columns[name], name) for name in roles.keys]
    found = coded_rows.of_columns(coded, cube, positive, weight, np.where(good, score, 0.0))
    return Part(count_rows(found, cube.attributes), *labels.extent(score))


def _named(batch: pa.RecordBatch) -> dict[str, Any]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def _dask(frame: Any, roles: Roles, cube: Cube, positive: Any) -> Part:
    """Count every partition where it is, and add them up on the way here."""
    import dask

    def count(part: Any) -> Part:
        if not len(part):
            return _nothing(cube, roles)
        return _columns({name: part[name] for name in grouped.used(roles)}, roles, cube, positive)

    def add(parts: Sequence[Part]) -> Part:
        return reduce(Part.join, parts)

    tasks = [dask.delayed(count)(part) for part in frame[grouped.used(roles)].to_delayed()]
    while len(tasks) > 1:
        tasks = [dask.delayed(add)(tasks[start : start + 8]) for start in range(0, len(tasks), 8)]
    try:
        (made,) = dask.compute(*tasks)
    except DataError:
        raise
    except Exception as error:
        raise UnavailableError(f"dask could not count the scores: {type(error).__name__}: {error}") from error
    found: Part = made
    return found
