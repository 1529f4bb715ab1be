"""mlgov report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ml_governance.cli import render
from ml_governance.cli.options import As, Json, Stage, Version, Where, opened
from ml_governance.errors import DataError, UsageError

EXPECTED = (
    "YAML such as {cutoff: 0.0, protected: [sex], factors: {income: Income insufficient for the amount requested}}"
)
OPTIONS = ("cutoff", "protected", "factors", "baseline", "output", "declined", "at_most", "near")


def report(
    model: Version,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write into; default reports/NAME-VERSION.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            help="audit (all that is known), ll144-summary (what 6 RCNY 5-303 has published), annex-iv (technical file), compare, "
            "adverse-action (reasons of declines), model-card, or dossier (all of it, to be checked offline).",
        ),
    ] = "audit",
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            "-f",
            help="html, json, pdf or signed-pdf; of an audit also model-card, ml-bom, oscal or dossier; repeated; default html and json.",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="With --kind compare: the earlier version.")
    ] = None,
    sex: Annotated[str | None, typer.Option(help="With --kind ll144-summary: column of the sex.")] = None,
    race: Annotated[str | None, typer.Option(help="With --kind ll144-summary: column of race/ethnicity.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="With --kind adverse-action: Parquet or CSV file of applicants; each one that is declined gets a notice."
        ),
    ] = None,
    method: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --data: YAML of cutoff, protected, factors, and other options."),
    ] = None,
    compared: Annotated[
        str | None, typer.Option(help="With --data: applicants that the average is taken of; default is --data.")
    ] = None,
    stage: Stage = "production",
    signer: As = None,
    workspace: Where = None,
    json: Json = False,
) -> None:
    """Write a report: one self-contained HTML page, and JSON; or a PDF, signed or not, or forms that other tools read.

    A log that does not verify gives a page that says so, and exit code 4.

    Example: mlgov report credit-risk/2 --form html --form ml-bom --output reports/credit-risk-2;
    mlgov report credit-risk/2 --form signed-pdf --as risk-officer;
    mlgov report credit-risk/2 --kind ll144-summary; mlgov report credit-risk/2 --kind compare --against credit-risk/1;
    mlgov report credit-risk/2 --kind adverse-action --data applicants.parquet --method reasons.yaml --as risk-officer
    """
    notices = method_of(kind, data, method, compared)
    with opened(workspace, signer if notices or "signed-pdf" in (form or ()) else None) as ws:
        folder = output or ws.root / "reports" / model.replace("/", "-").replace(":", "-")
        if notices:
            ws.state_reasons(model, data, folder, compared=compared, **notices)
        written = ws.report(
            model, folder, stage=stage, forms=form or None, kind=kind, against=against, sex=sex, race_ethnicity=race
        )  # fmt: skip
        if json:
            render.out_json({name: str(path) for name, path in written.files.items()})
        else:
            for path in written.files.values():
                render.out(str(path))


def method_of(kind: str, data: str | None, method: Path | None, compared: str | None) -> dict[str, Any]:
    """Return how reasons are to be found, by what the file says; empty where no notice is asked for.

    Raises
    ------
    UsageError
        If the options do not go together.
    DataError
        If the file is no such YAML.
    """
    if data is None and method is None and compared is None:
        return {}
    if kind != "adverse-action" or data is None or method is None:
        raise UsageError(
            "some of --data, --method and --compared are given", expected="--kind adverse-action, --data and --method"
        )
    import yaml

    try:
        read = yaml.safe_load(method.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{method} cannot be read: {error}", expected=EXPECTED) from error
    if not isinstance(read, dict) or not {"cutoff", "protected", "factors"} <= read.keys() <= set(OPTIONS):
        raise DataError(
            f"{method} holds no method, or more than one", expected=f"{EXPECTED}; and some of {', '.join(OPTIONS[3:])}"
        )
    factors, protected = read["factors"], read["protected"]
    texts = isinstance(factors, dict) and all(isinstance(one, str) for one in (*factors, *factors.values()))
    if not texts or not isinstance(protected, list) or not all(isinstance(one, str) for one in protected):
        raise DataError(f"{method} has factors or protected columns that are no text", expected=EXPECTED)
    if isinstance(read["cutoff"], bool) or not isinstance(read["cutoff"], int | float):
        raise DataError(
            f"the cutoff in {method} is {read['cutoff']!r}", expected="a number, on the scale of the output"
        )
    return read
