"""One person's session with one workspace."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from ml_governance.errors import ConfigurationError, MissingEvidenceError, NotAuthorizedError
from ml_governance.evidence.predicates import Registration
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.writer import Writer
from ml_governance.workspace import config, parts, verifying
from ml_governance.workspace.guarding import Guarding
from ml_governance.workspace.judging import Judging
from ml_governance.workspace.recording import Recording
from ml_governance.workspace.serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.keys import Signer
    from ml_governance.evidence.ledger import Ledger
    from ml_governance.evidence.trust import Principal
    from ml_governance.evidence.verified import VerifiedLog
    from ml_governance.promote.registry import Registry
    from ml_governance.workspace.custody import Custody
    from ml_governance.workspace.keeping import Keeping


class Workspace(Recording, Judging, Guarding, Serving):
    """A ledger, a registry, a policy and one person's key.

    Made by :func:`ml_governance.init` and :func:`ml_governance.open`. Use it as a context manager, or call
    :meth:`close`, so that the writer's session ends with a signed record.
    """

    def __init__(
        self,
        configuration: config.Config,
        *,
        signer: str | Path | None,
        clock: Callable[[], datetime] = parts.utc_now,
        narrate: Callable[[str], None] | None = None,
        full: bool = False,
    ) -> None:
        self.config = configuration
        # Whether decisions verify every entry, not only those that are new or concern them.
        self.full = full or configuration.verify == "every"
        self.clock = clock
        self.narrate = narrate or (lambda _line: None)
        self._signer: Signer | None = parts.load_signer(configuration, signer) if signer else None
        self._key_folder = (parts.signer_path(configuration, signer).absolute().parent,) if signer else ()
        self._ledger: Ledger | None = None
        self._writer: Writer | None = None
        self._registry: Registry | None = None
        self._thread = threading.get_ident()
        self._before_close: list[Callable[[], None]] = []

    @property
    def root(self) -> Path:
        """The workspace folder."""
        return self.config.root

    def __repr__(self) -> str:
        acting = f", acting with key {self._signer.keyid[:12]}" if self._signer else ", reading only"
        return f"<Workspace {self.config.project!r} at {self.root}{acting}>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p><b>Workspace</b> {escape(self.config.project)} <code>{escape(self.config.origin)}</code></p>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Record what waits for the end, close the writer's session with a signed record, and close the database."""
        with ExitStack() as stack:
            stack.callback(self._let_go)
            while self._before_close:
                stack.callback(self._before_close.pop())

    def before_close(self, call: Callable[[], None]) -> None:
        """Have something called once when the workspace is closed, while it can still record."""
        self._before_close.append(call)

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        ledger, self._ledger = self._ledger, None
        try:
            if writer is not None:
                writer.close()
        finally:
            if ledger is not None:
                ledger.close()

    @property
    def acting(self) -> bool:
        """Whether somebody's key is at hand, so that something can be signed."""
        return self._signer is not None

    def acting_as(self, signer: str | Path) -> Workspace:
        """Return the same workspace in the hands of another person.

        Raises
        ------
        KeyFileError
            If the key file is missing, unsafe or unreadable.
        """
        return Workspace(self.config, signer=signer, clock=self.clock, narrate=self.narrate, full=self.full)

    # --- what the parts need -------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The log; opened when first used, for writing only when a signer is set."""
        if self._ledger is None:
            self._ledger = parts.open_ledger(self.config, writing=self._signer is not None, clock=self.clock)
        return self._ledger

    @property
    def registry(self) -> Registry:
        """The model registry that governance.toml names; opened when first used."""
        if self._registry is None:
            self._registry = parts.open_registry(self.config.registry)
        return self._registry

    @property
    def writer(self) -> Writer:
        """The signed session of the person who acts."""
        signer = self.require_signer()
        if self._writer is None:
            self._writer = Writer(self.ledger, signer, clock=self.clock, software=parts.software())
        return self._writer

    def require_signer(self) -> Signer:
        """Return the key of the person who acts.

        Raises
        ------
        ConfigurationError
            If nobody does.
        """
        if self._signer is None:
            raise ConfigurationError(
                "nobody is acting: this call signs a record, and no key was named",
                expected="a person's id or a key file",
                next_step=f"gov.open(signer=...), mlgov --as ID, or the variable {parts.SIGNER_VARIABLE}",
            )
        return self._signer

    def recorder(self) -> parts.Recorder:
        """Return what records for the calling thread: this session, or in another thread one of the same person's own."""
        if threading.get_ident() == self._thread:
            return parts.Recorder(writer=self.writer, owner=None)
        other = Workspace(self.config, signer=None, clock=self.clock, narrate=self.narrate)
        other._signer = self._signer
        return parts.Recorder(writer=other.writer, owner=other)

    def me(self, view: EvidenceView) -> Principal:
        """Return who acts, as the trust file in force knows them.

        Raises
        ------
        NotAuthorizedError
            If the key belongs to nobody the trust file names for this project.
        """
        keyid = self.writer.keyid
        for principal in view.principals.values():
            if any(key.public.keyid == keyid and key.valid_at(view.size) for key in principal.keys):
                if self.config.project in principal.projects or "*" in principal.projects:
                    return principal
                raise NotAuthorizedError(
                    f"{principal.id} is not trusted for the project {self.config.project!r}",
                    expected=f"a principal of that project; {principal.id} has {', '.join(sorted(principal.projects))}",
                )
        for principal in view.principals.values():
            if any(key.public.keyid == keyid for key in principal.keys):
                raise NotAuthorizedError(
                    f"the key {keyid[:12]} of {principal.id} does not count at #{view.size}: it was replaced or revoked",
                    expected="a key that counts now",
                    next_step=f"mlgov keys ls shows which do; mlgov keys new {principal.id} makes another",
                )
        raise NotAuthorizedError(
            f"the key {keyid[:12]} belongs to nobody whom the trust file in force names",
            expected="a key that the root has signed into the trust file and not revoked",
            next_step="mlgov keys ls; the root's holder lets a key in with mlgov keys trust",
        )

    # --- evidence -------------------------------------------------------------------------------------

    @property
    def custody(self) -> Custody:
        """Who is trusted: keys, and the trust file."""
        from ml_governance.workspace.custody import Custody

        return Custody(self)

    @property
    def log(self) -> Keeping:
        """The log as its keeper sees it: export, proofs, anchors, erasure, backup."""
        from ml_governance.workspace.keeping import Keeping

        return Keeping(self)

    def verify(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        pinned: Sequence[Checkpoint] = (),
        workers: int = 1,
        collect: bool = True,
    ) -> VerifiedLog:
        """Verify every entry of the log, and that it continues what this account has verified before.

        Returns
        -------
        VerifiedLog
            With every problem found; an empty ``problems`` means that all entries verify.
        """
        return verifying.everything(self, progress, pinned=pinned, workers=workers, collect=collect)

    def migrate(self, progress: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        """Bring the log's tables up to date; return the version before and after."""
        from ml_governance.evidence.migrate import migrate

        return migrate(self.config.ledger_url, log_signer=parts.load_log_signer(self.config), progress=progress)

    def view(self, *, pinned: Sequence[Checkpoint] = ()) -> EvidenceView:
        """Return the verified-complete evidence at the ledger's head, with the roles that people have in this project.

        Raises
        ------
        VerificationError
            If any entry is missing or does not verify; names the first ones.
        """
        return self.acted_in(self.recorded(pinned=pinned), self.clock())

    def recorded(self, *, pinned: Sequence[Checkpoint] = ()) -> EvidenceView:
        """Return the verified-complete evidence as it stands in the ledger, without the roles that people delegate."""
        return verifying.seen(self, self.verify(pinned=pinned).view())

    def concerning(self, version: str | Subject, *, stage: str) -> tuple[Subject, EvidenceView]:
        """Return a model and the verified evidence that concerns a decision about it, none missing, with people's roles.

        Where this account has verified the log before, only new entries and those that concern the decision are read; what is
        left out has been verified and cannot change the decision. Otherwise every entry is verified first.

        Raises
        ------
        VerificationError
            If anything that is read is missing or does not verify.
        MissingEvidenceError
            If nothing or more than one thing in the ledger fits.
        """
        return verifying.concerning(self, version, stage=stage)

    @property
    def key_folders(self) -> tuple[Path, ...]:
        """Where private keys may lie: the workspace's key folder, and that of the key that acts."""
        return (self.config.keys, *self._key_folder)

    def acted_in(self, view: EvidenceView, at: datetime) -> EvidenceView:
        """Return evidence with the delegated roles in which people acted, and may act at a time."""
        from ml_governance.decide.delegation import applied

        return applied(view, project=self.config.project, at=at)

    def resolve(self, reference: str | Subject, view: EvidenceView | None = None) -> Subject:
        """Find the subject that a reference means.

        Parameters
        ----------
        reference : str or Subject
            ``name/version``, ``name@version``, ``sha256:...`` or the first 8 or more digits of a digest.
        view : EvidenceView, optional
            Verified evidence to look in.

        Raises
        ------
        MissingEvidenceError
            If nothing or more than one thing in the ledger fits.
        """
        if isinstance(reference, Subject):
            return reference
        view = view or self.view()
        wanted = reference.removeprefix("sha256:").replace("@", "/")
        found: dict[str, Subject] = {}
        for attestation in view.of_kind(Registration.kind):
            for subject in attestation.subjects:
                named = subject.name == wanted
                digested = len(wanted) >= 8 and subject.sha256.startswith(wanted)
                if named or digested:
                    found[subject.sha256] = subject
        if len(found) == 1:
            return next(iter(found.values()))
        known = sorted({s.name for a in view.of_kind(Registration.kind) for s in a.subjects})
        raise MissingEvidenceError(
            f"{len(found)} registered models fit {reference!r}" if found else f"no registered model fits {reference!r}",
            expected=f"one of {', '.join(known)}, or at least 8 digits of a sha256"
            if known
            else "a model that a training run produced",
            next_step="mlgov log ls --kind registration",
        )

    def registration(self, subject: Subject, view: EvidenceView) -> Registration:
        """Return the newest registration of a subject: where its bytes are.

        Raises
        ------
        MissingEvidenceError
            If the subject was never registered.
        """
        entries = view.about(subject.sha256, Registration.kind)
        if not entries:
            raise MissingEvidenceError(
                f"{subject} was never registered in this ledger",
                expected="a model made under ws.training(...) or brought in by ws.import_mlflow(...)",
            )
        content = entries[-1].content
        assert isinstance(content, Registration)  # noqa: S101  of_kind guarantees it; this tells the type checker
        return content
