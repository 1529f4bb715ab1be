"""``mlgov policy``: read, check and try policies; nothing here signs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import Json, Where, opened
from ml_governance.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from ml_governance.decide.controls import Catalogue, Control
    from ml_governance.decide.policy import Policy

app = typer.Typer(help="Policies and their test cases.", no_args_is_help=True)

Pack = Annotated[
    str, typer.Argument(metavar="PACK", help="A policy file, a folder with policy.yaml, or a shipped pack.")
]


def _policy_file(pack: str) -> Path:
    from ml_governance.workspace import packs

    path = Path(pack)
    if path.is_file():
        return path
    if (path / "policy.yaml").is_file():
        return path / "policy.yaml"
    shipped = packs()
    if pack in shipped:
        return shipped[pack] / "policy.yaml"
    raise ConfigurationError(
        f"there is no policy {pack!r}",
        expected=f"a file, a folder with policy.yaml, or one of {', '.join(shipped)}",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", expected="UTF-8 text") from error


def _policy(pack: str) -> Policy:
    from ml_governance.decide.policy import parse_policy
    from ml_governance.workspace import controls_beside

    file = _policy_file(pack)
    return parse_policy(_text(file), file=str(file), controls=controls_beside(file).ids)


@app.command()
def explain(pack: Pack = "policies/credit-scoring", json: Json = False) -> None:
    """Say every rule of a policy as an English sentence.

    Example: mlgov policy explain policies/credit-scoring
    """
    from ml_governance.decide.sentences import explain_policy

    text = explain_policy(_policy(pack))
    if json:
        render.out_json({"sentences": text.splitlines()})
    else:
        render.out(text)


@app.command()
def lint(pack: Pack = "policies/credit-scoring", workspace: Where = None, json: Json = False) -> None:
    """Check a policy: its form, its metrics, rules that can never pass, waivers without effect, roles that nobody has.

    Exit code 2 when there is anything to say. With --workspace, roles are those that people there have.

    Example: mlgov policy lint policies/credit-scoring
    """
    from dataclasses import asdict

    from ml_governance.decide.lint import lint as check
    from ml_governance.decide.reading import MistakesError
    from ml_governance.evidence.trust import ROLES
    from ml_governance.workspace import controls_beside

    file = _policy_file(pack)
    try:
        policy = _policy(pack)
    except MistakesError as error:
        if not json:
            raise
        mistakes = [asdict(one) for one in error.mistakes]
        render.out_json({"file": str(file), "mistakes": mistakes, "warnings": []})
        raise typer.Exit(2) from None
    roles: tuple[str, ...] = ROLES
    if workspace is not None:
        with opened(workspace) as ws:
            people = ws.view().principals.values()
            roles = tuple(sorted({role for person in people for role in person.roles}))
    warnings = check(policy, roles=roles, replaced=controls_beside(file).replaced)
    if json:
        render.out_json({"file": str(file), "mistakes": [], "warnings": list(warnings)})
    else:
        for warning in warnings:
            render.out(f"{file}: {warning}", "yellow")
        if not warnings:
            render.out(f"{file}: nothing to complain about", "green")
    raise typer.Exit(2 if warnings else 0)


@app.command()
def schema(json: Json = False) -> None:
    """Print the JSON Schema (2020-12) of policies, for editors: completion, descriptions, the names of metrics.

    It is JSON with and without --json.

    Example: mlgov policy schema > policy.schema.json
    """
    from ml_governance.decide.schema import policy_schema

    del json
    render.out_json(policy_schema())


@app.command()
def controls(
    control: Annotated[str | None, typer.Argument(metavar="ID", help="One control, in full.")] = None,
    framework: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what is mapped to this framework, such as eu-ai-act.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="PACK", help="With the controls.yaml that stands beside this policy.")
    ] = None,
    json: Json = False,
) -> None:
    """List the controls that a rule can be evidence for, or explain one: evidence, clauses, dates, sources.

    A mapping says that evidence for a control is evidence for a clause; it says nothing about whether a law is met.

    Example: mlgov policy controls FAI-01
    """
    from ml_governance.workspace import catalogue, controls_beside

    known = catalogue() if policy is None else controls_beside(_policy_file(policy))
    chosen = known.controls if control is None else [known.control(control)]
    shown = [one for one in chosen if known.mapped(one, framework) or framework is None]
    if json:
        listed = [_listed(known, one, framework) for one in shown]
        render.out_json({"catalogue": known.catalogue, "version": known.version, "controls": listed})
    elif control is not None:
        render.out(_explained(known, chosen[0], framework))
    else:
        for one in shown:
            render.out(f"{one.id}  {one.title}{' (a person)' if one.human else ''}")
            if framework is not None:
                for mapping, edition in known.mapped(one, framework):
                    render.out(f"        evidence for {mapping.clause} ({mapping.edition}: {edition.status})")


def _listed(known: Catalogue, control: Control, framework: str | None) -> dict[str, object]:
    pairs = known.mapped(control, framework)
    mappings = [
        {"clause": one.clause, "edition": one.edition, **edition.model_dump(mode="json")} for one, edition in pairs
    ]
    return {**control.model_dump(mode="json"), "mappings": mappings}


def _explained(known: Catalogue, control: Control, framework: str | None) -> str:
    lines = [
        f"{control.id}  {control.title}",
        f"Evidence: {', '.join(control.evidence)}."
        + (" A person's words or judgement are needed." if control.human else ""),
    ]
    if control.replaced_by:
        lines.append(f"New policies name {', '.join(control.replaced_by)} instead.")
    for mapping, edition in known.mapped(control, framework):
        checked = f"checked {edition.checked}" if edition.checked else "not checked"
        lines += ["", f"Evidence for {mapping.clause}", f"  {edition.name}, {edition.version}"]
        lines += [f"  {edition.in_words}; {checked}: {edition.source}"]
        if edition.note:
            lines.append(f"  {edition.note}")
    return "\n".join(lines)


@app.command()
def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="A policy file, a folder with policy.yaml, or a shipped pack.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The same, for what is to replace it.")],
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="weaker", help="Exit 1 if anything that was stopped before may pass."),
    ] = None,
    json: Json = False,
) -> None:
    """Say rule by rule what a new policy asks less of, more of, or otherwise.

    A rule that is gone counts as weaker, and so does one that cannot be compared with what it was.

    Example: mlgov policy diff policies/credit-scoring next/policy.yaml --fail-on weaker
    """
    from ml_governance.decide.difference import difference

    if fail_on not in (None, "weaker"):
        raise UsageError(f"--fail-on {fail_on!r}", expected="weaker")
    found = difference(_policy(old), _policy(new))
    weaker = any(one.weakens for one in found)
    if json:
        render.out_json(
            {
                "weaker": weaker,
                "differences": [
                    {"what": one.what, "verdict": one.verdict, "weakens": one.weakens, "sentence": one.sentence}
                    for one in found
                ],
            }
        )
    else:
        for one in found:
            render.out(f"{one.verdict:<8}  {one.what}: {one.sentence}", "yellow" if one.weakens else None)
        if not found:
            render.out("the two ask the same", "green")
    raise typer.Exit(1 if weaker and fail_on else 0)


@app.command()
def test(pack: Pack = "policies/credit-scoring", json: Json = False) -> None:
    """Run a pack's cases: evidence in, expected decision out.

    Example: mlgov policy test policies/credit-scoring
    """
    from ml_governance.decide.cases import run_cases

    file = _policy_file(pack)
    texts = {path.stem: _text(path) for path in sorted((file.parent / "cases").glob("*.yaml"))}
    if not texts:
        raise ConfigurationError(
            f"{file.parent} has no cases",
            expected="files in cases/ beside the policy, such as cases/allow.yaml",
            next_step="begin with a copy of a case from policies/credit-scoring/cases; docs/reference/policy.md has the form",
        )
    results = run_cases(_policy(pack), texts)
    failed = [result for result in results if not result.passed]
    if json:
        render.out_json([{"case": r.name, "passed": r.passed, "detail": r.detail} for r in results])
    else:
        for result in results:
            render.out(
                f"{'pass' if result.passed else 'FAIL'}  {result.name}{'' if result.passed else ': ' + result.detail}"
            )
        render.out(
            f"{len(results) - len(failed)} of {len(results)} cases pass",
            "bold red" if failed else "bold green",
        )
    raise typer.Exit(1 if failed else 0)
