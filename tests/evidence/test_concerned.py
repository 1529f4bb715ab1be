"""What is read for one decision is what a full verification of the same log would have given it, or nothing is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.concerned import EVERYBODY, Concerned
from ml_governance.evidence.predicates import HumanText
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verify import verify
from tests.evidence.conftest import MODEL, make_log, note
from tests.evidence.test_attacks import TRIGGERS
from tests.evidence.test_incremental import resign

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.attestation import EvidenceView
    from ml_governance.evidence.prefix import Prefix
    from tests.evidence.conftest import Log

OTHER = Subject(name="model/2", sha256="cd" * 32)
NEAR = Subject(name="model/3", sha256="ab" * 4 + "cd" * 28)
TABLES = ("entries_by_key", "entries_by_kind", "blobs", "leaves")


def said(text: str) -> HumanText:
    return HumanText(name="intended-use", sha256=sha256_hex(text.encode()), text=text)


def filled(path: Path, plan: list[int]) -> Log:
    """A log with entries of a kind that concerns everybody and of one that does not, about one model, others, or both."""
    log = make_log(path, 1)
    about = ([MODEL], [OTHER], [MODEL, OTHER], [NEAR])
    with log.writer() as writer:
        for number, one in enumerate(plan):
            writer.record((note if one % 2 else said)(f"entry {number}"), about[one // 2])
    return log


def read(log: Log, prefix: Prefix) -> EvidenceView:
    """Read as a decision does: verify what is new, then take what concerns the model."""
    with log.ledger.snapshot():
        verified = verify(log.ledger, root=log.trust.root_digest, since=prefix, collect=False)
        verified.require()
        found = Concerned(log.ledger, verified.prefix)
        found.about(MODEL.sha256)
        return found.view()


def whole(log: Log) -> tuple[Any, ...]:
    """What a full verification gives of what concerns the model."""
    view = log.verify().view()
    mine = tuple(a for a in view.attestations if a.about(MODEL.sha256) or a.kind in EVERYBODY)
    return view.size, view.root_hash, mine, view.void, view.principals, view.charter, view.newest


def told(view: EvidenceView) -> tuple[Any, ...]:
    return view.size, view.root_hash, view.attestations, view.void, view.principals, view.charter, view.newest


def attack(log: Log, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(log.path / "log.sqlite")) as database, database:
        for trigger in TRIGGERS:
            database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement, parameters in statements:
            database.execute(statement, parameters)


plans = st.lists(st.integers(0, 7), max_size=8)


@settings(max_examples=12)
@given(plan=plans, later=plans)
def test_what_is_read_is_what_a_full_verification_gives(
    tmp_path_factory: Any, plan: list[int], later: list[int]
) -> None:
    log = filled(tmp_path_factory.mktemp("log"), plan)
    prefix = log.verify().prefix
    with log.writer() as writer:
        for number, one in enumerate(later):
            writer.record(
                (note if one % 2 else said)(f"later {number}"), ([MODEL], [OTHER], [MODEL, OTHER], [NEAR])[one // 2]
            )
    assert told(read(log, prefix)) == whole(log)
    log.ledger.close()


def deleted(place: int, _size: int) -> list[tuple[str, tuple[Any, ...]]]:
    return [(f"DELETE FROM {name} WHERE idx = ?", (place,)) for name in TABLES]


def truncated(place: int, _size: int) -> list[tuple[str, tuple[Any, ...]]]:
    return [(f"DELETE FROM {name} WHERE idx >= ?", (place,)) for name in TABLES]


def forgotten(place: int, _size: int) -> list[tuple[str, tuple[Any, ...]]]:
    return [("DELETE FROM blobs WHERE idx = ?", (place,))]


def unlisted(place: int, _size: int) -> list[tuple[str, tuple[Any, ...]]]:
    return [(f"DELETE FROM {name} WHERE idx = ?", (place,)) for name in TABLES[:2]]


def swapped(place: int, size: int) -> list[tuple[str, tuple[Any, ...]]]:
    other = (place + 1) % size
    return [
        (f"UPDATE {name} SET idx = CASE idx WHEN {a} THEN {b} ELSE {c} END WHERE idx IN ({a}, {c})", ())
        for name in ("blobs", "leaves")
        for a, b, c in ((place, 10**6, place), (other, place, other), (10**6, other, 10**6))
    ]


def copied(place: int, size: int) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        ("UPDATE blobs SET data = (SELECT data FROM blobs WHERE idx = ?) WHERE idx = ?", ((place + 1) % size, place))
    ]


def relabelled(place: int, _size: int) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        ("UPDATE entries_by_key SET key = ? WHERE idx = ? AND key = ?", (bytes(32), place, bytes.fromhex(MODEL.sha256)))
    ]


@settings(max_examples=40)
@given(
    plan=st.lists(st.integers(0, 7), min_size=1, max_size=7),
    how=st.sampled_from([deleted, truncated, forgotten, unlisted, swapped, copied, relabelled]),
    where=st.integers(2, 40),
    by_the_log=st.booleans(),
)
def test_whatever_is_done_to_the_log_the_answer_is_the_true_one_or_none(
    tmp_path_factory: Any, plan: list[int], how: Any, where: int, *, by_the_log: bool
) -> None:
    """Also by whoever holds the log's key, and makes every table and the signed checkpoint fit what is left."""
    log = filled(tmp_path_factory.mktemp("log"), plan)
    true, prefix = whole(log), log.verify().prefix
    size = prefix.frontier.size
    try:
        attack(log, *how(where % size, size))
        if by_the_log:
            resign(log)
    except (sqlite3.Error, VerificationError, AttributeError):
        return  # not even the attack could be made
    try:
        assert told(read(log, prefix)) == true
    except VerificationError:
        pass
    finally:
        log.ledger.close()


@pytest.mark.parametrize("how", [forgotten, copied], ids=["content deleted", "content exchanged"])
def test_content_that_concerns_the_decision_is_not_lost_unnoticed(tmp_path: Path, how: Any) -> None:
    log = filled(tmp_path, [0, 1, 0])
    prefix = log.verify().prefix
    place = log.ledger.find(bytes.fromhex(MODEL.sha256))[-1]
    attack(log, *how(place, place + 1))
    with pytest.raises(VerificationError, match=r"content .* is missing|not those that the tree holds"):
        read(log, prefix)


@pytest.mark.parametrize("table", TABLES[:2])
def test_an_entry_that_the_look_up_leaves_out_is_missed(tmp_path: Path, table: str) -> None:
    log = filled(tmp_path, [0, 1, 0])
    prefix = log.verify().prefix
    place = log.ledger.find_kind("revocation")[-1]
    attack(log, (f"DELETE FROM {table} WHERE idx = ?", (place,)))
    with pytest.raises(VerificationError, match="that were verified"):
        read(log, prefix)


def test_an_index_that_is_not_the_verified_one_is_refused(tmp_path: Path) -> None:
    log = filled(tmp_path, [0, 2, 0])
    prefix = log.verify().prefix
    attack(log, ("UPDATE index_nodes SET node = zeroblob(4) WHERE prefix = ''", ()), ("DELETE FROM index_nodes", ()))
    with pytest.raises(VerificationError, match="subject index"):
        read(log, prefix)


def test_an_entry_in_the_place_of_a_noted_one_is_refused(tmp_path: Path) -> None:
    log = filled(tmp_path, [2, 2])
    prefix = log.verify().prefix
    found = Concerned(log.ledger, prefix)
    with pytest.raises(VerificationError, match="verified here before"):
        found.placed([(3, bytes(32))])
    with pytest.raises(VerificationError, match="verified here before"):
        found.placed([(10**6, bytes(32))])


def test_digests_are_found_by_their_first_digits(tmp_path: Path) -> None:
    log = filled(tmp_path, [0, 2, 6])
    found = Concerned(log.ledger, log.verify().prefix)
    assert set(found.beginning("abababab")) == {MODEL.sha256, NEAR.sha256}
    assert found.beginning("ab" * 5) == (MODEL.sha256,)
    assert found.beginning(NEAR.sha256) == (NEAR.sha256,)
    assert found.beginning("0" * 8) == ()
    assert found.beginning(MODEL.sha256[:-1] + "0") == ()


def test_some_kinds_about_a_digest_can_be_read_first_and_the_rest_later(tmp_path: Path) -> None:
    log = filled(tmp_path, [0, 1, 0])
    found = Concerned(log.ledger, log.verify().prefix)
    found.about(MODEL.sha256, frozenset())
    before = len(found.view().attestations)
    found.about(MODEL.sha256, frozenset({HumanText.kind}))
    assert len(found.view().attestations) == before + 2
    found.about(MODEL.sha256)
    assert told(found.view()) == whole(log)
