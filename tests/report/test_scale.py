"""Two hundred groups and three hundred columns: the page stays small and readable, and holds every group."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_governance.assess.fairness import assess_fairness
from ml_governance.evidence.predicates import Explanation, Registration, Resource
from ml_governance.report import formats, html
from tests.report.test_report import build, parsed, view

GROUPS, COLUMNS = 200, 300
REGISTERED = Registration(registry="local:x", name="credit-risk", version="1", format="file", files=1, size=10)


@pytest.fixture(scope="module")
def pack() -> Any:
    generator = np.random.default_rng(0)
    n = 20_000
    frame = pd.DataFrame(
        {"region": [f"region {i:03d}" for i in generator.integers(0, GROUPS, n)], "p": generator.integers(0, 2, n)}
    )
    rows = Resource(name="test", sha256="cd" * 32, rows=n)
    fair = assess_fairness(y_true=generator.integers(0, 2, n), y_pred=frame.p, sensitive_features=frame[["region"]])
    columns = [f"column {i:03d}" for i in range(COLUMNS)]
    explanation = Explanation(
        predictions="recomputed", dataset=rows, columns={}, confidence=0.95, min_group_size=30, measurements=(), software={},
        details={
            "engine": "trees", "output": "margin", "rows": 100, "background": 100, "base": 0.1, "why": "exact",
            "importance": [{"column": c, "mean_abs": 1 / (i + 1), "lower": 0.0, "upper": 1.0} for i, c in enumerate(columns)],
            "by_group": [
                {"by": ["region"], "group": [f"region {g:03d}"], "n": 100, "mean": dict.fromkeys(columns, 0.123456)}
                for g in range(GROUPS)
            ],
        },
    )  # fmt: skip
    return build(
        view(
            ("ada", REGISTERED),
            ("vera", fair.to_content(predictions="recomputed", dataset=rows)),
            ("vera", explanation),
        )
    )


def test_every_group_stands_in_the_table_and_the_lowest_in_the_drawing(pack: Any) -> None:
    page = html.render(pack)
    parsed(page)
    assert len(page.encode()) < 1_500_000 and len(formats.to_json(pack).encode()) < 5_000_000
    table = page.split('aria-label="Rates by region"')[1].split("</table>")[0]
    assert len(re.findall(r"region \d{3}", table)) == GROUPS
    drawing = page.split("Selection rate over the highest group")[1].split("</svg>")[0]
    drawn = set(re.findall(r"(region \d{3}) \(n", drawing.split("</desc>")[1]))
    impact = {row["group"]: row["impact"]["value"] for row in pack.fairness["attributes"][0]["rows"]}
    lowest = sorted(impact, key=lambda group: (impact[group] is None, impact[group] or 0.0, group))[: html.MOST_DOTS]
    assert drawn == set(lowest)
    assert None not in impact.values() and max(impact.values()) == 1 and drawing.count("<circle") == html.MOST_DOTS
    assert f"Drawn are the {html.MOST_DOTS} lowest of {GROUPS}" in page


def test_the_page_is_made_quickly(pack: Any) -> None:
    html.render(pack)  # templates are compiled once
    before = time.process_time()
    html.render(pack)
    assert time.process_time() - before < 2
