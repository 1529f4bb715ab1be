"""One person's session with one workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from ml_governance.errors import ConfigurationError, MissingEvidenceError, NotAuthorizedError
from ml_governance.evidence import anchors
from ml_governance.evidence.predicates import Registration
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verify import verify
from ml_governance.evidence.writer import Writer
from ml_governance.workspace import config, memory, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime
    from types import TracebackType

    import pandas as pd

    from ml_governance.capture.training import TrainingRun
    from ml_governance.decide.decision import Decision
    from ml_governance.decide.inbox import Item
    from ml_governance.decide.rbac import Verdict
    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.keys import Signer
    from ml_governance.evidence.ledger import Ledger, Receipt
    from ml_governance.evidence.trust import Principal
    from ml_governance.evidence.verify import VerifiedLog
    from ml_governance.promote.gate import Promoted
    from ml_governance.promote.recovery import Misplaced
    from ml_governance.promote.registry import Registry
    from ml_governance.report.lineage import Graph
    from ml_governance.workspace.assessment import Assessed, Report
    from ml_governance.workspace.custody import Custody
    from ml_governance.workspace.health import Health
    from ml_governance.workspace.keeping import Keeping
    from ml_governance.workspace.reporting import Written


class Workspace:
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
    ) -> None:
        self.config = configuration
        self.clock = clock
        self.narrate = narrate or (lambda _line: None)
        self._signer: Signer | None = parts.load_signer(configuration, signer) if signer else None
        self._key_folder = (parts.signer_path(configuration, signer).absolute().parent,) if signer else ()
        self._ledger: Ledger | None = None
        self._writer: Writer | None = None
        self._registry: Registry | None = None

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
        """End the writer's session with a signed record and close the database."""
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
        return Workspace(self.config, signer=signer, clock=self.clock, narrate=self.narrate)

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
        if self._signer is None:
            raise ConfigurationError(
                "nobody is acting: this call signs a record, and no key was named",
                expected="a person's id or a key file",
                next_step=f"gov.open(signer=...), mlgov --as ID, or the variable {parts.SIGNER_VARIABLE}",
            )
        if self._writer is None:
            self._writer = Writer(self.ledger, self._signer, clock=self.clock, software=parts.software())
        return self._writer

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
        before = memory.recall(self.config.origin)
        verified = verify(
            self.ledger,
            root=self.config.trust_root,
            remembered=before.checkpoint if before is not None else None,
            pinned=pinned,
            workers=workers,
            collect=collect,
            progress=progress,
        )
        if not verified.problems:
            memory.remember(verified.prefix)
        return verified

    def migrate(self, progress: Callable[[int, int], None] | None = None) -> tuple[int, int]:
        """Bring the log's tables up to date; return the version before and after."""
        from ml_governance.evidence.migrate import migrate

        return migrate(self.config.ledger_url, log_signer=parts.load_log_signer(self.config), progress=progress)

    def view(self) -> EvidenceView:
        """Return the verified-complete evidence at the ledger's head, with the roles that people have in this project.

        Raises
        ------
        VerificationError
            If any entry is missing or does not verify; names the first ones.
        """
        from ml_governance.decide.delegation import applied
        from ml_governance.workspace import key_places

        found = self.verify().view().within(self.config.project)
        times = (found.newest, anchors.claimed(self.ledger))
        found = replace(found, newest=max((at for at in times if at is not None), default=None))
        found = key_places.noted(found, [self.config.keys, *self._key_folder])
        return applied(found, project=self.config.project, at=self.clock())

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

    # --- capture --------------------------------------------------------------------------------------

    def training(self, job: str) -> TrainingRun:
        """Wrap a training run: a context manager, and a decorator that keeps the signature.

        Parameters
        ----------
        job : str
            Name of the job, for example ``credit-risk``.

        Returns
        -------
        TrainingRun
            Records START on entry, and COMPLETE, or FAIL when the body raises.
        """
        from ml_governance.capture.training import TrainingRun

        return TrainingRun(
            job,
            record=self.writer.record,
            store=self.registry.store,
            clock=self.clock,
            namespace=self.config.origin,
            project=self.config.project,
        )

    def import_mlflow(self, run: str, *, name: str) -> Subject:
        """Bring in a model that an MLflow run made outside any hook; marked as claimed.

        Parameters
        ----------
        run : str
            MLflow run id in the workspace's tracking server.
        name : str
            Registered model name to give it.

        Returns
        -------
        Subject
            The registered version with its digest.
        """
        from ml_governance.workspace import claims

        return claims.import_mlflow(self, run, name=name)

    # --- assess ---------------------------------------------------------------------------------------

    def assess(
        self,
        version: str | Subject,
        data: Any,
        *,
        y_true: str,
        sensitive_features: Sequence[str],
        pos_label: Any = None,
        background: Any = None,
        kinds: Sequence[str] = ("performance", "fairness", "explanation"),
        confidence: float = 0.95,
        min_group_size: int = 30,
        seed: int = 0,
        training: Sequence[Any] = (),
        against: str | Subject | None = None,
    ) -> Assessed:
        """Load the artifact by digest in a process without keys, predict, measure, and sign what was measured.

        Parameters
        ----------
        version : str or Subject
            The model version.
        data : DataFrame or path
            Held-out rows with the label and the sensitive columns.
        y_true : str
            Column of the label.
        sensitive_features : sequence of str
            Columns whose groups are compared, alone and crossed.
        pos_label : object, optional
            The label that counts as positive, needed unless the labels are 0 and 1.
        background : DataFrame or path, optional
            Rows that explanations compare with; default is a sample of ``data``.
        kinds : sequence of {'performance', 'fairness', 'explanation'}
            What to measure.
        confidence : float in (0, 1), default 0.95
            Level of every interval.
        min_group_size : int, default 30
            Below this a group's numbers are ``insufficient``.
        seed : int, default 0
            Seed of everything random.
        training : sequence of DataFrame or path
            What the model was trained on: how many test rows stand there is measured and signed as well.
        against : str or Subject, optional
            Another version, such as the one in use: on how many rows both, one or neither is right is counted and signed.

        Returns
        -------
        Assessed
            The reports and the ledger index of each.

        Raises
        ------
        VerificationError
            If the artifact's bytes are not the registered ones.
        DataError
            If the table, labels or predictions cannot be used.
        """
        from ml_governance.workspace import assessment

        return assessment.assess(
            self,
            version,
            data,
            y_true=y_true,
            sensitive_features=tuple(sensitive_features),
            pos_label=pos_label,
            background=background,
            kinds=tuple(kinds),
            confidence=confidence,
            min_group_size=min_group_size,
            seed=seed,
            training=tuple(training),
            against=against,
        )

    def attest(self, version: str | Subject, *reports: Report, data: Any = None) -> tuple[Receipt, ...]:
        """Sign reports that the caller computed; they count as ``caller-supplied``.

        Parameters
        ----------
        version : str or Subject
            The model version that the reports are about.
        *reports : FairnessReport, PerformanceReport or ExplanationReport
            What to sign.
        data : DataFrame, path or Resource, optional
            The rows that they were computed from; its digest goes into each statement. The default is the digest
            of the columns that each report used.
        """
        from ml_governance.workspace import assessment

        return assessment.attest(self, version, reports, data=data)

    def attest_file(self, version: str | Subject, path: str | Path) -> tuple[Receipt, ...]:
        """Sign measurements from a JSON file made elsewhere; they count as ``claimed``."""
        from ml_governance.workspace import claims

        return claims.attest_file(self, version, Path(path))

    def attest_text(self, version: str | Subject, name: str, path: str | Path) -> Receipt:
        """Sign a text about a model version, such as what it is for; rules ask for it by name.

        Raises
        ------
        DataError
            If the file is empty, too long or no UTF-8.
        NotAuthorizedError
            If the person who acts has no role in this project.
        """
        from ml_governance.workspace import texts

        return texts.sign_text(self, version, name, Path(path))

    def enact(self, path: str | Path) -> Receipt:
        """Sign a policy file and put it in force for its stage.

        Raises
        ------
        PolicyError
            If the file is malformed, or its version is not above the one in force.
        NotAuthorizedError
            If the person who acts is not a policy owner.
        """
        from ml_governance.workspace import deciding

        return deciding.enact(self, Path(path))

    # --- decide ---------------------------------------------------------------------------------------

    def decide(self, version: str | Subject, *, stage: str) -> Decision:
        """Judge a model version by the policy in force and sign the decision.

        Returns
        -------
        Decision
            ``result`` is ``allow``, ``deny`` or ``review``; ``explain()`` says why, sentence by sentence.

        Raises
        ------
        VerificationError
            If any entry of the ledger is missing or does not verify.
        """
        from ml_governance.workspace import deciding

        return deciding.decide(self, version, stage=stage)

    def consider(
        self,
        version: str | Subject,
        *,
        stage: str,
        policy: str | Path | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """Judge without signing: by a policy that is not in force, or as of another time.

        Parameters
        ----------
        version : str or Subject
            The model version.
        stage : str
            The stage.
        policy : path, optional
            A policy file to judge by instead of the one in force.
        at : datetime, optional
            With its zone: judge at that time, from the ledger as it stood then.

        Returns
        -------
        Decision
            Its notes say that it is not signed, and what it would have been.

        Raises
        ------
        UsageError
            If the time lies ahead or has no zone.
        MissingEvidenceError
            If the ledger did not exist then.
        """
        from ml_governance.workspace import considering

        return considering.consider(self, version, stage=stage, policy=Path(policy) if policy else None, at=at)

    def approve(
        self,
        version: str | Subject,
        *,
        stage: str,
        reason: str,
        role: str | None = None,
        resolves: Sequence[str] = (),
        verdict: Literal["approve", "reject"] = "approve",
    ) -> Receipt:
        """Sign an approval, or a rejection, of exactly what is on the table now.

        Parameters
        ----------
        version : str or Subject
            The model version.
        stage : str
            The stage it is to enter.
        reason : str
            Why; kept for ever.
        role : str, optional
            In which role; default is the role of the person who acts that the policy still needs.
        resolves : sequence of str
            Ids of inconclusive findings that are accepted by name.
        verdict : {'approve', 'reject'}
            Yes or no.

        Raises
        ------
        NotAuthorizedError
            If the person has not that role, or made the model.
        """
        from ml_governance.workspace import deciding

        return deciding.approve(
            self, version, stage=stage, reason=reason, role=role, resolves=tuple(resolves), verdict=verdict
        )

    def waive(self, version: str | Subject, *, stage: str, rule: str, reason: str, until: date | datetime) -> Receipt:
        """Sign that one rule's failure is accepted for exactly what is on the table now, until a time.

        Parameters
        ----------
        version : str or Subject
            The model version.
        stage : str
            The stage it is to enter.
        rule : str
            Id of a rule that has failed, is inconclusive, insufficient or stale.
        reason : str
            Why; kept for ever.
        until : date or datetime
            The last day, in UTC, or a moment with a time zone; at most the policy's ``max_days`` away.

        Raises
        ------
        NotAuthorizedError
            If the person may not waive, or made the model.
        UsageError
            If the end is past, too far away, or has no time zone.
        MissingEvidenceError
            If the rule has nothing to waive.
        """
        from ml_governance.workspace import deciding

        return deciding.waive(self, version, stage=stage, rule=rule, reason=reason, until=until)

    def request(self, version: str | Subject, *, stage: str, comment: str) -> Receipt:
        """Ask for approvals of exactly what is on the table now; those who could give them find it in their inbox."""
        from ml_governance.workspace import deciding

        return deciding.request(self, version, stage=stage, comment=comment)

    def inbox(self, person: str | None = None) -> tuple[Item, ...]:
        """Return what waits for a person, who by default is the one who acts.

        Approvals that they could give, waivers that end within a week, uses of break-glass that they could review.
        """
        from ml_governance.workspace import deciding

        return deciding.waiting(self, person)

    # --- people and protected data --------------------------------------------------------------------

    def can(self, who: str, action: str, what: str | None = None, *, stage: str = "production") -> Verdict:
        """Tell whether a person may do something now, and why or why not.

        Parameters
        ----------
        who : str
            A person's id.
        action : str
            ``train``, ``register``, ``assess``, ``approve`` (or ``approve:ROLE``), ``waive``, ``promote``, ``deploy``,
            ``revoke``, ``protect`` or ``read``.
        what : str, optional
            The model; for ``revoke`` an entry's index, for ``read`` the data's name.
        stage : str, default "production"
            Whose policy counts.
        """
        from ml_governance.workspace import people

        return people.can(self, who, action, what, stage=stage)

    def delegate(self, role: str, *, to: str, until: datetime, reason: str) -> Receipt:
        """Let another person act in a role of one's own until a time, within what the charter allows.

        Parameters
        ----------
        role : str
            A role of one's own; a delegated one is not.
        to : str
            Who may act in it: somebody whom the trust file names.
        until : datetime
            First moment at which it no longer counts, with a time zone.
        reason : str
            Why; kept for ever.

        Raises
        ------
        NotAuthorizedError
            If the charter, or what it keeps apart, does not allow it.
        """
        from ml_governance.workspace import people

        return people.delegate(self, role, to=to, until=until, reason=reason)

    def protect(self, name: str, path: str | Path, *, sensitive: Sequence[str]) -> Receipt:
        """Register a file as protected data: its bytes and rows by digest, and the columns for whose sake it is protected.

        Raises
        ------
        NotAuthorizedError
            If the charter does not let the person who acts.
        DataError
            If it is no Parquet or CSV file with rows and these columns.
        """
        from ml_governance.workspace import protected

        return protected.add(self, name, Path(path), sensitive=sensitive)

    def data(
        self, name: str, *, reason: str = "", columns: Sequence[str] = (), path: str | Path | None = None
    ) -> pd.DataFrame:
        """Open protected data: a role check, the bytes' digest, a signed record of who, when and what for, then the rows.

        Parameters
        ----------
        name : str
            As it was registered.
        reason : str
            What the rows are needed for. It is required and kept for ever.
        columns : sequence of str
            Only these; default is all.
        path : str or Path, optional
            Where the file is, if not where it was registered.

        Returns
        -------
        DataFrame

        Raises
        ------
        NotAuthorizedError
            If the charter does not let the person who acts; the try is recorded.
        VerificationError
            If the bytes are no longer those registered; the try is recorded.
        MissingEvidenceError
            If nothing is registered under the name.
        """
        from ml_governance.workspace import protected

        return protected.open_rows(
            self, name, reason=reason, columns=columns, path=None if path is None else Path(path)
        )

    # --- promote and report ---------------------------------------------------------------------------

    def promote(
        self, version: str | Subject, *, stage: str, break_glass: str | None = None, hours: float = 24
    ) -> Promoted:
        """Decide again at the ledger's head, and move the stage's alias only if the answer is allow.

        Parameters
        ----------
        version : str or Subject
            The model version.
        stage : str
            The stage it is to enter.
        break_glass : str, optional
            Why it must enter the stage against the gate's answer. That takes a role of its own, ends, and stands in every
            decision until somebody else has reviewed it.
        hours : float
            For how long, with ``break_glass``; at most the policy's ``max_hours``.

        Raises
        ------
        PromotionDeniedError
            With every reason, when the gate does not allow.
        NotAuthorizedError
            If the person who acts may not promote, or may not break the glass.
        VerificationError
            If the artifact's bytes or any entry of the ledger do not verify.
        """
        from ml_governance.workspace import promoting

        return promoting.promote(self, version, stage=stage, break_glass=break_glass, hours=hours)

    def rollback(self, name: str, *, stage: str) -> Promoted:
        """Promote the newest earlier version that the gate still allows, or the earlier version that is named.

        Raises
        ------
        MissingEvidenceError
            If there is no earlier version in the stage's history.
        DeniedError
            If none is still valid; says why, version by version.
        """
        from ml_governance.workspace import promoting

        return promoting.rollback(self, name, stage=stage)

    def revoke(self, target: int | str | Subject, *, reason: str) -> tuple[Receipt, ...]:
        """Withdraw an entry by its index, or a model for ever; later gates see it, and nothing takes it back.

        Raises
        ------
        NotAuthorizedError
            If the person neither signed it nor is a risk officer or policy owner, or nothing withdraws it.
        """
        from ml_governance.workspace import promoting

        return promoting.revoke(self, target, reason=reason)

    def review(
        self, index: int, *, reason: str, verdict: Literal["justified", "not-justified"] = "justified"
    ) -> Receipt:
        """Sign that one has looked at the use of break-glass at a ledger index, and whether it was justified."""
        from ml_governance.workspace import promoting

        return promoting.review(self, index, reason=reason, verdict=verdict)

    def reconcile(self) -> tuple[Misplaced, ...]:
        """Compare the registry's aliases, and the bytes under them, with the last promotions that count."""
        from ml_governance.workspace import health

        return health.reconcile(self)

    def doctor(self, *, fix: bool = False) -> Health:
        """Look for what is broken or about to be; with ``fix``, settle promotions that died half way."""
        from ml_governance.workspace import health

        return health.examine(self, fix=fix)

    def report(self, version: str | Subject, folder: str | Path, *, stage: str = "production") -> Written:
        """Write the audit report of a model version: one HTML page and one JSON file."""
        from ml_governance.workspace import reporting

        return reporting.write(self, version, Path(folder), stage=stage)

    def lineage(self, version: str | Subject) -> Graph:
        """Return what a model version came from and what came of it."""
        from ml_governance.report.lineage import trace

        view = self.view()
        return trace(view, self.resolve(version, view))
