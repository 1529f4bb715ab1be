"""Who signed an entry: one rule, asked when an entry is appended and again whenever it is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import trust
from ml_governance.evidence.envelope import verify
from ml_governance.evidence.predicates import TrustUpdate, WriterClose, WriterOpen

if TYPE_CHECKING:
    from ml_governance.evidence.entry import Parsed

ROOT_KINDS = (TrustUpdate.kind, WriterOpen.kind, WriterClose.kind)
"""What a root key may sign."""


def signer_of(parsed: Parsed, current: trust.TrustFile, index: int) -> trust.Principal:
    """Return whose signature an entry bears.

    Parameters
    ----------
    parsed : Parsed
        The entry.
    current : TrustFile
        The trust file in force at its index.
    index : int
        Its ledger index.

    Raises
    ------
    VerificationError
        If the signature does not verify, the key is nobody's or does not count at that index, or a root key signed
        something that is no trust file.
    """
    roots = {key.keyid: key for key in current.root_keys}
    if parsed.keyid in roots:
        verify(parsed.envelope, roots)
        if parsed.kind not in ROOT_KINDS:
            raise VerificationError("a root key signed it, and root keys sign trust files only")
        return trust.ROOT
    principal = current.signer(parsed.keyid, index)
    verify(parsed.envelope, current.public_keys())
    return principal
