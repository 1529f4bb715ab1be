"""Verification of the subject index: computed again from the entries, or shown to continue what was verified before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ml_governance.errors import VerificationError
from ml_governance.evidence import subject_index
from ml_governance.evidence.index_build import build
from ml_governance.evidence.subject_index import NO_LEAVES, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_governance.evidence.check import Tally
    from ml_governance.evidence.reader import LogReader

LOOKUP = "the look-up table by subject does not list exactly the stored entries"
KINDS = "the look-up table by kind does not list exactly the stored entries"
NODES = "the stored subject index is not the index of the stored entries"
CONTINUES = "the subject index does not continue the one that was verified here before"


class Tables(NamedTuple):
    """What the look-up tables come to; everything here is to be held against the entries themselves.

    ``trie`` is the root that the table by subject gives, ``kinds`` the value of each kind by the table by kind, ``tally`` the sum over
    the pairs of subject and index, but for the entries in ``gone``, whose content is not there. ``agree`` tells whether every row
    continues the one before it.
    """

    trie: bytes
    kinds: dict[str, Value]
    tally: int
    gone: frozenset[int]
    subjects_agree: bool
    kinds_agree: bool


def tables(ledger: LogReader, stop: int, tally: Tally) -> Tables:
    """Read the look-up tables up to an index, which is possible beside the walk over the entries.

    Parameters
    ----------
    ledger : LogReader
        The log. Its tables only grow, so entries that others append meanwhile do no harm.
    stop : int
        The first index that is not wanted.
    tally : Tally
        An empty sum with the secret of this verification.
    """
    hashes, gone = ledger.leaf_hashes(stop)
    agree = True

    def linked(head: bytes, index: int) -> bytes:
        """Carry a stored row into the chain of its key; what is no place in the log gives a chain that no entry does."""
        return subject_index.link(head, max(index, 0), hashes[32 * index : 32 * index + 32] if index >= 0 else b"")

    def values() -> Iterator[tuple[bytes, Value]]:
        nonlocal agree
        current, count, head = None, 0, NO_LEAVES.head
        for key, index, stored_count, stored_head in ledger.keyed_subjects(stop):
            if key != current:
                if current is not None:
                    yield current, Value(count, head)
                current, count, head = key, 0, NO_LEAVES.head
            count, head = count + 1, linked(head, index)
            agree = agree and count == stored_count and head == stored_head
            if index not in gone:
                tally.add((key,), index)
        if current is not None:
            yield current, Value(count, head)

    try:
        trie = build(values())
    except VerificationError:
        trie = b""
    kinds: dict[str, Value] = {}
    kinds_agree = True
    for kind, index, stored_count, stored_head in ledger.keyed_kinds(stop):
        before = kinds.get(kind, NO_LEAVES)
        kinds[kind] = value = Value(before.count + 1, linked(before.head, index))
        kinds_agree = kinds_agree and value.count == stored_count and value.head == stored_head
    return Tables(trie, kinds, tally.sum, gone, agree, kinds_agree)


def full(
    ledger: LogReader, stop: int, found: Tables, kinds: Mapping[str, Value], expected: int, gone: frozenset[int]
) -> list[str]:
    """Hold the look-up tables and the stored index against the entries; return what is wrong.

    Parameters
    ----------
    ledger : LogReader
        The log.
    stop : int
        How many entries it has.
    found : Tables
        What its look-up tables come to.
    kinds : mapping of str to Value
        What the entries give for each kind.
    expected : int
        The sum over all (subject, index) pairs that the entries' contents name.
    gone : frozenset of int
        Entries without content: their subjects stand in the look-up table alone, and the signed root vouches for them.
    """
    faults: list[str] = []
    if (
        not found.trie
        or not found.subjects_agree
        or (found.tally, found.gone) != (expected, gone)
        or ledger.keyed_from(stop)
    ):
        faults.append(LOOKUP)
    if not found.kinds_agree or found.kinds != kinds:
        faults.append(KINDS)
    if not _nodes_hang_together(ledger, found.trie):
        faults.append(NODES)
    return faults


def _nodes_hang_together(ledger: LogReader, trie: bytes) -> bool:
    """Tell whether the stored nodes are exactly those below the root: each where its parent says, none besides."""
    wanted: list[tuple[str, bytes]] = [("", trie)] if trie != subject_index.EMPTY_TRIE else []
    try:
        for prefix, node in ledger.stored_index():
            if not wanted or wanted.pop() != (prefix, subject_index.node_hash(node)):
                return False
            # The table is read in the order of prefixes, so the first child comes next.
            wanted += [(prefix + digit, hashed) for digit, hashed in reversed(list(subject_index.children_of(node)))]
    except VerificationError:
        return False
    return not wanted


def continued(
    ledger: LogReader, old: bytes, new: bytes, start: int, added: Sequence[tuple[bytes, int, bytes]]
) -> tuple[bytes, list[str]]:
    """Show that a trie is the one verified before plus the new entries and nothing else.

    The new value of each key must extend its old one by the new leaves. Then every old value is put back, and the root
    must be the old root: whatever the stored tables say, only the true old values give it.

    Parameters
    ----------
    ledger : LogReader
        The log.
    old, new : bytes
        Root that was verified before, and the stored one.
    start : int
        First new entry.
    added : sequence of (bytes, int, bytes)
        Subject, index and leaf hash of the new entries.
    """
    grown: dict[bytes, Value] = {}
    before: dict[bytes, Value] = {}
    faults: list[str] = []
    trie = subject_index.Trie(ledger.index_node, new)
    try:
        for key, index, hashed in added:
            if key not in before:
                last = ledger.history("entries_by_key", key, before=start)
                before[key] = last[0][1] if last else subject_index.Value()
                grown[key] = before[key]
            grown[key] = grown[key].extended(index, hashed)
            if not faults and ledger.history("entries_by_key", key, before=index + 1) != ((index, grown[key]),):
                faults = [LOOKUP]
        if any(trie.get(key) != value for key, value in grown.items()):
            return new, [*faults, NODES]
        for key, value in before.items():
            trie.restore(key, value)
        return new, (faults if trie.commit()[0] == old else [*faults, CONTINUES])
    except VerificationError as error:
        return new, [*faults, f"{CONTINUES}: {error.found}"]
