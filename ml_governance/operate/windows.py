"""Where a deployment's counts are kept: one SQLite file beside the workspace, for all processes that serve one model in one stage.

A process writes its own line of a window whole, again and again: a crash loses what was counted since the last writing, never what was
written, and nobody adds to a line of somebody else. The file holds counts of small groups, and hashes of prediction ids with the
group and the prediction until their label comes; it is readable by its account only, and nothing of it is published as it is.
Ids are hashed with a key that stays in the file (SipHash-2-4, mixed; Aumasson and Bernstein 2012): without it, known ids cannot be tried.
"""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.errors import DataError, UnavailableError
from ml_governance.evidence.canonical import stamp
from ml_governance.operate.counting import Layout, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAX_WAITING = 200_000
"""Predictions that can wait for their label; the oldest give way."""
KEPT = timedelta(days=400)
"""How long windows are kept."""
WAIT = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS windows (
  begins TEXT NOT NULL, line TEXT NOT NULL, layout TEXT NOT NULL, tally TEXT NOT NULL, PRIMARY KEY (begins, line, layout)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (
  id BLOB NOT NULL UNIQUE, begins TEXT NOT NULL, layout TEXT NOT NULL, cell INTEGER NOT NULL, flag INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS joined (
  begins TEXT NOT NULL, layout TEXT NOT NULL, cell INTEGER NOT NULL, label INTEGER NOT NULL, flag INTEGER NOT NULL,
  rows INTEGER NOT NULL, PRIMARY KEY (begins, layout, cell, label, flag)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (begins TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What became of late labels.

    Parameters
    ----------
    joined : int
        Labels that met their prediction.
    unknown : int
        Ids that no prediction waits under: never seen, joined before, or given way to newer ones.
    """

    joined: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was counted between two times.

    Parameters
    ----------
    begins, ends : datetime
        UTC.
    tally : Tally
        All predictions.
    labelled : array of int64, shape (groups, 2, 2)
        Predictions with a label, by group, label and prediction.
    given_way : int
        Predictions whose label can no longer be joined.
    instances : int
        Processes that wrote.
    """

    begins: datetime
    ends: datetime
    tally: Tally
    labelled: NDArray[np.int64]
    given_way: int
    instances: int


class Windows:
    """The file of one deployment.

    Parameters
    ----------
    path : Path
        The file; made with mode 0600 when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise self._unavailable(error) from error
        with self._open(write=False) as sql:
            sql.execute("COMMIT")
            sql.execute("PRAGMA journal_mode = WAL")
            sql.executescript(_TABLES)
            sql.execute("BEGIN IMMEDIATE")
            sql.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?)", (secrets.token_bytes(32),))
            (key,) = sql.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
        self._key = base64.b64encode(bytes(key)).decode()[:16]  # pandas takes 16 characters: 96 bits

    def write(self, begins: datetime, line: str, tally: Tally, waiting: Sequence[tuple[bytes, int, int]]) -> None:
        """Put a line of a window in the place of what it was before, and let predictions wait for their labels.

        Raises
        ------
        UnavailableError
            If the file cannot be written; nothing of it is then.
        """
        start, layout = stamp(begins), tally.layout.digest
        with self._open(write=True) as sql:
            sql.execute(
                "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?)",
                (start, line, layout, json.dumps(tally.to_dict())),
            )
            sql.executemany(
                "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?)",
                [(key, start, layout, cell, flag) for key, cell, flag in waiting],
            )
            (count,) = sql.execute("SELECT count(*) FROM waiting").fetchone() if waiting else (0,)
            if count > MAX_WAITING:
                self._give_way(sql, count - MAX_WAITING)
            oldest = stamp(begins - KEPT)
            for table in ("windows", "waiting", "joined", "gone"):
                sql.execute(f"DELETE FROM {table} WHERE begins < ?", (oldest,))  # noqa: S608  names of this module

    def join(self, ids: Sequence[Any], labels: Sequence[int]) -> Joined:
        """Count labels with their predictions, all or none; a prediction is forgotten once its label has come.

        Parameters
        ----------
        ids : sequence
            Prediction ids.
        labels : sequence of int
            1 for the positive label, 0 for another.
        """
        found = 0
        with self._open(write=True) as sql:
            for key, label in zip(self.hashed(ids), labels, strict=True):
                row = sql.execute(
                    "DELETE FROM waiting WHERE id = ? RETURNING begins, layout, cell, flag", (key,)
                ).fetchone()
                if row is None:
                    continue
                found += 1
                begins, layout, cell, flag = row
                sql.execute(
                    "INSERT INTO joined VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET rows = rows + 1",
                    (begins, layout, cell, int(label), flag),
                )
        return Joined(joined=found, unknown=len(ids) - found)

    def read(self, since: datetime, until: datetime, layout: Layout) -> Window:
        """Add up the windows that begin in a span.

        Raises
        ------
        DataError
            If a line cannot be read, or was counted on another baseline.
        """
        span = (stamp(since), stamp(until))
        with self._open(write=False) as sql:
            lines = sql.execute(
                "SELECT layout, tally, line FROM windows WHERE begins >= ? AND begins < ? ORDER BY begins, line",
                span,
            ).fetchall()
            labelled = sql.execute(
                "SELECT layout, cell, label, flag, rows FROM joined WHERE begins >= ? AND begins < ?", span
            ).fetchall()
            gone = sql.execute("SELECT sum(rows) FROM gone WHERE begins >= ? AND begins < ?", span).fetchone()[0]
        others = {line[0] for line in (*lines, *labelled)} - {layout.digest}
        if others:
            raise DataError(
                f"windows of this span were counted on another baseline, sha256:{min(others)[:12]}",
                expected=f"the approved one, sha256:{layout.digest[:12]}",
                next_step="a span that begins after the model was assessed and deployed anew",
            )
        tally = Tally(layout=layout)
        for _, text, _ in lines:
            tally.add(Tally.from_dict(_json(text), layout))
        counts = np.zeros((int(np.prod(layout.shape, dtype=np.int64)), 2, 2), dtype=np.int64)
        for _, cell, label, flag, rows in labelled:
            counts[cell, label, flag] += rows
        return Window(
            begins=since, ends=until, tally=tally, labelled=counts, given_way=int(gone or 0),
            instances=len({line[2].partition(":")[0] for line in lines}),
        )  # fmt: skip

    def inputs(self, since: datetime, until: datetime) -> tuple[str, ...] | None:
        """Return the columns that the serving processes said that they receive; None without windows."""
        with self._open(write=False) as sql:
            lines = sql.execute(
                "SELECT tally FROM windows WHERE begins >= ? AND begins < ?", (stamp(since), stamp(until))
            ).fetchall()
        names = dict.fromkeys(str(name) for (text,) in lines for name in _json(text).get("inputs", ()))
        return tuple(names) if lines else None

    def hashed(self, ids: Iterable[Any]) -> list[bytes]:
        """Return what is kept of prediction ids: 64 bits of each, so that of 200,000 two are alike once in 10^9 times."""
        import pandas as pd

        if isinstance(getattr(ids, "dtype", None), pd.StringDtype):
            ids = ids.array.tolist()  # type: ignore[attr-defined]  # a column gives its texts one by one ten times slower
        texts = np.array([*map(str, ids), ""], dtype=object)[:-1]  # of any length, and never of another dtype
        found: list[bytes] = (
            pd.util.hash_array(texts, hash_key=self._key, categorize=False).astype("<u8").view("V8").tolist()
        )
        return found

    def _give_way(self, sql: sqlite3.Connection, many: int) -> None:
        sql.execute(
            "INSERT INTO gone SELECT begins, count(*) FROM (SELECT begins FROM waiting ORDER BY rowid LIMIT ?) WHERE true "
            "GROUP BY begins ON CONFLICT DO UPDATE SET rows = rows + excluded.rows",
            (many,),
        )
        sql.execute("DELETE FROM waiting WHERE rowid IN (SELECT rowid FROM waiting ORDER BY rowid LIMIT ?)", (many,))

    @contextmanager
    def _open(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction: nothing is held between calls, so threads and forks share nothing."""
        try:
            sql = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            try:
                sql.execute("PRAGMA synchronous = NORMAL")
                sql.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield sql
                sql.execute("COMMIT")
            finally:
                sql.close()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"the windows in {self.path} cannot be used: {error}", expected="a file of this account on a local disk with space",
            next_step="free space, or name another folder: MLGOV_STATE",
        )  # fmt: skip


def start_of(at: datetime, length: timedelta) -> datetime:
    """Return when the window that holds a time began; windows of all processes are in step."""
    seconds = int(length.total_seconds())
    return datetime.fromtimestamp(int(at.timestamp()) // seconds * seconds, tz=UTC)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"a window cannot be read: {error}", expected="what a deployment wrote") from error
    if not isinstance(value, dict):
        raise DataError("a window cannot be read", expected="what a deployment wrote")
    return value
