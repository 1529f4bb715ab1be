"""``mlgov check``: assess, decide, and tell pipelines in the forms that they read."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Where, opened
from ml_governance.errors import ConfigurationError, GovernanceError, UsageError

if TYPE_CHECKING:
    from ml_governance.report.outcome import Outcome
    from ml_governance.workspace.checking import Checked

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
CHECKOUTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")
"""Where GitHub and GitLab say the root of the checkout is."""


def check(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="name/version, or the first digits of its sha256.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="The stage the model is to enter.")] = None,
    data: Annotated[str | None, typer.Option(help="Held-out rows to measure on; without, nothing is measured.")] = None,
    y_true: Annotated[str | None, typer.Option("--y-true", help="Column of the label.")] = None,
    by: Annotated[list[str] | None, typer.Option("--by", help="Sensitive column; may be repeated.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="performance, fairness, explanation, robustness, data-quality, privacy or security-scan; may be repeated; "
            "default is what the policy asks for."
        ),
    ] = None,
    pos_label: Annotated[str | None, typer.Option(help="The positive label, unless labels are 0 and 1.")] = None,
    training: Annotated[
        list[str] | None, typer.Option(help="File that MODEL was trained on; privacy needs it; may be repeated.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Another version, such as the one in use, to pair with.")] = None,
    rerun: Annotated[str | None, typer.Option(help="Another version, trained alike, for robustness.")] = None,
    root: Annotated[str | None, typer.Option(help="The trust root must be this one; so says MLGOV_ROOT.")] = None,
    policy_sha256: Annotated[
        str | None,
        typer.Option("--policy-sha256", help="The policy in force must be this one; so says MLGOV_POLICY_SHA256."),
    ] = None,
    data_sha256: Annotated[
        str | None, typer.Option("--data-sha256", help="The rows must be these; so says MLGOV_DATA_SHA256.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The log must continue this checkpoint; so says MLGOV_CHECKPOINT.")
    ] = None,
    unpinned: Annotated[
        bool, typer.Option("--unpinned", help="In a pipeline, believe the root and policy that the checkout leads to.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML, one test case for each rule.")
    ] = None,
    sarif: Annotated[Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Markdown.")] = None,
    gitlab: Annotated[Path | None, typer.Option(metavar="FILE", help="Write GitLab's Code Quality JSON.")] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Print GitHub annotations, and write the step's summary.")
    ] = False,
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Measure a model, decide, and tell pipelines; what is not given stands in the table `check` of governance.toml.

    Measures only what would count when signed by whoever acts; without a key, judges the evidence that is there. In a
    pipeline, the trust root and the policy must be pinned.

    Example: mlgov check credit-risk/2 --data test.parquet --y-true label --by sex --by race --as vera --junit mlgov.xml
    """
    if json and annotations:
        raise UsageError("--json and --annotations both write to stdout", expected="one of them")
    files = _Files(junit=junit, sarif=sarif, markdown=markdown, gitlab=gitlab)
    files.clear()
    options = {
        "model": model, "stage": stage, "data": data, "y_true": y_true, "by": tuple(by or ()), "kinds": tuple(kind or ()),
        "pos_label": pos_label, "training": tuple(training or ()), "against": against, "rerun": rerun,
    }  # fmt: skip
    pinned = {"root": root, "policy": policy_sha256, "data": data_sha256, "checkpoint": checkpoint}
    checked = _checked(workspace, signer, options, pinned, unpinned=unpinned)
    try:
        files.write(checked.outcome)
        if annotations:
            _summary(checked.outcome)
    except ConfigurationError as error:
        checked = _with(checked, error)
    _tell(checked, json=json, annotations=annotations)
    raise typer.Exit(checked.outcome.exit_code)


def _checked(
    where: Path | None, signer: str | None, options: dict[str, Any], pinned: dict[str, Any], *, unpinned: bool
) -> Checked:
    """Check; whatever goes wrong becomes an outcome that blocks, so that no format is left unwritten."""
    from ml_governance.report.outcome import of_errors
    from ml_governance.workspace import checking, pins

    named = {"model": options["model"] or "?", "stage": options["stage"] or "production"}
    try:
        with opened(where, signer) as ws:
            section = ws.config.check
            held = pins.gather(
                environ=os.environ,
                configured_policy=section.policy_sha256,
                configured_data=section.data_sha256,
                **pinned,
            )
            pins.require_pinned(held, environ=os.environ, unpinned=unpinned)
            spec = checking.spec_of(ws, **options)
            named = {"model": spec.model, "stage": spec.stage}
            return checking.check(ws, spec, held=held, base=_checkout())
    except GovernanceError as error:
        failure = error
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        failure = GovernanceError(
            f"something went wrong inside mlgov: {type(error).__name__}: {error}",
            next_step="run the command again with --debug, and report what it prints",
        )
    outcome = of_errors([failure], file="governance.toml", **named)
    return checking.Checked(outcome=outcome, errors=(failure,))


def _with(checked: Checked, error: GovernanceError) -> Checked:
    """Return what was checked with an error more, which counts for the exit code."""
    from ml_governance.report.outcome import RESULTS, worst

    code = worst([checked.outcome.exit_code, error.exit_code])
    result = checked.outcome.result if code == checked.outcome.exit_code else RESULTS[code]
    outcome = replace(checked.outcome, exit_code=code, result=result)
    return replace(checked, outcome=outcome, errors=(*checked.errors, error))


def _checkout() -> Path:
    return Path(next((os.environ[name] for name in CHECKOUTS if os.environ.get(name)), Path.cwd()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Where each format goes."""

    junit: Path | None
    sarif: Path | None
    markdown: Path | None
    gitlab: Path | None

    def named(self) -> dict[str, Path]:
        """Return the files that were asked for, by format."""
        every = {"junit": self.junit, "sarif": self.sarif, "markdown": self.markdown, "gitlab": self.gitlab}
        return {name: path for name, path in every.items() if path is not None}

    def clear(self) -> None:
        """Remove what an earlier run left: if this one dies, nothing green must be found."""
        refused = None
        for path in self.named().values():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                refused = ConfigurationError(f"{path} cannot be written: {error.strerror}", expected="a file")
        if refused is not None:
            raise refused

    def write(self, outcome: Outcome) -> None:
        """Write every format that was asked for, each whole or not at all."""
        from ml_governance.report.code_quality import to_code_quality
        from ml_governance.report.junit import to_junit
        from ml_governance.report.markdown import to_markdown
        from ml_governance.report.sarif import to_sarif
        from ml_governance.workspace.config import write_atomically

        formats = {"junit": to_junit, "sarif": to_sarif, "markdown": to_markdown, "gitlab": to_code_quality}
        for name, path in self.named().items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, formats[name](outcome))
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be written: {error.strerror}", expected="a file") from error


def _summary(outcome: Outcome) -> None:
    """Append to the step's summary, if GitHub names a file for it, within what it takes."""
    from ml_governance.report.markdown import CAP, to_markdown

    if not os.environ.get(SUMMARY_VARIABLE):
        return
    path = Path(os.environ[SUMMARY_VARIABLE])
    try:
        used = path.stat().st_size if path.exists() else 0
        if CAP - used > 4096:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(to_markdown(outcome, CAP - used))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error


def _tell(checked: Checked, *, json: bool, annotations: bool) -> None:
    """Print the decision and what went wrong, in one form."""
    from ml_governance.report.annotations import quoted, to_annotations

    if json:
        render.out_json(_as_json(checked))
        return
    said = quoted if annotations else str
    if checked.decision is not None:
        render.out(said(checked.decision.explain()))
        for note in checked.outcome.notes[len(checked.decision.notes) + 1 :]:
            render.out(said(f"  note: {note}"))
    for error in checked.errors:
        render.complain(_said(error) if annotations else error)
    if annotations:
        typer.echo(to_annotations(checked.outcome), nl=False)


def _said(error: GovernanceError) -> GovernanceError:
    from ml_governance.report.annotations import quoted

    return GovernanceError(
        quoted(error.found),
        expected=quoted(error.expected) if error.expected else None,
        next_step=quoted(error.next_step) if error.next_step else None,
    )


def _as_json(checked: Checked) -> dict[str, Any]:
    decision, outcome = checked.decision, checked.outcome
    return {
        "model": outcome.model,
        "sha256": outcome.sha256 or None,
        "stage": outcome.stage,
        "result": outcome.result,
        "exitCode": outcome.exit_code,
        "signed": checked.signed,
        "entries": checked.entries,
        "decision": None if decision is None else decision.to_content().to_wire(),
        "advice": [] if decision is None else [one.to_dict() for one in decision.advice],
        "notes": list(outcome.notes),
        "errors": [
            {
                "type": type(error).__name__,
                "exitCode": error.exit_code,
                "found": error.found,
                "expected": error.expected,
                "next": error.next_step,
            }
            for error in checked.errors
        ],
    }
