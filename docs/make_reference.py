"""Write the reference pages that follow from the code and from what ships with it: commands, metrics, controls.

python docs/make_reference.py
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).resolve().parent / "reference"


def commands() -> str:
    """Return the page of the command line."""
    import typer

    from ml_governance.cli.app import app

    lines = [
        "# Command line",
        "",
        "Results go to stdout, narration to stderr; `--json` prints a result as JSON. `--debug` may stand anywhere and shows tracebacks.",
        "The person who acts is named by `--as`, or by the variable `MLGOV_SIGNER`. Exit codes: [errors](errors.md).",
        "",
    ]

    def walk(command: Any, path: str) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, f"{path} {name}")
            return
        text = " ".join((command.help or "").split())
        says, _, example = text.partition("Example: ")
        lines.extend([f"## {path}", "", says.strip(), "", f"    {example}", "", "| argument | meaning |", "|---|---|"])
        for parameter in command.params:
            if parameter.name != "help":
                names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
                label = (
                    names
                    if parameter.param_type_name == "option"
                    else f"`{parameter.metavar or parameter.name.upper()}`"
                )
                lines.append(f"| {label} | {' '.join((parameter.help or '').split())} |")
        lines.append("")

    walk(typer.main.get_command(app), "mlgov")
    return "\n".join(lines)


def metrics() -> str:
    """Return the page of the metrics."""
    from ml_governance.evidence.metrics import METRICS

    lines = [
        "# Metrics",
        "",
        "What a name in a report or a policy means; `mlgov assess --list-metrics` prints the same. `rate` is a count over a count;",
        "`ratio` and `difference` compare the rates of the groups of one attribute; `score` is any other number of a group; `aggregate`",
        "is any other number over all groups. TP, FP, TN and FN are counts of a group, N their sum, x_g is the metric of group g. Every",
        "number has a status: `undefined` where the last column says so, with the reason, and `insufficient` where it rests on fewer rows",
        "than required.",
        "",
    ]
    for kind in dict.fromkeys(evidence for evidence, _ in METRICS):
        lines += [
            f"## {kind}", "", "| metric | form | better | range | meaning | formula | source | edge |",
            "|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for (evidence, _), metric in METRICS.items():
            if evidence == kind:
                cells = (
                    f"`{metric.name}`", metric.form, metric.better or "a rule says", metric.range, metric.text,
                    f"`{metric.formula}`", metric.source, metric.edge,
                )  # fmt: skip
                lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def controls() -> str:
    """Return the page of the control catalogue."""
    from ml_governance.workspace import catalogue

    known = catalogue()
    lines = [
        "# Controls",
        "",
        f"The control catalogue, version {known.version}. A rule names what it is evidence for (`controls: [FAI-01]`), and the catalogue",
        "says where a law, a standard or guidance asks for that. A mapping means *evidence for this clause*; whether a law is met is for",
        "people to say. `mlgov policy controls` prints the same, and `mlgov policy controls FAI-01` one control with every source.",
        "",
        "Mappings are dated. *Checked* is the day on which the source was read, which is not always the text itself: the source says.",
        "What was rescinded or superseded stays, so that policies and reports of its time can be read; so does a control that another one",
        "replaced. A policy that is to be signed may name only these and those of a `controls.yaml` beside it.",
        "",
        "## Editions",
        "",
        "| edition | what | status | checked | source and notes |",
        "|---|---|---|---|---|",
    ]
    for name, edition in known.editions.items():
        notes = f"{edition.source}. {edition.note or ''}".strip()
        what = f"{edition.name}: {edition.version} (`{edition.framework}`)"
        lines.append(f"| `{name}` | {what} | {edition.in_words} | {edition.checked or 'not checked'} | {notes} |")
    lines += [
        "", "## Catalogue", "",
        "*A person*: a person's words or judgement are needed beside what can be measured.", "",
        "| control | what holds | evidence | evidence for |", "|---|---|---|---|",
    ]  # fmt: skip
    for control in known.controls:
        clauses: dict[str, list[str]] = {}
        for one, _ in known.mapped(control):
            clauses.setdefault(one.edition, []).append(one.clause)
        mapped = "; ".join(f"`{edition}` {', '.join(named)}" for edition, named in clauses.items())
        evidence = ", ".join(f"`{kind}`" for kind in control.evidence) + (", a person" if control.human else "")
        lines.append(f"| {control.id} | {control.title} | {evidence} | {mapped} |")
    return "\n".join([*lines, ""])


def schema() -> str:
    """Return the schema of report.json."""
    import json

    from ml_governance.report.schema import report_schema

    return json.dumps(report_schema(), indent=2, sort_keys=True) + "\n"


def of_document(name: str) -> str:
    """Return the JSON Schema of a named report."""
    import json

    from ml_governance.report.schema_of_kinds import schema_of

    return json.dumps(schema_of(name), indent=2, sort_keys=True) + "\n"


DOCUMENTS = ("annex-iv", "compare", "ll144-summary", "adverse-action", "adverse-action-notice", "measurement")
PAGES = {
    "report.schema.json": schema,
    **{f"{name}.schema.json": partial(of_document, name) for name in DOCUMENTS},
    "cli.md": commands,
    "metrics.md": metrics,
    "controls.md": controls,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (REFERENCE / page).write_text(make(), encoding="utf-8")
