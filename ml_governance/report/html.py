"""The audit pack as one self-contained page: no script, no request, light and dark, phone and paper."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ml_governance import __version__
from ml_governance.assess import svg
from ml_governance.report import lineage

if TYPE_CHECKING:
    from jinja2 import Environment

    from ml_governance.report.card import Card

TOP_COLUMNS = 10


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
    return _environment().get_template("report.html.j2").render(card=card, charts=charts, version=__version__)


def _charts(card: Card, ids: svg.Ids) -> dict[str, str]:
    charts = {"lineage": lineage.to_svg(card.lineage)}
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
        rows = [
            svg.Dot(label=one["column"], value=one["mean_abs"], lower=one["lower"], upper=one["upper"])
            for one in card.explanation["details"].get("importance", [])[:TOP_COLUMNS]
        ]
        if rows:
            output = card.explanation["details"].get("output", "output")
            charts["importance"] = svg.bars(
                ids,
                rows,
                title="Columns that move the output most",
                axis=f"mean absolute attribution, {output}",
            )
    return charts


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
    for one in attribute["rows"]:
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


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ml_governance.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=_number, pct=_percent, words=_words, short=_short, rows=_rows)
    return environment


def _number(value: Any, digits: int = 3) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}"


def _rows(value: int | None, before: str = "") -> str:
    return "withheld" if value is None else f"{before}{value:,}"


def _percent(value: Any) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.1%}"


def _words(text: str) -> str:
    return text.replace("_", " ").replace("-", " ")


def _short(digest: str) -> str:
    return digest[:12]
