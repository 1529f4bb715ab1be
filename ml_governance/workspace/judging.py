"""What a session judges and does about it: decisions, approvals, waivers, promotions, reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.workspace.parts import here

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from ml_governance.decide.decision import Decision
    from ml_governance.decide.inbox import Item
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.promote.gate import Promoted
    from ml_governance.promote.recovery import Misplaced
    from ml_governance.report.lineage import Graph
    from ml_governance.workspace.health import Health
    from ml_governance.workspace.reporting import Written
    from ml_governance.workspace.stating import Statements


class Judging:
    """The part of :class:`~ml_governance.workspace.session.Workspace` for decisions, approvals, promotions and reports."""

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

        return deciding.decide(here(self), version, stage=stage)

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

        return considering.consider(here(self), version, stage=stage, policy=Path(policy) if policy else None, at=at)

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
            here(self), version, stage=stage, reason=reason, role=role, resolves=tuple(resolves), verdict=verdict
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

        return deciding.waive(here(self), version, stage=stage, rule=rule, reason=reason, until=until)

    def request(self, version: str | Subject, *, stage: str, comment: str) -> Receipt:
        """Ask for approvals of exactly what is on the table now; those who could give them find it in their inbox."""
        from ml_governance.workspace import deciding

        return deciding.request(here(self), version, stage=stage, comment=comment)

    def inbox(self, person: str | None = None) -> tuple[Item, ...]:
        """Return what waits for a person, who by default is the one who acts.

        Approvals that they could give, waivers that end within a week, uses of break-glass that they could review.
        """
        from ml_governance.workspace import deciding

        return deciding.waiting(here(self), person)

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

        return promoting.promote(here(self), version, stage=stage, break_glass=break_glass, hours=hours)

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

        return promoting.rollback(here(self), name, stage=stage)

    def revoke(self, target: int | str | Subject, *, reason: str) -> tuple[Receipt, ...]:
        """Withdraw an entry by its index, or a model for ever; later gates see it, and nothing takes it back.

        Raises
        ------
        NotAuthorizedError
            If the person neither signed it nor is a risk officer or policy owner, or nothing withdraws it.
        """
        from ml_governance.workspace import promoting

        return promoting.revoke(here(self), target, reason=reason)

    def review(
        self, index: int, *, reason: str, verdict: Literal["justified", "not-justified"] = "justified"
    ) -> Receipt:
        """Sign that one has looked at the use of break-glass at a ledger index, and whether it was justified."""
        from ml_governance.workspace import promoting

        return promoting.review(here(self), index, reason=reason, verdict=verdict)

    def reconcile(self) -> tuple[Misplaced, ...]:
        """Compare the registry's aliases, and the bytes under them, with the last promotions that count."""
        from ml_governance.workspace import health

        return health.reconcile(here(self))

    def doctor(self, *, fix: bool = False) -> Health:
        """Look for what is broken or about to be; with ``fix``, settle promotions that died half way."""
        from ml_governance.workspace import health

        return health.examine(here(self), fix=fix)

    def report(
        self,
        version: str | Subject,
        folder: str | Path,
        *,
        stage: str = "production",
        forms: Sequence[str] | None = None,
        kind: str = "audit",
        against: str | Subject | None = None,
        sex: str | None = None,
        race_ethnicity: str | None = None,
    ) -> Written:
        """Write a report about a model version: by default one HTML page and one JSON file.

        Parameters
        ----------
        version : str or Subject
            Which.
        folder : str or Path
            Where to write.
        stage : str, default "production"
            For which stage it is, or was, to be judged.
        forms : sequence of str, optional
            ``html`` and ``json``, or others: ``pdf`` and ``signed-pdf`` (with the key of whoever acts; its digest is recorded) of every
            kind; of an audit also ``model-card`` (Hugging Face), ``ml-bom`` (CycloneDX 1.6), ``oscal`` (assessment results), and
            ``dossier``: an archive of these with the signed evidence, which can be checked offline.
        kind : {'audit', 'll144-summary', 'annex-iv', 'compare', 'adverse-action', 'model-card', 'dossier'}
            All that is known; the summary of a bias audit that 6 RCNY 5-303 has published; a technical file in the order of Annex IV of
            the EU AI Act; two versions side by side; how reasons for declines were stated, see :meth:`state_reasons`; or an audit in
            one of two forms.
        against : str or Subject, optional
            The earlier version, of ``compare``.
        sex, race_ethnicity : str, optional
            Columns of ``ll144-summary`` where they have no usual names.

        Raises
        ------
        VerificationError
            If the log does not verify; a page that says so is written in the place of the report.
        UsageError
            If a kind or form is unknown, or they do not go together.
        MissingEvidenceError
            If the log does not hold what a kind cannot do without.
        """
        from ml_governance.workspace import reporting

        wanted = reporting.Wanted(
            **reporting.asked_for(kind, forms), stage=stage, against=against, columns=(sex, race_ethnicity)
        )
        return reporting.write(here(self), version, Path(folder), wanted)

    def state_reasons(
        self,
        version: str | Subject,
        applicants: Any,
        folder: str | Path,
        *,
        factors: Mapping[str, str],
        protected: Sequence[str],
        compared: Any = None,
        **options: Any,
    ) -> Statements:
        """State the principal reasons to every applicant that a cutoff declines: one notice each, and a record without a row.

        Parameters
        ----------
        version : str or Subject
            The model version that decides.
        applicants : DataFrame or path
            Those decided on, with the columns that the model takes and those in ``protected``.
        folder : str or Path
            Gets ``notices/`` with a page and a JSON file for each, ``notices.sha256``, and ``addressees.json``, which says whose each is.
        factors : mapping of str to str
            By column, the words that an applicant is told.
        protected : sequence of str
            Columns that are prohibited bases; an empty one says that there are none.
        compared : DataFrame or path, optional
            Applicants that the baseline is found among; default is ``applicants``.
        **options
            As :func:`ml_governance.reason_codes` takes them: ``cutoff``, ``baseline``, ``output``, ``declined``, ``at_most``, ``near``.

        Raises
        ------
        DataError
            If a protected column moves a declined applicant's output, a text speaks of one, or somebody would be told no reason.
        MissingEvidenceError
            If a reason that has to be told has no text.
        UsageError
            If the folder holds notices already.
        """
        from ml_governance.workspace import stating

        return stating.state_reasons(
            here(self), version, applicants, Path(folder), factors=factors, protected=protected, compared=compared, options=options
        )  # fmt: skip

    def show(self, version: str | Subject, *, stage: str = "production") -> str:
        """Show report, numbers and the newest verdict on a version's pages in MLflow; return the id of the run that has them.

        Raises
        ------
        ConfigurationError
            If the registry is no MLflow.
        """
        from ml_governance.workspace import reporting

        return reporting.show(here(self), version, stage=stage)

    def lineage(self, version: str | Subject) -> Graph:
        """Return what a model version came from and what came of it."""
        from ml_governance.report.lineage import trace

        ws = here(self)
        view = ws.view()
        return trace(view, ws.resolve(version, view))
