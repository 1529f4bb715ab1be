"""How the log's database is opened, and how its errors are told."""

from __future__ import annotations

from contextlib import contextmanager
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


def refuse_missing_file(url: str) -> None:
    """Refuse to open what is not there: SQLite would silently make an empty database."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        raise _no_url() from None
    if target.get_backend_name() == "sqlite" and target.database and not Path(target.database).is_file():
        raise LedgerError(f"there is no ledger at {target.database}", expected="a database made by mlgov init")


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
            for setting in (
                f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
                f"PRAGMA cache_size = -{CACHE_KIB}",
                f"PRAGMA wal_autocheckpoint = {WAL_PAGES}",
            ):
                cursor.execute(setting)
            cursor.close()

    return engine


def shown(engine: Engine) -> str:
    """Return the database's URL without its password."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Turn the database's errors, and those of its driver, into ours; what fails has not been appended."""
    from sqlalchemy.exc import DBAPIError

    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except GovernanceError:
        raise
    except (DBAPIError, driver.Error) as error:
        reason = (error.orig if isinstance(error, DBAPIError) else error) or error
        if isinstance(reason, driver.IntegrityError):
            raise VerificationError(
                f"the ledger refused an entry: {reason}", expected="an entry that is not in the ledger yet"
            ) from error
        said = " ".join(str(reason).split())
        advice = next((text for mark, text in _ADVICE.items() if mark in said), "check the database")
        raise LedgerError(f"the ledger at {shown(engine)} cannot be used: {said}", next_step=advice) from error


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
