"""Texts that people sign about a model: what it is for, where it must not be used, who oversees it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml_governance.errors import DataError, NotAuthorizedError, UsageError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import MAX_HUMAN_TEXT, HumanText

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace

SIGNED_REPORT, MODEL_SIGNATURE = "signed-report", "model-signature"
RECORDED = (SIGNED_REPORT, MODEL_SIGNATURE)
"""Texts that hold the digest of a file that was signed; whoever signs the file records them."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")


def sign_text(ws: Workspace, version: str | Subject, name: str, path: Path) -> Receipt:
    """Sign a text about a model version."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"the text is called {name!r}", expected="lower-case letters, digits and '-', such as intended-use"
        )
    if name in RECORDED:
        raise UsageError(
            f"a text of the name {name} is recorded with what it is about, and says nothing else",
            expected="another name", next_step="mlgov report MODEL --form signed-pdf; mlgov attest MODEL --model-signature FILE",
        )  # fmt: skip
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", expected="UTF-8 text") from error
    if text.strip().strip(".").casefold() in ("", "not provided"):
        raise DataError(
            f"{path} is empty, or says NOT PROVIDED", expected="a text that a reader will understand years from now"
        )
    if len(text) > MAX_HUMAN_TEXT:
        raise DataError(f"{path} has {len(text):,} characters", expected=f"at most {MAX_HUMAN_TEXT:,}")
    view = ws.view()
    require_role(ws, view)
    return record(ws, name, text, ws.resolve(version, view))


def require_role(ws: Workspace, view: EvidenceView) -> None:
    """Refuse whoever has no role in this project."""
    me = ws.me(view)
    if not me.roles:
        raise NotAuthorizedError(f"{me.id} has no role", expected="somebody with a role in this project")


def record(ws: Workspace, name: str, text: str, subject: Subject) -> Receipt:
    """Record a text that the person who acts stands by."""
    return ws.writer.record(HumanText(name=name, sha256=sha256_hex(text.encode()), text=text), [subject])
