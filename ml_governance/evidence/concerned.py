"""What concerns one decision, out of a log that this verifier has verified: read again by digest and by kind, none missing.

A verification of every entry ends with a :class:`~ml_governance.evidence.prefix.Prefix`: the root of the subject index and the
value of each kind, recomputed from the entries themselves, not taken from the log's word. Each value is a count and a hash
chain over the places and leaf hashes of exactly those entries. So entries whose chain gives that value are the ones that were
verified: the same, in the same order, none left out. A leaf has the digest of its envelope, so the content is the same as well, and
its signature and its writer's chain have been checked. What is not read was verified all the same, and does not concern the decision.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from ml_governance.errors import VerificationError
from ml_governance.evidence import authorship, entry, merkle, subject_index, trust
from ml_governance.evidence.attestation import Attestation, EvidenceView, Void, attestation
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.charter import Charter
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import Erasure, PolicyInForce, ProtectedData, Revocation, TrustUpdate
from ml_governance.evidence.timeline import Resumed
from ml_governance.evidence.verdicts import BreakGlass, BreakGlassReview, Delegation
from ml_governance.evidence.walk import NEVER_ERASED, standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ml_governance.evidence.prefix import Prefix
    from ml_governance.evidence.reader import LogReader, StoredEntry

EVERYBODY = (
    TrustUpdate.kind, PolicyInForce.kind, Revocation.kind, Erasure.kind, Delegation.kind, ProtectedData.kind,
    BreakGlass.kind, BreakGlassReview.kind,
)  # fmt: skip
"""Kinds that concern every decision, whatever they are about; all of their entries are read."""

CONCERNED = "every entry that concerns it, of a log of which this account has verified every entry"


class _Read(NamedTuple):
    """One entry that is known to be what was verified; without content it was erased."""

    leaf: entry.Leaf
    content: entry.Entry | None


class Concerned:
    """The entries that concern a decision, taken from a log little by little.

    Parameters
    ----------
    ledger : LogReader
        The log, in one snapshot with its verification.
    prefix : Prefix
        What that verification came to.

    Raises
    ------
    VerificationError
        From each call, if the database does not give exactly the entries that were verified.
    """

    def __init__(self, ledger: LogReader, prefix: Prefix) -> None:
        self._ledger, self._prefix = ledger, prefix
        self._trie = subject_index.Trie(ledger.index_node, prefix.trie)
        self._kinds = subject_index.unpack_kinds(prefix.kinds)
        self._entries: dict[int, _Read] = {}
        self._files: dict[int, trust.TrustFile] = {}
        self._attested: dict[int, Attestation] = {}
        self._about: dict[int, set[str]] = {}
        self._keys: dict[bytes, frozenset[str] | None] = {}
        for kind in EVERYBODY:
            self.of_kind(kind)

    def about(self, sha256: str, kinds: frozenset[str] | None = None) -> None:
        """Read the entries about a digest, all of them or those of some kinds."""
        key = bytes.fromhex(sha256)
        known = self._keys.get(key, frozenset())
        if known is None or (kinds is not None and kinds <= known):
            return
        kinds = None if kinds is None else kinds | known
        places = self._ledger.find(key)
        value = self._trie.get(key)
        rows = self._complete(places, value, f"about {sha256[:16]}...", content=kinds is None)
        wanted = [row.index for row in rows if kinds is None or entry.Leaf.from_bytes(row.leaf).kind in kinds]
        if kinds is not None:
            again = list(self._ledger.at(wanted))
            hashes = {row.index: row.leaf for row in rows}
            if [row.index for row in again] != wanted or any(row.leaf != hashes[row.index] for row in again):
                raise VerificationError(f"the entries about {sha256[:16]}... changed while they were read")
            rows = again
        for row in rows:
            self._take(row)
            self._about.setdefault(row.index, set()).add(sha256)
        self._keys[key] = kinds

    def beginning(self, digits: str) -> tuple[str, ...]:
        """Return every digest in the subject index that begins with some hexadecimal digits."""
        return tuple(key.hex() for key in self._trie.below(digits))

    def placed(self, places: Iterable[tuple[int, bytes]]) -> None:
        """Read entries by their place and leaf hash, as the verifier has noted them."""
        hashes = dict(places)
        wanted = sorted(hashes.keys() - self._entries.keys())
        rows = list(self._ledger.at(wanted))
        if [row.index for row in rows] != wanted or any(
            merkle.leaf_hash(row.leaf) != hashes[row.index] for row in rows
        ):
            raise VerificationError(
                "the database does not have the entries that were verified here before", next_step="mlgov log verify"
            )
        for row in rows:
            self._take(row)

    def count(self, kind: str) -> int:
        """Return how many entries of a kind the log has."""
        return self._kinds.get(kind, subject_index.Value()).count

    def of_kind(self, kind: str, *, since: int = 0) -> None:
        """Read every entry of a kind, or every one from a place in the log on."""
        value = self._kinds.get(kind, subject_index.Value())
        rows = self._complete(self._ledger.find_kind(kind), value, f"of the kind {kind}", content=not since)
        if since:
            self.placed((row.index, merkle.leaf_hash(row.leaf)) for row in rows if row.index >= since)
            return
        for row in rows:
            self._take(row)

    def _complete(
        self, places: Collection[int], value: subject_index.Value, which: str, *, content: bool = True
    ) -> list[StoredEntry]:
        """Return the entries at some places, which must be exactly those that a value of the verified index is over."""
        rows = list(self._ledger.at(tuple(places), content=content))
        if subject_index.chain((row.index, merkle.leaf_hash(row.leaf)) for row in rows) != value:
            raise VerificationError(
                f"the entries {which} are not the {value.count} that were verified",
                expected="the same entries, in the same order, none missing",
                next_step="mlgov log verify",
            )
        return rows

    def _take(self, row: StoredEntry) -> None:
        if row.index in self._entries:
            return
        leaf = entry.Leaf.from_bytes(row.leaf)
        if row.envelope is None:
            self._entries[row.index] = _Read(leaf, None)
            return
        if sha256_hex(row.envelope) != leaf.envelope:
            raise VerificationError(
                f"#{row.index}: its stored bytes are not those that the tree holds", next_step="mlgov log verify"
            )
        self._entries[row.index] = _Read(leaf, entry.again(row.envelope, leaf))

    # --- as a gate reads it ---------------------------------------------------------------------------------

    def view(self) -> EvidenceView:
        """Return what has been read so far as evidence."""
        prefix, reads = self._prefix, sorted(self._entries.items())
        files = [(index, one) for index, (_, one) in reads if one is not None and isinstance(one.content, TrustUpdate)]
        if not files or prefix.trust != (files[-1][0], files[-1][1].leaf.payload):
            raise VerificationError("the trust file in force is not the one that was verified here before")
        for place, update in files:
            if place not in self._files:
                self._files[place] = trust.read(Envelope.from_dict(_update(update).envelope))
        versions = [self._files[index] for index, _ in files]
        starts, current = [index for index, _ in files], versions[-1]
        resumed = [
            Resumed(index=index, since=said.resumes.since, at=one.chain.recorded_at, version=said.version)
            for (index, one), said in zip(files, versions, strict=True)
            if said.resumes is not None and index != starts[0]
        ]
        erased = {
            one.content.leaf: (index, one.content.payload)
            for index, (_, one) in reads
            if one is not None and isinstance(one.content, Erasure)
        }
        found: list[Attestation] = []
        gone: list[Void] = []
        for index, (leaf, one) in reads:
            if index in self._attested:
                found.append(self._attested[index])
                continue
            holder = authorship.holder_of(leaf, versions[max(bisect_left(starts, index) - 1, 0)], index)
            if one is not None:
                found.append(self._attested.setdefault(index, attestation(index, one, holder)))
                continue
            under, payload = erased.get(index, (-1, ""))
            if payload != leaf.payload or leaf.kind in NEVER_ERASED:
                raise VerificationError(
                    f"#{index}: the content of the {leaf.kind} is missing, and no entry explains that",
                    next_step="mlgov log verify",
                )
            why, about = f"its content was erased under entry #{under}", frozenset(self._about.get(index, ()))
            gone.append(
                Void(
                    index=index,
                    kind=leaf.kind,
                    subjects=about,
                    why=why,
                    by=holder.id,
                    erased=True,
                    payload=leaf.payload,
                )
            )
        counting, taken_back = standing(found, current, resumed)
        return EvidenceView(
            origin=prefix.origin,
            size=prefix.frontier.size,
            root_hash=prefix.frontier.root.hex(),
            attestations=tuple(counting),
            void=tuple(sorted((*gone, *taken_back), key=lambda one: one.index)),
            principals=current.people(),
            charter=current.charter or Charter(),
            trust_expires_at=current.expires_at,
            newest=prefix.latest,
            verified=CONCERNED,
        )


def _update(one: entry.Entry) -> TrustUpdate:
    assert isinstance(one.content, TrustUpdate)  # noqa: S101  selected by its content; this tells the type checker
    return one.content
