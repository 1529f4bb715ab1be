from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import html5lib
import pytest

from ml_governance.assess import svg
from ml_governance.assess.fairness import assess_fairness
from ml_governance.assess.performance import assess_performance
from ml_governance.decide.controls import parse_catalogue
from ml_governance.decide.decision import evaluate
from ml_governance.decide.policy import parse_policy
from ml_governance.evidence.attestation import Attestation, EvidenceView
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import PolicyInForce, Registration, Resource, TrainingRun
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.trust import Principal
from ml_governance.evidence.verdicts import Approval
from ml_governance.evidence.wire import Content
from ml_governance.report import card, formats, html, lineage
from ml_governance.testing import START
from ml_governance.workspace import packs
from tests.assess.test_fairness import data

OWN_CONTROLS = """
catalogue: own
version: 1
editions:
  law-1: {framework: law, name: A law, version: "1", status: in force, applies_from: 2020-01-01, source: its text, checked: 2026-11-01}
controls:
  - {id: EXP-01, title: What drives the model & why, evidence: [explanation], human: false, mappings: [{edition: law-1, clause: Article 7}]}
  - {id: USE-01, title: What it is for, evidence: [human-text], human: true}
  - {id: INV-01, title: It has a name, evidence: [registration], human: false}
  - {id: MON-02, title: It is watched, evidence: [monitoring], human: false}
"""
HOSTILE = '<script>alert("x")</script>&\''
TEXT = (packs()["credit-scoring"] / "policy.yaml").read_text()
SUBJECT = Subject(name="credit-risk/1", sha256="ab" * 32)
TEST = Resource(name="test", sha256="cd" * 32, rows=600)


def person(name: str) -> Principal:
    return Principal(
        id=name,
        name=name,
        custodian="laptop",
        roles=frozenset({"author", "validator", "policy_owner"}),
        projects=frozenset({"*"}),
    )


def view(*contents: tuple[str, Content], subject: Subject = SUBJECT) -> EvidenceView:
    entries = tuple(
        Attestation(
            index=i,
            kind=content.kind,
            payload_digest=sha256_hex(str(i).encode()),
            subjects=(Subject(name="run/x", sha256="ef" * 32), subject)
            if content.kind == "training-run"
            else (subject,),
            content=content,
            recorded_at=START,
            keyid=by,
            principal=person(by),
        )
        for i, (by, content) in enumerate(contents)
    )
    people = {by: person(by) for by, _ in contents}
    return EvidenceView(
        origin="log",
        size=len(entries),
        root_hash="0" * 64,
        attestations=entries,
        principals=people,
        trust_expires_at=START.replace(year=2030),
    )


def full(name: str = "test", group: str = "Female", subject: Subject = SUBJECT) -> EvidenceView:
    frame = data(600).replace({"Female": group})
    score = (frame.p * 0.4 + 0.3).to_numpy()
    fair = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["sex", "race"]])
    perf = assess_performance(y_true=frame.y, y_pred=frame.p, y_score=score)
    rows = Resource(name=name, sha256="cd" * 32, rows=600)
    run = TrainingRun(
        event={"eventType": "COMPLETE"}, capture="observed", inputs=(Resource(name=name, sha256="11" * 32, rows=5),)
    )
    contents: list[tuple[str, Content]] = [
        (
            "ada",
            PolicyInForce(
                name="credit-production", version=1, stage="production", sha256=sha256_hex(TEXT.encode()), text=TEXT
            ),
        ),
        ("ada", run),
        ("ada", Registration(registry="local:x", name="credit-risk", version="1", format="file", files=1, size=10)),
        ("vera", fair.to_content(predictions="recomputed", dataset=rows)),
        ("vera", perf.to_content(predictions="recomputed", dataset=rows)),
        ("vera", Approval(stage="production", binding="0" * 64, verdict="approve", role="validator", reason=name)),
    ]
    before = view(*contents, subject=subject)
    decision = evaluate(
        subject=subject,
        stage="production",
        project="credit",
        policy=parse_policy(TEXT),
        policy_sha256="0" * 64,
        evidence=before,
        at=START,
    )
    return view(*contents, ("max", decision.to_content()), subject=subject)


def build(evidence: EvidenceView, subject: Subject = SUBJECT) -> card.Card:
    return card.build(
        view=evidence, subject=subject, stage="production", project="credit", trust_root="sha256:" + "0" * 64
    )


def parsed(page: str) -> Any:
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def test_the_page_is_valid_and_stands_alone() -> None:
    page = html.render(build(full()))
    tree = parsed(page)
    assert tree.get("lang") == "en"
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert "<script" not in page and "@import" not in page and "url(http" not in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    assert "NOT PROVIDED" in page and "complian" not in page.lower().replace("is complied with", "")


def test_a_withheld_group_has_no_rows_no_rate_and_no_rank_in_the_report() -> None:
    from tests.assess.test_suppression import SIZES, of_sizes

    made = of_sizes(SIZES, ["sex", "race"])
    shown = made.published(k=10)
    assert shown.withheld
    told = build(view(("vera", shown.to_content(predictions="claimed", dataset=TEST))))
    assert told.fairness is not None
    groups = {(a["by"], row["group"]): row for a in told.fairness["attributes"] for row in a["rows"]}
    for by, group in shown.withheld:
        row = groups[" x ".join(by), " x ".join(group)]
        assert row["n"] is None and row["rates"]["selection_rate"]["status"] == "withheld"
    crossed = [row for (by, _), row in groups.items() if by == "sex x race"]
    assert all(row["impact"]["value"] is None for row in crossed)  # nobody knows whose rate is the highest
    page = html.render(told)
    assert "(withheld)" in page and "(n 0)" not in page and '<td class="n">0</td>' not in page
    assert '<td class="n">withheld</td>' in page


def test_every_number_of_a_table_has_n_and_its_source() -> None:
    page = html.render(build(full()))
    for tag in re.findall(r"<table[^>]*>.*?</table>", page, re.DOTALL):
        heads = re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", tag)
        if "Interval" in heads:
            assert "n" in heads
            assert 'href="#entry-' in tag


def test_charts_have_words_for_those_who_do_not_see_them() -> None:
    page = html.render(build(full()))
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) >= 5
    for drawing in drawings:
        assert 'role="img"' in drawing and "<title" in drawing and "<desc" in drawing


def test_the_same_evidence_gives_the_same_bytes() -> None:
    one, two = build(full()), build(full())
    assert html.render(one) == html.render(two)
    assert formats.to_json(one) == formats.to_json(two)
    value = json.loads(formats.to_json(one))
    assert value["subject"]["sha256"] == SUBJECT.sha256
    assert value["decision"]["result"] == "deny"


def test_hostile_names_are_text_everywhere() -> None:
    subject = replace(SUBJECT, name=HOSTILE)
    page = html.render(build(full(HOSTILE, HOSTILE, subject), subject))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    parsed(page)
    graph = lineage.trace(full(HOSTILE, HOSTILE, subject), subject)
    assert "<script" not in lineage.to_svg(graph)


@pytest.mark.parametrize(
    "drop", ["fairness", "performance", "registration", "training-run", "decision", "policy", "everything"]
)
def test_what_is_not_recorded_is_said_and_nothing_breaks(drop: str) -> None:
    evidence = full()
    kept = tuple(
        a
        for a in evidence.attestations
        if drop not in ("everything", a.kind) or (drop == "everything" and a.index == 0)
    )
    page = html.render(build(replace(evidence, attestations=kept)))
    parsed(page)
    assert "NOT RECORDED" in page
    if drop in ("decision", "everything"):
        assert "No decision" in page


def test_controls_follow_the_findings() -> None:
    states = {c["control"]: c["state"] for c in build(full()).controls}
    assert states["EXP-01"] == "no usable evidence"
    assert set(states.values()) <= {"satisfied", "not satisfied", "open", "no usable evidence"}


def test_controls_are_shown_with_the_titles_of_the_catalogue() -> None:
    named = card.build(
        view=full(), subject=SUBJECT, stage="production", project="credit", trust_root="sha256:0",
        catalogue=parse_catalogue(OWN_CONTROLS),
    )  # fmt: skip
    assert {c["control"]: c["title"] for c in named.controls}["EXP-01"] == "What drives the model & why"
    assert "What drives the model &amp; why" in html.render(named)
    assert all(c["title"] is None for c in build(full()).controls)


def test_a_group_that_is_mostly_chance_is_not_the_reference() -> None:
    frame = data(3000)
    frame.loc[:31, "race"] = "tiny"
    frame.loc[:31, "p"] = 1
    fair = assess_fairness(y_true=frame.y, y_pred=frame.p, sensitive_features=frame[["race"]])
    found = build(view(("vera", fair.to_content(predictions="recomputed", dataset=TEST))))
    assert found.fairness is not None
    assert {row["impact"]["reference"] for row in found.fairness["attributes"][0]["rows"]} <= {"a", "b", "c"}


def test_a_chart_row_without_a_value_says_why() -> None:
    drawn = svg.dots(
        svg.Ids(), [svg.Dot(label="x", value=None, note="undefined")], title="t", axis="a", bound=0.8, bound_label="0.8"
    )
    assert "undefined" in drawn
