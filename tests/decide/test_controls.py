"""The control catalogue: dated data that is read strictly, and that policies are held against before they are signed."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.decide.controls import KINDS, parse_catalogue
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import parse_policy
from ml_governance.decide.reading import MistakesError
from ml_governance.errors import PolicyError
from ml_governance.testing import workspace
from ml_governance.workspace import catalogue, packs

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "policies" / "controls.yaml"
SMALL = """
catalogue: small
version: 1
editions:
  old-law: {framework: law, name: The law, version: "2011", status: rescinded, applies_from: 2011-01-01,
            applies_until: 2026-04-17, replaced_by: new-law, source: the gazette, checked: 2026-11-23}
  new-law: {framework: law, name: The law, version: "2026", status: in force, applies_from: 2026-04-17, source: the gazette,
            checked: 2026-11-23}
  next-law: {framework: law, name: The law, version: "2027", status: planned, applies_from: 2027-12-02, source: the gazette,
             checked: 2026-11-23, note: In parts.}
controls:
  - id: FAI-01
    title: Rates are known
    evidence: [fairness, human-text]
    human: true
    mappings:
      - {edition: old-law, clause: section 4}
      - {edition: new-law, clause: section 5}
  - id: PER-02
    title: Results are known
    evidence: [performance]
    human: false
    mappings: [{edition: next-law, clause: section 6}]
    replaced_by: [FAI-01]
"""
POLICY = (packs()["credit-scoring"] / "policy.yaml").read_text()


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text
    return text.replace(old, new, 1)


def refused(text: str) -> MistakesError:
    with pytest.raises(MistakesError) as caught:
        parse_catalogue(text, file="controls.yaml")
    return caught.value


# --- what ships -------------------------------------------------------------------------------------------


def test_the_shipped_catalogue_says_what_its_file_says() -> None:
    written = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    read = catalogue()
    assert read.ids == tuple(one["id"] for one in written["controls"])
    assert len(set(read.ids)) == len(read.ids) == 46
    for control, text in zip(read.controls, written["controls"], strict=True):
        pairs = read.mapped(control)
        assert [(one.edition, one.clause) for one, _ in pairs] == [
            (m["edition"], m["clause"]) for m in text["mappings"]
        ]
        assert all(edition is read.editions[one.edition] and edition.source for one, edition in pairs)
        assert set(control.evidence) <= set(KINDS) and pairs


def test_what_was_rescinded_or_superseded_is_still_found_and_names_what_followed() -> None:
    read = catalogue()
    past = {name: one for name, one in read.editions.items() if one.status in ("rescinded", "superseded")}
    assert {"sr-11-7", "colorado-24-205", "reg-b-effects-test"} <= set(past)
    for one in past.values():
        assert one.replaced_by is None or read.editions[one.replaced_by].framework == one.framework
    named = {m.edition for control in read.controls for m in control.mappings}
    assert set(past) <= named
    assert read.editions["sr-11-7"].replaced_by == "sr-26-2"


def test_every_control_about_a_bank_s_model_is_mapped_to_the_old_guidance_and_to_the_new() -> None:
    read = catalogue()
    for control in read.controls:
        clauses = {name: [m.clause for m in control.mappings if m.edition == name] for name in ("sr-11-7", "sr-26-2")}
        assert clauses["sr-11-7"] == clauses["sr-26-2"], control.id


def test_nothing_that_ships_claims_that_anybody_complies() -> None:
    texts = [*ROOT.glob("policies/**/*.*"), ROOT / "docs/how-to/packs.md", ROOT / "docs/reference/controls.md"]
    assert len(texts) > 70
    for path in texts:
        assert not re.search(r"\bcompl(y|ies|iant|iance)\b", path.read_text(encoding="utf-8"), re.IGNORECASE), path


# --- reading ----------------------------------------------------------------------------------------------


def test_clauses_are_found_by_framework() -> None:
    read = parse_catalogue(SMALL)
    one = read.control("FAI-01")
    assert [(m.clause, e.status) for m, e in read.mapped(one, "law")] == [
        ("section 4", "rescinded"),
        ("section 5", "in force"),
    ]
    assert read.mapped(one) == read.mapped(one, "law")
    assert read.editions["old-law"].in_words == "rescinded, from 2011-01-01, until 2026-04-17, replaced by new-law"
    with pytest.raises(PolicyError, match=r"no framework 'lawx'\s+expected: perhaps law"):
        read.mapped(one, "lawx")
    with pytest.raises(PolicyError, match=r"no control 'FAI-1'\s+expected: perhaps FAI-01"):
        read.control("FAI-1")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("human: true", "humane: true", 15, "did you mean 'human'"),
        ("    human: true\n", "", 12, "this key is missing"),
        ("human: true", "human: sometimes", 15, "true or false"),
        ("id: PER-02", "id: FAI-01", 19, "this id stands at line 12 already"),
        ("controls:\n", "controls: []\nothers:\n", 11, "at least 1 item"),
        ("id: PER-02", "id: performance", 19, "text of the form"),
        ("evidence: [performance]", "evidence: [perfomance]", 21, "did you mean 'performance'"),
        ("evidence: [performance]", "evidence: []", 21, "at least 1 item"),
        ("evidence: [performance]", "evidence: [waivers]", 21, "did you mean 'waiver'"),
        ("edition: next-law, clause", "edition: nextlaw, clause", 23, "did you mean 'next-law'"),
        ("{edition: new-law, clause: section 5}", "{edition: old-law, clause: section 4}", 18, "stands twice"),
        ("mappings: [{edition: next-law,", "mappings: [{edition: new-law,", 9, "no control is mapped to this edition"),
        ("replaced_by: [FAI-01]", "replaced_by: [FAI-02]", 24, "did you mean 'FAI-01'"),
        ("replaced_by: [FAI-01]", "replaced_by: [PER-02]", 24, "there is no other control"),
        ("replaced_by: new-law", "replaced_by: newlaw", 6, "did you mean 'new-law'"),
        ("replaced_by: new-law", "replaced_by: old-law", 6, "there is no other edition"),
        ("status: planned, applies_from: 2027-12-02", "status: planned", 9, "applies_from names no day"),
        ("status: planned", "status: in force", 9, "it applies from 2027-12-02"),
        ("status: planned", "status: soon", 9, "'rescinded' or 'superseded'"),
        ("status: in force", "status: planned", 7, "it applies from 2026-04-17"),
        ("applies_until: 2026-04-17, replaced_by: new-law,", "", 5, "neither applies_until nor replaced_by"),
        ("applies_until: 2026-04-17", "applies_until: 2026-12-01", 5, "it applies until 2026-12-01"),
        ("applies_until: 2026-04-17", "applies_until: 2010-12-01", 6, "before it begins"),
        ("checked: 2026-11-23}\n  new", "checked: yesterday}\n  new", 6, "date"),
        ("source: the gazette, checked", "checked", 5, "this key is missing"),
        ("note: In parts.", "note:", 10, "nothing stands here"),
        ('version: "2026"', 'version: "2011"', 7, "old-law is this version already"),
        ("version: 1\n", "version: 1\ncolour: red\n", 4, "this key is unknown"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, words: str) -> None:
    error = refused(changed(old, new))
    found = [one for one in error.mistakes if words in str(one)]
    assert found and found[0].line == line, str(error)
    assert f"controls.yaml:{line}: " in str(error) and "docs/reference/controls.md" in str(error)


def test_every_mistake_is_told_at_once() -> None:
    text = changed("edition: next-law", "edition: nextlaw", changed("[performance]", "[perfomance]"))
    assert len(refused(text).mistakes) == 3  # the third: next-law is not used any more


@given(st.data())
def test_a_damaged_catalogue_is_refused_with_words_or_read(data: st.DataObject) -> None:
    lines = SMALL.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    where = data.draw(st.integers(0, len(lines[at])))
    lines[at] = lines[at][:where] + data.draw(st.sampled_from(["", ":", "{", "- ", "[", "\x00", "!", "&a "])) + (
        lines[at][where + data.draw(st.integers(0, 3)) :]
    )  # fmt: skip
    with contextlib.suppress(
        PolicyError
    ):  # any other exception, or a catalogue that does not hang together, is a defect
        read = parse_catalogue("\n".join(lines))
        assert all(m.edition in read.editions for control in read.controls for m in control.mappings)


# --- policies ---------------------------------------------------------------------------------------------


def test_a_rule_that_names_an_unknown_control_is_refused_with_its_line_and_the_nearest() -> None:
    text = changed("controls: [PER-02]", "controls: [PER-02, PRE-02]", POLICY)
    with pytest.raises(MistakesError) as caught:
        parse_policy(text, controls=catalogue().ids)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.where, mistake.near) == (
        text[: text.index("PRE-02")].count("\n") + 1, "CRD-03: controls", "PER-02",
    )  # fmt: skip


def test_a_policy_in_force_is_read_whatever_the_catalogue_has_become() -> None:
    text = changed("controls: [PER-02]", "controls: [OLD-99]", POLICY)
    assert parse_policy(text).rules[2].controls == ["OLD-99"]


def test_a_rule_may_name_a_control_that_was_replaced() -> None:
    read = parse_catalogue(SMALL)
    text = re.sub(r"controls: \[.*\]", "controls: [PER-02]", POLICY)
    assert parse_policy(text, controls=read.ids).rules[0].controls == ["PER-02"]
    assert read.control("PER-02").replaced_by == ["FAI-01"]
    policy = parse_policy(text)
    told = [one for one in lint(policy, replaced=read.replaced) if "was replaced" in one]
    assert told and told[0].endswith("the control PER-02 was replaced; name FAI-01 instead")
    assert not [one for one in lint(policy) if "was replaced" in one]


OWN = """
catalogue: a-bank
version: 3
editions:
  house-rules: {framework: a-bank, name: The bank's own rules, version: "7", status: in force, source: its intranet}
controls:
  - id: BANK-017
    title: Two lines of defence have looked
    evidence: [approval]
    human: true
    mappings: [{edition: house-rules, clause: "17"}, {edition: sr-26-2, clause: governance}]
    replaced_by: [GOV-02]
"""


def test_a_house_adds_its_own_controls_to_those_that_ship() -> None:
    whole = parse_catalogue(OWN, base=catalogue())
    assert whole.ids == (*catalogue().ids, "BANK-017") and whole.catalogue == "a-bank"
    assert [edition.framework for _, edition in whole.mapped(whole.control("BANK-017"))] == ["a-bank", "us-model-risk"]
    assert "there is no edition 'sr-26-2'" in str(refused(OWN))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("BANK-017", "GOV-01", "line 7: GOV-01: the catalogue ml-governance has this control"),
        ("house-rules", "sr-11-7", "the catalogue ml-governance has this edition"),
        ('version: "7"', 'version: "2026"', "sr-26-2 is this version already"),
        ("GOV-02", "GOV-22", "did you mean 'GOV-02'"),
    ],
)
def test_nobody_gives_an_id_that_ships_another_meaning(old: str, new: str, words: str) -> None:
    text = OWN.replace(old, new).replace("framework: a-bank", "framework: us-model-risk")
    with pytest.raises(MistakesError, match=words):
        parse_catalogue(text, base=catalogue())


def test_a_policy_may_name_the_controls_that_stand_beside_it(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "controls.yaml").write_text(OWN)
    (pack / "policy.yaml").write_text(changed("controls: [PER-02]", "controls: [PER-02, BANK-017]", POLICY))
    with workspace(tmp_path / "ws", policy=str(pack), signer="risk-officer") as ws:
        (entry,) = ws.view().of_kind("policy")
        assert "BANK-017" in entry.content.text
    (pack / "controls.yaml").unlink()
    with pytest.raises(MistakesError, match="no control 'BANK-017'"):
        workspace(tmp_path / "other", policy=str(pack))
    assert not (tmp_path / "other" / "governance.toml").exists()


def test_nobody_signs_a_policy_that_names_an_unknown_control(tmp_path: Path) -> None:
    text = changed("controls: [PER-02]", "controls: [PRE-02]", POLICY).replace("version: 1", "version: 2", 1)
    (tmp_path / "policy.yaml").write_text(text)
    with workspace(tmp_path / "ws", signer="risk-officer") as ws:
        with pytest.raises(MistakesError, match="did you mean 'PER-02'"):
            ws.enact(tmp_path / "policy.yaml")
        assert len(list(ws.view().of_kind("policy"))) == 1
