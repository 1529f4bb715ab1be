from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ml_governance import assess_explanation, assess_fairness, assess_performance
from ml_governance.assess import canvas, curves, plots
from ml_governance.assess.plots import Plot
from ml_governance.assess.svg import Dot
from ml_governance.errors import DataError
from tests.assess.test_fairness import data, report
from tests.assess.test_suppression import SIZES, of_sizes

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("x")</script>&\''


def every_plot() -> dict[str, Plot]:
    frame = data(900)
    generator = np.random.default_rng(0)
    score = np.clip(0.3 * frame.y + generator.random(len(frame)) * 0.7, 0, 1)
    fair = report(frame)
    scored = assess_fairness(y_true=frame.y, y_pred=frame.p, y_score=score, sensitive_features=frame[["sex", "race"]])
    perf = assess_performance(y_true=frame.y, y_score=score, sensitive_features=frame[["sex"]])
    x = frame[["w"]].assign(z=generator.normal(size=len(frame)))
    x["site"] = frame.sex
    model = make_pipeline(
        ColumnTransformer([("s", OneHotEncoder(), ["site"])], remainder="passthrough"), LogisticRegression()
    )
    why = assess_explanation(
        model.fit(x, frame.y), rows=x[:400], background=x[:20], output="margin", sensitive_features=frame[["sex"]][:400],
        max_rows=300,
    )  # fmt: skip
    groups = {name: frame.sex == name for name in ("Female", "Male")}
    thresholds = np.linspace(0, 1, 21)
    rates = {name: [float((score[rows] >= t).mean()) for t in thresholds] for name, rows in groups.items()}
    bins = {
        name: assess_performance(y_true=frame.y[rows], y_score=score[rows]).details["calibration"]
        for name, rows in groups.items()
    }
    return {
        "groups": fair.plot(bound=0.4),
        "crossed": fair.plot(by=["sex", "race"], metric="true_positive_rate"),
        "four_fifths": fair.plot("four_fifths", by="race"),
        "mosaic": fair.plot("mosaic"),
        "mosaic of one": fair.plot("mosaic", by="race"),
        "published": of_sizes(SIZES, ["sex", "race"]).published(k=10).plot(by=["sex", "race"]),
        "scores over thresholds": scored.plot("sweep", threshold=0.5),
        "scores over thresholds, crossed": scored.plot("sweep", by=["sex", "race"]),
        "ROC of a report": scored.plot("roc", by="race"),
        "calibration of a report": scored.plot("calibration", by="sex"),
        "calibration in panels": scored.plot("calibration", by=["sex", "race"]),
        "roc": perf.plot(),
        "calibration": perf.plot("calibration"),
        "auc": perf.plot("groups", metric="roc_auc", by="sex"),
        "overall": assess_performance(y_true=frame.y, y_pred=frame.p).plot(),
        "importance": why.plot(),
        "gap": why.plot("gap"),
        "gap, two columns": why.plot("gap", by="sex", top=2),
        "waterfall": why.plot("waterfall", row=why.table.index[3]),
        "waterfall, one column": why.plot("waterfall", row=why.table.index[4], top=1),
        "dependence": why.plot("dependence", column="z"),
        "dependence on text": why.plot("dependence", column="site"),
        "roc by group": curves.roc({name: roc_curve(frame.y[r], score[r])[:2] for name, r in groups.items()}),
        "calibration by group": curves.calibration(bins),
        "sweep": curves.sweep(thresholds, rates, threshold=0.9),
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Plot]:
    return every_plot()


def test_every_chart_is_valid_svg_with_a_text_alternative(made: dict[str, Plot]) -> None:
    for plot in made.values():
        root = ET.fromstring(plot.svg)
        assert root.get("role") == "img"
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None and description is not None
        assert title.text == plot.title and description.text == plot.description
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
        assert "<script" not in plot.svg and "http" not in plot.svg.replace("http://www.w3.org/2000/svg", "")
        assert "nan" not in plot.svg and "inf" not in re.sub(r"<(title|desc).*?</\1>", "", plot.svg)


def test_no_text_is_smaller_than_eleven_pixels_on_a_phone(made: dict[str, Plot]) -> None:
    for name, plot in made.items():
        sizes = [float(one.get("font-size", "0")) for one in ET.fromstring(plot.svg).iter(f"{SVG}text")]
        assert min(sizes) * (390 - 2 * 8) / canvas.WIDTH >= 11, name


def test_curves_of_a_report_are_those_of_its_rows() -> None:
    frame = data(900)
    score = np.random.default_rng(0).random(900)
    own = assess_fairness(y_true=frame.y, y_pred=frame.p, y_score=score, sensitive_features=frame[["sex"]])
    swept = own.plot("sweep").to_frame()
    for _, row in swept.iterrows():
        rows = frame.sex == row["group"].split(",")[0]
        assert row["rate"] == pytest.approx((score[rows] >= row["threshold"]).mean(), abs=1e-6)
    for name, part in own.plot("roc").to_frame().groupby("group"):
        rows = frame.sex == str(name).split(",")[0]
        fpr, tpr, _ = roc_curve(frame.y[rows], score[rows], drop_intermediate=False)
        drawn = part[["false_positive_rate", "true_positive_rate"]].to_numpy()
        assert all(np.abs(np.stack([fpr, tpr], axis=1) - point).sum(axis=1).min() < 5e-3 for point in drawn)
    binned = own.plot("calibration").to_frame()
    for name, part in binned.groupby("group"):
        rows = frame.sex == str(name).split(",")[0]
        assert part["n"].sum() == rows.sum()
        assert (part["rate"] * part["n"]).sum() == pytest.approx(frame.y[rows].sum(), abs=1e-2)


def test_more_groups_than_can_be_told_apart_are_left_out_and_counted() -> None:
    n = 1800
    group = np.repeat([f"g{i}" for i in range(9)], n // 9)
    generator = np.random.default_rng(0)
    y, score = generator.integers(0, 2, n), generator.random(n)
    own = assess_fairness(y_true=y, y_pred=y, y_score=score, sensitive_features={"g": group})
    for kind in ("sweep", "roc", "calibration"):
        plot = own.plot(kind)
        assert "the 6 largest of 9 groups" in plot.title
        assert plot.to_frame()["group"].nunique() == 6


def test_plots_of_scores_that_are_not_there_are_refused() -> None:
    with pytest.raises(DataError, match="no scores by group"):
        report(data()).plot("sweep")
    y = np.resize([0, 1], 80)
    own = assess_fairness(y_true=y, y_pred=y, y_score=y, sensitive_features={"g": np.resize(["a", "a", "b"], 80)})
    with pytest.raises(DataError, match="no scores by h"):
        own.plot("roc", by="h")


def test_a_notebook_shows_the_plots_and_the_table() -> None:
    frame = data(900)
    score = np.random.default_rng(0).random(900)
    own = assess_fairness(y_true=frame.y, y_pred=frame.p, y_score=score, sensitive_features=frame[["sex", "race"]])
    page = own._repr_html_()
    for title in ("Selection rate by sex", "Size and selection rate by sex x race", "Selection rate over thresholds by sex",
                  "ROC curves by sex", "Calibration by sex"):  # fmt: skip
        assert f">{title}</title>" in page
    assert page.count("<svg") == 6 and "<caption>fairness</caption>" in page


def test_no_two_charts_of_a_page_share_an_id_and_the_same_call_gives_the_same_bytes(made: dict[str, Plot]) -> None:
    ids = [one for plot in made.values() for one in re.findall(r' id="([^"]+)"', plot.svg)]
    assert len(ids) == len(set(ids)) == 2 * len(made)
    assert {name: plot.svg for name, plot in every_plot().items()} == {name: plot.svg for name, plot in made.items()}


def test_nothing_is_drawn_outside_the_paper(made: dict[str, Plot]) -> None:
    for name, plot in made.items():
        root = ET.fromstring(plot.svg)
        height = float((root.get("viewBox") or "").split()[3])
        for text in root.iter(f"{SVG}text"):
            if text.get("transform"):
                continue
            x, y = float(text.get("x", "0")), float(text.get("y", "0"))
            width = len(text.text or "") * 0.5 * float(text.get("font-size", "12"))
            start = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor", "start")]
            assert start >= 0 and start + width <= canvas.WIDTH and 0 < y < height, (name, text.text)
        for shape in root.iter(f"{SVG}line"):
            assert all(0 <= float(shape.get(key, "-1")) <= canvas.WIDTH for key in ("x1", "x2"))
            assert all(0 <= float(shape.get(key, "-1")) <= height for key in ("y1", "y2"))


def test_the_table_holds_what_the_picture_shows(made: dict[str, Plot]) -> None:
    fair = report(data(900))
    table = made["groups"].to_frame()
    assert table["value"].tolist() == [
        fair.get("selection_rate", by=("sex",), group=(level,)).value for level in ("Female", "Male")
    ]
    shares = made["mosaic"].to_frame()
    assert shares["share"].sum() == pytest.approx(1) and len(shares) == 6
    for plot in made.values():
        assert len(plot.to_frame()) and "<details>" in plot._repr_html_()


def test_the_areas_of_a_mosaic_are_the_sizes_of_its_groups(made: dict[str, Plot]) -> None:
    root = ET.fromstring(made["mosaic"].svg)
    cells = [one for one in root.iter(f"{SVG}rect") if one.get("stroke") == "var(--mlg-paper)"]
    areas = np.array([float(one.get("width", "0")) * float(one.get("height", "0")) for one in cells])
    sizes = made["mosaic"].to_frame()["n"].to_numpy()
    assert areas / areas.sum() == pytest.approx(sizes / sizes.sum(), abs=2e-3)


def test_a_withheld_group_is_drawn_as_withheld(made: dict[str, Plot]) -> None:
    plot = made["published"]
    assert plot.description.count("withheld") == 4
    assert all(row["value"] is None for row in plot.rows if row["note"] == "withheld")
    assert not re.search(r"f x b, n", plot.svg)
    with pytest.raises(DataError, match="suppressed"):
        of_sizes(SIZES, ["sex", "race"]).published(k=10).plot("mosaic")


def test_undefined_and_insufficient_numbers_say_so() -> None:
    y, p = [1, 0] * 50 + [0] * 100 + [1, 0] * 5, [1, 0] * 105
    plot = assess_fairness(y_true=y, y_pred=p, sensitive_features=["a"] * 100 + ["b"] * 100 + ["c"] * 10).plot(
        metric="true_positive_rate"
    )
    assert [row["note"] for row in plot.rows] == ["", "undefined", "insufficient"]
    assert "b, n 100: undefined" in plot.description


def test_an_unbounded_interval_ends_at_the_edge() -> None:
    plot = plots.dots([Dot(label="a", value=2.0, lower=1.0, upper=float("inf"))], title="t", axis="ratio")
    assert "1.000 to unbounded" in plot.description
    ET.fromstring(plot.svg)


def test_names_from_the_data_are_text_everywhere() -> None:
    plot = curves.sweep([0.0, 1.0], {HOSTILE: [1.0, 0.0]}, title=HOSTILE)
    others = [
        plots.dots([Dot(label=HOSTILE, value=0.5)], title=HOSTILE, axis=HOSTILE, bound=0.4, bound_label=HOSTILE),
        plots.mosaic({(HOSTILE, "b"): (1, 300), ("c", HOSTILE): (1, 300)}, title=HOSTILE, rate=HOSTILE),
        curves.roc({HOSTILE: ([0, 1], [0, 1])}, title=HOSTILE),
    ]
    for one in (plot, *others):
        assert "<script" not in one.to_html()
        ET.fromstring(one.svg)


def test_a_line_breaks_where_a_rate_is_undefined() -> None:
    plot = curves.sweep([0.0, 0.2, 0.4, 0.6, 0.8], {"a": [1.0, 0.8, float("nan"), 0.3, 0.1]})
    assert plot.svg.count("<polyline") == 2
    assert plot.rows[2]["rate"] is None


def test_colours_stand_out_from_the_paper_in_both_schemes() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for paper, colours in (("#ffffff", canvas.LIGHT), ("#14181d", canvas.DARK)):
        for one in colours:
            low, high = sorted([luminance(paper), luminance(one)])
            assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_rising_and_span_the_range(low: float, span: float) -> None:
    marks = canvas.ticks(low, low + span)
    assert 2 <= len(marks) <= 6
    assert all(a < b for a, b in itertools.pairwise(marks))
    slack = 1e-6 * max(span, abs(low) * 1e-3)
    assert marks[0] <= low + slack and marks[-1] >= low + span - slack


def test_plots_are_saved_as_svg_or_as_a_page(tmp_path, made: dict[str, Plot]) -> None:  # type: ignore[no-untyped-def]
    plot = made["roc"]
    assert plot.save(tmp_path / "a.svg").read_text() == plot.svg
    assert "<table>" in plot.save(str(tmp_path / "a.html")).read_text()
    with pytest.raises(DataError, match=r"a\.png"):
        plot.save(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: report(data()).plot("pie"), "no plot 'pie'"),
        (lambda: report(data()).plot(metric="magic"), "was not measured"),
        (lambda: report(data()).plot(by="age"), "not measured by age"),
        (lambda: assess_performance(y_true=[0, 1], y_pred=[0, 1]).plot("roc"), "no ROC"),
        (lambda: assess_performance(y_true=[0, 1], y_pred=[0, 1]).plot("calibration"), "no calibration"),
        (lambda: of_sizes(SIZES, ["sex", "race"]).published().plot("four_fifths"), "no counts of all"),
        (lambda: plots.dots([], title="t", axis="a"), "nothing to draw"),
        (lambda: plots.mosaic({("a", "b", "c"): (1, 2)}, title="t"), "one or two"),
        (lambda: plots.mosaic({("a",): (0, 0)}, title="t"), "one or two"),
        (lambda: curves.roc({}), "0 groups"),
        (lambda: curves.roc({str(i): ([0, 1], [0, 1]) for i in range(7)}), "7 groups"),
        (lambda: curves.roc({"a": ([0, 1], [0, np.nan])}), "finite"),
        (lambda: curves.sweep([0.5, 0.1], {"a": [1, 0]}), "do not rise"),
        (lambda: curves.sweep([0.1, 0.5], {"a": [1]}), "1 values"),
        (lambda: curves.sweep([0.1, 0.5], {"a": [1, 0]}, bands={"a": ([1], [1])}), "band of a"),
        (lambda: curves.sweep([0.1, 0.5], {"a": [1, 0]}, threshold=0.7), "in use is 0.7"),
        (lambda: canvas.ticks(0, float("inf")), "finite"),
    ],
    ids=range(17),
)
def test_what_cannot_be_drawn_is_named(draw, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=words):
        draw()
