"""``mlgov policy``: read, check and try policies; nothing here signs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_governance.cli import render
from ml_governance.cli.options import Json
from ml_governance.errors import ConfigurationError

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


@app.command()
def explain(pack: Pack = "policies/credit-scoring", json: Json = False) -> None:
    """Say every rule of a policy as an English sentence.

    Example: mlgov policy explain policies/credit-scoring
    """
    from ml_governance.decide.policy import parse_policy
    from ml_governance.decide.sentences import explain_policy

    text = explain_policy(parse_policy(_text(_policy_file(pack))))
    if json:
        render.out_json({"sentences": text.splitlines()})
    else:
        render.out(text)


@app.command()
def lint(pack: Pack = "policies/credit-scoring", json: Json = False) -> None:
    """Check a policy: its form, its metrics, and rules that can never pass.

    Example: mlgov policy lint policies/credit-scoring
    """
    from ml_governance.decide.lint import lint as check
    from ml_governance.decide.policy import parse_policy

    file = _policy_file(pack)
    warnings = check(parse_policy(_text(file)))
    if json:
        render.out_json({"file": str(file), "warnings": list(warnings)})
    else:
        for warning in warnings:
            render.out(f"{file}: {warning}", "yellow")
        if not warnings:
            render.out(f"{file}: nothing to complain about", "green")
    raise typer.Exit(2 if warnings else 0)


@app.command()
def test(pack: Pack = "policies/credit-scoring", json: Json = False) -> None:
    """Run a pack's cases: evidence in, expected decision out.

    Example: mlgov policy test policies/credit-scoring
    """
    from ml_governance.decide.cases import run_cases
    from ml_governance.decide.policy import parse_policy

    file = _policy_file(pack)
    texts = {path.stem: _text(path) for path in sorted((file.parent / "cases").glob("*.yaml"))}
    if not texts:
        raise ConfigurationError(f"{file.parent} has no cases", expected="cases/*.yaml beside the policy")
    results = run_cases(parse_policy(_text(file)), texts)
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
