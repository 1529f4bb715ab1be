"""What the log gives away can be checked with the digest of the trust root alone, and every change in it is named."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_governance.errors import DataError, VerificationError
from ml_governance.evidence import bundle, merkle, offline, tiles
from ml_governance.evidence.canonical import canonicalise
from ml_governance.evidence.check import check
from ml_governance.evidence.checkpoint import read_note
from ml_governance.evidence.predicates import Erasure
from ml_governance.evidence.proof import TlogProof
from ml_governance.evidence.statement import Subject
from ml_governance.workspace import received
from tests.evidence.conftest import MODEL, ORIGIN, Log, make_log, note

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_governance.evidence.checkpoint import Checkpoint

OTHER = Subject(name="model/2", sha256="cd" * 32)


@pytest.fixture
def mixed(log: Log) -> Log:
    with log.writer() as writer:
        writer.record(note("about another"), [OTHER])
        writer.record(note("about both"), [MODEL, OTHER])
    return log


def whats(checkout: offline.Checkout) -> str:
    return "\n".join(f"{p.index}: {p.what}" for p in checkout.problems)


# --- bundles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subjects", [(), (MODEL.sha256,), (MODEL.sha256, OTHER.sha256)])
def test_a_bundle_verifies_with_the_root_alone(mixed: Log, subjects: tuple[str, ...]) -> None:
    data = bundle.collect(mixed.ledger, subjects).to_bytes()
    checkout = offline.verify_bundle(data, root=mixed.trust.root_digest)
    assert not checkout.problems, whats(checkout)
    assert checkout.root_known
    wanted = {a.index for a in mixed.verify().attestations if not subjects or any(a.about(s) for s in subjects)}
    assert wanted <= {a.index for a in checkout.attestations}


def test_without_a_root_nobody_is_known(mixed: Log) -> None:
    checkout = offline.verify_bundle(bundle.collect(mixed.ledger).to_bytes(), root=None)
    assert not checkout.problems
    assert not checkout.root_known
    assert "signer unknown" in " ".join(checkout.notes)


@pytest.mark.parametrize("form", ["bundle", "tiles"])
def test_what_was_given_away_continues_a_pinned_checkpoint_or_is_refused(mixed: Log, tmp_path: Path, form: str) -> None:
    older, root = mixed.verify().checkpoint, mixed.trust.root_digest
    with mixed.writer() as writer:
        writer.record_all([(note(str(number)), [MODEL]) for number in range(5)])
    newest = mixed.verify().checkpoint
    data = bundle.collect(mixed.ledger).to_bytes()
    tiles.write(mixed.ledger, tmp_path / "tiles")

    def offered(*pins: Checkpoint) -> offline.Checkout:
        if form == "bundle":
            return offline.verify_bundle(data, root=root, pins=pins)
        return offline.verify_tiles(tmp_path / "tiles", root=root, pins=pins)

    assert "not rollback-proof" in " ".join(offered().notes)
    held = offered(older, newest)
    assert not held.problems, whats(held)
    assert f"continues the pinned checkpoint of {older.size} entries" in held.notes[0]
    for pin, words in (
        (replace(older, root=bytes(32)), "forked or rewritten"),
        (replace(newest, root=bytes(32)), "forked or rewritten"),
        (replace(newest, size=newest.size + 1), "rolled back"),
        (replace(older, origin="elsewhere"), "another log"),
    ):
        assert words in whats(offered(pin))


def test_a_bundle_about_a_subject_says_what_it_cannot_compare(mixed: Log) -> None:
    older = mixed.verify().checkpoint
    with mixed.writer() as writer:
        writer.record(note("more"), [MODEL])
    data = bundle.collect(mixed.ledger, (MODEL.sha256,)).to_bytes()
    root, newest = mixed.trust.root_digest, mixed.verify().checkpoint
    assert "cannot be compared" in whats(offline.verify_bundle(data, root=root, pins=[older]))
    assert not offline.verify_bundle(data, root=root, pins=[newest]).problems


def test_another_root_is_refused(mixed: Log, tmp_path: Path) -> None:
    other = make_log(tmp_path / "other")
    for subjects in ((), (MODEL.sha256,)):
        checkout = offline.verify_bundle(
            bundle.collect(mixed.ledger, subjects).to_bytes(), root=other.trust.root_digest
        )
        assert "trust root is" in whats(checkout)


def entry_about(value: dict, index: int) -> dict:  # type: ignore[type-arg]
    return next(one for one in value["entries"] if one["index"] == index)


def drop_entry(value: dict) -> None:  # type: ignore[type-arg]
    value["entries"] = [one for one in value["entries"] if one["index"] != 5]


def drop_revocations(value: dict) -> None:  # type: ignore[type-arg]
    value["entries"] = [one for one in value["entries"] if "revocation" not in one["leaf"]]


def edit_payload(value: dict) -> None:  # type: ignore[type-arg]
    envelope = entry_about(value, 5)["envelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b"entry 1", b"entry 9")
    envelope["payload"] = base64.b64encode(payload).decode()


def edit_leaf(value: dict) -> None:  # type: ignore[type-arg]
    one = entry_about(value, 5)
    one["leaf"] = one["leaf"].replace('"seq":2', '"seq":7')


def swap_envelopes(value: dict) -> None:  # type: ignore[type-arg]
    one, two = entry_about(value, 4), entry_about(value, 5)
    one["envelope"], two["envelope"] = two["envelope"], one["envelope"]


def remove_content(value: dict) -> None:  # type: ignore[type-arg]
    entry_about(value, 5)["envelope"] = None


def forge_checkpoint(value: dict) -> None:  # type: ignore[type-arg]
    lines = value["checkpoint"].split("\n")
    lines[1] = str(int(lines[1]) - 1)
    value["checkpoint"] = "\n".join(lines)


def shrink_index(value: dict) -> None:  # type: ignore[type-arg]
    value["index"]["kinds"] = ""


CHANGES: list[tuple[Callable[[dict], None], str, str]] = [  # type: ignore[type-arg]
    (drop_entry, "not complete: ", "missing: #6 follows #4"),
    (drop_revocations, "not complete: ", "missing"),
    (edit_payload, "does not verify", "does not verify"),
    (edit_leaf, "not in the tree", "differ in seq"),
    (swap_envelopes, "differ in", "differ in"),
    (remove_content, "missing from the bundle", "missing from what was exported"),
    (forge_checkpoint, "does not verify|no key", "does not verify|no key"),
    (shrink_index, "list of kinds does not belong", ""),
]


@pytest.mark.parametrize(("change", "partial", "whole"), CHANGES, ids=[c.__name__ for c, _, _ in CHANGES])
def test_a_change_in_a_bundle_is_named(mixed: Log, change: Callable[[dict], None], partial: str, whole: str) -> None:  # type: ignore[type-arg]
    import re

    for subjects, words in (((MODEL.sha256,), partial), ((), whole)):
        if not words:
            continue
        value = json.loads(bundle.collect(mixed.ledger, subjects).to_bytes())
        change(value)
        checkout = offline.verify_bundle(canonicalise(value), root=mixed.trust.root_digest)
        assert re.search(words, whats(checkout), re.DOTALL), whats(checkout)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_bundle_can_change_unseen(mixed: Log, data: st.DataObject) -> None:
    """Whatever a hostile file does, the answer is a refusal or a problem, never an exception of another kind."""
    original = bundle.collect(mixed.ledger, (MODEL.sha256,)).to_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != original[at]))
    changed = original[:at] + bytes([byte]) + original[at + 1 :]
    try:
        assert offline.verify_bundle(changed, root=mixed.trust.root_digest).problems
    except VerificationError:
        pass


def test_an_erasure_by_somebody_without_the_role_excuses_nothing(mixed: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_governance.evidence.door.know_signers", lambda *_: None)
    erased = next(a for a in mixed.verify().attestations if a.index == 5)
    with mixed.writer() as writer:
        content = Erasure(leaf=5, payload=erased.payload_digest, reason="hide it")
        writer.record(content, [MODEL], erases=5)
    for subjects, where in (((MODEL.sha256,), "the bundle"), ((), "what was exported")):
        checkout = offline.verify_bundle(
            bundle.collect(mixed.ledger, subjects).to_bytes(), root=mixed.trust.root_digest
        )
        assert f"5: revocation: its content is missing from {where}" in whats(checkout)
        assert not checkout.void


def test_a_bundle_too_large_to_check_is_not_written(mixed: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE", 1000)
    with pytest.raises(DataError, match="about"):
        bundle.collect(mixed.ledger).to_bytes()


# --- proofs -----------------------------------------------------------------------------------------------------


def proof_of(log: Log, index: int) -> TlogProof:
    one = next(log.ledger.entries(index, index + 1))
    return TlogProof(
        index=index, leaf=one.leaf, hashes=log.ledger.inclusion_proof(index), checkpoint=log.ledger.checkpoint()
    )


def test_a_tlog_proof_stands_alone(mixed: Log) -> None:
    for index in range(mixed.ledger.size):
        text = proof_of(mixed, index).to_text()
        read = TlogProof.from_text(text)
        assert read.to_text() == text
        leaf, checkpoint = read.verify([mixed.log_signer.public], origin=ORIGIN)
        assert leaf.to_bytes() == read.leaf
        assert checkpoint.size == mixed.ledger.size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_character_of_a_proof_can_change_unseen(mixed: Log, data: st.DataObject) -> None:
    original = proof_of(mixed, 5).to_text()
    at = data.draw(st.integers(0, len(original) - 1))
    other = data.draw(st.sampled_from("\x00\n 09AZaz+/=-—é").filter(lambda c: c != original[at]))
    changed = original[:at] + other + original[at + 1 :]
    with pytest.raises(VerificationError):
        TlogProof.from_text(changed).verify([mixed.log_signer.public], origin=ORIGIN)


@given(st.text(max_size=300))
def test_any_text_is_a_proof_or_refused(text: str) -> None:
    for candidate in (
        text,
        "c2sp.org/tlog-proof@v1\nextra \nindex " + text,
        "c2sp.org/tlog-proof@v1\n" + text + "\n\n",
    ):
        with pytest.raises(VerificationError):
            TlogProof.from_text(candidate).verify([], origin=ORIGIN)


def test_an_oversized_proof_is_refused_unread(mixed: Log) -> None:
    one = proof_of(mixed, 5)
    with pytest.raises(VerificationError, match=r"too long(.|\n)*characters"):
        TlogProof.from_text(replace(one, hashes=(bytes(32),) * 5000).to_text())
    with pytest.raises(VerificationError, match=r"too long(.|\n)*at most 64 hashes"):
        TlogProof.from_text(replace(one, hashes=(bytes(32),) * 65).to_text())


# --- tiles ------------------------------------------------------------------------------------------------------


def test_paths_are_those_of_the_specification() -> None:
    assert tiles.path_of("tile/0", 1234067) == "tile/0/x001/x234/067"
    assert tiles.path_of("tile/entries", 273, 112) == "tile/entries/273.p/112"


@pytest.mark.parametrize("extra", [0, 1, 248, 249, 250, 600])
def test_tiles_verify_and_grow(tmp_path: Path, extra: int) -> None:
    """Sizes around 255, 256 and 257 as well; an older export is continued, not written again."""
    log = make_log(tmp_path / "log", 0)
    folder = tmp_path / "tiles"
    tiles.write(log.ledger, folder)
    with log.writer() as writer:
        if extra:
            writer.record_all([(note(str(number)), [MODEL]) for number in range(extra)])
    size = tiles.write(log.ledger, folder)
    assert size == log.ledger.size
    checkout = offline.verify_tiles(folder, root=log.trust.root_digest)
    assert not checkout.problems, whats(checkout)
    assert len(checkout.attestations) == size
    full = size // tiles.WIDTH
    assert sum(1 for path in (folder / "tile/0").rglob("*") if path.is_file() and ".p" not in str(path)) == full


def test_a_torn_or_edited_tile_is_named(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log", 300)
    folder = tmp_path / "tiles"
    tiles.write(log.ledger, folder)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
        for torn in (whole[: len(whole) // 2], whole + whole[-32:], b"", flipped):
            path.write_bytes(torn)
            try:
                assert offline.verify_tiles(folder, root=log.trust.root_digest).problems, path
            except VerificationError:
                assert path.name == "checkpoint"
        path.unlink()
        try:
            assert offline.verify_tiles(folder, root=log.trust.root_digest).problems, path
        except VerificationError:
            assert path.name == "checkpoint"
        path.write_bytes(whole)
    assert not offline.verify_tiles(folder, root=log.trust.root_digest).problems
    (folder / tiles.path_of("tile/0", 0)).write_bytes(b"torn")
    tiles.write(log.ledger, folder)
    assert not offline.verify_tiles(folder, root=log.trust.root_digest).problems


def test_a_torn_entry_tile_is_called_torn(mixed: Log, tmp_path: Path) -> None:
    size = tiles.write(mixed.ledger, tmp_path)
    path = tmp_path / tiles.path_of("tile/entries", 0, size)
    whole = path.read_bytes()
    for torn in (b"", whole[:1], whole[:-1], whole[:-300], whole + b"\x00", whole + whole[:400]):
        path.write_bytes(torn)
        problems = whats(offline.verify_tiles(tmp_path, root=mixed.trust.root_digest))
        assert f"tile/entries/000.p/{size} is torn" in problems


def test_tiles_of_another_or_a_longer_log_are_not_overwritten(tmp_path: Path) -> None:
    one, other = make_log(tmp_path / "one", 5), make_log(tmp_path / "other", 2)
    tiles.write(one.ledger, tmp_path / "tiles")
    with pytest.raises(DataError, match="rolled back|holds the log"):
        tiles.write(other.ledger, tmp_path / "tiles")


def test_the_hashes_of_a_tile_give_the_root(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log", 20)
    tiles.write(log.ledger, tmp_path / "tiles")
    size = log.ledger.size
    data = (tmp_path / "tiles" / tiles.path_of("tile/0", 0, size)).read_bytes()
    leaves = [data[at : at + 32] for at in range(0, len(data), 32)]
    assert merkle.root_of(leaves) == log.verify().checkpoint.root


def test_a_bundle_says_what_an_erased_entry_was_about(tmp_path: Path) -> None:
    from dataclasses import replace

    from ml_governance.evidence.predicates import Erasure
    from ml_governance.evidence.walk import ERASER
    from ml_governance.testing import workspace
    from ml_governance.workspace.setup import PEOPLE

    people = [replace(one, roles=(*one.roles, ERASER)) for one in PEOPLE]
    ws = workspace(tmp_path / "ws", signer="validator", people=people)
    index = ws.writer.record(note("personal"), [MODEL, OTHER]).index
    ws.writer.record(note("kept"), [MODEL])
    payload = next(a.payload_digest for a in ws.view().attestations if a.index == index)
    ws.writer.record(Erasure(leaf=index, payload=payload, reason="request 7"), [MODEL], erases=index)
    checkout = offline.verify_bundle(bundle.collect(ws.ledger, (MODEL.sha256,)).to_bytes(), root=ws.config.trust_root)
    assert not checkout.problems, whats(checkout)
    assert [one.subjects for one in checkout.void] == [{MODEL.sha256, OTHER.sha256}]


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000.p/8", "envelopes/000.p/8"])
def test_a_folder_of_tiles_holds_files_and_nothing_that_never_ends(log: Log, tmp_path: Path, name: str) -> None:
    """A pipe or a device in the place of a tile would stall its reader, or fill the memory."""
    tiles.write(log.ledger, tmp_path / "tiles")
    (tmp_path / "tiles" / name).unlink()
    (tmp_path / "tiles" / name).symlink_to("/dev/null")
    try:
        said = whats(offline.verify_tiles(tmp_path / "tiles", root=log.trust.root_digest))
    except VerificationError as error:
        said = error.found
    assert "not a regular file" in said


def test_a_note_with_mended_bytes_is_not_the_note_that_was_signed(mixed: Log, tmp_path: Path) -> None:
    """A reader that replaces what is no UTF-8 would take many files for one."""
    tiles.write(mixed.ledger, tmp_path / "tiles")
    path = tmp_path / "tiles" / "checkpoint"
    path.write_bytes(path.read_bytes() + "\N{EM DASH} ".encode() + b"\xff AAAAAAAA\n")
    with pytest.raises(VerificationError, match="is no text"):
        offline.verify_tiles(tmp_path / "tiles", root=mixed.trust.root_digest)
    with pytest.raises(VerificationError, match="is no text"):
        received.read_pin(path)


def test_very_many_subjects_are_held_against_the_entries_in_time(tmp_path: Path) -> None:
    """Whoever makes a log can prove of any digest that nothing is about it, in a hundred bytes."""
    log = make_log(tmp_path / "log", 1000)
    found = bundle.collect(log.ledger, (MODEL.sha256,))
    absent = [f"{number:064x}" for number in range(100_000)]
    (proof,) = {log.ledger.index_proof(bytes.fromhex(digest)) for digest in absent}
    many = replace(
        found,
        subjects=(MODEL.sha256, *absent),
        proofs=found.proofs | dict.fromkeys(absent, proof),
    )
    checkout = offline._Partial(many, log.trust.root_digest, ())
    checked = [one for one, _ in check([one.entry for one in many.entries], log.trust.verification_keys)]
    signed = read_note(many.checkpoint, log.trust.log_keys, origin=ORIGIN)
    begin = time.process_time()
    checkout._complete(signed, checked)
    assert time.process_time() - begin < 2.5
    assert not checkout.problems


def test_a_bundle_has_one_form(mixed: Log) -> None:
    data = bundle.collect(mixed.ledger, (MODEL.sha256,)).to_bytes()
    assert bundle.Bundle.from_bytes(data).to_bytes() == data
    for version in (True, 2, "1"):
        with pytest.raises(VerificationError, match="no bundle"):
            bundle.Bundle.from_bytes(canonicalise({**json.loads(data), "version": version}))
    for place in ("subjects", "entries"):
        with pytest.raises(VerificationError, match="where a list belongs"):
            bundle.Bundle.from_bytes(canonicalise({**json.loads(data), place: ""}))
    value = json.loads(data)
    value["entries"][0]["about"] = {}
    with pytest.raises(VerificationError, match="where a list belongs"):
        bundle.Bundle.from_bytes(canonicalise(value))
