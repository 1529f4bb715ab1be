"""A model card in the form of the Hugging Face hub: Markdown under YAML metadata, written without a network.

After Mitchell et al., "Model Cards for Model Reporting" (2019): details, use, data, measured numbers by group, limits. Every number
comes from the verified log and names its entry; what nobody wrote is NOT PROVIDED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.report import numbers
from ml_governance.report.markdown import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ml_governance.report.card import Card

TASK = "tabular-classification"
OTHERS = {
    "data-quality": "Quality of the data", "robustness": "Robustness", "privacy": "Privacy", "security-scan": "Security of the artifact",
}  # fmt: skip
"""Kinds of evidence that have a section with all their numbers."""
SHOWN = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


def to_model_card(card: Card) -> str:
    """Return the card as a model card; the same card gives the same text.

    Parameters
    ----------
    card : Card
        The audit pack.

    Returns
    -------
    str
        Markdown that ``huggingface_hub.ModelCard`` reads. Text of strangers is escaped, and can be nothing but text.
    """
    import yaml

    metadata = yaml.safe_dump(_metadata(card), allow_unicode=True, sort_keys=False, width=1000)
    return f"---\n{metadata}---\n\n" + "\n\n".join(_sections(card)) + "\n"


def _metadata(card: Card) -> dict[str, Any]:
    about: dict[str, Any] = {"tags": ["ml-governance", TASK], "model_name": card.subject["name"]}
    results = [
        {
            "task": {"type": TASK},
            "dataset": {"name": report["dataset"]["name"], "type": f"sha256:{report['dataset']['sha256']}"},
            "metrics": [
                {"type": one["metric"], "value": one["value"]} for one in report["overall"] if one["value"] is not None
            ],
        }
        for report in (card.performance,)
        if report is not None
    ]
    if results and results[0]["metrics"]:
        about["model-index"] = [{"name": card.subject["name"], "results": results}]
    return about


def _sections(card: Card) -> Iterator[str]:
    subject, log = card.subject, card.log
    yield f"# {escaped(subject['name'])}"
    decision = "No decision is recorded."
    if card.decision is not None:
        one = card.decision
        decision = (
            f"Decision for {escaped(card.stage)}: **{one['result']}** (ledger #{one['index']}, signed by {escaped(one['by'])}; "
            f"{escaped(one['assurance'])})."
        )
    yield decision
    yield (
        f"Bytes: `sha256:{subject['sha256']}`. Log: {escaped(log['origin'])}, {log['size']} entries, root `{log['root']}`, "
        f"trust root `{log['trustRoot']}`. As of {card.as_of}."
    )
    for part in card.human:
        signed = (
            ""
            if part["source"] is None
            else f"\n\nSigned by {escaped(part['source']['by'])}, ledger #{part['source']['index']}."
        )
        yield f"## {part['title']}\n\n{_quoted(part['text']) if signed else escaped(part['text'])}{signed}"
    yield "## Data\n\n" + _table(
        ("use", "name", "rows", "sha256", "ledger"),
        (
            (
                one["use"],
                escaped(one["name"]),
                "" if one["rows"] is None else str(one["rows"]),
                one["sha256"],
                _entries(one["entries"]),
            )
            for one in card.data
        ),
    )
    yield "## Performance\n\n" + _measured(card.performance)
    yield from _slices(card)
    yield from _fairness(card)
    for kind, title in OTHERS.items():
        yield _other(title, numbers.reports(card).get(kind))
    yield _licences(card)
    yield "## Limits\n\n" + "\n".join(f"- {escaped(one)}" for one in card.limitations)


def _quoted(text: str) -> str:
    """Return somebody's text as a quotation with its paragraphs, so that nobody takes it for what the card says."""
    return "\n>\n".join(f"> {escaped(part)}" for part in text.split("\n\n") if part.strip())


def _measured(report: dict[str, Any] | None) -> str:
    if report is None:
        return "NOT RECORDED"
    rows = ((one["metric"], *_number(one)) for one in report["overall"])
    return f"{_source(report)}\n\n" + _table(
        ("metric", "value", f"{report['confidence']:.0%} interval", "n", "status"), rows
    )


def _slices(card: Card) -> Iterator[str]:
    details = {} if card.performance is None else card.performance["details"]
    found = list(numbers.by_slice({"overall": [], "details": details}))
    if found:
        rows = ((escaped(where), *_number(one)) for where, one in found)
        yield "### Where it errs most\n\n" + _table(("slice", "mean error", "interval", "n", "status"), rows)


def _other(title: str, report: dict[str, Any] | None) -> str:
    if report is None:
        return f"## {title}\n\nNOT RECORDED"
    rows = ((one["metric"], escaped(where), *_number(one)) for where, one in numbers.by_slice(report))
    head = ("metric", "of", "value", f"{report['confidence']:.0%} interval", "n", "status")
    return f"## {title}\n\n{_source(report)}\n\n" + _table(head, rows)


def _licences(card: Card) -> str:
    details = {} if card.security is None else card.security["details"]
    if not details.get("dependencies"):
        return "### Licences\n\nNOT RECORDED"
    rows = (
        (escaped(one["name"]), escaped(one.get("version") or "not exact"), escaped(one.get("licence") or "not known"))
        for one in details["dependencies"]
    )
    return "### Licences\n\n" + _table(("needs", "version", "licence"), rows)


def _fairness(card: Card) -> Iterator[str]:
    if card.fairness is None:
        yield "## Fairness\n\nNOT RECORDED"
        return
    yield f"## Fairness\n\n{_source(card.fairness)}"
    for attribute in card.fairness["attributes"]:
        rows = (
            (escaped(row["group"]), name, *_number(row["rates"][name]))
            for row in attribute["rows"]
            for name in SHOWN
            if name in row["rates"]
        )
        head = ("group", "metric", "value", f"{card.fairness['confidence']:.0%} interval", "n", "status")
        yield f"### By {escaped(attribute['by'])}\n\n" + _table(head, rows)


def _source(report: dict[str, Any]) -> str:
    return (
        f"Ledger #{report['index']}, signed by {escaped(report['by'])}, {report['at']}; predictions {report['predictions']}; "
        f"rows: {escaped(report['dataset']['name'])}."
    )


def _number(one: dict[str, Any]) -> tuple[str, str, str, str]:
    value = "" if one["value"] is None else f"{one['value']:.4g}"
    interval = "" if one["lower"] is None or one["upper"] is None else f"{one['lower']:.4g} to {one['upper']:.4g}"
    return value, interval, "" if one["n"] is None else str(one["n"]), one["status"]


def _entries(indices: Iterable[int]) -> str:
    return ", ".join(f"#{index}" for index in indices)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are our own words and numbers, or escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
