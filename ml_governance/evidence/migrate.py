"""Bringing the tables of an older version up to date: everything derived is made again from leaves and envelopes.

Nothing that was signed by anybody but the log changes. The tree over the migrated leaves must have the root that the old
checkpoint signed; then the log's key signs the first checkpoint of the new form. All of it is one transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ml_governance.errors import LedgerError, VerificationError
from ml_governance.evidence import entry, merkle, subject_index
from ml_governance.evidence.checkpoint import read_note
from ml_governance.evidence.database import Database, refuse_missing_file
from ml_governance.evidence.head import Head
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.schema import SCHEMA_VERSION, guards, metadata, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from ml_governance.evidence.checkpoint import LogSigner

_OLD = "v1_"
_TABLES = (
    "meta", "head", "leaves", "blobs", "nodes", "index_nodes", "entries_by_key", "tokens", "checkpoints", "outbox",
)  # fmt: skip


def migrate(url: str, *, log_signer: LogSigner, progress: Callable[[int, int], None] | None = None) -> tuple[int, int]:
    """Bring a ledger's tables to the present version.

    Parameters
    ----------
    url : str
        Of the database.
    log_signer : LogSigner
        The log's key.
    progress : callable, optional
        ``progress(done, total)``, called now and then.

    Returns
    -------
    tuple of int
        The version that was found and the version now; the same if there was nothing to do.

    Raises
    ------
    LedgerError
        If the version is unknown, or the database cannot be written.
    VerificationError
        If the stored entries do not give the tree that was last signed; nothing is changed then.
    """
    from sqlalchemy import inspect

    refuse_missing_file(url)
    database = Database(url)
    engine = database.engine
    with database.errors():
        if not inspect(engine).has_table("meta"):
            raise LedgerError(f"{database.shown} holds no ledger", expected="a database made by mlgov init")
        with engine.connect() as connection:
            meta = {str(k): str(v) for k, v in connection.exec_driver_sql("SELECT key, value FROM meta")}
        found = meta.get("schema", "")
        if found == str(SCHEMA_VERSION):
            return SCHEMA_VERSION, SCHEMA_VERSION
        if found != "1" or "origin" not in meta:
            raise LedgerError(f"the ledger at {database.shown} has schema {found!r}", expected=f"1 to {SCHEMA_VERSION}")
        ledger = Ledger(database, meta["origin"], log_signer)
        with ledger.writing() as connection:
            _from_1(connection, engine, ledger, log_signer, progress)
    ledger.close()
    return 1, SCHEMA_VERSION


def _from_1(
    connection: Connection,
    engine: Engine,
    ledger: Ledger,
    log_signer: LogSigner,
    progress: Callable[[int, int], None] | None,
) -> None:
    if engine.dialect.name == "sqlite":
        for name in ("leaves_no_update", "leaves_no_delete", "blobs_no_update"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        for name in ("leaves_writer_seq", "leaves_kind_idx"):
            connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    for name in _TABLES:
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {_OLD}{name}")
    metadata().create_all(connection)
    head_of_1 = connection.exec_driver_sql(
        f"SELECT size, checkpoint, latest FROM {_OLD}head"  # noqa: S608  a name from this module
    ).one_or_none()
    if head_of_1 is None:
        raise VerificationError("the ledger has lost its head", next_step="restore it from a backup first")
    size, note, latest = head_of_1
    signed = read_note(str(note), [log_signer.public], origin=ledger.origin)
    head = Head(merkle.Frontier(), subject_index.EMPTY_TRIE, {})
    connection.execute(table("head").insert(), {"id": 1, **head.signed(ledger.origin, log_signer)[1]})
    connection.execute(
        table("meta").insert(),
        [{"key": "schema", "value": str(SCHEMA_VERSION)}, {"key": "origin", "value": ledger.origin}],
    )
    for index, one in enumerate(_entries_of_1(connection)):
        if isinstance(one.content, TrustUpdate):
            head.trust = index
        ledger.insert(connection, head, [one])
        if progress is not None and index % 256 == 0:
            progress(index, int(size))
    if (head.frontier.size, head.frontier.root) != (signed.size, signed.root):
        raise VerificationError(
            f"the {head.frontier.size} stored entries do not give the tree that was last signed (size {signed.size})",
            expected="the tree of the newest checkpoint",
            next_step="verify the ledger with the version of ml-governance that wrote it",
        )
    head.latest = datetime.fromisoformat(latest) if latest else None
    connection.execute(table("head").update(), head.signed(ledger.origin, log_signer)[1])
    connection.exec_driver_sql(f"INSERT INTO tokens SELECT token, idx FROM {_OLD}tokens")  # noqa: S608  a name from this module
    for name in reversed(_TABLES):
        connection.exec_driver_sql(f"DROP TABLE {_OLD}{name}")
    for statement in guards(engine.dialect.name):
        connection.exec_driver_sql(statement)


def _entries_of_1(connection: Connection) -> Iterator[entry.Entry]:
    rows = connection.exec_driver_sql(
        f"SELECT l.leaf, b.data FROM {_OLD}leaves l LEFT JOIN {_OLD}blobs b ON b.envelope = l.envelope ORDER BY l.idx"  # noqa: S608  names from this module
    )
    for leaf, data in rows:
        if data is None:
            raise VerificationError("an entry's content is missing", next_step="restore it from a backup first")
        if not isinstance(data, bytes) or not isinstance(leaf, bytes):
            raise VerificationError("an entry is not stored as bytes", next_step="restore it from a backup first")
        one = entry.read(data)
        if one.leaf.to_bytes() != leaf:
            raise VerificationError(f"a {one.kind} entry is not the one its leaf names")
        yield one
