"""Keeping the log: giving it away, anchoring it, erasing from it, backing it up. Reached as ``ws.log``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.errors import (
    ConfigurationError,
    MissingEvidenceError,
    NotAuthorizedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence import anchors, bundle, copying, tiles, timestamp, witness
from ml_governance.evidence.checkpoint import parse_body, split_note
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.predicates import Erasure, Revocation
from ml_governance.evidence.proof import TlogProof
from ml_governance.evidence.reader import Anchor
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.timeline import MAX_SKEW
from ml_governance.evidence.walk import ERASER, NEVER_ERASED, Problem
from ml_governance.workspace import exchange, received
from ml_governance.workspace.config import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ml_governance.evidence.anchors import Anchored
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.outbox import Standing
    from ml_governance.evidence.verified import VerifiedLog
    from ml_governance.integrations.openlineage import Delivered
    from ml_governance.workspace.session import Workspace

KEPT = (*NEVER_ERASED, Revocation.kind)
"""What stays: without a revocation, what it withdrew would have to block everything, or count again."""

ALL_WORKERS_FROM = 20_000
"""Entries below which several processes cost more than they save."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """A full verification with what anchors add to it.

    Parameters
    ----------
    verified : VerifiedLog
        The log itself.
    anchored : tuple of Anchored
        Anchors that verify.
    newest : datetime or None
        Time of the newest entry: how old the checkpoint is.
    """

    verified: VerifiedLog
    anchored: tuple[Anchored, ...]
    newest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An entry whose retention period is over."""

    index: int
    kind: str
    recorded_at: datetime
    since: datetime


class Keeping:
    """The log of a workspace as its keeper sees it."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    # --- verifying ----------------------------------------------------------------------------------------

    def verify(
        self,
        *,
        root: str | None = None,
        pinned: Sequence[Path] = (),
        witnesses: Path | None = None,
        authorities: Path | None = None,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> Audit:
        """Verify every entry, and hold the log against checkpoints and anchors from elsewhere.

        Parameters
        ----------
        root : str, optional
            ``sha256:...`` of the trust root, as the verifier knows it; what governance.toml believes must be the same.
        pinned : sequence of Path
            Signed checkpoints that the verifier kept, got from a branch, or from somebody.
        witnesses : Path, optional
            A witness policy (c2sp.org/tlog-policy).
        authorities : Path, optional
            Root certificates of timestamping authorities, PEM.
        workers : int, default 1
            Processes that check a long log.
        progress : callable, optional
            ``progress(done, total)``.
        """
        ws = self._ws
        if root is not None and root != ws.config.trust_root:
            raise VerificationError(f"governance.toml believes the trust root {ws.config.trust_root}", expected=root)
        policy = witness.parse_policy(received.read_text(witnesses)) if witnesses is not None else None
        roots = timestamp.read_roots(received.read_bytes(authorities, 1 << 20)) if authorities is not None else ()
        long = ws.ledger.size >= ALL_WORKERS_FROM
        verified = ws.verify(
            progress, pinned=[received.read_pin(path) for path in pinned], workers=workers if long else 1, collect=False
        )
        held: tuple[Anchored, ...] = ()
        if verified.trust is not None:
            held, problems = anchors.hold(
                ws.ledger, verified.checkpoint, verified.trust.log_keys, witnesses=policy, authorities=roots
            )
            asked = {"cosigned": policy is not None, "timestamp": authorities is not None}
            problems += tuple(
                Problem(index=None, what=f"the log keeps no {kind} checkpoint that verifies, and one was asked for")
                for kind, wanted in asked.items()
                if wanted and not any(one.kind == kind for one in held)
            )
            notes = tuple(one.sentence() for one in held)
            verified = verified.with_more(problems=problems, notes=notes)
        return Audit(verified=verified, anchored=held, newest=verified.prefix.latest)

    # --- giving away --------------------------------------------------------------------------------------

    def export_tiles(self, folder: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Write the log as C2SP tiles; return its size."""
        return tiles.write(self._ws.ledger, folder, progress=progress)

    def export_bundle(self, path: Path, *, subjects: Sequence[str | Subject] = ()) -> int:
        """Write one file that anybody can check offline; return the number of its entries."""
        found = bundle.collect(self._ws.ledger, [self._digest(one) for one in subjects])
        write_atomically(path, found.to_bytes().decode())
        return len(found.entries)

    def envelope(self, index: int, *, sigstore: bool = False) -> dict[str, Any]:
        """Return the DSSE envelope of an entry, or the same as a Sigstore bundle."""
        stored = next(self._ws.ledger.entries(index, index + 1), None)
        if stored is None or stored.envelope is None:
            raise MissingEvidenceError(
                f"the ledger has no content at #{index}",
                expected=f"0 to {self._ws.ledger.size - 1}, and none that was erased",
                next_step="mlgov log ls",
            )
        found = Envelope.from_bytes(stored.envelope)
        return bundle.sigstore_bundle(found) if sigstore else found.to_dict()

    def prove(self, reference: str) -> tuple[TlogProof, ...]:
        """Return proofs of inclusion: of one entry by its index, or of every entry about a subject.

        Raises
        ------
        MissingEvidenceError
            If there is no such entry.
        """
        ledger = self._ws.ledger
        if reference.isdigit() and len(reference) < 16:
            places: tuple[int, ...] = (int(reference),)
        else:
            places = ledger.find(bytes.fromhex(self._digest(reference)))
        with ledger.snapshot():
            size, note = ledger.size, ledger.cosigned()
            proofs = []
            for index in places:
                one = next(ledger.entries(index, index + 1), None)
                if one is None:
                    raise MissingEvidenceError(f"the ledger has no entry #{index}", expected=f"0 to {size - 1}")
                hashes = ledger.inclusion_proof(index, size)
                proofs.append(TlogProof(index=index, leaf=one.leaf, hashes=hashes, checkpoint=note))
        if not proofs:
            raise MissingEvidenceError(f"the ledger has no entry about {reference}", next_step="mlgov log ls")
        return tuple(proofs)

    def _digest(self, reference: str | Subject) -> str:
        if isinstance(reference, Subject):
            return reference.sha256
        plain = reference.removeprefix("sha256:")
        if len(plain) == 64 and not plain.strip("0123456789abcdef"):
            return plain
        return self._ws.resolve(reference).sha256

    # --- anchoring ----------------------------------------------------------------------------------------

    def ask_witnesses(self, policy_file: Path) -> tuple[str, dict[str, str]]:
        """Have the newest checkpoint cosigned, and keep it.

        Returns
        -------
        note : str
            The cosigned checkpoint.
        refusals : dict of str to str
            Who did not cosign, and why.

        Raises
        ------
        VerificationError
            If too few cosigned.
        """
        ledger = self._ws.ledger
        policy = witness.parse_policy(received.read_text(policy_file))
        seen = [one.size for one in ledger.anchors() if one.kind == "cosigned"]
        with ledger.snapshot():
            size, note = ledger.size, ledger.checkpoint()
            cosigned, refusals = witness.gather(
                note,
                policy,
                post=exchange.post,
                proof=lambda old: ledger.consistency_proof(old, size),
                known_size=max(seen, default=0),
            )
        try:
            agreed = witness.require_quorum(cosigned, policy)
        except VerificationError as error:
            reasons = "; ".join(f"{name}: {why}" for name, why in refusals.items())
            raise VerificationError(
                f"{error.found}{': ' + reasons if reasons else ''}", expected=error.expected
            ) from error
        if agreed:
            self._not_ahead(witness.agreed_at(agreed, policy), "the witnesses")
        ledger.keep_anchor(Anchor(size=size, kind="cosigned", name="witnesses", note=cosigned))
        return cosigned, refusals

    def ask_time(self, url: str, authorities: Path) -> datetime:
        """Have the newest checkpoint timestamped by an RFC 3161 authority, check the token, and keep it."""
        roots = timestamp.read_roots(received.read_bytes(authorities, 1 << 20))
        note = self._ws.ledger.checkpoint()
        status, answer = exchange.send(url, timestamp.request(note), timestamp.CONTENT_TYPE)
        if status != 200:
            raise UnavailableError(f"{url} answered {status}", expected="200 and a timestamp")
        return self.keep_time(answer, note, url, roots)

    def keep_time(self, token: bytes, note: str, name: str, roots: Sequence[object]) -> datetime:
        """Keep a timestamp that was got by another way, after checking it."""
        stamp = timestamp.verify(token, note, roots)  # type: ignore[arg-type]  # certificates, whose type needs no import here
        self._not_ahead(stamp.at, stamp.by)
        size = parse_body(split_note(note)[0]).size
        self._ws.ledger.keep_anchor(Anchor(size=size, kind="timestamp", name=name[:200], note=note, data=token))
        return stamp.at

    def _not_ahead(self, at: datetime, who: str) -> None:
        """Refuse an anchor from a time that has not come here: one of the two clocks is wrong, and nobody may decide before it."""
        now = self._ws.clock()
        if at - now > MAX_SKEW:
            raise VerificationError(
                f"{who} say that it is {at.isoformat()}, and it is {now.isoformat()} here",
                expected=f"clocks that agree to {int(MAX_SKEW.total_seconds() // 60)} minutes",
                next_step="find out which clock is wrong; set this machine's, or ask somebody else",
            )

    # --- erasing ------------------------------------------------------------------------------------------

    def erase(self, index: int, *, reason: str, early: bool = False) -> Receipt:
        """Delete the content of one entry for good; its leaf and every proof stay.

        Parameters
        ----------
        index : int
            Ledger index.
        reason : str
            Why; kept for ever, so it names no person.
        early : bool, default False
            Erase although the retention period is not over.

        Raises
        ------
        NotAuthorizedError
            If the person who acts is not the data protection officer.
        UsageError
            If the entry must stay, or its retention period is not over.
        """
        ws = self._ws
        if not reason.strip():
            raise UsageError("the reason is empty", expected="why the content must go, without personal data")
        view = ws.view()
        me = ws.me(view)
        if ERASER not in me.roles:
            raise NotAuthorizedError(
                f"{me.id} is {', '.join(sorted(me.roles)) or 'in no role'}",
                expected=f"{ERASER}, to erase content",
                next_step=f"mlgov keys trust PUBLIC --id {me.id} --role {ERASER} --root-key root",
            )
        entry = next((one for one in view.attestations if one.index == index), None)
        if entry is None:
            gone = next((one for one in view.void if one.index == index), None)
            raise MissingEvidenceError(
                f"#{index} is not there to erase" + (f": {gone.why}" if gone else ""), expected=f"0 to {view.size - 1}"
            )
        if entry.kind in KEPT:
            raise UsageError(
                f"#{index} is a {entry.kind} entry, which the rest is verified with", expected="another kind"
            )
        over = self._over(entry.kind, entry.recorded_at)
        if over is not None and ws.clock() < over and not early:
            raise UsageError(
                f"#{index} must be kept until {over.date().isoformat()} by [retention] in governance.toml",
                expected="an entry whose retention period is over",
                next_step="--early, if a law asks for it",
            )
        receipt = ws.writer.record(
            Erasure(leaf=index, payload=entry.payload_digest, reason=reason.strip()),
            [Subject(name=f"erased from #{index}", sha256=one.sha256) for one in entry.subjects],
            erases=index,
        )
        ws.ledger.forget()
        return receipt

    def due(self) -> tuple[Due, ...]:
        """Return the entries whose retention period is over, oldest first."""
        now = self._ws.clock()
        found = []
        for one in self._ws.view().attestations:
            over = self._over(one.kind, one.recorded_at)
            if over is not None and over <= now and one.kind not in KEPT:
                found.append(Due(index=one.index, kind=one.kind, recorded_at=one.recorded_at, since=over))
        return tuple(found)

    def _over(self, kind: str, at: datetime) -> datetime | None:
        periods = self._ws.config.retention
        days = periods.get(kind, periods.get("default"))
        if days is None:
            return None
        try:
            return at + timedelta(days=days)
        except OverflowError:  # an entry that claims to be from the end of the calendar
            return datetime.max.replace(tzinfo=UTC)

    # --- OpenLineage --------------------------------------------------------------------------------------

    def send(self, *, limit: int | None = None, retry: bool = False) -> tuple[Delivered, ...]:
        """Send lineage events that are due to every destination of governance.toml.

        Parameters
        ----------
        limit : int, optional
            At most so many for each destination.
        retry : bool, default False
            Also those that were given up, and those whose next attempt is not due.
        """
        from ml_governance.evidence.outbox import Outbox
        from ml_governance.integrations import openlineage
        from ml_governance.integrations.openlineage_transport import shown

        ws = self._ws
        if not ws.config.destinations:
            raise ConfigurationError(
                "governance.toml names no destination for lineage events",
                expected='[openlineage] destinations = ["https://host/api/v1/lineage"]',
            )
        if retry:
            for one in ws.config.destinations:
                Outbox(ws.ledger).retry(shown(one))
        return tuple(openlineage.deliver(ws.ledger, one, clock=ws.clock, limit=limit) for one in ws.config.destinations)

    def outbox(self) -> tuple[Standing, ...]:
        """Return how far each destination is; those that were never sent to count everything as waiting."""
        from ml_governance.evidence.outbox import Outbox
        from ml_governance.integrations.openlineage_transport import shown

        box = Outbox(self._ws.ledger)
        for one in self._ws.config.destinations:
            box.plan(shown(one))
        return box.standing()

    # --- backup -------------------------------------------------------------------------------------------

    def backup(self, path: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Copy the log into one SQLite file; return its size."""
        return copying.backup(self._ws.ledger, path, progress=progress)

    def restore(
        self, path: Path, *, pinned: Sequence[Path] = (), progress: Callable[[int, int], None] | None = None
    ) -> VerifiedLog:
        """Put a backup in the place of a lost log; what this account verified before counts as a pin."""
        from ml_governance.workspace import memory

        config = self._ws.config
        pins = [received.read_pin(one) for one in pinned]
        before = memory.recall(config.origin)
        if before is not None:
            pins.append(before.checkpoint)
        return copying.restore(path, config.ledger_url, root=config.trust_root, pinned=pins, progress=progress)
