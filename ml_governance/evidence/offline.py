"""Checking what a log gave away, a bundle or a folder of tiles, with nothing but the digest of the trust root."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import authorship, bundle, entry, merkle, subject_index, tiles, trust
from ml_governance.evidence.attestation import Attestation, Void, attestation
from ml_governance.evidence.check import Checked, check, said
from ml_governance.evidence.checkpoint import Checkpoint, parse_body, read_note, split_note
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.index_build import build
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.timeline import Timeline
from ml_governance.evidence.walk import ERASER, NEVER_ERASED, Problem, Walk, remarked, standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ml_governance.evidence.bundle import Bundle
    from ml_governance.evidence.keys import PublicKey
    from ml_governance.evidence.reader import StoredEntry

SIGNER_UNKNOWN = (
    "self-consistent, signer unknown: whoever made this file could have made its trust root as well; "
    "get the root's digest from somebody else and pass --root sha256:..."
)
NOT_NEWEST = (
    "not rollback-proof: nothing here tells whether the log had or has more entries; "
    "compare with a checkpoint from elsewhere, --pin FILE"
)
PARTIAL = (
    "complete for its subjects and for trust files, policies, revocations and erasures; the order and the writers' chains of "
    "other entries are proven by a full verification only"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The outcome of an offline verification.

    Parameters
    ----------
    checkpoint : Checkpoint
        What the log promised.
    note : str
        The signed note itself.
    problems : tuple of Problem
        Everything that does not verify.
    notes : tuple of str
        What is and is not proven.
    attestations : tuple of Attestation
        The entries that verify.
    void : tuple of Void
        Entries that count no more.
    trust : TrustFile or None
        The trust file in force at the end.
    root : str
        The trust root under which it was verified.
    root_known : bool
        Whether the verifier brought that root along; if not, nothing says who signed.
    subjects : tuple of str
        Digests that it is about: what was said about anything else is not in it. Empty for the whole log.
    """

    checkpoint: Checkpoint
    note: str = field(repr=False)
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    attestations: tuple[Attestation, ...] = field(repr=False)
    void: tuple[Void, ...] = ()
    trust: trust.TrustFile | None = field(repr=False)
    root: str
    root_known: bool
    subjects: tuple[str, ...] = ()

    def covers(self) -> str:
        """Return in words what it is about, with the names under which entries know the subjects."""
        if not self.subjects:
            return "the whole log"
        names: dict[str, set[str]] = {}
        for one in self.attestations:
            for subject in one.subjects:
                names.setdefault(subject.sha256, set()).add(subject.name)
        return "only " + ", ".join(
            f"{' or '.join(sorted(names.get(digest, {'no entry'})))} (sha256:{digest})" for digest in self.subjects
        )


def verify_bundle(data: bytes, *, root: str | None, pins: Sequence[Checkpoint] = ()) -> Checkout:
    """Check a bundle.

    Parameters
    ----------
    data : bytes
        The file.
    root : str or None
        ``sha256:...`` of the trust root, obtained by another way than the file.
    pins : sequence of Checkpoint
        Checkpoints that the verifier kept; the log must continue each.

    Raises
    ------
    VerificationError
        If it is no bundle at all. Whatever is wrong inside one becomes a problem.
    """
    found = bundle.Bundle.from_bytes(data)
    stored = [one.entry for one in found.entries]
    if not found.subjects:
        return _whole(stored, found.checkpoint, root, pins)
    return _Partial(found, root, pins).run()


def verify_tiles(folder: Path, *, root: str | None, pins: Sequence[Checkpoint] = ()) -> Checkout:
    """Check a folder of tiles: every tile, every entry, every signature; otherwise as :func:`verify_bundle`."""
    note = tiles.note_of(folder)
    size = parse_body(split_note(note)[0]).size
    return _whole(tiles.entries(folder, size), note, root, pins)


def _held(
    pins: Sequence[Checkpoint], promised: Checkpoint, roots: Mapping[int, bytes] | None
) -> tuple[list[str], list[str]]:
    """Hold a checkpoint against those that the verifier kept; return problems and notes.

    ``roots`` has the tree's root at each pinned size, where the entries allow to compute it.
    """
    problems, notes = [], []
    for pin in pins:
        root = promised.root if pin.size == promised.size else (roots or {}).get(pin.size)
        if pin.origin != promised.origin:
            problems.append(f"the pinned checkpoint is of another log, {pin.origin}")
        elif pin.size > promised.size:
            problems.append(
                f"it ends at {promised.size} entries, and the pinned checkpoint has {pin.size}: rolled back, or an old copy"
            )
        elif root is None:
            problems.append(
                f"the pinned checkpoint of {pin.size} entries cannot be compared with these entries alone: "
                "use the whole log, tiles, or the database"
            )
        elif root != pin.root:
            problems.append(f"the log was forked or rewritten: its first {pin.size} entries are not those of the pin")
        else:
            notes.append(
                f"continues the pinned checkpoint of {pin.size} entries; it is rollback-proof up to there if that "
                "checkpoint was kept outside the operator's control"
            )
    return problems, notes or ([] if pins else [NOT_NEWEST])


def _first_trust(stored: Sequence[StoredEntry], root: str | None, origin: str) -> tuple[trust.TrustFile, str]:
    """Return the first trust file and the root it was checked against."""
    first = next((one for one in stored if one.index == 1), None)
    if first is None or first.envelope is None:
        raise VerificationError("the first trust file, entry #1, is missing")
    content = entry.read(first.envelope).content
    if not isinstance(content, TrustUpdate):
        raise VerificationError("entry #1 is no trust file")
    envelope = Envelope.from_dict(content.envelope)
    digest = root if root is not None else trust.read(envelope).root_digest
    found = trust.verify_trust(envelope, root=digest)
    if found.origin != origin:
        raise VerificationError(f"the trust file is for the log {found.origin}", expected=origin)
    return found, digest


def _whole(stored: Iterable[StoredEntry], note: str, root: str | None, pins: Sequence[Checkpoint]) -> Checkout:
    """Walk over a whole log that did not come from its database."""
    promised = parse_body(split_note(note)[0])
    entries = iter(stored)
    walk = Walk(origin=promised.origin, root=root or "", trust=None, earlier=lambda _: None)
    subjects: dict[bytes, subject_index.Value] = {}
    attestations: list[Attestation] = []
    known: dict[str, PublicKey] = {}
    unknown_keys = False
    roots = {0: merkle.EMPTY} if any(pin.size == 0 for pin in pins) else {}
    sizes = {pin.size for pin in pins}
    try:
        head = list(islice(entries, 2))
        walk.trust, walk.root = _first_trust(head, root, promised.origin)
        known.update(walk.trust.verification_keys)
        for one in (*head, *entries):
            ((checked, read),) = check((one,), known)
            walk.grow((checked,))
            principal = walk.step(checked, walk.frontier.size - 1)
            if walk.frontier.size in sizes:
                roots[walk.frontier.size] = walk.frontier.root
            if checked.trust is not None and walk.trust is not None:
                known.update(walk.trust.verification_keys)
            unknown_keys = unknown_keys or (checked.gone and checked.leaf is not None)
            for key in checked.digests:
                subjects[key] = subjects.get(key, subject_index.Value()).extended(one.index, checked.hashed)
            if principal is not None and read is not None:
                attestations.append(attestation(one.index, read, principal))
    except VerificationError as error:
        walk.problem(None, said(error))
    void = walk.erased("what was exported", lambda _: ())
    signed = _checkpoint(walk, note)
    if signed is not None and (signed.size, signed.root) != (walk.frontier.size, walk.frontier.root):
        walk.problem(None, f"the {walk.frontier.size} entries do not give the tree that the checkpoint signed")
    elif signed is not None and not unknown_keys:
        # What an erased entry was about is not here, so the index can only be computed without any.
        computed = subject_index.index_root(build(sorted(subjects.items())), subject_index.pack_kinds(walk.kinds))
        if computed != signed.index_root:
            walk.problem(None, "the entries do not give the subject index that the checkpoint signed")
    counting, taken_back = standing(attestations, walk.trust, walk.time.resumed)
    differ, notes = _held(pins, promised, roots)
    notes += walk.told()
    for what in differ:
        walk.problem(None, what)
    return Checkout(
        checkpoint=promised,
        note=note,
        problems=tuple(walk.problems),
        notes=tuple(notes) if root is not None else (SIGNER_UNKNOWN, *notes),
        attestations=tuple(counting),
        void=(*void, *taken_back),
        trust=walk.trust,
        root=walk.root,
        root_known=root is not None,
    )


def _checkpoint(walk: Walk, note: str) -> Checkpoint | None:
    if walk.trust is None:
        return None
    try:
        return read_note(note, walk.trust.log_keys, origin=walk.origin)
    except VerificationError as error:
        walk.problem(None, f"the checkpoint does not verify: {said(error)}")
        return None


class _Partial:
    """The verification of a bundle about some subjects."""

    def __init__(self, found: Bundle, root: str | None, pins: Sequence[Checkpoint]) -> None:
        self.found = found
        self.pins = pins
        self.given = root
        self.root = root or ""
        self.promised = parse_body(split_note(found.checkpoint)[0])
        self.problems: list[Problem] = []
        self.attestations: list[Attestation] = []
        self.erasures: dict[int, tuple[int, str]] = {}
        self.gone: dict[int, entry.Leaf] = {}
        self.trust: trust.TrustFile | None = None
        self.time = Timeline()
        self.remarks: list[str] = []

    def problem(self, index: int | None, what: str) -> None:
        self.problems.append(Problem(index=index, what=what))

    def run(self) -> Checkout:
        found = self.found
        try:
            self.trust, self.root = _first_trust([one.entry for one in found.entries], self.given, found.origin)
        except VerificationError as error:
            self.problem(1, f"the first trust file does not verify: {said(error)}")
        checked = [self._entry(one) for one in found.entries]
        signed = None
        if self.trust is not None:
            try:
                signed = read_note(found.checkpoint, self.trust.log_keys, origin=found.origin)
            except VerificationError as error:
                self.problem(None, f"the checkpoint does not verify: {said(error)}")
        if signed is not None:
            self._complete(signed, checked)
        void = self._erased()
        counting, taken_back = standing(self.attestations, self.trust, self.time.resumed)
        differ, notes = _held(self.pins, self.promised, None)
        notes += [*(one.sentence() for one in self.time.resumed), *self.remarks]
        for what in differ:
            self.problem(None, what)
        return Checkout(
            checkpoint=self.promised,
            note=found.checkpoint,
            problems=tuple(self.problems),
            notes=(PARTIAL, *notes) if self.given is not None else (PARTIAL, SIGNER_UNKNOWN, *notes),
            attestations=tuple(counting),
            void=(*void, *taken_back),
            trust=self.trust,
            root=self.root,
            root_known=self.given is not None,
            subjects=found.subjects,
        )

    def _entry(self, one: bundle.Bundled) -> Checked:
        stored = one.entry
        ((checked, read),) = check((stored,), self.trust.verification_keys if self.trust is not None else {})
        faults = list(checked.faults)
        try:
            merkle.verify_inclusion(checked.hashed, stored.index, self.promised.size, one.proof, self.promised.root)
        except VerificationError as error:
            faults.append(error.found)
        principal = None
        if checked.gone and checked.leaf is not None:
            self.gone[stored.index] = checked.leaf
        elif read is not None and self.trust is not None:
            try:
                if checked.log != self.found.origin:
                    raise VerificationError(f"it was signed for the log {checked.log}")
                principal = authorship.holder_of(read.leaf, self.trust, stored.index)
                if not checked.signed:
                    raise VerificationError(f"the signature of key {read.leaf.keyid[:16]} does not verify")
                at = read.chain.recorded_at
                if checked.trust is not None and stored.index != 1:
                    envelope = Envelope.from_dict(checked.trust.envelope)
                    self._succeed(trust.verify_successor(envelope, self.trust), stored.index, at)
                if not self.time.behind(at):
                    self.time.note(stored.index, at)
                if checked.erases is not None and ERASER in principal.roles:
                    self.erasures[checked.erases[0]] = (stored.index, checked.erases[1])
            except VerificationError as error:
                faults.append(said(error))
        if faults:
            self.problem(stored.index, f"{checked.name}: {'; '.join(faults)}")
        elif principal is not None and read is not None:
            self.attestations.append(attestation(stored.index, read, principal))
        return checked

    def _succeed(self, version: trust.TrustFile, index: int, at: datetime) -> None:
        """Put a later trust file in force, with what it says about the log's time."""
        self.trust = version
        if version.remark is not None:
            self.remarks.append(remarked(version, index))
        if version.resumes is not None:
            self.time.resume(index, at, version.resumes, version.version)

    def _complete(self, signed: Checkpoint, checked: Sequence[Checked]) -> None:
        """Hold the entries against the index: all of them must be here, and no others."""
        found = self.found
        try:
            for kind in bundle.ALWAYS:
                value = subject_index.verify_kind(signed.index_root, kind, found.trie, found.kinds)
                of_kind = [(c.place, c.hashed) for c in checked if c.leaf is not None and c.leaf.kind == kind]
                if subject_index.chain(of_kind) != value:
                    raise VerificationError(
                        f"{value.count} {kind} entries are in the log, {len(of_kind)} others are here"
                    )
            places: dict[str, list[tuple[int, bytes]]] = {}
            for c, one in zip(checked, found.entries, strict=True):
                for digest in set(one.about if c.gone else map(bytes.hex, c.digests)):
                    places.setdefault(digest, []).append((c.place, c.hashed))
            for digest in found.subjects:
                key, about = bytes.fromhex(digest), places.get(digest, [])
                value = subject_index.verify_key(signed.index_root, key, found.proofs.get(digest, ()), found.kinds)
                if subject_index.chain(about) != value:
                    raise VerificationError(
                        f"{value.count} entries about {digest[:12]}... are in the log, {len(about)} others are here"
                    )
        except VerificationError as error:
            self.problem(None, f"the bundle is not complete: {said(error)}")

    def _erased(self) -> list[Void]:
        void = []
        about = {one.entry.index: frozenset(one.about) for one in self.found.entries}
        for index, leaf in self.gone.items():
            under = self.erasures.get(index)
            if leaf.kind in NEVER_ERASED:
                self.problem(index, f"{leaf.kind}: its content is gone, and no erasure may explain that")
            elif under is not None and under[1] == leaf.payload:
                why = f"its content was erased under entry #{under[0]}"
                void.append(
                    Void(index=index, kind=leaf.kind, subjects=about[index], why=why, erased=True, payload=leaf.payload)
                )
            else:
                self.problem(index, f"{leaf.kind}: its content is missing from the bundle")
        return void
