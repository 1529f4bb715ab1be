"""The audit pack as one self-contained page: no script, no request, light and dark, phone and paper."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_governance import __version__
from ml_governance.assess import canvas, svg
from ml_governance.report import lineage
from ml_governance.report.annex_iv import TITLES
from ml_governance.report.comparison import PARTS
from ml_governance.report.numbers import in_words
from ml_governance.report.outcome import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from ml_governance.errors import GovernanceError
    from ml_governance.report.adverse_action import Stated
    from ml_governance.report.annex_iv import TechnicalFile
    from ml_governance.report.card import Card
    from ml_governance.report.comparison import Comparison
    from ml_governance.report.ll144_summary import Summary

TOP_COLUMNS = 10
TOP_RISKS = 3
MOST_GAPS = 6
"""Most gaps that are drawn; the table below them holds more."""
MOST_DOTS = 40
"""Most groups in one drawing; the table beside it holds all."""
GRAVEST = ("error", "fail", "missing", "stale", "insufficient", "inconclusive", "waived")
"""Findings that did not pass, gravest first."""
_DIGEST = re.compile("[0-9a-f]{64}")
NAMES = {
    "eu-ai-act": "EU AI Act", "nist-ai-rmf": "NIST AI RMF", "iso-42001": "ISO/IEC 42001", "ll144": "NYC LL144", "ugesp": "UGESP",
    "reg-b": "Reg. B", "sr-11-7": "SR 11-7", "sr-26-2": "SR 26-2", "ss1-23": "SS1/23", "colorado-ai": "Colorado", "mitre-atlas": "ATLAS",
}  # fmt: skip
"""Short names of editions and frameworks."""


def render(card: Card) -> str:
    """Return the page.

    Parameters
    ----------
    card : Card
        The audit pack.

    Returns
    -------
    str
        HTML; the same card gives the same bytes.
    """
    from markupsafe import Markup

    ids = svg.Ids()
    charts = {name: Markup(drawn) for name, drawn in _charts(card, ids).items()}  # noqa: S704  our own SVG, escaped where it is made
    findings = [] if card.decision is None else card.decision["findings"]
    risks = sorted((one for one in findings if one["status"] in GRAVEST), key=lambda one: GRAVEST.index(one["status"]))
    since: dict[str, list[int]] = {}
    for one in card.events:
        if card.decision is not None and one["index"] > card.decision["index"]:
            since.setdefault(one["kind"], []).append(one["index"])
    present = [one for one in findings if one["status"] == "pass" and "bound" not in one and "value" not in one]
    tally = Counter(one["status"] for one in findings)
    return page(
        "report.html.j2", most_dots=MOST_DOTS, card=card, charts=charts, since=list(since.items()), risks=risks[:TOP_RISKS],
        more_risks=len(risks[TOP_RISKS:]), present=present,
        measured=[one for one in findings if one not in present], tally=[(word, tally[word]) for word in ("pass", *GRAVEST) if tally[word]],
        shown={one["index"] for one in card.events},
        names={one["id"]: NAMES.get(one["id"], NAMES.get(one["framework"], one["name"])) for one in card.editions},
    )  # fmt: skip


def summary(made: Summary) -> str:
    """Return the summary of a bias audit as a page."""
    from markupsafe import Markup

    return page("ll144_summary.html.j2", made=made, card=made.card, tables=Markup(made.audit.to_html()))  # noqa: S704  escaped where it is made


def technical_file(made: TechnicalFile) -> str:
    """Return the technical file as a page."""
    return page(
        "annex_iv.html.j2", made=made, card=made.card, titles=TITLES, shown={one["index"] for one in made.card.events}
    )


def stated(made: Stated) -> str:
    """Return the report on stated reasons as a page."""
    return page("adverse_action.html.j2", made=made, card=made.card)


def compared(made: Comparison) -> str:
    """Return two versions side by side as a page."""
    return page("compare.html.j2", made=made, card=made.after, parts=PARTS)


KINDS = {
    "audit": "Audit report", "ll144-summary": "Summary of a bias audit", "annex-iv": "Technical file, Annex IV",
    "compare": "Two versions side by side", "adverse-action": "Reasons for adverse action",
}  # fmt: skip
"""What a kind of report is called where it cannot be made."""


def unverified(model: str, error: GovernanceError, *, origin: str, trust_root: str, kind: str = "audit") -> str:
    """Return the page that stands where a report would, when the log does not verify: it says so and shows nothing else."""
    return page("unverified.html.j2", kind=KINDS[kind], model=model, error=error, origin=origin, trust_root=trust_root)


def page(template: str, **values: Any) -> str:
    """Return a page made from one of our templates; the same values give the same bytes."""
    made = environment().get_template(template).render(version=__version__, **values)
    return visible(made, len(made))  # whoever named a group cannot turn the order of what follows


def _charts(card: Card, ids: svg.Ids) -> dict[str, str]:
    charts = {"lineage": lineage.to_svg(card.lineage)}
    if card.monitoring:
        drifted = [one for one in card.monitoring[0]["columns"] if one["psi_excess"] is not None][:TOP_COLUMNS]
        rows = [svg.Dot(label=one["column"], value=max(one["psi_excess"], 0.0)) for one in drifted]
        if rows:
            charts["drift"] = svg.bars(
                ids, rows, title="Columns farthest from the approved rows", axis="distance beyond chance"
            )
    if card.fairness is not None:
        for number, attribute in enumerate(card.fairness["attributes"]):
            if not attribute["plain"]:
                charts[f"impact-{number}"] = _impact(ids, attribute, card.fairness)
    if card.performance is not None:
        details = card.performance["details"]
        if "roc" in details:
            points = list(zip(details["roc"]["fpr"], details["roc"]["tpr"], strict=True))
            charts["roc"] = svg.square(
                ids, points, title="ROC curve", x_axis="false positive rate", y_axis="true positive rate",
                description=f"True positive rate against false positive rate at {len(points)} thresholds.",
            )  # fmt: skip
        if details.get("calibration"):
            bins = details["calibration"]
            charts["calibration"] = svg.square(
                ids,
                [(one["mean_score"], one["rate"]) for one in bins],
                title="Calibration",
                description="; ".join(
                    f"mean score {one['mean_score']:.2f}: observed {one['rate']:.2f}, n {one['n']}" for one in bins
                ),
                x_axis="mean score",
                y_axis="observed rate",
                intervals=[(one["mean_score"], one["lower"], one["upper"]) for one in bins],
            )
        if "threshold" in details:
            charts["costs"] = _costs(ids, details["threshold"])
    if card.explanation is not None:
        charts |= _explained(ids, card.explanation)
    return charts


def _explained(ids: svg.Ids, explanation: dict[str, Any]) -> dict[str, str]:
    details, charts = explanation["details"], {}
    rows = [
        svg.Dot(label=one["column"], value=one["mean_abs"], lower=one["lower"], upper=one["upper"])
        for one in details.get("importance", [])[:TOP_COLUMNS]
    ]
    if rows:
        axis = f"mean absolute attribution, {details.get('output', 'output')}"
        charts["importance"] = svg.bars(ids, rows, title="Columns that move the output most", axis=axis)
    for number, entry in enumerate(details.get("gaps", [])[:MOST_GAPS]):
        charts[f"gap-{number}"] = _gap(ids, entry, explanation)
    return charts


def _gap(ids: svg.Ids, entry: dict[str, Any], explanation: dict[str, Any]) -> str:
    """Draw what a group's gap in mean output is made of: the largest parts, the others together, and the gap itself."""
    shown, left = entry["parts"][:TOP_COLUMNS], entry["parts"][TOP_COLUMNS:]
    rows = [
        svg.Dot(label=one["column"], value=one["value"], lower=one.get("lower"), upper=one.get("upper"), strong="lower" in one)
        for one in shown
    ]  # fmt: skip
    if left:
        rows.append(
            svg.Dot(
                label="1 other column" if len(left) == 1 else f"{len(left)} other columns",
                value=math.fsum(one["value"] for one in left),
            )
        )
    rows.append(svg.Dot(label="the gap itself", value=entry["gap"], lower=entry["lower"], upper=entry["upper"]))
    ends = [0.0, *(end for row in rows for end in (row.value, row.lower, row.upper) if end is not None)]
    marks = canvas.ticks(min(ends), max(ends))
    output = f"{explanation['details'].get('output', 'output')}{of_class(entry)}"
    return svg.dots(
        ids, rows, title=f"What the gap of {gap_words(entry)} is made of", low=marks[0], high=marks[-1],
        tick=marks[1] - marks[0], bound=0.0, bound_label="0",
        axis=f"difference of mean {output}, with {explanation['confidence']:.0%} intervals",
    )  # fmt: skip


def gap_words(entry: dict[str, Any]) -> str:
    """Name the two groups of a gap."""
    return f"{entry['by'][0]} {entry['group'][0]} to {entry['reference'][0]}"


def of_class(entry: dict[str, Any]) -> str:
    """Name the class that an entry is about, if it is about one of several."""
    return f" of class {entry['class']}" if "class" in entry else ""


def _costs(ids: svg.Ids, found: dict[str, Any]) -> str:
    """Draw the mean cost at every threshold, on the half that had no part in the choice, over the largest of them."""
    curve, most = found["confirmed"], max(found["confirmed"]) or 1.0
    points = [(x, y / most) for x, y in zip(found["thresholds"], curve, strict=True)]
    return svg.square(
        ids, points, title="Mean cost over thresholds", x_axis="threshold", y_axis=f"mean cost, in parts of {most:.3g}", diagonal=False,
        description=f"Mean cost at {len(points)} thresholds, from {min(curve):.3g} to {most:.3g}; chosen was {found['threshold']:g}.",
    )  # fmt: skip


def _impact(ids: svg.Ids, attribute: dict[str, Any], fairness: dict[str, Any]) -> str:
    rows = []
    for one in shown_groups(attribute["rows"]):
        impact = one["impact"]
        solid = impact["status"] == "ok"
        rows.append(
            svg.Dot(
                label=f"{one['group']} ({_rows(one['n'], 'n ')})", value=impact["value"], lower=impact["lower"], upper=impact["upper"],
                note=impact["status"], strong=solid,
            )
        )  # fmt: skip
    ratios = [row.upper or row.value or 0.0 for row in rows if row.strong]
    high = 1.2 if max(ratios, default=1.0) <= 1.2 else 1.6
    bound = fairness["bound"]
    return svg.dots(
        ids, rows, title=f"Selection rate over the highest group's, by {attribute['by']}", low=0.0, high=high, bound=bound,
        axis=f"ratio, with {fairness['confidence']:.0%} intervals", bound_label=f"{bound:g}" if bound is not None else "",
    )  # fmt: skip


def shown_groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups that a drawing has room for, in their order: all, or those with the lowest ratios."""
    if len(rows) <= MOST_DOTS:
        return rows

    def place(one: dict[str, Any]) -> tuple[bool, float, str]:
        ratio = one["impact"]["value"]
        return ratio is None, ratio or 0.0, one["group"]

    lowest = sorted(rows, key=place)[:MOST_DOTS]
    return [one for one in rows if one in lowest]


@cache
def environment() -> Environment:
    """Return what fills our templates: everything is escaped, and a name that is not there is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("ml_governance.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        num=_number,
        pct=_percent,
        words=_words,
        short=_short,
        rows=_rows,
        spread=_spread,
        chance=_chance,
        gap_words=gap_words,
        of_class=of_class,
        cut=_cut,
    )
    return made


def _spread(items: Sequence[int], most: int) -> list[int]:
    """Return the first, the last, and evenly spread ones between, no more than ``most``."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _number(value: Any, digits: int = 3) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}"


def _chance(value: float | None) -> str:
    return "less than 0.001" if value is not None and value < 0.001 else _number(value)


def _rows(value: int | None, before: str = "") -> str:
    return "withheld" if value is None else f"{before}{value:,}"


def _percent(value: Any) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.1%}"


def _words(text: str) -> str:
    return in_words(text.replace("-", " "))


def _cut(text: str) -> str:
    """Return a digest by its first digits, and any other text as it is."""
    return _short(text) if _DIGEST.fullmatch(text) else text


def _short(digest: str) -> str:
    return digest[:12]
