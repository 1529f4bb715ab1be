"""The model card: read by the hub's own library, and nobody's text becomes markup."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard

from ml_governance.report.model_card import OTHERS, to_model_card
from ml_governance.report.texts import EXPECTED
from tests.report.test_oscal import BARE
from tests.report.test_report import HOSTILE, build, full

CARDS = {"full": build(full()), "hostile": build(full(name=HOSTILE, group="a|b\n# injected")), "bare": build(BARE)}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_the_library_of_the_hub_reads_it(card: Any) -> None:
    read = ModelCard(to_model_card(card))
    assert read.data.model_name == card.subject["name"]
    if card.performance is None:
        assert read.data.eval_results is None
        return
    shown = {one.metric_type: one.metric_value for one in read.data.eval_results}
    assert shown == {one["metric"]: one["value"] for one in card.performance["overall"] if one["value"] is not None}
    assert {one.dataset_name for one in read.data.eval_results} == {card.performance["dataset"]["name"]}


def test_what_nobody_wrote_and_what_is_not_recorded_is_said() -> None:
    text = to_model_card(CARDS["bare"])
    assert text.count("NOT PROVIDED") == len(EXPECTED) and text.count("NOT RECORDED") == 3 + len(OTHERS)


def test_nobodys_text_becomes_markup_or_another_row() -> None:
    text = ModelCard(to_model_card(CARDS["hostile"])).text
    assert "<script" not in text and "\n# injected" not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            lines = block.splitlines()
            assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_every_group_is_shown_with_its_interval_and_rows_and_the_same_card_gives_the_same_text() -> None:
    card = CARDS["full"]
    text = to_model_card(card)
    assert card.fairness is not None
    for attribute in card.fairness["attributes"]:
        for row in attribute["rows"]:
            one = row["rates"]["selection_rate"]
            value = "" if one["value"] is None else f"{one['value']:.4g}"
            line = next(
                line
                for line in text.splitlines()
                if "selection" in line and f"| {row['group']}" in line.replace("&#45;", "-")
            )
            assert value in line and f"| {one['n']} |" in line and one["status"] in line
    assert text == to_model_card(build(full()))
