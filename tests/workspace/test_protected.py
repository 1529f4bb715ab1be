"""Protected data: nobody sees a row before it is on the record that they asked, and what for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from ml_governance.errors import (
    DataError,
    EvidenceError,
    LedgerError,
    MissingEvidenceError,
    NotAuthorizedError,
    UsageError,
    VerificationError,
)
from ml_governance.evidence import mandate
from ml_governance.evidence.predicates import DataAccess, ProtectedData
from ml_governance.workspace import Person, people, protected
from tests.workspace.house import PEOPLE, House

if TYPE_CHECKING:
    from ml_governance.evidence.head import Receipt

ROWS = pd.DataFrame({"sex": ["f", "m", "f"], "income": [1, 2, 3]})


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path, people=[*PEOPLE, Person(id="dora", name="Dora", roles=("data_protection_officer",))])
    ROWS.to_parquet(made.folder / "ws" / "rows.parquet")
    return made


def protect(house: House, who: str = "rita", name: str = "rows", path: str = "rows.parquet") -> Receipt:
    with house.acting(who) as ws:
        return ws.protect(name, ws.root / path, sensitive=["sex"])


def accesses(house: House) -> list[tuple[str, str, str, str | None]]:
    with house.acting() as ws:
        return [
            (a.principal.id, a.content.outcome, a.content.reason, a.content.detail)
            for a in ws.view().of_kind("data-access")
            if isinstance(a.content, DataAccess)
        ]


def opened(house: House, who: str = "vera", **options: Any) -> pd.DataFrame:
    with house.acting(who) as ws:
        return ws.data("rows", **{"reason": "a complaint", **options})


def test_rows_are_returned_after_a_signed_record_of_who_when_which_and_what_for(house: House) -> None:
    index = protect(house).index
    pd.testing.assert_frame_equal(opened(house), ROWS)
    with house.acting() as ws:
        view = ws.view()
        (entry,) = view.of_kind("data-access")
        registered = view.attestations[index].content
        assert isinstance(registered, ProtectedData) and isinstance(entry.content, DataAccess)
        assert registered.location == "rows.parquet"
        assert (entry.principal.id, entry.recorded_at, entry.content.reason) == ("vera", house.clock(), "a complaint")
        assert {one.sha256 for one in entry.subjects} == {registered.sha256, registered.table.sha256}
        (listed,) = protected.ls(ws)
        assert (listed.name, listed.by, listed.granted, listed.refused) == ("rows", "rita", 1, 0)


def test_the_rows_are_named_as_assessments_name_them(house: House) -> None:
    from ml_governance.workspace.tables import read

    protect(house)
    frame = opened(house)
    with house.acting() as ws:
        assert read(frame)[1].sha256 == protected.newest(ws.view(), "rows", "credit").content.table.sha256  # type: ignore[attr-defined]


def test_whoever_the_charter_does_not_let_gets_no_row_and_the_try_is_recorded(house: House) -> None:
    protect(house)
    with pytest.raises(NotAuthorizedError, match="ada has the role author; to read protected data takes validator"):
        opened(house, "ada")
    assert [(who, what) for who, what, _, _ in accesses(house)] == [("ada", "refused")]
    assert "takes validator" in str(accesses(house)[0][3])


def test_a_reason_is_required(house: House) -> None:
    protect(house)
    for reason in ("", "  "):
        with pytest.raises(UsageError, match="reason is empty"):
            opened(house, reason=reason)
    with house.acting("vera") as ws, pytest.raises(UsageError, match="reason is empty"):
        ws.data("rows")


def test_bytes_that_are_not_those_registered_are_refused_on_the_record(house: House) -> None:
    protect(house)
    ROWS.assign(income=[9, 9, 9]).to_parquet(house.folder / "ws" / "rows.parquet")
    with pytest.raises(VerificationError, match="has the digest"):
        opened(house)
    (house.folder / "ws" / "rows.parquet").unlink()
    with pytest.raises(DataError, match="cannot be opened"):
        opened(house)
    assert [what for _, what, _, _ in accesses(house)] == ["refused", "refused"]
    protect_again = house.folder / "ws" / "rows.parquet"
    ROWS.to_parquet(protect_again)
    assert len(opened(house)) == 3


def test_what_is_digested_is_what_is_parsed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is swapped right after its digest was taken; the rows are still those registered."""
    protect(house)
    original = protected.sha256_hex

    def swap(data: bytes) -> str:
        ROWS.assign(income=[9, 9, 9]).to_parquet(house.folder / "ws" / "rows.parquet")
        return original(data)

    monkeypatch.setattr(protected, "sha256_hex", swap)
    pd.testing.assert_frame_equal(opened(house), ROWS)


def test_without_a_record_there_are_no_rows(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    protect(house)
    from ml_governance.evidence.ledger import Ledger

    def full(*_: Any, **__: Any) -> None:
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append_own", full)
        with pytest.raises(LedgerError), house.acting("vera") as ws:
            ws.data("rows", reason="r")
    assert accesses(house) == []


def test_a_role_lost_while_the_rows_are_being_opened_opens_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    protect(house)
    original, done = protected._judged, []

    def slow(*arguments: Any) -> bytes:
        data = original(*arguments)
        if not done:
            done.append(True)
            house.charter(grants={"read": ["auditor"], "protect": ["policy_owner"]})
        return data

    monkeypatch.setattr(protected, "_judged", slow)
    with pytest.raises(NotAuthorizedError, match="takes auditor"):
        opened(house)


def test_rows_are_not_read_in_somebody_elses_place(house: House) -> None:
    protect(house)
    house.delegate("vera", "validator", "otto")
    with pytest.raises(NotAuthorizedError, match="in the place of vera only, and rows are not read so"):
        opened(house, "otto")
    with house.acting() as ws:
        assert not ws.can("otto", "read", "rows").allowed
        assert ws.can("vera", "read", "rows").allowed


def test_only_whom_the_charter_lets_registers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAuthorizedError, match="to protect protected data takes policy_owner"):
        protect(house, "vera")
    index = protect(house).index
    with house.acting() as ws:
        content = ws.view().attestations[index].content
    assert isinstance(content, ProtectedData)
    access = DataAccess(name="rows", sha256=content.sha256, outcome="granted", reason="r")
    for who, forged in (("vera", content), ("ada", access)):
        with house.acting(who) as ws, pytest.raises(NotAuthorizedError, match="takes"):
            ws.writer.record(forged, protected.subjects(content))
    # What got past the door all the same does not count: other bytes under a name that is known.
    with monkeypatch.context() as patch, house.acting("vera") as ws:
        patch.setattr(mandate, "fault", lambda *_: None)
        ws.writer.record(content.model_copy(update={"sha256": "0" * 64}), protected.subjects(content))
    with house.acting() as ws:
        assert any("to register protected data takes policy_owner" in one.why for one in ws.view().void)
    with pytest.raises(EvidenceError, match="counts no more"):
        opened(house)


def test_a_withdrawn_registration_opens_nothing_and_no_older_one_comes_back(house: House) -> None:
    from ml_governance.evidence.predicates import Revocation

    protect(house)
    last = protect(house)
    with house.acting("rita") as ws:
        ws.writer.record(
            Revocation(target=last.payload_digest, reason="consent was withdrawn"), [people.person_subject("x")]
        )
    with pytest.raises(EvidenceError, match="was revoked"):
        opened(house)
    with house.acting() as ws:
        assert protected.ls(ws) == ()
    erased = protect(house)
    with house.acting("dora") as ws:
        ws.log.erase(erased.index, reason="right to be forgotten", early=True)
    with pytest.raises(EvidenceError, match="counts no more"):
        opened(house)


def test_unknown_names_files_and_columns_are_named(house: House, tmp_path: Path) -> None:
    with pytest.raises(MissingEvidenceError, match="no protected data is called 'rows'"):
        opened(house)
    with house.acting("rita") as ws:
        with pytest.raises(DataError, match="no column 'age'"):
            ws.protect("rows", ws.root / "rows.parquet", sensitive=["age"])
        with pytest.raises(UsageError, match="no sensitive column"):
            ws.protect("rows", ws.root / "rows.parquet", sensitive=[])
        (tmp_path / "link.csv").symlink_to(ws.root / "rows.parquet")
        with pytest.raises(DataError, match="cannot be opened"):
            ws.protect("rows", tmp_path / "link.csv", sensitive=["sex"])
        with pytest.raises(DataError, match="neither Parquet nor CSV"):
            ws.protect("rows", Path("governance.toml"), sensitive=["sex"])
    protect(house)
    assert list(opened(house, columns=["income"]).columns) == ["income"]
    with pytest.raises(DataError, match="no column 'age'"):
        opened(house, columns=["age"])
    with pytest.raises(UsageError, match="each column once"):
        opened(house, columns=["sex", "sex"])
    moved = (house.folder / "ws" / "rows.parquet").rename(tmp_path / "moved.parquet")
    assert len(opened(house, path=moved)) == 3
