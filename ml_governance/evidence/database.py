"""How the log's database is opened, and how its errors are told.

The log's own statements are run by the driver. SQLAlchemy, which takes longer to load than most of them to run, comes in where
tables are made, for PostgreSQL, and for what is not the log itself.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, GovernanceError, LedgerError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

BUSY_SECONDS = 30
CACHE_KIB = 32 * 1024
"""SQLite's page cache."""
WAL_PAGES = 4000
"""Pages in the write-ahead log before they are moved into the database: 16 MB."""
_SETTINGS = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA cache_size = -{CACHE_KIB}",
    f"PRAGMA wal_autocheckpoint = {WAL_PAGES}",
)
_FILE = re.compile(r"sqlite:///(?!file:|:memory:)([^?#%]+)")
"""A URL that means a file and nothing else."""


class Database:
    """One log's database; nothing is opened before it is used.

    Parameters
    ----------
    url : str
        SQLAlchemy's URL.

    Raises
    ------
    ConfigurationError
        If the URL is none, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._given = url
        plain = _FILE.fullmatch(url)
        self._file = Path(plain[1]).absolute() if plain else None
        self._idle: list[sqlite3.Connection] = []
        self.dialect = "sqlite" if self._file else self.engine.dialect.name
        self.driver: Any = sqlite3 if self._file else self.engine.dialect.loaded_dbapi

    @cached_property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return engine_for(self._given)

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self._given if self._file else self.engine.url.render_as_string(hide_password=True)

    @property
    def url(self) -> str:
        """The URL with its password: not for showing."""
        return self._given if self._file else self.engine.url.render_as_string(hide_password=False)

    def raw_connection(self) -> Any:
        """Return a connection of the driver; give it back with :meth:`give_back`."""
        if self._file is None:
            return self.engine.raw_connection()
        if self._idle:
            return self._idle.pop()
        connection = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            for setting in _SETTINGS:
                connection.execute(setting).close()
        except BaseException:
            connection.close()
            raise
        return connection

    def give_back(self, connection: Any) -> None:
        """Take a connection back, and undo what was not committed on it."""
        if self._file is None:
            connection.close()  # into the engine's pool
            return
        if connection.in_transaction:
            connection.rollback()
        self._idle.append(connection)

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Lend a connection of the driver; its errors are told as ours."""
        with self.errors():
            lent = self.raw_connection()
            try:
                yield lent
            finally:
                self.give_back(lent)

    def close(self) -> None:
        """Release the database."""
        while self._idle:
            self._idle.pop().close()
        if "engine" in self.__dict__:
            self.engine.dispose()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn the database's errors, and those of its driver, into ours; what fails has not been appended."""
        try:
            yield
        except GovernanceError:
            raise
        except Exception as error:
            # SQLAlchemy's errors have the driver's own inside.
            reason = getattr(error, "orig", None) or error
            if not isinstance(reason, self.driver.Error):
                raise
            if isinstance(reason, self.driver.IntegrityError):
                raise VerificationError(
                    f"the ledger refused an entry: {reason}", expected="an entry that is not in the ledger yet"
                ) from error
            said = " ".join(str(reason).split())
            advice = next((text for mark, text in _ADVICE.items() if mark in said), "check the database")
            raise LedgerError(f"the ledger at {self.shown} cannot be used: {said}", next_step=advice) from error


def refuse_missing_file(url: str) -> None:
    """Refuse to open what is not there: SQLite would silently make an empty database."""
    plain = _FILE.fullmatch(url)
    file = plain[1] if plain else _file_of(url)
    if file and not Path(file).is_file():
        raise LedgerError(f"there is no ledger at {file}", expected="a database made by mlgov init")


def _file_of(url: str) -> str | None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        raise _no_url() from None
    return target.database if target.get_backend_name() == "sqlite" else None


def _no_url() -> ConfigurationError:
    # What cannot be read may hold a password anywhere, so nothing of it is shown.
    return ConfigurationError(
        "the ledger's URL cannot be read",
        expected="sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME, with special characters as %40",
    )


def engine_for(url: str) -> Engine:
    """Return an engine; SQLite is set to write-ahead logging with a flush at every commit."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import ArgumentError

    try:
        engine = (
            create_engine(url, isolation_level="AUTOCOMMIT")
            if url.startswith("sqlite")
            else create_engine(url, paramstyle="format")
        )
    except ValueError:
        raise _no_url() from None
    except (ArgumentError, ImportError) as error:
        raise ConfigurationError(
            f"the ledger's URL cannot be used: {error}", expected="sqlite:///FILE or postgresql+psycopg://..."
        ) from error
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _prepare(raw: Any, _record: Any) -> None:
            cursor = raw.cursor()
            for setting in _SETTINGS:
                cursor.execute(setting)
            cursor.close()

    return engine


_ADVICE = {
    "disk is full": "free disk space and run the command again; nothing was written",
    "readonly": "make the ledger's file and folder writable, or use a copy",
    "read-only": "make the ledger's file and folder writable, or use a copy",
    "locked": "another process is writing: try again",
    "not a database": "this file is no SQLite database: restore the ledger from a backup",
    "malformed": "the file is damaged: restore the ledger from a backup and compare with a kept checkpoint",
    "unable to open": "check the path and its permissions",
    "disk I/O error": "the disk does not write: look at it before anything else; what was acknowledged is there",
    "onnection refused": "start the database server, or check host and port",
    "password authentication": "check the user and password in the ledger's URL",
}
