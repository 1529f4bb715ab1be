"""Charts of explanations: their steps lead from the base to the output, and what was not kept is not drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ml_governance import assess_explanation
from ml_governance.assess import explanation_plots
from ml_governance.assess.explanation import ExplanationReport
from ml_governance.errors import DataError


@pytest.fixture(scope="module")
def found() -> ExplanationReport:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(200, 4)), columns=list("abcd"), index=[f"A{at}" for at in range(200)])
    model = LogisticRegression().fit(frame, frame.a + frame.b > 0)
    sex = pd.Series(random.choice(["f", "m", "x"], 200), index=frame.index, name="sex")
    return assess_explanation(
        model, rows=frame, background=frame[:30], output="margin", sensitive_features=sex, max_rows=160
    )


def test_a_waterfall_leads_from_the_base_to_the_output(found: ExplanationReport) -> None:
    assert found.table is not None and found.values is not None
    row = found.table.index[7]
    for top in (1, 3, 10):
        table = found.plot("waterfall", row=row, top=top).to_frame()
        assert table.output.iloc[0] == found.base
        assert table.output.iloc[-1] == pytest.approx(found.base + found.values[7].sum(), abs=1e-12)
        assert len(table) == 1 + min(top + 1, 4)
        assert table.part.iloc[1:].sum() == pytest.approx(found.values[7].sum(), abs=1e-12)
    assert f"a = {found.table.a.iloc[7]:.4g}" in found.plot("waterfall", row=row).svg


def test_the_picture_of_a_gap_holds_all_its_parts(found: ExplanationReport) -> None:
    entry = max(found.details["gaps"], key=lambda one: abs(one["gap"]))
    table = found.plot("gap", top=2).to_frame().set_index("label")
    assert table.value["gap"] == entry["gap"]
    assert table.value.drop("gap").sum() == pytest.approx(entry["gap"], abs=1e-9)
    other = next(one for one in found.details["gaps"] if one is not entry)
    assert found.plot("gap", group=other["group"][0]).to_frame().set_index("label").value["gap"] == other["gap"]
    with pytest.raises(DataError, match="no such gap"):
        found.plot("gap", by="race")


def test_dependence_shows_the_rows_values_beside_their_attributions(found: ExplanationReport) -> None:
    assert found.table is not None and found.values is not None
    table = found.plot("dependence", column="b").to_frame()
    expected = pd.DataFrame({"value": found.table.b.to_numpy(), "attribution": found.values[:, 1]})
    pd.testing.assert_frame_equal(table, expected.sort_values("value", ignore_index=True))
    with pytest.raises(DataError, match="was not explained"):
        found.plot("dependence", column="e")


def test_rows_without_a_value_and_points_left_out_are_counted() -> None:
    values = [*np.arange(1000.0), np.nan, np.nan]
    plot = explanation_plots.dependence("x", values, np.arange(1002.0), unit="margin")
    assert "2 more without a value" in plot.description
    assert f"{explanation_plots.POINTS} of them drawn" in plot.description
    assert plot.to_frame().value.iloc[[0, -1]].tolist() == [0.0, 999.0]


def test_a_report_read_from_a_ledger_has_no_people_to_draw(found: ExplanationReport) -> None:
    read = ExplanationReport.from_dict(found.to_dict())
    assert read.plot("gap").svg == found.plot("gap").svg
    for kind, options in (("waterfall", {"row": "A1"}), ("dependence", {"column": "a"})):
        with pytest.raises(DataError, match="no attributions of people"):
            read.plot(kind, **options)
    with pytest.raises(DataError, match="0 explained rows have the label 'nobody'"):
        found.plot("waterfall", row="nobody")


def test_what_is_not_finite_is_not_drawn() -> None:
    with pytest.raises(DataError, match="not all of it is finite"):
        explanation_plots.waterfall({"a": float("nan")}, base=0.0, title="x")
    with pytest.raises(DataError, match="no value that is a finite number"):
        explanation_plots.dependence("x", [float("nan")], [1.0], unit="margin")
