"""Backup and restore: the tables of a log copied from one database to another, whatever the two are.

A copy is worth what its verification says. Restoring therefore verifies the copy first, and holds it against a
checkpoint that was kept elsewhere: an old backup is otherwise indistinguishable from a rolled-back log.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError, LedgerError, VerificationError
from ml_governance.evidence.database import Database
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.schema import guards, metadata
from ml_governance.evidence.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.reader import LogReader
    from ml_governance.evidence.verified import VerifiedLog

PAGE = 1000


def backup(ledger: LogReader, path: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Copy a log into a new SQLite file, while others write it; the copy is of one moment.

    Returns
    -------
    int
        Number of entries.

    Raises
    ------
    ConfigurationError
        If the file exists.
    LedgerError
        If it cannot be written; nothing is left behind then.
    """
    if path.exists():
        raise ConfigurationError(
            f"{path} exists", expected="a new file: a backup is never overwritten", next_step="name another file"
        )
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        size = _copy(ledger, f"sqlite:///{partial}", progress)
        partial.replace(path)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)
    return size


def restore(
    path: Path,
    url: str,
    *,
    root: str,
    pinned: Sequence[Checkpoint],
    progress: Callable[[int, int], None] | None = None,
) -> VerifiedLog:
    """Put a backup in the place of a lost log.

    Parameters
    ----------
    path : Path
        The backup.
    url : str
        Database to restore into; it must hold no log.
    root : str
        ``sha256:...`` of the trust root.
    pinned : sequence of Checkpoint
        Checkpoints kept elsewhere, at least one: the backup must reach each.
    progress : callable, optional
        Receives how many entries are done, and of how many.

    Raises
    ------
    VerificationError
        If the backup does not verify or does not reach a pinned checkpoint; nothing is restored then.
    ConfigurationError
        If the target holds a log.
    LedgerError
        If the target cannot be written.
    """
    if not pinned:
        raise VerificationError(
            "nothing says how far the log had come",
            expected="a checkpoint that was kept outside: --pin FILE",
            next_step="ask whoever keeps one: a witness, a protected branch, a person with a receipt",
        )
    with Ledger.open(f"sqlite:///{path}") as kept:
        verified = verify(kept, root=root, pinned=pinned, collect=False, progress=progress)
        if verified.problems:
            first = verified.problems[0]
            where = f"#{first.index}: " if first.index is not None else ""
            raise VerificationError(
                f"the backup is not what was pinned: {where}{first.what}", expected="a newer backup, or another copy"
            )
        _copy(kept, url, progress)
    return verified


def _copy(source: LogReader, url: str, progress: Callable[[int, int], None] | None) -> int:
    """Copy all tables into an empty database, in one transaction, and guard them."""
    from sqlalchemy import inspect

    target = Database(url)
    try:
        with target.errors(), source.snapshot(), source.reading() as reading:
            if inspect(target.engine).has_table("meta"):
                raise ConfigurationError(
                    f"{target.shown} holds a ledger",
                    expected="an empty database",
                    next_step="move what is there out of the way; do not delete it before the restored log verifies",
                )
            total, done = source.size, 0
            ledger = Ledger(target, source.origin, None)
            with ledger.writing() as connection:
                metadata().create_all(connection)
                for one in metadata().sorted_tables:
                    rows = reading.whole(one.name, one.columns.keys())
                    while part := list(islice(rows, PAGE)):
                        connection.execute(one.insert(), part)
                        done += len(part) if one.name == "leaves" else 0
                        if progress is not None:
                            progress(min(done, total), total)
                for statement in guards(target.dialect):
                    connection.exec_driver_sql(statement)
            if target.dialect == "sqlite":
                with target.engine.connect() as closing:
                    closing.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return total
    finally:
        target.close()
