"""The commands."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli import consent, promotion, render, roles, serving
from ml_governance.cli.assess import assess
from ml_governance.cli.check import check
from ml_governance.cli.data import app as data_app
from ml_governance.cli.keys import app as keys_app
from ml_governance.cli.log import app as log_app
from ml_governance.cli.options import As, Full, Json, Stage, Version, Where, moment, opened
from ml_governance.cli.policy import app as policy_app
from ml_governance.cli.report import report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer.models import CommandInfo

    from ml_governance.evidence.head import Receipt
    from ml_governance.workspace import Workspace

app = typer.Typer(
    name="mlgov",
    help="Signed evidence, honest fairness statistics and policy gates for machine-learning models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 allowed, 1 denied, 2 usage, 3 needs review, 4 evidence, 5 internal, 130 interrupted.",
)
app.add_typer(log_app, name="log")
app.add_typer(policy_app, name="policy")
app.add_typer(keys_app, name="keys")
app.add_typer(data_app, name="data")
roles.register(policy_app, keys_app)


def holding(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line with the command that some arguments call, or, where they do not begin with one, with all.

    Making the fifty others ready takes longer than many a command.
    """
    called = [one for one in app.registered_commands if one.callback is not None and arguments[:1] == [_name(one)]]
    if not called:
        return app
    only = copy(app)
    only.registered_commands, only.registered_groups = called, []
    return only


def _name(command: CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def _version(wanted: bool) -> None:
    if wanted:
        from ml_governance import __version__

        typer.echo(f"mlgov {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    del version, debug  # both act before any command runs


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Folder of the new workspace.")] = Path(),
    project: Annotated[str, typer.Option(help="Name of the project.")] = "default",
    policy: Annotated[
        str, typer.Option(help="A shipped policy pack, or a folder with policy.yaml.")
    ] = "credit-scoring",
    person: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=ROLE[,ROLE]", help="Somebody who gets a key; may be repeated."),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(help="mlflow+URI or local:DIR; default is MLflow on SQLite inside the workspace."),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(
            envvar="MLGOV_LEDGER_URL",
            help="postgresql+psycopg://... of an empty database; default is SQLite inside the workspace.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a workspace: keys, trust file, ledger, policy, governance.toml.

    Example: mlgov init credit --project credit --person ada=author --person vera=validator
    --person rita=risk_officer,policy_owner --person max=release_manager
    """
    from ml_governance.cli.people import parse_people
    from ml_governance.workspace import PEOPLE
    from ml_governance.workspace import init as make

    people = parse_people(person) if person else PEOPLE
    with make(path, project=project, policy=policy, people=people, registry=registry, ledger=ledger) as ws:
        if json:
            render.out_json(
                {
                    "workspace": str(ws.root),
                    "origin": ws.config.origin,
                    "root": ws.config.trust_root,
                    "people": [p.id for p in people],
                }
            )
            return
        render.out(f"made a workspace in {ws.root}", "bold green")
        render.out(f"  log     {ws.config.origin}")
        render.out(f"  root    {ws.config.trust_root}")
        for one in people:
            render.out(f"  person  {one.id}: {', '.join(one.roles)}")
        render.out("next: train under gov.open(signer=...).training(...), then mlgov assess, decide, approve, promote")


@app.command()
def demo(
    path: Annotated[Path, typer.Argument(help="An empty folder; default is the current one.")] = Path(),
    json: Json = False,
) -> None:
    """Run the whole story on real data, and leave a workspace to go on with.

    Example: mkdir try && cd try && mlgov demo
    """
    from ml_governance.demo.story import tell

    told = tell(path, say=(lambda *_: None) if json else render.out, working=render.working)
    if json:
        render.out_json(told.to_dict())


app.command()(assess)
app.command()(check)


@app.command()
def attest(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="What the results are about.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON file with results made elsewhere.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file to sign and put in force.")] = None,
    text: Annotated[
        str | None, typer.Option(metavar="NAME=FILE", help="Text about MODEL to sign, such as intended-use=use.md.")
    ] = None,
    model_signature: Annotated[
        Path | None, typer.Option(help="New file for a signature of MODEL in the format of OpenSSF Model Signing.")
    ] = None,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Sign results made elsewhere (marked as claimed), a text about a model or the model itself, or put a policy in force.

    Example: mlgov attest credit-risk/2 --file results.json --as validator;
    mlgov attest credit-risk/2 --text intended-use=use.md --as risk-officer;
    mlgov attest credit-risk/2 --model-signature credit-risk-2.sig --as release-manager;
    mlgov attest --policy policies/credit-scoring/policy.yaml --as risk-officer
    """
    if [policy, file, text, model_signature].count(None) != 3 or (policy is None and model is None):
        raise typer.BadParameter("give either MODEL with --file, --text or --model-signature, or --policy")
    with opened(workspace, signer) as ws:
        if policy:
            receipts: tuple[Receipt, ...] = (ws.enact(policy),)
            told = _put_in_force(ws, receipts[0].index)
        elif text:
            told = ""
            name, _, path = text.partition("=")
            receipts = (ws.attest_text(str(model), name, path),)
        elif model_signature:
            told = f"; the signature is in {model_signature}"
            receipts = (ws.sign_model(str(model), model_signature),)
        else:
            receipts = ws.attest_file(str(model), file)  # type: ignore[arg-type]  # checked above
        entries = [receipt.index for receipt in receipts]
        if json:
            render.out_json({"entries": entries})
        else:
            render.out(f"signed as ledger {', '.join(f'#{index}' for index in entries)}{told}")


def _put_in_force(ws: Workspace, index: int) -> str:
    """Say which policy an entry put in force, in the place of which, and what pins it."""
    from ml_governance.evidence.predicates import PolicyInForce

    signed = {one.index: one.content for one in ws.view().of_kind(PolicyInForce.kind)}
    new = signed[index]
    assert isinstance(new, PolicyInForce)  # noqa: S101  selected by kind; this tells the type checker
    before = [
        one for at, one in signed.items() if at < index and isinstance(one, PolicyInForce) and one.stage == new.stage
    ]
    instead = f", in the place of {before[-1].name} version {before[-1].version}" if before else ""
    return (
        f"\n{new.name} version {new.version} is in force for {new.stage}{instead}"
        f"\npin it where pipelines run: MLGOV_POLICY_SHA256=sha256:{new.sha256}"
    )


@app.command()
def decide(
    model: Version,
    stage: Stage = "production",
    what_if: Annotated[
        Path | None, typer.Option("--what-if", metavar="FILE", help="Judge by this policy file instead; not signed.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Judge as of then, from the ledger as it stood; not signed."),
    ] = None,
    full: Full = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Judge a model by the policy in force, sign the decision, and say why.

    Example: mlgov decide credit-risk/2 --stage production --as release-manager;
    mlgov decide credit-risk/2 --what-if policies/next.yaml --at 2026-01-15T12:00:00Z
    """
    with opened(workspace, signer, full=full) as ws:
        if what_if is None and at is None:
            made = ws.decide(model, stage=stage)
        else:
            made = ws.consider(model, stage=stage, policy=what_if, at=moment(at) if at else None)
        if json:
            advice = [one.to_dict() for one in made.advice]
            render.out_json({**made.to_content().to_wire(), "advice": advice, "signed": what_if is None and at is None})
        else:
            render.decision(made)
    raise typer.Exit(made.exit_code)


@app.command()
def approve(
    model: Version,
    reason: Annotated[str, typer.Option("--reason", "--comment", help="Why; it is kept for ever.")],
    stage: Stage = "production",
    role: Annotated[str | None, typer.Option(help="In which role, if you have several.")] = None,
    resolve: Annotated[
        list[str] | None,
        typer.Option(metavar="FINDING", help="An inconclusive finding you accept; may be repeated."),
    ] = None,
    reject: Annotated[bool, typer.Option("--reject", help="Say no instead of yes.")] = False,
    full: Full = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Sign an approval of exactly what is on the table now.

    Example: mlgov approve credit-risk/2 --as risk-officer --reason "small group, reviewed by hand" --resolve CRD-01/race
    """
    with opened(workspace, signer, full=full) as ws:
        receipt = ws.approve(
            model,
            stage=stage,
            reason=reason,
            role=role,
            resolves=tuple(resolve or ()),
            verdict="reject" if reject else "approve",
        )
        if json:
            render.out_json({"entries": [receipt.index]})
        else:
            render.out(f"{'rejection' if reject else 'approval'} signed as ledger #{receipt.index}")


for _command in (
    consent.request, consent.inbox, consent.waive, promotion.promote, promotion.rollback, consent.revoke, consent.review,
    promotion.doctor, serving.verify_deployment, serving.monitor,
):  # fmt: skip
    app.command()(_command)


app.command()(report)
