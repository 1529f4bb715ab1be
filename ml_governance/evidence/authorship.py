"""Who signed an entry: one rule, asked when an entry is appended and again whenever it is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import trust
from ml_governance.evidence.envelope import verify
from ml_governance.evidence.predicates import TrustUpdate, WriterClose, WriterOpen

if TYPE_CHECKING:
    from ml_governance.evidence.entry import Entry, Leaf

ROOT_KINDS = (TrustUpdate.kind, WriterOpen.kind, WriterClose.kind)
"""What a root key may sign."""


def signer_of(one: Entry, current: trust.TrustFile, index: int) -> trust.Principal:
    """Return whose signature an entry bears.

    Parameters
    ----------
    one : Entry
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
    principal = holder_of(one.leaf, current, index)
    verify(one.envelope, current.verification_keys)
    return principal


def holder_of(leaf: Leaf, current: trust.TrustFile, index: int) -> trust.Principal:
    """Return whose key a leaf names, the signature itself not looked at; otherwise as :func:`signer_of`."""
    keyid = leaf.keyid
    if keyid in current.root_ids:
        if leaf.kind not in ROOT_KINDS:
            raise VerificationError("a root key signed it, and root keys sign trust files only")
        return trust.ROOT
    return current.signer(keyid, index)
