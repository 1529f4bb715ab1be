"""Named reports: the published summary of a bias audit, the technical file of Annex IV, two versions side by side."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from ml_governance.assess.fairness import assess_fairness
from ml_governance.assess.local_law_144 import nyc_ll144
from ml_governance.errors import MissingEvidenceError, UsageError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import HumanText, Registration, Revocation
from ml_governance.report import annex_iv, comparison, formats, html, ll144_summary
from ml_governance.testing import START
from tests.assess.test_fairness import data
from tests.report.test_report import HOSTILE, SUBJECT, TEST, build, full, parsed, view

REGISTERED = Registration(registry="local:x", name="credit-risk", version="1", format="file", files=1, size=10)


def text(name: str, words: str) -> HumanText:
    return HumanText(name=name, sha256=sha256_hex(words.encode()), text=words)


def rows(n: int = 900) -> Any:
    frame = data(n)
    frame.loc[:16, "race"] = None
    return frame


def assessed(frame: Any, by: list[str], **options: Any) -> Any:
    return assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[by], **options)


def evidence(*more: Any, by: tuple[str, ...] = ("sex", "race")) -> Any:
    made = assessed(rows(), list(by)).to_content(predictions="recomputed", dataset=TEST)
    return view(("ada", REGISTERED), ("vera", made), *more)


def summary(found: Any, **options: Any) -> ll144_summary.Summary:
    return ll144_summary.build(build(found), found, SUBJECT, **options)


def test_the_summary_has_the_numbers_that_the_rows_themselves_give() -> None:
    frame = rows()
    found = summary(evidence())
    direct = nyc_ll144(sex=frame.sex, race_ethnicity=frame.race, y_pred=frame.p)
    for one, two in zip(found.audit.tables, direct.tables, strict=True):
        assert {r.category: (r.applicants, r.selected, r.impact_ratio) for r in one.rows} == {
            r.category: (r.applicants, r.selected, r.impact_ratio) for r in two.rows
        }
    assert found.audit.unknown == direct.unknown == 17
    page = html.summary(found)
    assert "Note: 17 individuals with an unknown sex or race/ethnicity" in page
    for title in ("Sex Categories", "Race/Ethnicity Categories", "Intersectional Categories"):
        assert title in page


def test_the_summary_is_dated_by_evidence_and_names_what_nobody_signed() -> None:
    found = summary(evidence())
    assert found.audited_on == START.date().isoformat()
    page = html.summary(found)
    assert found.distributed_on is None and page.count("NOT PROVIDED") == 1 + len(ll144_summary.TEXTS)
    assert "at least 6 months" in page and "sets a threshold" in page
    signed = html.summary(summary(evidence(("vera", text("ll144-data", "Applications of 2025.")))))
    assert "Applications of 2025." in signed and signed.count("NOT PROVIDED") == len(ll144_summary.TEXTS)


def test_counts_that_are_not_there_are_never_guessed() -> None:
    with pytest.raises(MissingEvidenceError, match="no fairness assessment"):
        summary(view(("ada", REGISTERED)))
    with pytest.raises(UsageError, match="none of sex is called"):
        summary(evidence(by=("sex",)))
    weighted = assessed(rows(), ["sex", "race"], sample_weight=rows().y * 0.5 + 0.7)
    made = weighted.to_content(predictions="recomputed", dataset=TEST)
    with pytest.raises(MissingEvidenceError, match="weighted"):
        summary(view(("vera", made)))
    withheld = assessed(rows(), ["sex", "race"]).published(k=30)
    assert withheld.withheld
    with pytest.raises(MissingEvidenceError, match="are not there: suppressed"):
        summary(view(("vera", withheld.to_content(predictions="recomputed", dataset=TEST))))


def test_an_assessment_that_was_taken_back_is_not_published() -> None:
    before = evidence()
    target = before.attestations[1].payload_digest
    with pytest.raises(MissingEvidenceError, match="that stands"):
        summary(evidence(("vera", Revocation(target=target, reason="wrong rows"))))


def test_which_column_is_meant_is_asked_where_it_cannot_be_told() -> None:
    frame = rows().rename(columns={"race": "origin"})
    made = assessed(frame, ["sex", "origin"]).to_content(predictions="recomputed", dataset=TEST)
    found = view(("vera", made))
    with pytest.raises(UsageError) as refused:
        summary(found)
    assert "--race" in str(refused.value)
    assert summary(found, columns=(None, "origin")).columns == ("sex", "origin")
    with pytest.raises(UsageError, match="nobody assessed by 'age'"):
        summary(found, columns=(None, "age"))


def test_the_technical_file_has_all_nine_points_and_names_what_is_missing() -> None:
    found = annex_iv.build(build(full()))
    assert {one.point for one in found.items} == set(range(1, 10)) == set(annex_iv.TITLES)
    letters = [one.clause for one in found.items]
    assert letters == sorted(letters) and len(set(letters)) == len(letters)
    states = {one.clause: one.state for one in found.items}
    assert states["1(a)"] == "in part" and states["2(g)"] == "filled" and states["8"] == "missing"
    page = html.technical_file(found)
    for name in found.missing:
        assert f"<code>{name}</code>" in page
    assert page.count("NOT PROVIDED: the text") == sum(one.needs is not None for one in found.items)


def test_a_signed_text_fills_its_point_and_its_author_stands_beside_it() -> None:
    found = annex_iv.build(build(view(("ada", REGISTERED), ("vera", text("eu-declaration", "Declared on 1 March.")))))
    (one,) = (item for item in found.items if item.clause == "8")
    assert one.state == "filled" and one.signed is not None and one.signed["by"] == "vera"
    assert "eu-declaration" not in found.missing


def test_a_file_about_nothing_recorded_has_every_point_missing_or_its_evidence_named() -> None:
    found = annex_iv.build(build(view(("ada", REGISTERED))))
    filled = {one.clause for one in found.items if one.facts}
    assert filled == {"1(a)", "1(d)"}
    parsed(html.technical_file(found))


def test_a_version_beside_itself_differs_in_nothing() -> None:
    pack = build(full())
    assert comparison.compare(pack, pack).changes == ()


def test_what_differs_is_what_was_changed_and_nothing_else() -> None:
    pack = build(full())
    assert pack.performance is not None
    overall = [dict(one) for one in pack.performance["overall"]]
    accuracy = next(one for one in overall if one["metric"] == "accuracy")
    accuracy.update(value=0.01, lower=0.0, upper=0.02)
    other = replace(pack, performance={**pack.performance, "overall": overall})
    (row,) = comparison.compare(pack, other).changes
    assert (row.part, row.what, row.apart) == ("performance", "accuracy", True)
    assert row.after.startswith("0.010 (0.000 to 0.020)")
    (back,) = comparison.compare(other, pack).changes
    assert (back.before, back.after) == (row.after, row.before)


def test_what_only_one_version_has_is_said_to_be_missing_in_the_other() -> None:
    rich, bare = build(full()), build(view(("ada", REGISTERED)))
    two = comparison.compare(bare, rich)
    assert {row.before for row in two.rows if row.part == "performance"} == {comparison.ABSENT}
    assert any("one of the two has none" in note for note in two.notes)


def test_two_tables_of_one_name_are_two_rows() -> None:
    pack = build(full())
    twice = replace(pack, data=(*pack.data, {**pack.data[0], "sha256": "99" * 32}))
    data_rows = [row for row in comparison.compare(pack, twice).rows if row.part == "data"]
    assert len(data_rows) == len(pack.data) + 1 and sum(row.changed for row in data_rows) == 1


def pages() -> dict[str, str]:
    subject = replace(SUBJECT, name=HOSTILE)
    nasty = full(HOSTILE, HOSTILE, subject)
    pack = build(nasty, subject)
    audit = evidence(("vera", text("ll144-data", HOSTILE)))
    from ml_governance.errors import VerificationError

    return {
        "annex-iv": html.technical_file(annex_iv.build(pack)),
        "compare": html.compared(comparison.compare(build(full()), pack)),
        "ll144": html.summary(summary(audit)),
        "unverified": html.unverified(HOSTILE, VerificationError(HOSTILE, expected=HOSTILE), origin=HOSTILE, trust_root="x"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["annex-iv", "compare", "ll144", "unverified"])
def test_every_page_is_valid_stands_alone_and_takes_names_as_text(kind: str) -> None:
    page = pages()[kind]
    parsed(page)
    assert page == pages()[kind]
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_data_of_every_kind_are_plain_json() -> None:
    pack = build(full())
    for value in (
        annex_iv.build(pack).to_dict(),
        comparison.compare(pack, pack).to_dict(),
        summary(evidence()).to_dict(),
    ):
        assert json.loads(formats.written(value))["kind"] in {"annex-iv", "compare", "ll144-summary"}
