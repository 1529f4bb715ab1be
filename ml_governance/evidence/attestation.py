"""Verified evidence, as a gate reads it: plain values, no I/O, nothing unverified.

Only :mod:`ml_governance.evidence.verify` makes these, after signature, chain and tree have been checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ml_governance.evidence.charter import Charter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ml_governance.evidence.entry import Entry
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.trust import Principal
    from ml_governance.evidence.wire import Content

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """One verified ledger entry.

    Parameters
    ----------
    index : int
        Position in the ledger, from 0.
    kind : str
        Short name of the predicate type, for example ``fairness``.
    payload_digest : str
        SHA-256 of the signed payload: how approvals and decisions refer to it.
    subjects : tuple of Subject
        What it is about.
    content : Content
        The predicate without its chain fields, as the model of its kind.
    recorded_at : datetime
        UTC time that the signer claims; never before an earlier entry of a verified log.
    keyid : str
        The key that signed.
    principal : Principal
        Who that key belonged to at this index, with the roles held *then*.
    """

    index: int
    kind: str
    payload_digest: str
    subjects: tuple[Subject, ...]
    content: Content
    recorded_at: datetime
    keyid: str
    principal: Principal

    def about(self, sha256: str) -> bool:
        """Tell whether one of the subjects has this digest."""
        return any(subject.sha256 == sha256 for subject in self.subjects)


def attestation(index: int, read: Entry, principal: Principal) -> Attestation:
    """Return a verified entry as a gate reads it."""
    return Attestation(
        index=index,
        kind=read.kind,
        payload_digest=read.leaf.payload,
        subjects=read.subjects,
        content=read.content,
        recorded_at=read.chain.recorded_at,
        keyid=read.leaf.keyid,
        principal=principal,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Void:
    """An entry that stands in the log and counts no more: erased on purpose, or signed with a key taken back since.

    What it said might have counted against a subject, so for that subject it blocks until a newer entry of its kind.

    Parameters
    ----------
    index : int
        The entry.
    kind : str
        What it was.
    subjects : frozenset of str
        Digests of what it was about.
    why : str
        A clause, such as ``its content was erased under entry #20``.
    by : str
        Whose key signed it; empty where that is not known.
    erased : bool
        Whether nobody can tell any more what it said.
    payload : str
        Digest of what was signed, by which others refer to it; empty where that is not known.
    """

    index: int
    kind: str
    subjects: frozenset[str]
    why: str
    by: str = ""
    erased: bool = False
    payload: str = ""

    def about(self, sha256: str) -> bool:
        """Tell whether it was about this digest."""
        return sha256 in self.subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """The verified entries up to one checkpoint: all of them, or all that concern one decision; none missing.

    Parameters
    ----------
    origin : str
        The log's name.
    size : int
        Number of leaves of the checkpoint.
    root_hash : str
        Hexadecimal RFC 6962 root of those leaves.
    attestations : tuple of Attestation
        The entries, by index.
    void : tuple of Void
        Entries that count no more.
    principals : mapping of str to Principal
        The people now in force, by id.
    charter : Charter
        What now holds of roles.
    notes : tuple of (str, str)
        What does not count and why, each after the digest of the subject that it is about.
    trust_expires_at : datetime
        From then on nothing new may be decided under the trust file in force.
    newest : datetime or None
        The newest time that the log shows: of an entry that counts, or of an anchor. Nobody may decide on an earlier clock.
    verified : str
        Which verification it rests on, in words; empty where nothing was verified, as in the cases of a policy's tests.
    """

    origin: str
    size: int
    root_hash: str
    attestations: tuple[Attestation, ...] = field(repr=False)
    void: tuple[Void, ...] = ()
    principals: Mapping[str, Principal] = field(repr=False)
    charter: Charter = field(default_factory=Charter, repr=False)
    notes: tuple[tuple[str, str], ...] = ()
    trust_expires_at: datetime
    newest: datetime | None = None
    verified: str = ""
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, what: object, make: Callable[[], T]) -> T:
        """Return what was made of this evidence before under a name, or make it: the evidence never changes."""
        if what not in self._made:
            self._made[what] = make()
        found: T = self._made[what]
        return found

    def about(self, sha256: str, kind: str | None = None) -> tuple[Attestation, ...]:
        """Return the entries about one digest, oldest first, optionally of one kind."""
        return self.once("subjects", self._by_subject).get((sha256, kind), ())

    def _by_subject(self) -> dict[tuple[str, str | None], tuple[Attestation, ...]]:
        found: dict[tuple[str, str | None], list[Attestation]] = {}
        for one in self.attestations:
            for sha256 in {subject.sha256 for subject in one.subjects}:
                found.setdefault((sha256, None), []).append(one)
                found.setdefault((sha256, one.kind), []).append(one)
        return {key: tuple(entries) for key, entries in found.items()}

    def within(self, project: str) -> EvidenceView:
        """Return the same evidence as a project sees it: whoever is trusted for other projects alone has no role here."""

        def here(one: Attestation) -> Attestation:
            if not one.principal.roles or {project, "*"} & one.principal.projects:
                return one
            return replace(one, principal=replace(one.principal, roles=frozenset()))

        return replace(self, attestations=tuple(here(one) for one in self.attestations))

    def of_kind(self, kind: str) -> tuple[Attestation, ...]:
        """Return the entries of one kind, oldest first."""
        return self.once("kinds", self._by_kind).get(kind, ())

    def _by_kind(self) -> dict[str, tuple[Attestation, ...]]:
        found: dict[str, list[Attestation]] = {}
        for one in self.attestations:
            found.setdefault(one.kind, []).append(one)
        return {kind: tuple(entries) for kind, entries in found.items()}
