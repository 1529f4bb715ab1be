"""Under which words this account has found entries while it verified a log: its own memory, beside the verified prefix.

The log's database cannot be asked for every version of a name: whoever holds it would choose the answer. So whoever verifies
notes the place and the leaf hash of each entry that can be looked for by a word, in a file of their own.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Self

from ml_governance import __version__
from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml_governance.evidence.prefix import Prefix

BATCH = 10_000
_TABLES = """
CREATE TABLE IF NOT EXISTS noted (term BLOB, idx INTEGER, leaf BLOB, PRIMARY KEY (term, idx)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upto (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER, root BLOB, software TEXT);
CREATE TEMP TABLE fresh (term BLOB, idx INTEGER, leaf BLOB);
"""


class Noted:
    """The notes of one log.

    Parameters
    ----------
    connection : Connection
        Of the file.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[bytes, int, bytes]] = []

    @classmethod
    @contextmanager
    def at(cls, path: Path) -> Iterator[Self | None]:
        """Open the notes, or make a file for them; None where that cannot be: then there is no memory, and nothing rests on it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        except (OSError, sqlite3.Error):
            yield None
            return
        with closing(connection):
            try:
                connection.executescript(_TABLES)
                notes = cls(connection)
            except sqlite3.Error:
                yield None
                return
            yield notes

    def fits(self, prefix: Prefix) -> bool:
        """Tell whether these notes are of exactly the entries of a prefix, made by this version of the software."""
        try:
            found = self._connection.execute("SELECT size, root, software FROM upto").fetchone()
        except sqlite3.Error:
            return False
        upto: tuple[object, ...] = (prefix.frontier.size, prefix.frontier.root, __version__)
        return bool(found == upto)

    def add(self, term: str, index: int, leaf: bytes) -> None:
        """Note an entry, for the time being."""
        self._waiting.append((_key(term), index, leaf))
        if len(self._waiting) == BATCH:
            self._flush()

    def _flush(self) -> None:
        self._connection.executemany("INSERT INTO fresh VALUES (?, ?, ?)", self._waiting)
        self._waiting = []

    def forget(self) -> None:
        """Drop what was noted and not kept."""
        self._waiting = []
        self._connection.execute("DELETE FROM fresh")

    def keep(self, prefix: Prefix, since: Prefix | None) -> None:
        """Keep what was noted from a prefix on, or, without one, in the place of all that was kept."""
        self._flush()
        sql = self._connection
        sql.execute("BEGIN IMMEDIATE")
        try:
            if since is None:
                sql.execute("DELETE FROM noted")
            elif not self.fits(since):
                sql.execute("ROLLBACK")  # another process has gone on meanwhile
                return
            sql.execute("INSERT OR REPLACE INTO noted SELECT * FROM fresh")
            upto = (prefix.frontier.size, prefix.frontier.root, __version__)
            sql.execute("INSERT OR REPLACE INTO upto VALUES (1, ?, ?, ?)", upto)
            sql.execute("COMMIT")
        except BaseException:
            if sql.in_transaction:
                sql.execute("ROLLBACK")
            raise

    def places(self, term: str, size: int) -> list[tuple[int, bytes]]:
        """Return place and leaf hash of every entry under a word in the first entries of the log.

        Raises
        ------
        VerificationError
            If the notes cannot be read.
        """
        self._flush()
        query = "SELECT idx, leaf FROM {} WHERE term = ? AND idx < ?"
        try:
            found = {
                index: leaf
                for name in ("noted", "fresh")
                for index, leaf in self._connection.execute(query.format(name), (_key(term), size))
            }
        except sqlite3.Error as error:
            raise VerificationError(
                f"what was noted when the log was verified cannot be read: {error}", next_step="mlgov log verify"
            ) from error
        return sorted(found.items())


def _key(term: str) -> bytes:
    return bytes.fromhex(sha256_hex(term.encode())[:32])
