"""Protected data: registered by digest, opened only in a role, and every opening signed before a row is returned.

What is opened through here is recorded. A file that somebody opens directly is outside: the library is no access control of the
file system, and the record shows who asked here, not who could read the file.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.decide import rbac
from ml_governance.errors import (
    DataError,
    EvidenceError,
    GovernanceError,
    MissingEvidenceError,
    NotAuthorizedError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence import fingerprint
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.door import Guard, GuardError
from ml_governance.evidence.predicates import DataAccess, ProtectedData, Resource, Revocation, TrustUpdate
from ml_governance.evidence.statement import Subject
from ml_governance.workspace.people import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from ml_governance.evidence.attestation import Attestation, EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.workspace.session import Workspace

FORMATS: dict[str, Literal["parquet", "csv"]] = {".parquet": "parquet", ".csv": "csv"}
ATTEMPTS = 3
"""How often an opening starts again when roles or registrations change while it is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """Protected data as registered now, and how often they were asked for.

    Parameters
    ----------
    name : str
        Its name.
    content : ProtectedData
        What was signed.
    index : int
        Where.
    by : str
        By whom.
    granted, refused : int
        Recorded openings, and tries that were refused, of any version of the data.
    """

    name: str
    content: ProtectedData
    index: int
    by: str
    granted: int
    refused: int


def add(ws: Workspace, name: str, path: Path, *, sensitive: Sequence[str]) -> Receipt:
    """Register a file as protected data; a later registration of the same name replaces it."""
    view = ws.view()
    require(ws, view, "protect")
    if not sensitive or len(set(sensitive)) != len(sensitive):
        raise UsageError(
            "no sensitive column is named, or one twice", expected="the columns for whose sake it is protected"
        )
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path} is neither Parquet nor CSV by its name", expected="a file ending in .parquet or .csv")
    data = _bytes(path)
    frame = _table(data, kind, path.name)
    unknown = [column for column in sensitive if column not in frame.columns]
    if unknown:
        columns = ", ".join(str(column) for column in list(frame.columns)[:40])
        raise DataError(f"{path.name} has no column {unknown[0]!r}", expected=f"one of {columns}")
    table = fingerprint.table(frame)
    content = ProtectedData(
        name=name, project=ws.config.project, location=_location(ws, path), format=kind, sha256=sha256_hex(data),
        table=Resource(name=name, sha256=table.sha256, rows=len(frame)), sensitive=tuple(sensitive),
    )  # fmt: skip
    return ws.writer.record(content, subjects(content))


def open_rows(
    ws: Workspace, name: str, *, reason: str, columns: Sequence[str] = (), path: Path | None = None
) -> pd.DataFrame:
    """Open protected data after a role check, and record it first."""
    if not reason.strip():
        raise UsageError(
            "the reason is empty",
            expected="what the rows are needed for: it is signed, and whoever asks later reads it",
        )
    if len(set(columns)) != len(columns):
        raise UsageError(f"the columns {', '.join(columns)} are asked for", expected="each column once")
    for _attempt in range(ATTEMPTS):
        view = ws.view()
        entry = newest(view, name, ws.config.project)
        registered = entry.content
        assert isinstance(registered, ProtectedData)  # noqa: S101  newest() selects by kind; this tells the type checker
        access = DataAccess(
            name=name, sha256=registered.sha256, outcome="refused", reason=reason.strip(), columns=tuple(columns)
        )
        data = _judged(ws, view, registered, access, path)
        granted = access.model_copy(update={"outcome": "granted"})
        guard = Guard(since=view.size, kinds=frozenset({TrustUpdate.kind, ProtectedData.kind, Revocation.kind}))
        try:
            ws.writer.record(granted, subjects(registered), guard=guard)
        except GuardError:
            continue  # who may, or what is registered, changed meanwhile
        frame = _table(data, registered.format, name)
        return frame[list(columns)] if columns else frame
    raise EvidenceError(
        f"trust or registrations kept changing while {name} was being opened ({ATTEMPTS} times)", next_step="try again"
    )


def ls(ws: Workspace) -> tuple[Protected, ...]:
    """Return the protected data of the project, by name."""
    view = ws.view()
    names = sorted({entry.content.name for entry in _registered(view, ws.config.project)})
    found = []
    for name in names:
        try:
            entry = newest(view, name, ws.config.project)
        except EvidenceError:
            continue  # withdrawn
        content = entry.content
        outcomes = [
            one.content.outcome
            for one in view.of_kind(DataAccess.kind)
            if isinstance(one.content, DataAccess) and one.content.name == name
        ]
        if isinstance(content, ProtectedData):
            found.append(
                Protected(
                    name=name, content=content, index=entry.index, by=entry.principal.id,
                    granted=outcomes.count("granted"), refused=outcomes.count("refused"),
                )
            )  # fmt: skip
    return tuple(found)


def newest(view: EvidenceView, name: str, project: str) -> Attestation:
    """Return the newest registration of a name, unless it was withdrawn.

    Raises
    ------
    MissingEvidenceError
        If nothing is registered under the name.
    EvidenceError
        If the newest registration was revoked; an older one does not come back.
    """
    from ml_governance.decide.rules import revoked

    every = _registered(view, project)
    entries = [entry for entry in every if entry.content.name == name]
    if not entries:
        known = ", ".join(sorted({entry.content.name for entry in every}))
        raise MissingEvidenceError(
            f"no protected data is called {name!r}",
            expected=f"one of {known}" if known else "data that was registered",
            next_step="mlgov data add NAME PATH --sensitive COLUMN",
        )
    last: Attestation = entries[-1]
    gone = [one for one in view.void if one.kind == ProtectedData.kind and one.index > last.index]
    if gone:  # which may have been of this name; the one before it does not come back
        raise EvidenceError(
            f"a later registration, #{gone[-1].index}, counts no more: {gone[-1].why}",
            next_step=f"mlgov data add {name}",
        )
    withdrawn = revoked(view).get(last.payload_digest)
    if withdrawn is not None:
        raise EvidenceError(
            f"the registration of {name} at #{last.index} was revoked at #{withdrawn.index}",
            next_step="mlgov data add, if the data is to be opened again",
        )
    return last


def subjects(content: ProtectedData) -> tuple[Subject, ...]:
    """Return what a registration or an opening is about: the bytes, and the rows as assessments name them."""
    return (
        Subject(name=f"data/{content.name}", sha256=content.sha256),
        Subject(name=f"data/{content.name}#rows", sha256=content.table.sha256),
    )


def _registered(view: EvidenceView, project: str) -> list[Any]:
    return [
        entry
        for entry in view.of_kind(ProtectedData.kind)
        if isinstance(entry.content, ProtectedData) and entry.content.project == project
    ]


def _judged(
    ws: Workspace, view: EvidenceView, registered: ProtectedData, access: DataAccess, path: Path | None
) -> bytes:
    """Return the registered bytes if the person who acts may have them; a refusal is recorded."""
    try:
        me = ws.me(view)
        verdict = rbac.may(me, "read", policy=None, evidence=view, project=ws.config.project)
        if not verdict.allowed:
            raise NotAuthorizedError(verdict.reason, expected="a role that the charter lets read protected rows")
        data = _bytes(path or ws.root / registered.location)
        found = sha256_hex(data)
        if found != registered.sha256:
            raise VerificationError(
                f"the file of {registered.name} has the digest sha256:{found}",
                expected=f"sha256:{registered.sha256}, which is registered",
                next_step="find out who changed it; mlgov data add registers the new bytes if the change is wanted",
            )
        missing = [
            column for column in access.columns if column not in _table(data, registered.format, registered.name)
        ]
        if missing:
            raise DataError(f"{registered.name} has no column {missing[0]!r}", next_step="mlgov data ls")
    except GovernanceError as error:
        ws.writer.record(access.model_copy(update={"detail": error.found[:4000]}), subjects(registered))
        raise
    return data


def _bytes(path: Path) -> bytes:
    """Read a regular file once: what is digested is what is parsed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise DataError(f"{path.name} cannot be opened: {error.strerror}", expected="a regular file") from error
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise DataError(f"{path.name} is no regular file", expected="a regular file")
        return stream.read()


def _table(data: bytes, kind: str, name: str) -> pd.DataFrame:
    import pandas as pd

    read = pd.read_parquet if kind == "parquet" else pd.read_csv
    try:
        frame: pd.DataFrame = read(io.BytesIO(data))
    except (OSError, ValueError) as error:  # pyarrow's and pandas' parse errors are ValueErrors
        raise DataError(f"{name} cannot be read as {kind}: {error}") from error
    if frame.empty:
        raise DataError(f"{name} has no rows", expected="a table with rows")
    frame.attrs["name"] = name
    return frame


def _location(ws: Workspace, path: Path) -> str:
    """Return the place relative to the workspace where it lies in it, so that a copy of the workspace finds it too."""
    place = path.absolute()
    return str(place.relative_to(ws.root)) if place.is_relative_to(ws.root) else str(place)
