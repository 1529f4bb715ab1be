"""What can be checked of one stored entry by itself: its digests, its form, its signature.

Nothing here depends on other entries, so entries can be checked in any order and in several processes. What does
depend on others (place, chain, time, whose key it is at that index) is left to :mod:`ml_governance.evidence.walk`.
"""

from __future__ import annotations

import gc
import hashlib
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from ml_governance.errors import VerificationError
from ml_governance.evidence import entry, merkle
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.envelope import pae
from ml_governance.evidence.predicates import Erasure, TrustUpdate, WriterClose
from ml_governance.evidence.terms import FOUND, terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ml_governance.evidence.keys import PublicKey
    from ml_governance.evidence.reader import StoredEntry
    from ml_governance.evidence.wire import Content


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Have the collector of cycles look less often: pages are many small objects without any, and it would look at them all the time.

    The setting is the whole process's: whoever comes first finds what was set, and whoever leaves last sets it again.
    """
    with _SETTING:
        before = _BEFORE[0] if _BEFORE else gc.get_threshold()
        _BEFORE.append(before)
        if before[0]:  # otherwise whoever calls has switched it off
            gc.set_threshold(max(before[0], 100_000), *before[1:])
    try:
        yield
    finally:
        with _SETTING:
            _BEFORE.pop()
            if not _BEFORE:
                gc.set_threshold(*before)


_SETTING = Lock()
_BEFORE: list[tuple[int, int, int]] = []
"""What the collector's setting was before, once for each that has it look less often."""


class Checked(NamedTuple):
    """What one stored entry says, and what is wrong with it.

    ``leaf`` is None where the leaf cannot be read, ``at`` is None where the envelope is gone or unreadable. ``signed``
    tells whether the signature verified; None if the key is unknown to whoever checked.
    """

    place: int
    hashed: bytes
    leaf: entry.Leaf | None
    name: str
    faults: tuple[str, ...]
    gone: bool = False
    log: str = ""
    prev: str | None = None
    at: datetime | None = None
    digests: tuple[bytes, ...] = ()
    signed: bool | None = None
    trust: TrustUpdate | None = None
    erases: tuple[int, str] | None = None
    closes: int | None = None
    terms: tuple[str, ...] = ()


def check(rows: Sequence[StoredEntry], keys: Mapping[str, PublicKey]) -> list[tuple[Checked, entry.Entry | None]]:
    """Check stored rows: all are read, then all signatures verified, because a step that is repeated runs faster than steps in turn.

    Parameters
    ----------
    rows : sequence of StoredEntry
        Untrusted.
    keys : mapping of str to PublicKey
        Every key that might have signed, by key id; whether it may is decided later.

    Returns
    -------
    checked : list of (Checked, Entry or None)
        For each row, and the entry itself where it could be read. Never an exception: hostile content becomes faults.
    """
    reads = [_read(stored) for stored in rows]
    signed = [None if isinstance(read, str) else signed_by(read, keys) for read in reads]
    return [
        (_checked(stored, None, read, signed=signs), None)
        if isinstance(read, str)
        else (_checked(stored, read, "", signed=signs), read)
        for stored, read, signs in zip(rows, reads, signed, strict=True)
    ]


def _read(stored: StoredEntry) -> entry.Entry | str:
    """Return a row's content, or what is wrong with it; nothing is wrong with content that is gone."""
    if stored.envelope is None:
        return ""
    try:
        return entry.read(stored.envelope)
    except VerificationError as error:
        return said(error)


def _checked(stored: StoredEntry, read: entry.Entry | None, unread: str, *, signed: bool | None) -> Checked:
    hashed = merkle.leaf_hash(stored.leaf)
    faults: list[str] = []
    if hashed != stored.leaf_hash:
        faults.append("its stored leaf hash is not the hash of its leaf")
    leaf = read.leaf if read is not None and read.leaf.to_bytes() == stored.leaf else None
    if leaf is None:
        try:
            leaf = entry.Leaf.from_bytes(stored.leaf)
        except VerificationError as error:
            unreadable = f"the leaf cannot be read: {said(error)}"
            return Checked(stored.index, hashed, None, "", (*faults, unreadable))
        if stored.envelope is not None:
            faults += _differences(leaf, read, stored.envelope)
    if read is None:
        faults += [unread] if unread else []
        gone = stored.envelope is None
        return Checked(stored.index, hashed, leaf, leaf.kind, tuple(faults), gone=gone)
    content, chain = read.content, read.chain
    checked = Checked(
        place=stored.index,
        hashed=hashed,
        leaf=leaf,
        name=f"{leaf.kind} about {read.subjects[0].name:.200}",
        faults=tuple(faults),
        log=chain.log,
        prev=chain.prev,
        at=chain.recorded_at,
        digests=read.digests(),
        signed=signed,
    )
    if not _carries(type(content)):
        return checked
    return checked._replace(
        trust=content if isinstance(content, TrustUpdate) else None,
        erases=(content.leaf, content.payload) if isinstance(content, Erasure) else None,
        closes=content.records if isinstance(content, WriterClose) else None,
        terms=terms(content, read.subjects),
    )


@cache
def _carries(what: type[Content]) -> bool:
    """Tell whether the walk, or whoever looks for entries, needs more of such contents than that they are there."""
    return issubclass(what, (TrustUpdate, Erasure, WriterClose, *FOUND))


def signed_by(read: entry.Entry, keys: Mapping[str, PublicKey]) -> bool | None:
    """Tell whether the key that an entry names has signed it; None if that key is unknown."""
    key = keys.get(read.leaf.keyid)
    if key is None:
        return None
    try:
        key.verify(read.envelope.signatures[0].sig, pae(read.envelope.payload_type, read.envelope.payload))
    except VerificationError:
        return False
    return True


def _differences(leaf: entry.Leaf, read: entry.Entry | None, envelope: bytes) -> list[str]:
    faults = []
    digest = sha256_hex(envelope)
    if digest != leaf.envelope:
        faults.append(f"its stored bytes have the digest {digest[:16]}..., the tree holds {leaf.envelope[:16]}...")
    if read is not None:
        different = [name for name in entry.Leaf.__slots__ if getattr(read.leaf, name) != getattr(leaf, name)]
        if different:
            faults.append(f"its leaf and its signed content differ in {', '.join(different)}")
    return faults


def said(error: VerificationError) -> str:
    """Return an error as one clause."""
    return f"{error.found} (expected {error.expected})" if error.expected else error.found


class Tally:
    """A sum over (key, index) pairs that two sets share only if they are equal.

    Each pair is hashed with a secret of this run, so nobody can prepare pairs that cancel out.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.sum = 0

    def fresh(self) -> Tally:
        """Return an empty sum with the same secret."""
        return Tally(self.secret)

    def add(self, keys: Iterable[bytes], index: int) -> None:
        """Count an entry under its keys."""
        place = index.to_bytes(8, "big", signed=True)
        for key in keys:
            digest = hashlib.blake2b(place + key, digest_size=32, key=self.secret).digest()
            self.sum = (self.sum + int.from_bytes(digest, "big")) % (1 << 256)
