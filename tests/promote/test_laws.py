"""The laws of the gate on a real ledger: people act at random, and then somebody with the database open tampers with it."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ml_governance.errors import GovernanceError, PromotionDeniedError
from ml_governance.promote import gate
from ml_governance.workspace import new_keys
from tests.promote.house import House, copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ml_governance.evidence.door import Guard

few = settings(max_examples=10, phases=[Phase.explicit, Phase.generate])
numbered = itertools.count()
people = st.sampled_from(["ada", "vera", "rita", "max", "ines", "omar", "nobody"])
ACTS = st.one_of(
    st.tuples(st.just("measure"), st.sampled_from(["vera", "omar", "ada"]), st.booleans()),
    st.tuples(st.just("approve"), people, st.sampled_from(["approve", "reject"])),
    st.tuples(st.just("waive"), people, st.just(None)),
    st.tuples(st.just("revoke"), people, st.integers(0, 20)),
    st.tuples(st.just("delegate"), people, people),
    st.tuples(st.just("glass"), people, st.just(None)),
    st.tuples(st.just("rotate"), st.just("vera"), st.just(None)),
)


@contextmanager
def fresh(template: Path, folders: pytest.TempPathFactory) -> Iterator[House]:
    """Yield a house of its own and an account that has verified nothing yet: one log would pass for a rollback of the other."""
    folder = folders.mktemp("law")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield copy(template, folder / "ws")


def act(house: House, verb: str, by: str, detail: Any) -> None:
    """Let somebody do something; what they may not is refused, which is an answer as well."""
    try:
        if verb == "measure":
            with house.as_(None) as ws:
                version = ws.resolve("credit/1")
            house.measure(version, fair=detail, who=by)
        elif verb == "approve":
            house.approve("credit/1", by, verdict=detail)
        elif verb == "glass":
            house.promote("credit/1", by, break_glass="everything is on fire")
        elif verb == "rotate":
            key = new_keys.new_key(house.root / f"key-{next(numbered)}", by)
            with house.as_(None) as ws:
                ws.custody.rotate(by, key.public, roots=["root"])
        else:
            with house.as_(by) as ws:
                if verb == "waive":
                    until = house.clock() + timedelta(days=3)
                    ws.waive("credit/1", stage="production", rule="SML-01", reason="x", until=until)
                elif verb == "revoke":
                    ws.revoke(detail, reason="x")
                else:
                    until = house.clock() + timedelta(days=3)
                    ws.delegate("validator", to=detail, until=until, reason="x")
    except GovernanceError:
        pass


def answer(house: House) -> str:
    try:
        return str(house.decide("credit/1").result)
    except GovernanceError as error:
        return type(error).__name__


def swapped(sql: sqlite3.Connection, at: int) -> None:
    one, two = (sql.execute("SELECT data FROM blobs WHERE idx = ?", (i,)).fetchone()[0] for i in (at - 1, at))
    sql.executemany("UPDATE blobs SET data = ? WHERE idx = ?", [(two, at - 1), (one, at)])


def edited(sql: sqlite3.Connection, at: int) -> None:
    (data,) = sql.execute("SELECT data FROM blobs WHERE idx = ?", (at,)).fetchone()
    middle = len(data) // 2
    sql.execute(
        "UPDATE blobs SET data = ? WHERE idx = ?",
        (data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :], at),
    )


def dropped(sql: sqlite3.Connection, at: int) -> None:
    for table in ("leaves", "blobs"):
        sql.execute(f"DELETE FROM {table} WHERE idx = ?", (at,))


def emptied(sql: sqlite3.Connection, at: int) -> None:
    sql.execute("DELETE FROM blobs WHERE idx = ?", (at,))


def cut(sql: sqlite3.Connection, at: int) -> None:
    for table in ("leaves", "blobs"):
        sql.execute(f"DELETE FROM {table} WHERE idx >= ?", (at,))


TAMPER: dict[str, Callable[[sqlite3.Connection, int], None]] = {
    "swapped": swapped, "edited": edited, "dropped": dropped, "content gone": emptied, "tail gone": cut,
}  # fmt: skip


@pytest.mark.slow
@few
@given(done=st.lists(ACTS, max_size=4), how=st.sampled_from(sorted(TAMPER)), back=st.integers(1, 8))
def test_no_entry_that_is_tampered_with_allows_anything(
    ready_template: Path, tmp_path_factory: pytest.TempPathFactory, done: list[Any], how: str, back: int
) -> None:
    """Dropped, damaged or swapped, for or against: there is no answer at all, and no promotion."""
    with fresh(ready_template, tmp_path_factory) as house:
        for one in done:
            act(house, *one)
        before = house.alias()
        assert answer(house) in ("allow", "deny", "review")
        with closing(sqlite3.connect(house.root / "governance" / "ledger.sqlite")) as sql, sql:
            for (trigger,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                sql.execute(f"DROP TRIGGER {trigger}")
            (size,) = sql.execute("SELECT size FROM head").fetchone()
            TAMPER[how](sql, size - back)
        assert answer(house) not in ("allow", "deny", "review")
        with pytest.raises(GovernanceError):
            house.promote("credit/1")
        assert house.alias() == before


@pytest.mark.slow
@few
@given(done=st.lists(ACTS, min_size=2, max_size=5))
def test_what_people_do_moves_an_alias_only_through_the_gate(
    ready_template: Path, tmp_path_factory: pytest.TempPathFactory, done: list[Any]
) -> None:
    with fresh(ready_template, tmp_path_factory) as house:
        for one in done:
            act(house, *one)
        said, before = answer(house), house.alias()
        try:
            house.promote("credit/1")
        except GovernanceError:
            assert house.alias() == before
        else:
            assert said == "allow" and house.alias() == "1"
        with house.as_(None) as ws:
            assert not ws.reconcile()
            assert not [one for one in ws.doctor().complaints if one.check in ("promotion", "log")]


AGAINST = (
    ("measure", "vera", False),
    ("approve", "vera", "reject"),
    ("revoke", "rita", "approval"),
    ("revoke", "rita", "model"),
)
BESIDE = (("train", "ada", "another model"), ("delegate", "vera", "omar"))


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "by", "detail"), [*AGAINST, *BESIDE])
def test_what_comes_between_decision_and_promotion_is_seen_if_it_matters(
    ready: House, monkeypatch: pytest.MonkeyPatch, verb: str, by: str, detail: Any
) -> None:
    approval = ready.approve("credit/1")
    original, decided = gate._guard, []

    def between(decision: Any, since: int, token: str | None = None) -> Guard:
        decided.append(token is not None)
        if decided.count(True) == 1 and token is not None:
            if verb == "train":
                ready.train("4 5 6", name="credit-other", who=by)
            else:
                act(ready, verb, by, {"approval": approval, "model": "credit/1"}.get(detail, detail))
        return original(decision, since, token)

    monkeypatch.setattr(gate, "_guard", between)
    if (verb, by, detail) in AGAINST:
        with pytest.raises(PromotionDeniedError):
            ready.promote("credit/1")
        assert ready.alias() is None
    else:
        assert ready.promote("credit/1").subject.name == "credit/1"
        assert decided.count(True) == 1, "what does not matter starts nothing again"
