"""What a session records: training, what was measured, texts, policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.workspace.parts import here

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ml_governance.assess.costs import Costs
    from ml_governance.assess.performance import Task
    from ml_governance.assess.report import Report
    from ml_governance.capture.lineage_event import Parent
    from ml_governance.capture.training import TrainingRun
    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.assessment import Assessed
    from ml_governance.workspace.scanning import Scanned


class Recording:
    """The part of :class:`~ml_governance.workspace.session.Workspace` for training runs, measurements, texts and policies."""

    def training(
        self, job: str, *, parent: TrainingRun | Parent | None = None, attempt_of: TrainingRun | str | None = None
    ) -> TrainingRun:
        """Wrap a training run: a context manager, and a decorator that keeps the signature.

        Parameters
        ----------
        job : str
            Name of the job, for example ``credit-risk``.
        parent : TrainingRun or Parent, optional
            What it is a step of; default is what an orchestrator put into the environment of this process.
        attempt_of : TrainingRun or str, optional
            The run, or its id, that is tried again.

        Returns
        -------
        TrainingRun
            Records START on entry, and COMPLETE, FAIL when the body raises, or ABORT when it is stopped.

        Raises
        ------
        ConfigurationError
            If nobody acts, or an orchestrator's variables cannot be read.
        """
        from ml_governance.capture.training import TrainingRun
        from ml_governance.capture.wiring import Wiring

        ws = here(self)
        ws.require_signer()
        tracker = getattr(ws.registry, "tracker", None)
        wiring = Wiring(
            recorder=ws.recorder,
            store=ws.registry.store,
            clock=ws.clock,
            namespace=ws.config.origin,
            project=ws.config.project,
            rescue=ws.root / "rescued",
            tracker=tracker() if tracker is not None else None,
        )
        return TrainingRun(job, wiring=wiring, parent=parent, attempt_of=attempt_of)

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

        return claims.import_mlflow(here(self), run, name=name)

    # --- assess ---------------------------------------------------------------------------------------

    def assess(
        self,
        version: str | Subject,
        data: Any,
        *,
        y_true: str | None,
        sensitive_features: Sequence[str] = (),
        pos_label: Any = None,
        background: Any = None,
        kinds: Sequence[str] = ("performance", "fairness", "explanation"),
        confidence: float = 0.95,
        min_group_size: int = 30,
        seed: int = 0,
        training: Sequence[Any] = (),
        against: str | Subject | None = None,
        robustness: Mapping[str, Any] | None = None,
        rerun: str | Subject | None = None,
        task: Task = "binary",
        costs: Costs | None = None,
        population: Mapping[str, Mapping[str, float]] | None = None,
        requirements: str | Path | None = None,
        advisories: str | Path | None = None,
        trusted: Collection[str] = (),
        data_quality: Mapping[str, Any] | None = None,
        privacy: Mapping[str, Any] | None = None,
    ) -> Assessed:
        """Load the artifact by digest in a process without keys, predict, measure, and sign what was measured.

        Parameters
        ----------
        version : str or Subject
            The model version.
        data : DataFrame or path
            Held-out rows with the label and the sensitive columns.
        y_true : str or None
            Column of the label; None only where nothing is predicted.
        sensitive_features : sequence of str
            Columns whose groups are compared, alone and crossed.
        pos_label : object, optional
            The label that counts as positive, needed unless the labels are 0 and 1.
        background : DataFrame or path, optional
            Rows that explanations compare with; default is a sample of ``data``.
        kinds : sequence of str
            What to measure: ``performance``, ``fairness``, ``explanation``, ``robustness``, ``data-quality``, ``privacy``,
            ``security-scan``. The rows are read, digested and predicted once for all of them, and all are signed in one
            transaction, or none. Robustness is measured on at most 20,000 rows unless ``robustness`` says otherwise.
        confidence : float in (0, 1), default 0.95
            Level of every interval.
        min_group_size : int, default 30
            Below this a group's numbers are ``insufficient``.
        seed : int, default 0
            Seed of everything random.
        training : sequence of DataFrame or path
            What the model was trained on: how many test rows stand there is measured and signed as well. Privacy needs it; each
            must have a digest that a training run of the model recorded.
        against : str or Subject, optional
            Another version, such as the one in use: on how many rows both, one or neither is right is counted and signed.
        robustness : mapping, optional
            Options of :func:`ml_governance.assess_robustness`, such as ``{"monotone": {"income": "+"}}``.
        rerun : str or Subject, optional
            Another version, trained alike: how far its decisions and scores are apart is measured with robustness.
        task : {'binary', 'multiclass', 'regression'}
            What the model does.
        costs : Costs, optional
            What wrong decisions cost, of a binary classifier.
        population : mapping of attribute to mapping of level to float, optional
            Of ``data-quality``: shares of groups where the model is to be used.
        requirements, advisories, trusted
            Of ``security-scan``, as for :meth:`scan`.
        data_quality, privacy : mapping, optional
            Further options of :func:`ml_governance.assess_data` and :func:`ml_governance.assess_privacy`.

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

        scan = {"requirements": requirements, "advisories": advisories, "trusted": tuple(trusted)}
        options = {
            "robustness": robustness or {},
            "data-quality": {**({} if population is None else {"population": population}), **(data_quality or {})},
            "privacy": privacy or {},
            "security-scan": {name: value for name, value in scan.items() if value},
        }
        asked = assessment.Asked(
            y_true=y_true, sensitive_features=tuple(sensitive_features), kinds=tuple(kinds), pos_label=pos_label,
            background=background, confidence=confidence, min_group_size=min_group_size, seed=seed, training=tuple(training),
            against=against, rerun=rerun, task=task, costs=costs, options=options,
        )  # fmt: skip
        return assessment.assess(here(self), version, data, asked)

    def scan(
        self,
        version: str | Subject,
        *,
        requirements: str | Path | None = None,
        advisories: str | Path | None = None,
        trusted: Collection[str] = (),
    ) -> Scanned:
        """Read the files of a model version without loading them, look up its dependencies, and sign what was found.

        Parameters
        ----------
        version : str or Subject
            The model version.
        requirements : path, optional
            Requirements or lock file of what the model needs; default is what the artifact itself names, as MLflow models do.
        advisories : path, optional
            Advisories in the OSV format: a JSON file, or a folder of them.
        trusted : collection of str
            Imports that count as listed besides; the signed report names them.

        Returns
        -------
        Scanned
            The report and its ledger entry.

        Raises
        ------
        VerificationError
            If the artifact's bytes are not the registered ones.
        DataError
            If a file that was named cannot be read.
        """
        from ml_governance.workspace import scanning

        return scanning.scan(
            here(self), version, requirements=requirements, advisories=advisories, trusted=tuple(trusted)
        )

    def assess_data(
        self,
        version: str | Subject,
        data: Any,
        *,
        y_true: str | None = None,
        sensitive_features: Sequence[str] = (),
        training: Sequence[Any] = (),
        **options: Any,
    ) -> Assessed:
        """Measure the quality of the rows that a model is tested on, and sign what was measured.

        Parameters
        ----------
        version : str or Subject
            The model version that is tested on them.
        data : DataFrame or path
            The rows.
        y_true : str, optional
            Column of the label.
        sensitive_features : sequence of str, optional
            Columns whose groups are compared.
        training : sequence of DataFrame or path, optional
            What the model was trained on; each must have a digest that a training run of the model recorded. Their rows are
            compared with these as one table.
        **options
            As :func:`ml_governance.assess_data` takes them: ``population``, ``schema``, ``ranges``, ``identifiers``, ``time``,
            ``exclude``, ``confidence``, ``min_group_size``, ``seed``.

        Raises
        ------
        DataError
            If a table or an option cannot be used.
        """
        from ml_governance.workspace import assessment

        asked = assessment.Asked(
            y_true=y_true, sensitive_features=tuple(sensitive_features), kinds=("data-quality",), training=tuple(training),
            options={"data-quality": options},
        )  # fmt: skip
        return assessment.assess(here(self), version, data, asked)

    def assess_privacy(
        self,
        version: str | Subject,
        data: Any,
        *,
        y_true: str,
        training: Sequence[Any],
        sensitive_features: Sequence[str] = (),
        pos_label: Any = None,
        **options: Any,
    ) -> Assessed:
        """Predict training and test rows in a process without keys, attack the model with its losses, and sign the result.

        Parameters
        ----------
        version : str or Subject
            The model version.
        data : DataFrame or path
            Rows that it was not trained on; those that equal a training row are left out, and counted.
        y_true : str
            Column of the label.
        training : sequence of DataFrame or path
            What the model was trained on; each must have a digest that a training run of the model recorded.
        sensitive_features : sequence of str, optional
            Columns by whose groups the attack is measured as well.
        pos_label : object, optional
            The label that counts as positive, needed unless the labels are 0 and 1.
        **options
            As :func:`ml_governance.assess_privacy` takes them: ``released`` with ``quasi_identifiers``, ``confidential`` and ``k``;
            ``confidence``, ``min_group_size``, ``seed``.

        Raises
        ------
        VerificationError
            If the artifact's bytes are not the registered ones.
        DataError
            If a table, labels or predictions cannot be used.
        """
        from ml_governance.workspace import assessment

        asked = assessment.Asked(
            y_true=y_true, sensitive_features=tuple(sensitive_features), kinds=("privacy",), training=tuple(training),
            pos_label=pos_label, seed=int(options.get("seed", 0)), options={"privacy": options},
        )  # fmt: skip
        return assessment.assess(here(self), version, data, asked)

    def attest(self, version: str | Subject, *reports: Report, data: Any = None) -> tuple[Receipt, ...]:
        """Sign reports that the caller computed; they count as ``caller-supplied``.

        Parameters
        ----------
        version : str or Subject
            The model version that the reports are about.
        *reports : Report
            What to sign.
        data : DataFrame, path or Resource, optional
            The rows that they were computed from; its digest goes into each statement. The default is the digest
            of the columns that each report used.
        """
        from ml_governance.workspace import assessment

        return assessment.attest(here(self), version, reports, data=data)

    def attest_file(self, version: str | Subject, path: str | Path) -> tuple[Receipt, ...]:
        """Sign measurements from a JSON file made elsewhere; they count as ``claimed``."""
        from ml_governance.workspace import claims

        return claims.attest_file(here(self), version, Path(path))

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

        return texts.sign_text(here(self), version, name, Path(path))

    def sign_model(self, version: str | Subject, path: str | Path) -> Receipt:
        """Write a signature of a model in the format of OpenSSF Model Signing, made with the key of the person who acts.

        Others check it with the public key and that project's tools, without our log. The log records the file's digest in the
        text ``model-signature``, for which a rule can ask.

        Parameters
        ----------
        version : str or Subject
            The model version; its bytes must be the registered ones.
        path : str or Path
            The signature file: new, and outside the model's folder, whose digest another file would change.

        Raises
        ------
        VerificationError
            If the artifact's bytes are not the registered ones.
        DataError
            If the file exists, would be inside the model, or a file of the model has a name that is not printable.
        NotAuthorizedError
            If the person who acts has no role in this project.
        """
        from ml_governance.workspace import model_signing

        return model_signing.sign_model(here(self), version, Path(path))

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

        return deciding.enact(here(self), Path(path))
