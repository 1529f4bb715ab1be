"""The story that ``mlgov demo`` tells: a model refused, mended, approved, promoted, and an edit found out.

Every step is a call that a user would make. Nothing is staged: the denial comes from the data.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.errors import (
    ConfigurationError,
    NotAuthorizedError,
    PromotionDeniedError,
    VerificationError,
)
from ml_governance.evidence.canonical import canonicalise
from ml_governance.evidence.predicates import Fairness
from ml_governance.workspace import Person, init, open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import pandas as pd

    from ml_governance.decide.decision import Decision
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace import Workspace

    Say = Callable[..., None]
    Working = Callable[[str], AbstractContextManager[Any]]

STAGE = "production"
SENSITIVE = ("sex", "race")

CAST = (
    Person(id="ada", name="Ada, data scientist", roles=("author",)),
    Person(id="vera", name="Vera, validator", roles=("validator",)),
    Person(id="rita", name="Rita, risk officer", roles=("risk_officer", "policy_owner")),
    Person(id="max", name="Max, release manager", roles=("release_manager",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What happened, for tests and for ``--json``."""

    workspace: Path
    first: Decision
    waiting: Decision
    allowed: Decision
    promoted: str
    self_approval: str
    tampering: tuple[str, ...]
    refusal: str
    reports: tuple[Path, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "workspace": str(self.workspace),
            "decisions": {
                "version 1": self.first.to_content().to_wire(),
                "version 2 before approvals": self.waiting.to_content().to_wire(),
                "version 2 with approvals": self.allowed.to_content().to_wire(),
            },
            "promoted": self.promoted,
            "selfApproval": self.self_approval,
            "tampering": list(self.tampering),
            "refusal": self.refusal,
            "reports": [str(path) for path in self.reports],
            "seconds": round(self.seconds, 1),
        }


def tell(  # noqa: PLR0915  a story is told from beginning to end
    path: Path, *, say: Say, working: Working
) -> Told:
    """Play the whole story in a folder and leave the workspace there.

    Parameters
    ----------
    path : Path
        An empty folder; made if absent.
    say : callable
        Receives each line of the story, and optionally a style.
    working : callable
        Returns a context manager that shows progress while a slow step runs.

    Returns
    -------
    Told

    Raises
    ------
    ConfigurationError
        If the folder is not empty.
    """
    from ml_governance.demo import dataset, pipeline

    began = time.perf_counter()
    path = path.resolve()
    if path.is_dir() and any(path.iterdir()):
        raise ConfigurationError(
            f"{path} is not empty", expected="an empty folder", next_step="mkdir try && cd try && mlgov demo"
        )
    heading = _headings(say)

    heading("A workspace: four people, each with a key of their own")
    with init(path, project="credit", people=CAST, policy="credit-scoring") as ws:
        say(f"log {ws.config.origin}, trust root {ws.config.trust_root}")
    for person in CAST:
        say(f"  {person.id:<5} {', '.join(person.roles)}")
    train, validation, test = dataset.split(dataset.load())
    (path / "data").mkdir()
    train.to_parquet(path / "data" / "train.parquet", index=False)
    test.to_parquet(path / "data" / "test.parquet", index=False)
    say(f"UCI Adult: {len(train):,} rows to train, {len(validation):,} to validate, {len(test):,} held out")

    heading("Version 1: trained under the hook")
    with open_workspace(path, signer="ada") as ada, working("training version 1"):
        first = _train(ada, train, validation, lambda: pipeline.train_baseline(train), {"mitigation": "none"})
    say(f"{first.name} has the digest sha256:{first.sha256}")
    say("two signed OpenLineage events: START, and COMPLETE with the digests of data and model")

    heading("Vera assesses it on held-out data")
    _assess(path, first, say, working)

    heading("May it go to production?")
    with open_workspace(path, signer="max") as ours:
        first_decision = ours.decide(first, stage=STAGE)
    say(first_decision.explain())

    heading("Version 2: mitigated with fairlearn")
    with (
        open_workspace(path, signer="ada") as ada,
        working("training version 2 (a grid of reweighted models)"),
    ):
        second = _train(
            ada,
            train,
            validation,
            lambda: pipeline.train_mitigated(train),
            {"mitigation": pipeline.MITIGATION},
        )
    say(f"{second.name} has the digest sha256:{second.sha256}")
    _assess(path, second, say, working)
    with open_workspace(path, signer="max") as ours:
        waiting = ours.decide(second, stage=STAGE)
    say(waiting.explain())

    heading("Approvals")
    self_approval = _approve_own_work(path, second)
    say(f"ada tries to approve her own model: {self_approval}")
    open_findings = tuple(f.id for f in waiting.findings if f.status in ("inconclusive", "insufficient"))
    with open_workspace(path, signer="vera") as vera:
        entry = vera.approve(second, stage=STAGE, reason="Recomputed on held-out data; methods and limits reviewed.")
    say(f"vera (validator) approves: ledger #{entry.index}")
    with open_workspace(path, signer="rita") as rita:
        entry = rita.approve(
            second,
            stage=STAGE,
            reason="The open interval is a matter of sample size; accepted with quarterly monitoring.",
            resolves=open_findings,
        )
    named = f", accepting {', '.join(open_findings)} by name" if open_findings else ""
    say(f"rita (risk officer) approves{named}: ledger #{entry.index}")

    heading("Promotion")
    with open_workspace(path, signer="max") as ours:
        before = ours.registry.alias("credit-risk", STAGE)
        try:
            ours.promote(first, stage=STAGE)
        except PromotionDeniedError as error:
            say(
                f"max tries version 1: {error.decision.result}; the alias {STAGE!r} still points to {before or 'nothing'}"
            )
        done = ours.promote(second, stage=STAGE)
        after = ours.registry.alias("credit-risk", STAGE)
    say(f"max promotes {second.name}: the alias {STAGE!r} now points to version {after} (ledger #{done.outcome})")

    heading("Somebody edits the first fairness report inside a copy of the ledger")
    tampering, refusal = _tamper(path, first)
    for line in tampering:
        say(f"mlgov log verify: {line}")
    say(f"mlgov decide: {refusal}")

    heading("Audit reports")
    reports = []
    with open_workspace(path) as reader:
        for version in (first, second):
            written = reader.report(version, path / "reports" / version.name.replace("/", "-"), stage=STAGE)
            reports.append(written.files["html"])
            say(str(written.files["html"].relative_to(path)))
        verified = reader.verify()
    say()
    say(f"done: all {verified.checkpoint.size} entries of the ledger verify; {second.name} is in production")
    say("explore further:")
    for command in (
        "mlgov log ls",
        "mlgov log verify",
        f"mlgov log lineage {second.name}",
        f"mlgov decide {first.name} --as max",
        "mlgov policy explain policies/credit-scoring",
    ):
        say(f"  {command}")
    return Told(
        workspace=path,
        first=first_decision,
        waiting=waiting,
        allowed=done.decision,
        promoted=str(after),
        self_approval=self_approval,
        tampering=tampering,
        refusal=refusal,
        reports=tuple(reports),
        seconds=time.perf_counter() - began,
    )


def _headings(say: Say) -> Callable[[str], None]:
    count = 0

    def heading(title: str) -> None:
        nonlocal count
        count += 1
        say()
        say(f"{count}. {title}", "bold")

    return heading


def _train(
    ws: Workspace,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    fit: Callable[[], Any],
    parameters: dict[str, str],
) -> Subject:
    with ws.training("credit-risk") as run:
        run.uses(train, name="adult/train")
        run.uses(validation, name="adult/validation")
        run.log_params(parameters)
        return run.produces(fit(), name="credit-risk")


def _assess(path: Path, version: Subject, say: Say, working: Working) -> None:
    with (
        open_workspace(path, signer="vera") as vera,
        working(f"assessing {version.name} in a process without keys"),
    ):
        assessed = vera.assess(
            version,
            path / "data" / "test.parquet",
            y_true="income_over_50k",
            sensitive_features=SENSITIVE,
            background=path / "data" / "train.parquet",
        )
    for kind, receipt in assessed.receipts.items():
        say(f"  {kind}: signed as ledger #{receipt.index}")


def _approve_own_work(path: Path, version: Subject) -> str:
    with open_workspace(path, signer="ada") as ada:
        try:
            ada.approve(version, stage=STAGE, reason="I know that it is good.", role="validator")
        except NotAuthorizedError as error:
            return error.found
    raise AssertionError("an author approved their own work")  # the story must not go on from here


def _tamper(path: Path, version: Subject) -> tuple[tuple[str, ...], str]:
    """Edit one stored report in a copy of the workspace, and return what verification and gate then say."""
    with tempfile.TemporaryDirectory(prefix="mlgov-demo-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(
            path, copy, ignore=shutil.ignore_patterns("data", "reports", "mlflow*", "mlruns", "mlartifacts")
        )
        with open_workspace(copy) as ours:
            target = ours.view().about(version.sha256, Fairness.kind)[0].index
        with closing(sqlite3.connect(copy / "governance" / "ledger.sqlite")) as database, database:
            edit_entry(database, target)
        with open_workspace(copy, signer="max") as ours:
            problems = tuple(
                f"{'#' + str(problem.index) if problem.index is not None else 'log'}: {problem.what}"
                for problem in ours.verify().problems
            )
            try:
                ours.decide(version, stage=STAGE)
            except VerificationError as error:
                return problems, f"refused, {error.found}"
    raise AssertionError("the gate decided on an edited ledger")  # the story must not go on from here


def edit_entry(database: sqlite3.Connection, index: int) -> None:
    """Do what a dishonest administrator would: make a number inside a stored, signed report look better."""
    (data,) = database.execute("SELECT data FROM blobs WHERE idx = ?", (index,)).fetchone()
    envelope = json.loads(data)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    for measurement in statement["predicate"]["measurements"]:
        if measurement["metric"] == "selection_rate" and measurement.get("group") == ["Female"]:
            measurement["numerator"] *= 3
            measurement["value"] *= 3
    envelope["payload"] = base64.b64encode(canonicalise(statement)).decode()
    database.execute("DROP TRIGGER blobs_no_update")  # a guard against accidents; an administrator can drop it
    database.execute("UPDATE blobs SET data = ? WHERE idx = ?", (canonicalise(envelope), index))
