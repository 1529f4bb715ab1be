"""What pipelines read: every format says what blocks, and no stranger's text becomes anything but text."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import which
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import DataError, GovernanceError, NotAuthorizedError, VerificationError
from ml_governance.evidence.verdicts import Waiver
from ml_governance.report.annotations import quoted, to_annotations
from ml_governance.report.code_quality import to_code_quality
from ml_governance.report.junit import to_junit
from ml_governance.report.markdown import CAP, escaped, to_markdown
from ml_governance.report.outcome import Case, Outcome, of_decision, of_errors, one_line, rule_lines, visible, worst
from ml_governance.report.sarif import to_sarif
from tests.decide.test_decision import AT, TEXT, TEXTS, decide, view_of, with_entry

SCHEMAS = Path(os.environ.get("MLGOV_SCHEMAS", Path(__file__).resolve().parents[3] / "shared" / "schemas"))
FORMATS = {
    "junit": to_junit, "sarif": to_sarif, "markdown": to_markdown, "gitlab": to_code_quality, "annotations": to_annotations,
}  # fmt: skip
NASTY = (
    "]]>", "<![CDATA[x", "\x00\x1b[31mred\x1b[0m", "::set-output name=x::y", "\n::add-mask::a\n##[error]b", "a|b\n|c|", "&amp;<b>x</b>",
    "<script>alert(1)</script>", "![x](http://evil.example/a.png)", "[a](javascript:b)", "`code`", "@everyone #1 GH-1", "\u202eabc",
    "a\u200bb", "\ufffe\uffff", "\ud800", "%0A::error::x", "-->", "# h", "- x", "1. x", "www.evil.example https://evil.example",
    ":white_check_mark:", "x" * 100_000, "\x85\u2028", "$x$", "'\"",
)  # fmt: skip


def outcome(name: str) -> Outcome:
    return of_decision(decide(view_of(name)), policy_text=TEXT, file="policies/credit-scoring/policy.yaml")


def waived() -> Outcome:
    bound = decide(view_of("unequal")).binding
    content = Waiver(
        stage="production",
        rule="CRD-01",
        binding=bound,
        role="risk_officer",
        reason="x",
        expires=AT + timedelta(days=3),
    )
    decision = decide(with_entry(view_of("unequal"), "rita", content))
    return of_decision(decision, policy_text=TEXT, file="policy.yaml")


def hostile(text: str) -> Outcome:
    case: dict[str, Any] = {"title": text, "text": text, "advice": (text,), "line": 7, "controls": (text,)}
    return Outcome(
        model=text, sha256="", stage=text, result="deny", exit_code=1, policy=text, file=text, notes=(text,),
        cases=tuple(
            Case(id=f"{kind} {text}", kind=kind, status=status, **case)  # type: ignore[arg-type]
            for kind, status in (("failed", "fail"), ("error", "missing"), ("waived", "waived"), ("passed", "pass"))
        ),
    )  # fmt: skip


EVERY = [*(outcome(name) for name in TEXTS), waived(), *(hostile(text) for text in NASTY)]
EVERY += [of_errors([DataError("a", expected="b")], model="m", stage="s", file="f")]
anything = st.one_of(st.text(st.characters(), max_size=60), st.sampled_from(NASTY))

# --- what is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_green_that_is_not_allowed(name: str) -> None:
    found = outcome(name)
    suite = ET.fromstring(to_junit(found)).find("testsuite")
    assert suite is not None
    red = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    sarif = [r for r in json.loads(to_sarif(found))["runs"][0]["results"] if "suppressions" not in r]
    quality = [i for i in json.loads(to_code_quality(found)) if i["severity"] != "info"]
    commands = [c for c in to_annotations(found).splitlines() if not c.startswith("::notice")]
    assert len({red, len(sarif), len(quality), len(commands)}) == 1
    assert (red == 0) == (found.exit_code == 0) == (found.result == "allow")
    assert found.result.upper() in to_markdown(found).splitlines()[0]


def test_a_rule_is_one_test_case_with_all_its_findings_and_what_would_make_it_pass() -> None:
    suite = ET.fromstring(to_junit(outcome("unequal"))).find("testsuite")
    assert suite is not None
    named = {case.attrib["name"].partition(":")[0]: case for case in suite.findall("testcase")}
    assert list(named)[:6] == [f"CRD-0{n}" for n in range(1, 7)]
    failure = named["CRD-01"].find("failure")
    assert failure is not None and failure.text is not None
    assert "CRD-01/race" in failure.text and "fail CRD-01/sex" in failure.text and "misses the bound by" in failure.text


@pytest.mark.parametrize(("name", "rule"), [("missing", "CRD-03"), ("stale", "CRD-01"), ("no-positives", "CRD-01")])
def test_evidence_problems_are_errors(name: str, rule: str) -> None:
    suite = ET.fromstring(to_junit(outcome(name)))
    (case,) = [case for case in suite.iter("testcase") if case.attrib["name"].startswith(rule)]
    assert case.find("error") is not None and case.find("failure") is None


def test_a_waived_rule_is_skipped_suppressed_and_still_told() -> None:
    found = waived()
    (case,) = [case for case in ET.fromstring(to_junit(found)).iter("testcase") if "CRD-01" in case.attrib["name"]]
    skipped = case.find("skipped")
    assert skipped is not None and "waived by rita" in (skipped.text or "")
    (result,) = [r for r in json.loads(to_sarif(found))["runs"][0]["results"] if r["ruleId"] == "CRD-01"]
    assert result["suppressions"][0]["status"] == "accepted" and result["level"] == "note"
    assert "::notice" in to_annotations(found)
    assert [i["severity"] for i in json.loads(to_code_quality(found)) if i["check_name"] == "CRD-01"] == ["info"]


def test_every_result_stands_on_the_line_of_its_rule() -> None:
    lines = TEXT.splitlines()
    for result in json.loads(to_sarif(outcome("unequal")))["runs"][0]["results"]:
        line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
        wanted = "approvals:" if result["ruleId"] == "GATE-approvals" else f"id: {result['ruleId']}"
        assert wanted in lines[line - 1]
    assert rule_lines("[") == {} == rule_lines("rules: 3")


def test_fingerprints_stay_when_numbers_change_and_differ_between_rules_models_and_stages() -> None:
    one, two = outcome("unequal"), outcome("uncertain")
    prints = lambda found: {c.id: found.fingerprint(c) for c in found.cases}  # noqa: E731
    assert prints(one)["CRD-01"] == prints(two)["CRD-01"]
    assert len(set(prints(one).values())) == len(one.cases)
    case = one.cases[0]
    others = (replace(one, model="other/1"), replace(one, stage="staging"))
    assert len({one.fingerprint(case), *(other.fingerprint(case) for other in others)}) == 3


@given(st.lists(st.sampled_from([5, 2, 4, 1, 3, 0]), min_size=1))
def test_five_wins_over_two_over_four_over_one_over_three(codes: list[int]) -> None:
    assert worst(codes) == next(code for code in (5, 2, 4, 1, 3, 0) if code in codes)


def test_what_went_wrong_on_the_way_outweighs_what_was_decided() -> None:
    decision = decide(view_of("allow"))
    assert decision.exit_code == 0
    for error, code, result in (
        (GovernanceError("x"), 5, "error"),
        (DataError("x"), 2, "error"),
        (VerificationError("x"), 4, "deny"),
        (NotAuthorizedError("x"), 1, "deny"),
    ):
        found = of_decision(decision, policy_text=TEXT, file="p", errors=[error])
        assert (found.exit_code, found.result) == (code, result)
        assert 'errors="1"' in to_junit(found)
        assert of_errors([error], model="m", stage="s", file="p").exit_code == code


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_outcome_gives_the_same_bytes(form: str) -> None:
    for one in TEXTS:
        assert FORMATS[form](outcome(one)) == FORMATS[form](outcome(one))


# --- schemas ----------------------------------------------------------------------------------------------

VALIDATOR = """
import javax.xml.XMLConstants; import javax.xml.transform.stream.StreamSource; import javax.xml.validation.*; import java.io.File;
public class Validate { public static void main(String[] files) throws Exception {
  Schema schema = SchemaFactory.newInstance(XMLConstants.W3C_XML_SCHEMA_NS_URI).newSchema(new File(files[0]));
  for (int i = 1; i < files.length; i++) schema.newValidator().validate(new StreamSource(new File(files[i])));
  System.out.println("valid " + (files.length - 1)); } }
"""


def schema(name: str) -> Path:
    if not (SCHEMAS / name).exists():
        pytest.skip(f"{name} is not in {SCHEMAS}")
    return SCHEMAS / name


@pytest.mark.schemas
def test_junit_is_valid_by_its_schema_whatever_it_tells(tmp_path: Path) -> None:
    java, xsd = which("java"), schema("junit-10.xsd")
    if java is None:
        pytest.skip("there is no Java, whose library validates XML")
    (tmp_path / "Validate.java").write_text(VALIDATOR)
    files = []
    for position, one in enumerate(EVERY):
        files.append(tmp_path / f"{position}.xml")
        files[-1].write_text(to_junit(one), encoding="utf-8")
    command = [java, str(tmp_path / "Validate.java"), str(xsd), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"valid {len(EVERY)}", done.stderr[-2000:]
    files[0].write_text(to_junit(EVERY[0]).replace(' failures="', ' broken="'))
    assert "valid" not in subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.schemas
def test_sarif_is_valid_by_its_schema_whatever_it_tells() -> None:
    from jsonschema import Draft7Validator
    from jsonschema.validators import validator_for

    read = json.loads(schema("sarif-2.1.0.json").read_text())
    validator = validator_for(read, Draft7Validator)(read)
    for one in EVERY:
        assert [error.message for error in validator.iter_errors(json.loads(to_sarif(one)))] == []
    broken = json.loads(to_sarif(outcome("unequal")))
    broken["runs"][0]["results"][0]["level"] = "fatal"
    assert list(validator.iter_errors(broken))


def test_code_quality_has_the_fields_that_gitlab_reads() -> None:
    for one in EVERY:
        for issue in json.loads(to_code_quality(one)):
            assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
            assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
            assert issue["location"]["lines"]["begin"] >= 1 and re.fullmatch(r"[0-9a-f]{64}", issue["fingerprint"])


# --- attacks ----------------------------------------------------------------------------------------------


@given(anything)
def test_no_text_breaks_a_format(text: str) -> None:
    found = hostile(text)
    for form in FORMATS.values():
        form(found).encode()  # no surrogate is left
    root = ET.fromstring(to_junit(found))
    assert [case.tag for case in root.iter("testcase")] == ["testcase"] * 4
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out",
    }  # fmt: skip
    (failure,) = root.iter("failure")
    wanted = visible(f"{text}\n{text}")
    assert (failure.text or "").split() == wanted.split()
    assert json.loads(to_sarif(found))["runs"][0]["results"]


@given(anything)
def test_what_cannot_be_seen_is_made_visible(text: str) -> None:
    shown = visible(text)
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", shown
    )
    assert len(visible("x" * 10**6)) < 4100


def is_command(line: str) -> bool:
    """Tell what GitHub's runner takes for a command: its second syntax at the start of a line, its first one anywhere."""
    second = line.lstrip()
    return (second.startswith("::") and "::" in second[2:]) or bool(re.search(r"##\[[^\]]+\]", line))


@given(anything)
def test_an_annotation_is_one_command_on_one_line_whoever_wrote_its_text(text: str) -> None:
    lines = to_annotations(hostile(text)).split("\n")
    assert lines.pop() == "" and len(lines) == 3
    for line, level in zip(lines, ("error", "error", "notice"), strict=True):
        match = re.fullmatch(r"::(\w+) file=([^,:]*),line=7,title=([^,:]*)::(.*)", line)
        assert match is not None and match[1] == level
        assert "\r" not in line


@given(st.lists(st.sampled_from([*NASTY[:25], "\n", " ", ":", "#", "[", "##[group]", "::error::", "\r"])))
def test_nothing_that_people_read_is_taken_for_a_command(parts: list[str]) -> None:
    text = "".join(parts)
    assert not any(is_command(line) for line in re.split(r"\r\n|\r|\n", quoted(text)))


def test_ten_annotations_of_a_level_and_the_tenth_counts_the_rest() -> None:
    def many(count: int) -> list[str]:
        cases = tuple(Case(id=f"CRD-{n:02}", title="t", kind="failed", status="fail", text="x") for n in range(count))
        warned = Case(id="W", title="t", kind="failed", status="inconclusive", text="x")
        return to_annotations(replace(outcome("allow"), cases=(*cases, warned))).splitlines()

    assert [len([line for line in many(n) if line.startswith("::error")]) for n in (9, 10, 11, 200)] == [9, 10, 10, 10]
    last = many(200)[9]
    assert "191 more of level error" in last and "CRD-199" in last
    assert many(200)[10].startswith("::warning")


def rendered(text: str) -> list[Any]:
    from markdown_it import MarkdownIt

    return list(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))


@given(anything)
def test_no_text_becomes_markup_in_markdown(text: str) -> None:
    found = replace(hostile(text), policy="p", notes=(text,))
    tokens = rendered(to_markdown(found))
    flat = [inner for token in tokens for inner in (token.children or [token])]
    assert {token.type for token in flat} <= {
        "text", "text_special", "softbreak", "heading_open", "heading_close", "paragraph_open", "paragraph_close", "table_open",
        "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close",
        "td_open", "td_close", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "strong_open",
        "strong_close", "inline",
    }  # fmt: skip
    assert sum(token.type == "tr_open" for token in flat) == 5
    assert sum(token.type == "td_open" for token in flat) == 16
    assert sum(token.type == "heading_open" for token in flat) == 1


@given(anything)
def test_markdown_shows_the_text_itself(text: str) -> None:
    assert html.unescape(escaped(text)).replace("\u2060", "") == one_line(text)


@pytest.mark.parametrize(
    "text", ["@everyone", "a #12", "x!7", "GH-7", "https://evil.example", "www.evil.example", ":white_check_mark:"]
)
def test_nobody_is_called_and_nothing_is_linked_by_a_name(text: str) -> None:
    """GitHub looks for these in what is shown, so that a character reference alone would not stop it."""
    shown = html.unescape(escaped(text))
    assert not re.search(r"@\w|#\d|!\d|GH-\d|:\w+:", shown)
    assert not re.search(r"https?://|www\.", escaped(text))


def test_a_summary_stays_below_what_github_takes_and_says_what_it_left_out() -> None:
    case = Case(id="CRD-01", title="t", kind="failed", status="fail", text="|" * 4000)
    found = replace(outcome("allow"), cases=(case,) * 500)
    text = to_markdown(found)
    assert len(text.encode()) <= CAP and "more lines are not shown here" in text
    assert len(to_markdown(found, 5000).encode()) <= 5000
