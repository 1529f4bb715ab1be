"""Reasons that declined applicants are told: one notice each, nothing of a row in the log, and never a prohibited basis."""

from __future__ import annotations

import hmac
import json
import stat
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance.assess.reason_codes import reason_codes
from ml_governance.cli.run import run
from ml_governance.errors import DataError, MissingEvidenceError, NotAuthorizedError, UsageError
from ml_governance.evidence.predicates import AdverseAction
from tests.assess.test_reason_codes import MODEL, table
from tests.report.test_report import parsed
from tests.workspace.house import House

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.stating import Statements

FEWEST_TOLD = 10
WORDS = {
    "income": "Income insufficient for the amount of credit requested",
    "debt": "Excessive obligations in relation to income",
    "late": "Delinquent past or present credit obligations",
    "job": "Length or kind of employment",
}


def built(folder: Path) -> House:
    made = House(folder)
    people = table().reset_index(drop=True)
    people.drop(columns="good").to_parquet(made.folder / "applicants.parquet", index=False)
    prepare = ColumnTransformer([("n", StandardScaler(), MODEL[:3]), ("j", OneHotEncoder(), ["job"])])
    model = make_pipeline(prepare, LogisticRegression()).fit(people[MODEL], people.good)
    with made.acting("ada") as ws, ws.training("credit") as training:
        training.produces(model, name="credit")
    return made


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return built(tmp_path_factory.mktemp("house"))


def state(house: House, folder: Path, **options: Any) -> Statements:
    asked: dict[str, Any] = {"factors": WORDS, "protected": ["sex"], "cutoff": 0.0, **options}
    with house.acting("rita") as ws:
        return ws.state_reasons("credit/1", house.folder / "applicants.parquet", folder, **asked)


@pytest.fixture(scope="module")
def stated(house: House) -> Statements:
    return state(house, house.folder / "stated")


def recorded(house: House, made: Statements) -> AdverseAction:
    with house.acting() as ws:
        content = ws.view().attestations[made.receipt.index].content
    assert isinstance(content, AdverseAction)
    return content


def test_every_declined_applicant_gets_the_reasons_that_the_model_itself_gives(
    house: House, stated: Statements
) -> None:
    people = table().reset_index(drop=True)
    prepare = ColumnTransformer([("n", StandardScaler(), MODEL[:3]), ("j", OneHotEncoder(), ["job"])])
    model = make_pipeline(prepare, LogisticRegression()).fit(people[MODEL], people.good)
    expected = reason_codes(model, applicants=people, cutoff=0.0, protected=["sex"], factors=WORDS)
    assert [one.place for one in stated.notices] == list(expected.rows)
    assert [list(one.reasons) for one in stated.notices] == [[r.factor for r in one.reasons] for one in expected]
    for one in stated.notices:
        told = json.loads((stated.folder / "notices" / f"{one.reference}.json").read_text())
        page = (stated.folder / "notices" / f"{one.reference}.html").read_text()
        assert told["reasons"] == list(one.reasons)
        places = [page.index(f"<li>{text}</li>") for text in one.reasons]
        assert places == sorted(places)
    parsed(page)


def test_the_record_is_checked_with_coreutils_and_no_key(house: House, stated: Statements) -> None:
    content = recorded(house, stated)
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "notices.sha256"],
        cwd=stated.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stdout.splitlines()) == 2 * len(stated.notices) == 2 * content.declined
    for name, digest in (("notices.sha256", content.manifest), ("addressees.json", content.addressees)):
        assert sha256((stated.folder / name).read_bytes()).hexdigest() == digest
    touched = stated.folder / "notices" / f"{stated.notices[0].reference}.json"
    before = touched.read_text()
    touched.write_text(before + " ")
    changed = subprocess.run(["sha256sum", "-c", "notices.sha256"], cwd=stated.folder, capture_output=True, check=False)
    assert changed.returncode == 1
    touched.write_text(before)


def test_whose_a_notice_is_stands_in_one_list_that_only_its_owner_reads(stated: Statements) -> None:
    listed = json.loads((stated.folder / "addressees.json").read_text())
    assert listed["rows"] == [{"place": one.place, "reference": one.reference} for one in stated.notices]
    for one in listed["rows"]:  # the holder of the key finds each again
        keyed = hmac.new(bytes.fromhex(listed["key"]), f"{listed['table']}:{one['place']}".encode(), sha256)
        assert keyed.hexdigest() == one["reference"]
    guessed = {sha256(f"{listed['table']}:{place}".encode()).hexdigest() for place in range(600)}
    assert not guessed & {one.reference for one in stated.notices}
    for path in (
        stated.folder / "addressees.json",
        stated.folder / "notices.sha256",
        *(stated.folder / "notices").iterdir(),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_of_a_row_stands_in_the_log_and_nothing_but_reasons_in_a_notice(
    house: House, stated: Statements
) -> None:
    wire = recorded(house, stated).to_wire()
    text = json.dumps(wire)
    assert not any(one.reference in text for one in stated.notices)
    assert set(wire["applicants"]) == {"name", "sha256", "rows"}
    assert all(one.get("stated") is None or one["stated"] >= FEWEST_TOLD for one in wire["factors"])
    people = table().reset_index(drop=True)
    for one in stated.notices[:20]:
        notice = (stated.folder / "notices" / f"{one.reference}.json").read_text()
        assert not any(repr(float(value)) in notice for value in people.loc[one.place, ["income", "debt"]])
        assert set(json.loads(notice)) == {
            "kind",
            "reference",
            "date",
            "reasons",
            "average",
            "model",
            "log",
            "creditor",
        }


def test_a_reason_that_few_were_told_is_recorded_without_their_number(house: House, tmp_path: Path) -> None:
    made = state(house, tmp_path / "few", cutoff=-4.0, at_most=1)
    told = {text: sum(text in one.reasons for one in made.notices) for text in WORDS.values()}
    kept = {one.text: one.stated for one in recorded(house, made).factors}
    assert any(0 < count < FEWEST_TOLD for count in told.values()), "the case is in the data"
    assert kept == {text: count if count >= FEWEST_TOLD else None for text, count in told.items()}


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"protected": ["job"]}, DataError, "depends on job"),
        ({"factors": {**WORDS, "late": "Sex of the applicant"}}, DataError, "speaks of sex"),
        ({"factors": {"income": WORDS["income"]}}, MissingEvidenceError, "has no text"),
        ({"factors": {**WORDS, "late": " "}}, DataError, "no text"),
        ({"baseline": "all", "cutoff": 9.0}, DataError, "in nothing"),
        ({"protected": ["religion"]}, DataError, "religion"),
        ({"cutoff": -99.0}, DataError, "declines nobody"),
    ],
)
@pytest.mark.full
def test_what_may_not_be_told_or_left_out_stops_all_notices_and_the_record(
    options: dict[str, Any], error: type[Exception], says: str, house: House, tmp_path: Path
) -> None:
    with house.acting() as ws:
        before = ws.view().size
    with pytest.raises(error, match=says):
        state(house, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with house.acting() as ws:
        records = ws.view().attestations[before:]
    assert not any(isinstance(one.content, AdverseAction) for one in records)


def test_notices_of_two_runs_do_not_mix(house: House, stated: Statements) -> None:
    with pytest.raises(UsageError, match="exists"):
        state(house, stated.folder)


def test_the_report_tells_of_every_run_that_stands_and_notices_carry_the_creditors_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house = built(tmp_path / "house")
    stated = state(house, tmp_path / "earlier")
    (tmp_path / "creditor.md").write_text(
        "First Bank, 1 High Street.\n\nThe Equal Credit Opportunity Act prohibits discrimination."
    )
    method = {"cutoff": 0.0, "protected": ["sex"], "factors": WORDS}
    (tmp_path / "reasons.yaml").write_text(yaml.safe_dump(method))
    with house.acting("rita") as ws:
        ws.attest_text("credit/1", "adverse-action-notice", tmp_path / "creditor.md")
    asked = ["report", "credit/1", "-w", str(house.folder / "ws"), "-k", "adverse-action", "-o", str(tmp_path / "out")]
    rows = ["--data", str(house.folder / "applicants.parquet"), "--method", str(tmp_path / "reasons.yaml")]
    assert run([*asked, *rows, "--as", "rita"]) == 0
    told = capsys.readouterr().out
    page, value = ((tmp_path / "out" / f"adverse-action.{form}").read_text() for form in ("html", "json"))
    parsed(page)
    found = json.loads(value)
    assert (
        "adverse-action.html" in told and found["runs"][-1]["index"] == stated.receipt.index and len(found["runs"]) >= 2
    )
    assert (
        f"{len(stated.notices):,} statements of reasons" in page and "First Bank" in page and "NOT PROVIDED" not in page
    )
    notice = next((tmp_path / "out" / "notices").glob("*.html")).read_text()
    assert "Equal Credit Opportunity Act" in notice and "NOT PROVIDED" not in notice
    earlier = next((stated.folder / "notices").glob("*.html")).read_text()
    assert "NOT PROVIDED" in earlier
    assert run([*asked, "--data", str(house.folder / "applicants.parquet")]) == 2
    (tmp_path / "reasons.yaml").write_text("cutoff: yes")
    assert run([*asked, *rows, "--as", "rita"]) == 2


def test_a_run_that_was_taken_back_is_not_reported(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    version: Subject = other.train()
    with other.acting() as ws, pytest.raises(MissingEvidenceError, match="no reasons that were stated"):
        ws.report(version, tmp_path / "out", kind="adverse-action")
    made = state(house, tmp_path / "again")
    with house.acting("rita") as ws:
        ws.revoke(made.receipt.index, reason="the wrong month")
        written = ws.report("credit/1", tmp_path / "report", kind="adverse-action")
    runs = json.loads(written.files["json"].read_text())["runs"]
    assert made.receipt.index not in {one["index"] for one in runs}


def test_nobody_without_a_role_states_reasons(house: House, tmp_path: Path) -> None:
    with house.acting() as ws, pytest.raises((NotAuthorizedError, UsageError)):
        ws.state_reasons(
            "credit/1",
            house.folder / "applicants.parquet",
            tmp_path / "x",
            factors=WORDS,
            protected=["sex"],
            cutoff=0.0,
        )
