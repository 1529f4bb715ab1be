"""Who is trusted: the next version of the trust file, signed by the root and put in force by the log."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_governance.decide.reading import read_yaml
from ml_governance.errors import ConfigurationError, NotAuthorizedError, UsageError, VerificationError
from ml_governance.evidence import entry, succession, timeline, trust
from ml_governance.evidence import envelope as dsse
from ml_governance.evidence.canonical import MAX_BYTES, parse, sha256_hex
from ml_governance.evidence.charter import Charter
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.writer import Writer
from ml_governance.workspace import parts, setup
from ml_governance.workspace.config import write_atomically
from ml_governance.workspace.new_keys import read_public

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ml_governance.evidence.keys import Signer
    from ml_governance.evidence.trust import TrustFile
    from ml_governance.workspace.last_good import LastGood
    from ml_governance.workspace.session import Workspace

NEXT_LOG_KEY = f"next-{setup.LOG_KEY}"
"""The log's new key, until the trust file that names it is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enacted:
    """A trust file in force, or one that still waits for signatures.

    Parameters
    ----------
    version : int
        Its number.
    index : int or None
        The entry that put it in force; None while it waits.
    signatures, needed : int
        How many root keys have signed, and how many must.
    remark : str or None
        What its signers put on record with it.
    """

    version: int
    index: int | None
    signatures: int
    needed: int
    remark: str | None = None


class Custody:
    """The trust file of a workspace, and its succession. Reached as ``ws.custody``."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def trust(
        self,
        person: str,
        public: Path,
        *,
        roots: Sequence[str],
        name: str | None = None,
        roles: Sequence[str] = (),
        projects: Sequence[str] = (),
        custodian: str | None = None,
        draft: Path | None = None,
    ) -> Enacted:
        """Trust a person with a public key from now on.

        Parameters
        ----------
        person : str
            Their id; a person who is known gets these roles instead of the old ones.
        public : Path
            Their public key.
        roots : sequence of str
            Root keys to sign with: files, or names in the key folder.
        name, roles, projects, custodian
            As in the trust file; the project defaults to this workspace's, the custodian to the person.
        draft : Path, optional
            Where the version waits if the root's threshold is not reached yet.
        """
        setup.Person(id=person, name=person, roles=())
        for role in roles:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", role):
                raise ConfigurationError(
                    f"{role!r} cannot be a role", expected=f"lower-case words, such as {', '.join(trust.ROLES)}"
                )
        key = read_public(public)

        def change(version: TrustFile, index: int) -> TrustFile:
            known = {one.id: one for one in version.principals}.get(person)
            principal = trust.Principal(
                id=person,
                name=name or (known.name if known else person),
                custodian=custodian or (known.custodian if known else person),
                roles=frozenset(roles) or (known.roles if known else frozenset()),
                projects=frozenset(projects) or (known.projects if known else frozenset({self._ws.config.project})),
            )
            return succession.admit(version, principal, key, index=index)

        return self._next(change, roots, draft)

    def revoke(
        self, who: str, *, roots: Sequence[str], last_good: LastGood | None = None, draft: Path | None = None
    ) -> Enacted:
        """End the validity of a person's keys, of one key by its id, or of a key that signs checkpoints.

        Parameters
        ----------
        who : str
            A person's id, or the first digits of a key id or of a log key.
        roots : sequence of str
            Root keys to sign with.
        last_good : LastGood, optional
            For a stolen key: up to where it still counts, and what shows that this is older than the theft. What it rests on goes on
            record with the new trust file.
        draft : Path, optional
            Where the version waits while it has too few root signatures.
        """

        def change(version: TrustFile, index: int) -> TrustFile:
            if succession.log_keys_called(version, who):
                # A checkpoint of so many entries is good itself, the first one after it no more.
                until = index if last_good is None else last_good.size + 1 if last_good.size else 0
                changed = succession.end_log_key(version, who, until=until)
            else:
                changed = succession.revoke(version, who, until=index if last_good is None else last_good.size)
            return replace(changed, remark=None if last_good is None else last_good.remark(who))

        return self._next(change, roots, draft)

    def resume(self, *, roots: Sequence[str], reason: str, draft: Path | None = None) -> Enacted:
        """Set the log's time right, after an entry claimed a time that has not come and nothing true could follow it.

        Each holder's own clock must agree; the entries from the future count no more.

        Parameters
        ----------
        roots : sequence of str
            Root keys to sign with; the root's threshold must.
        reason : str
            What happened; kept for ever.
        draft : Path, optional
            Where the version waits if the root's threshold is not reached yet.

        Raises
        ------
        ConfigurationError
            If no entry is from the future.
        """
        if not reason.strip():
            raise UsageError("the reason is empty", expected="what happened, for those who read the log later")
        ws = self._ws
        self.current()
        now = ws.clock()
        stored = ((one.index, entry.read(one.envelope)) for one in ws.ledger.entries() if one.envelope is not None)
        since = timeline.replay(stored).first_after(now)
        if since is None:
            raise ConfigurationError(
                f"no entry is from the future: it is {now.isoformat()} here",
                expected="a log whose time is ahead of the true time",
                next_step="set this machine's clock",
            )
        remark = f"it is {now.isoformat(timespec='seconds')}, and entries from #{since} on claim a later time: {reason.strip()}"
        return self._next(
            lambda version, _: replace(succession.resume(version, since=since, at=now), remark=remark), roots, draft
        )

    def rotate(self, person: str, public: Path, *, roots: Sequence[str], draft: Path | None = None) -> Enacted:
        """Let a person go on with a new key; the old one ends where the new one begins."""
        key = read_public(public)
        return self._next(lambda version, index: succession.change_key(version, person, key, index=index), roots, draft)

    def renew(self, *, roots: Sequence[str], draft: Path | None = None) -> Enacted:
        """Sign the same trust again with a new expiry, a year from now."""
        return self._next(lambda version, _: version, roots, draft)

    def charter(self, path: Path, *, roots: Sequence[str], draft: Path | None = None) -> Enacted:
        """Put another charter in force: what holds of roles, from a YAML or JSON file.

        Raises
        ------
        ConfigurationError
            If the file cannot be read.
        PolicyError
            If it is no plain YAML.
        VerificationError
            If it is no charter, or somebody holds two roles that it keeps apart.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}", expected="UTF-8 text") from error
        coming = Charter.from_dict(read_yaml(text, file=str(path))[0])
        return self._next(lambda version, _: replace(version, charter=coming), roots, draft)

    def rotate_root(
        self, public: Sequence[Path], *, roots: Sequence[str], threshold: int = 1, draft: Path | None = None
    ) -> Enacted:
        """Put other root keys in charge; the old root and the new one must both sign."""
        new = [read_public(path) for path in public]
        return self._next(lambda version, _: succession.change_root(version, new, threshold), roots, draft)

    def rotate_log_key(self, *, roots: Sequence[str], until: int | None = None, draft: Path | None = None) -> Enacted:
        """Make a new key for checkpoints; the old one counts for the trees that it has signed, and for no larger ones.

        The new key signs the very tree that puts it in force, so a lost key can be followed too. The old key file stays beside the
        new one, renamed. Processes that have the old one open are to be started again.

        Parameters
        ----------
        roots : sequence of str
            Root keys to sign with.
        until : int, optional
            The smallest tree that the old key may no longer sign; the default is the one with this change. A version that waits for
            signatures while the log grows needs a larger one, or what the old key signs meanwhile counts no more.
        draft : Path, optional
            Where the version waits if the root's threshold is not reached yet; the new key waits beside the old one.
        """
        config = self._ws.config
        coming = config.keys / NEXT_LOG_KEY
        coming.unlink(missing_ok=True)
        new = LogSigner.generate(coming, name=config.origin)

        def change(version: TrustFile, index: int) -> TrustFile:
            if until is not None and until < index:
                raise UsageError(f"the old key is to end at {until} entries", expected=f"at least {index}")
            return succession.change_log_key(version, new.public, size=index, until=until or index)

        return self._next(change, roots, draft)

    def _log_key(self, version: TrustFile) -> tuple[str, LogSigner]:
        """Return the log key that signs once a version is in force, and its file.

        Raises
        ------
        ConfigurationError
            If none is here that is in use then: nothing could be appended any more.
        """
        config = self._ws.config
        in_use = {key.public for key in version.log_keys if key.valid_until is None}
        for file in (NEXT_LOG_KEY, setup.LOG_KEY):
            if (config.keys / file).exists():
                signer = parts.load_log_signer(config, file)
                if signer.public.public in in_use:
                    return file, signer
        raise ConfigurationError(
            f"no key that is in use under trust file {version.version} is in {config.keys}, so nothing could be appended after it",
            expected=f"the private part of {' or '.join(sorted(one[:16] for one in in_use))}",
            next_step="mlgov keys rotate log, from the beginning",
        )

    def continue_draft(self, draft: Path, *, roots: Sequence[str]) -> Enacted:
        """Add root signatures to a version that waits, and put it in force when there are enough."""
        try:
            with draft.open("rb") as stream:
                envelope = dsse.Envelope.from_dict(parse(stream.read(MAX_BYTES + 1)))
        except OSError as error:
            raise ConfigurationError(f"{draft} cannot be read: {error.strerror}") from error
        version = trust.read(envelope)
        if version.resumes is not None:
            now = self._ws.clock()
            if not -timeline.MAX_SKEW <= now - version.resumes.at <= timeline.CEREMONY:
                raise VerificationError(
                    f"the draft says that it is {version.resumes.at.isoformat()}, and it is {now.isoformat()} here",
                    expected=f"a time that this clock bears out, at most {timeline.CEREMONY.days} days ago",
                    next_step="find out whose clock is wrong before anybody signs",
                )
        return self._sign(version, envelope.signatures, roots, draft)

    # --- putting in force ---------------------------------------------------------------------------------

    def current(self) -> TrustFile:
        """Return the trust file in force, from the verified log."""
        return self._ws.verify().require()

    def _next(self, change: Callable[[TrustFile, int], TrustFile], roots: Sequence[str], draft: Path | None) -> Enacted:
        ws = self._ws
        now = ws.clock()
        current = self.current()
        # The root's own session opens before the trust file, so the first entry under it comes two later.
        index = ws.ledger.size + 2
        version = change(succession.following(current, at=now, expires_at=now + setup.TRUST_LIFETIME), index)
        return self._sign(version, (), roots, draft)

    def _sign(
        self,
        version: TrustFile,
        signatures: Sequence[dsse.Signature],
        roots: Sequence[str],
        draft: Path | None,
    ) -> Enacted:
        ws = self._ws
        current = self.current()
        allowed = current.root_ids | version.root_ids
        signers = [parts.load_signer(ws.config, name) for name in roots]
        for signer in signers:
            if signer.keyid not in allowed:
                raise NotAuthorizedError(
                    f"the key {signer.keyid[:16]} is no root key",
                    expected="a key of the root in force, or of the next one",
                )
        message = dsse.pae(trust.TRUST_TYPE, trust.payload_of(version))
        made = {one.keyid: one for one in signatures}
        made |= {one.keyid: dsse.Signature(keyid=one.keyid, sig=one.sign(message)) for one in signers}
        envelope = dsse.Envelope(
            payload=trust.payload_of(version), payload_type=trust.TRUST_TYPE, signatures=tuple(made.values())
        )
        try:
            trust.verify_successor(envelope, current)
        except VerificationError:
            if draft is None:
                raise
            write_atomically(draft, envelope.to_bytes().decode())
            return Enacted(
                version=version.version,
                index=None,
                signatures=len(made),
                needed=_needed(current, version),
                remark=version.remark,
            )
        return self._enact(version, envelope, signers, len(made))

    def _enact(
        self, version: TrustFile, envelope: dsse.Envelope, signers: Sequence[Signer], signatures: int
    ) -> Enacted:
        ws = self._ws
        current_roots = {key.keyid for key in self.current().root_keys}
        writer_key = next((one for one in signers if one.keyid in current_roots), None)
        if writer_key is None:
            raise ConfigurationError(
                "no key of the root in force is here to write the entry",
                next_step="repeat with --root-key of the old root",
            )
        file, log_signer = self._log_key(version)
        ledger = parts.open_ledger(ws.config, writing=True, clock=ws.clock, log_signer=log_signer)
        with ledger:
            writer = Writer(ledger, writer_key, clock=ws.clock, software=parts.software())
            receipt = writer.record(
                TrustUpdate(version=version.version, envelope=envelope.to_dict()),
                [Subject(name=f"trust/{version.version}", sha256=sha256_hex(envelope.payload))],
            )
            if writer_key.keyid in version.root_ids:
                writer.close()  # a root that has handed over can sign nothing more, not even that
        write_atomically(ws.config.trust_file, envelope.to_bytes().decode())
        if file == NEXT_LOG_KEY:
            present = ws.config.keys / setup.LOG_KEY
            if present.exists():
                present.rename(present.with_name(f"{setup.RETIRED}{version.version}-{setup.LOG_KEY}"))
            (ws.config.keys / file).rename(present)
            ws.close()  # whoever appends next signs with the new key
        return Enacted(
            version=version.version,
            index=receipt.index,
            signatures=signatures,
            needed=_needed(version, version),
            remark=version.remark,
        )


def _needed(current: TrustFile, version: TrustFile) -> int:
    if current.root_ids == version.root_ids:
        return current.root_threshold
    return current.root_threshold + version.root_threshold


def people(view_trust: TrustFile) -> list[dict[str, Any]]:
    """Return the people of a trust file as plain values, with what each key is worth."""
    return [
        {
            "id": one.id,
            "name": one.name,
            "roles": sorted(one.roles),
            "projects": sorted(one.projects),
            "custodian": one.custodian,
            "keys": [
                {
                    "keyid": key.public.keyid,
                    "pem": key.public.pem,
                    "validFrom": key.valid_from,
                    "validUntil": key.valid_until,
                }
                for key in one.keys
            ],
        }
        for one in sorted(view_trust.principals, key=lambda person: person.id)
    ]
