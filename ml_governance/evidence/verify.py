"""Verification of a log: every entry, from the trust root to the signed checkpoint, with every problem named.

What is checked, for each entry: its place, its leaf and envelope digests, that leaf and signed content say the
same, the form of statement and predicate, the signature by a key that the trust file in force accepted at that
index, the writer's chain, and the time against earlier entries. For the log: the tree, the subject index and every
stored table derived from them are computed again and compared with what is stored and with the signed checkpoint.

A verifier that keeps the :class:`Prefix` of its last verification goes on from there: new entries are checked in
the same way, and tree and index must continue what was verified before.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import entry, index_check, merkle, subject_index, trust
from ml_governance.evidence.attestation import Attestation, attestation
from ml_governance.evidence.check import Checked, Tally, check, collecting_rarely, said
from ml_governance.evidence.checkpoint import Checkpoint, read_note
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.prefix import Prefix, Session
from ml_governance.evidence.reader import PAGE
from ml_governance.evidence.verified import NO_ANCHOR, VerifiedLog
from ml_governance.evidence.walk import Walk, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ml_governance.evidence.keys import PublicKey
    from ml_governance.evidence.reader import LogReader

PINNED = (
    "continues the pinned checkpoint of {size} entries; it is rollback-proof up to there if that checkpoint was kept "
    "outside the operator's control"
)
REMEMBERED = (
    "continues the {size} entries that this account verified before; "
    "against whoever controls this account too, it is not rollback-proof without an outside checkpoint"
)
OPEN_SESSIONS = "still open or ended without a closing record"
FAR = 200_000
"""More new entries than this are not kept in a list: where nothing is collected, everything is verified, and must continue the prefix."""


def verify(
    ledger: LogReader,
    *,
    root: str,
    since: Prefix | None = None,
    pinned: Sequence[Checkpoint] = (),
    remembered: Checkpoint | None = None,
    collect: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str, int, bytes], None] | None = None,
) -> VerifiedLog:
    """Verify a log, or what is new in it.

    Parameters
    ----------
    ledger : LogReader
        The log.
    root : str
        ``sha256:...`` of the trust root, obtained by another way than the log.
    since : Prefix, optional
        What this verifier has verified before; only later entries are checked, and they must continue it.
    pinned : sequence of Checkpoint
        Checkpoints that this verifier got from elsewhere; the log must continue each.
    remembered : Checkpoint, optional
        What this account verified before, if everything is to be checked again.
    collect : bool, default True
        Keep the verified entries. Without it memory stays bounded whatever the log's length.
    workers : int, default 1
        Processes that check entries; with more than one, nothing can be collected, and the calling program's main
        module must be importable without side effects (``if __name__ == "__main__"``).
    progress : callable, optional
        ``progress(done, total)``, called now and then.
    note : callable, optional
        ``note(term, index, leaf_hash)``, called with every word under which an entry is found (:mod:`~ml_governance.evidence.terms`).
        It is worth keeping only without problems.

    Returns
    -------
    VerifiedLog
        Never raises because of what the log holds: hostile content becomes problems.

    Raises
    ------
    LedgerError
        If the database itself cannot be read.
    """
    with collecting_rarely(), ledger.snapshot():
        if since is not None and not collect and ledger.size - since.frontier.size > FAR and since.root == root:
            remembered = since.checkpoint
            since = None
        return _Verification(ledger, root, since, progress, note).run(
            pinned, remembered, collect=collect and workers < 2, workers=workers
        )


class _Verification:
    """One run of :func:`verify`."""

    def __init__(
        self,
        ledger: LogReader,
        root: str,
        since: Prefix | None,
        progress: Callable[[int, int], None] | None,
        note: Callable[[str, int, bytes], None] | None,
    ) -> None:
        self.ledger = ledger
        self.note = note
        self.since = since
        self.progress = progress
        self.head = ledger.head()
        self.start = since.frontier.size if since is not None else 0
        self.tally = Tally(secrets.token_bytes(32))
        self.tables: index_check.Tables | None = None
        self.new_keys: list[tuple[bytes, int, bytes]] = []
        self.kinds_differ = False
        self.nodes_differ = False
        self.attestations: list[Attestation] = []
        self.walk = Walk(
            origin=ledger.origin, root=root, trust=None, earlier=self._earlier, continued=since is not None
        )
        if since is not None:
            self.walk.frontier, self.walk.time.latest = since.frontier, since.latest
            self.walk.sessions, self.walk.trust_at = dict(since.sessions), since.trust
            self.walk.kinds = subject_index.unpack_kinds(since.kinds)

    def run(
        self, pinned: Sequence[Checkpoint], remembered: Checkpoint | None, *, collect: bool, workers: int
    ) -> VerifiedLog:
        walk, ledger = self.walk, self.ledger
        self._begin()
        known = dict(walk.trust.verification_keys) if walk.trust is not None else {}
        if workers > 1:
            from ml_governance.evidence.parallel import checked_pages

            stop = max(self.head.size, self.start)
            for found in checked_pages(
                ledger, self.start, stop, known, self.tally, workers=workers, tables=self.since is None
            ):
                if isinstance(found, index_check.Tables):
                    self.tables = found
                else:
                    checked, tally = found
                    self.tally.sum = (self.tally.sum + tally) % (1 << 256)
                    self._page([(one, None) for one in checked], known, collect=False, workers=True)
            beyond = next(ledger.entries(stop), None)
            if beyond is not None:
                walk.problem(beyond.index, f"it stands beyond the {stop} entries of the stored edge")
        else:
            entries = ledger.entries(self.start)
            while page := list(islice(entries, PAGE)):
                self._page(check(page, known), known, collect=collect)
        void = walk.erased("the database", ledger.keys_of)
        computed, trie = self._computed()
        self._checkpoint(computed)
        notes = self._pins(pinned, remembered, computed)
        counting, taken_back = standing(self.attestations, walk.trust, walk.time.resumed)
        notes += walk.told()
        open_sessions = sum(not session.closed for session in walk.sessions.values())
        if open_sessions:
            notes.append(f"{open_sessions} writer session{'s are' if open_sessions > 1 else ' is'} {OPEN_SESSIONS}")
        return VerifiedLog(
            checkpoint=computed,
            problems=tuple(walk.problems),
            notes=tuple(notes),
            attestations=tuple(counting),
            void=tuple(sorted((*void, *taken_back), key=lambda one: one.index)),
            trust=walk.trust,
            prefix=walk.prefix(trie),
            checked=computed.size - self.start,
            collected=collect and self.since is None,
        )

    # --- beginning ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Find the trust file under which the first entry to be checked stands."""
        walk, since = self.walk, self.since
        if since is not None and (since.origin, since.root) != (walk.origin, walk.root):
            walk.problem(None, f"what was verified before is of the log {since.origin} under {since.root}")
        elif since is None or since.trust is None:
            walk.trust = self._genesis()
        else:
            index, payload = since.trust
            stored = next(self.ledger.entries(index, index + 1), None)
            try:
                if stored is None or stored.envelope is None:
                    raise VerificationError("it is missing from the database")
                read = entry.read(stored.envelope)
                if read.leaf.payload != payload or not isinstance(read.content, TrustUpdate):
                    raise VerificationError("it is not the one that was verified before")
                walk.trust = trust.read(Envelope.from_dict(read.content.envelope))
            except VerificationError as error:
                walk.problem(index, f"the trust file in force: {said(error)}")

    def _genesis(self) -> trust.TrustFile | None:
        """Read the first trust file, which says who may sign everything, itself included."""
        walk = self.walk
        for stored in self.ledger.entries(0, 2):
            if stored.index != 1 or stored.envelope is None:
                continue
            try:
                content = entry.read(stored.envelope).content
                if isinstance(content, TrustUpdate):
                    first = trust.verify_trust(Envelope.from_dict(content.envelope), root=walk.root)
                    if first.origin != walk.origin:
                        raise VerificationError(f"the trust file is for the log {first.origin}", expected=walk.origin)
                    return first
            except VerificationError as error:
                walk.problem(1, f"the first trust file does not verify: {said(error)}")
                return None
        walk.problem(1, "the log does not begin with a trust file, so nobody's signature can count")
        return None

    def _earlier(self, writer: str) -> Session | None:
        """Return where a writer stood at the end of the verified prefix; its record must be proven to be in it."""
        if self.since is None:
            return None
        index = self.ledger.writer_tail(writer, before=self.start)
        stored = None if index is None else next(self.ledger.entries(index, index + 1), None)
        if index is None or stored is None:
            return None
        try:
            ((checked, _),) = check((stored,), {})
            proof = self.ledger.inclusion_proof(index, self.start)
            merkle.verify_inclusion(checked.hashed, index, self.start, proof, self.since.frontier.root)
        except VerificationError:
            return None
        leaf = checked.leaf
        if leaf is None or leaf.writer != writer:
            return None
        return Session(
            seq=leaf.seq, payload=leaf.payload, keyid=leaf.keyid, at=checked.at, closed=leaf.kind == "writer-close"
        )

    # --- entries ------------------------------------------------------------------------------------------

    def _page(
        self,
        page: Sequence[tuple[Checked, entry.Entry | None]],
        known: dict[str, PublicKey],
        *,
        collect: bool,
        workers: bool = False,
    ) -> None:
        walk = self.walk
        begins = walk.frontier.size
        nodes = walk.grow([checked for checked, _ in page])
        for index, (checked, read) in enumerate(page, begins):
            one = checked
            if one.signed is None and one.at is not None:
                one = self._again(one, read, known)
            principal = walk.step(one, index)
            if one.trust is not None and walk.trust is not None:
                known.update(walk.trust.verification_keys)
            self._index(one, counted=workers)
            if self.note is not None:
                for term in one.terms:
                    self.note(term, one.place, one.hashed)
            if collect and principal is not None and read is not None:
                self.attestations.append(attestation(one.place, read, principal))
        expected = [(((position + 1) << level) - 1, level, value) for level, position, value in nodes if level]
        if list(self.ledger.stored_nodes(begins, walk.frontier.size)) != expected:
            self.nodes_differ = True
        if self.progress is not None:
            self.progress(walk.frontier.size, max(self.head.size, walk.frontier.size))

    def _again(self, one: Checked, read: entry.Entry | None, known: Mapping[str, PublicKey]) -> Checked:
        """Check a signature whose key was not known when the entry was first looked at."""
        if one.leaf is None or one.leaf.keyid not in known:
            return one
        if read is None:
            stored = next(self.ledger.entries(one.place, one.place + 1), None)
            return one if stored is None else check((stored,), known)[0][0]
        from ml_governance.evidence.check import signed_by

        return one._replace(signed=signed_by(read, known))

    def _index(self, one: Checked, *, counted: bool) -> None:
        if self.since is None:
            if not counted:
                self.tally.add(one.digests, one.place)
            return
        if one.leaf is not None:
            last = self.ledger.history("entries_by_kind", one.leaf.kind, before=one.place + 1)
            self.kinds_differ |= last != ((one.place, self.walk.kinds[one.leaf.kind]),)
        keys = one.digests if one.at is not None else self.ledger.keys_of(one.place)
        self.new_keys += [
            (key if isinstance(key, bytes) else bytes.fromhex(key), one.place, one.hashed) for key in keys
        ]

    # --- the log as a whole -------------------------------------------------------------------------------

    def _computed(self) -> tuple[Checkpoint, bytes]:
        """Recompute the index, compare the stored tables with it, and return what the log comes to."""
        walk, head = self.walk, self.head
        kinds = subject_index.pack_kinds(walk.kinds)
        gone = frozenset(walk.gone)
        if self.since is None:
            size = walk.frontier.size
            found = self.tables or index_check.tables(self.ledger, size, self.tally.fresh())
            trie, faults = found.trie, index_check.full(self.ledger, size, found, walk.kinds, self.tally.sum, gone)
        else:
            trie, faults = index_check.continued(self.ledger, self.since.trie, head.trie, self.start, self.new_keys)
        for fault in (*faults, *((index_check.KINDS,) if self.kinds_differ else ())):
            walk.problem(None, fault)
        stored = (head.size, head.frontier, head.trie, head.kinds)
        if stored != (walk.frontier.size, walk.frontier.to_bytes(), trie, kinds):
            walk.problem(None, "the stored edge of the tree is not the edge of the stored entries")
        if walk.trust is not None and walk.trust_at is not None and head.trust != walk.trust_at[0]:
            walk.problem(
                None, f"the stored head names #{head.trust} as the trust file in force, not #{walk.trust_at[0]}"
            )
        if not self._newest_agrees():
            walk.problem(None, f"the stored head says that the newest entry is from {head.latest}")
        if self.nodes_differ:
            walk.problem(None, "the stored tree nodes are not those of the stored entries")
        computed = Checkpoint(
            origin=walk.origin,
            size=walk.frontier.size,
            root=walk.frontier.root,
            index_root=subject_index.index_root(trie, kinds),
        )
        return computed, trie

    def _newest_agrees(self) -> bool:
        """Tell whether the time that appends are held against is that of the newest entry, as far as it is known."""
        newest = self.walk.time.latest
        try:
            stored = None if self.head.latest is None else datetime.fromisoformat(self.head.latest)
            if newest is None or stored is None:
                return newest is None
            # The newest entry may be one that was erased, here or before.
            return stored == newest or (stored > newest and (bool(self.walk.gone) or self.since is not None))
        except (ValueError, TypeError):
            return False

    def _checkpoint(self, computed: Checkpoint) -> None:
        walk, since = self.walk, self.since
        if walk.trust is None:
            return
        try:
            signed = read_note(self.head.checkpoint, walk.trust.log_keys, origin=walk.origin)
        except VerificationError as error:
            walk.problem(None, f"the newest checkpoint does not verify: {said(error)}")
            return
        if since is not None and self.head.size < since.frontier.size:
            walk.problem(
                None,
                f"the log was rolled back: {since.frontier.size} entries were verified here before, {self.head.size} are left",
            )
        elif signed.size != computed.size:
            walk.problem(
                None, f"the newest checkpoint promises {signed.size} entries, the database has {computed.size}"
            )
        elif signed.root != computed.root and since is not None:
            walk.problem(
                None,
                f"the log was rewritten: what is signed now does not continue the {since.frontier.size} entries "
                "that were verified here before",
            )
        elif signed != computed:
            walk.problem(None, "the tree over the stored entries is not the one that the newest checkpoint signed")

    def _pins(self, pinned: Sequence[Checkpoint], remembered: Checkpoint | None, computed: Checkpoint) -> list[str]:
        """Hold the log against checkpoints that the verifier brought along."""
        pins = [(pin, "the pinned checkpoint") for pin in pinned]
        if remembered is not None:
            pins.append((remembered, "what this account verified before"))
        before = len(self.walk.problems)
        for pin, whose in pins:
            if pin.origin != computed.origin:
                self.walk.problem(None, f"{whose} is of another log, {pin.origin}")
            elif pin.size > computed.size:
                self.walk.problem(
                    None,
                    f"the log was rolled back: {whose} has {pin.size} entries, {computed.size} are left",
                )
            else:
                try:
                    proof = self.ledger.consistency_proof(pin.size, computed.size)
                    merkle.verify_consistency(pin.size, computed.size, pin.root, computed.root, proof)
                except VerificationError:
                    self.walk.problem(
                        None, f"the log was rewritten: its first {pin.size} entries are not those of {whose}"
                    )
        if len(self.walk.problems) > before:
            return []  # the problem says it, and "continues" would be untrue
        if pinned:
            return [PINNED.format(size=max(pin.size for pin in pinned))]
        known = self.since.frontier.size if self.since is not None else remembered.size if remembered is not None else 0
        return [REMEMBERED.format(size=known)] if known else [NO_ANCHOR]
