from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle, witness
from ml_governance.evidence.checkpoint import decode_base64, parse_vkey, read_note, vkey
from tests.evidence.conftest import MODEL, ORIGIN, Log, note

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = datetime(2026, 3, 1, tzinfo=UTC)
COSIGNERS = {
    name: witness.Cosigner(Ed25519PrivateKey.from_private_bytes(name.encode() * 32), f"{name}.example/w")
    for name in "xyz"
}
TWO_OF_THREE = "\n".join(
    [
        "# two of three",
        *(f"witness {name} {one.vkey} https://{name}.example" for name, one in COSIGNERS.items()),
        "group all-of-them 2 x y z",
        "quorum all-of-them",
    ]
)


def cosigned(text: str, *names: str) -> str:
    return text + "".join(COSIGNERS[name].cosign(text, AT) for name in names)


def test_a_quorum_is_counted(log: Log) -> None:
    policy, text = witness.parse_policy(TWO_OF_THREE), log.ledger.checkpoint()
    assert witness.require_quorum(cosigned(text, "x", "z"), policy) == {"x": AT, "z": AT}
    read_note(cosigned(text, "x", "y", "z"), [log.log_signer.public], origin=ORIGIN)
    for names in ((), ("y",), ("y", "y")):
        with pytest.raises(VerificationError, match=r"of the policy's 3 witnesses"):
            witness.require_quorum(cosigned(text, *names), policy)


def test_a_false_cosignature_is_refused(log: Log) -> None:
    policy, text = witness.parse_policy(TWO_OF_THREE), log.ledger.checkpoint()
    with log.writer() as writer:
        writer.record(note("more"), [MODEL])
    moved = log.ledger.checkpoint() + COSIGNERS["x"].cosign(text, AT)
    with pytest.raises(VerificationError, match="cosignature by x.example/w does not verify"):
        witness.cosignatures(moved, policy)
    later = COSIGNERS["x"].cosign(text, AT).split(" ")
    blob = bytearray(base64.b64decode(later[2]))
    blob[11] ^= 1  # another time
    later[2] = base64.b64encode(bytes(blob)).decode()
    with pytest.raises(VerificationError, match="does not verify"):
        witness.cosignatures(text + " ".join(later) + "\n", policy)


def test_a_wrong_key_hint_is_no_cosignature(log: Log) -> None:
    """A hint that is not the key's own says nothing; the line is ignored and the quorum is missing."""
    policy, text = witness.parse_policy(TWO_OF_THREE), log.ledger.checkpoint()
    line = COSIGNERS["x"].cosign(text, AT).split(" ")
    blob = base64.b64decode(line[2])
    line[2] = base64.b64encode(b"\x00\x00\x00\x00" + blob[4:]).decode()
    assert witness.cosignatures(text + " ".join(line) + "\n", policy) == {}


def test_a_log_key_is_no_witness(log: Log) -> None:
    key = parse_vkey(vkey(log.log_signer.public))
    assert key == log.log_signer.public
    with pytest.raises(VerificationError, match="verifier key"):
        witness.parse_policy(f"witness x {vkey(log.log_signer.public)}\nquorum x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no quorum line"),
        ("quorum x", "line 1 .*not defined above"),
        (f"witness x {COSIGNERS['x'].vkey}\nwitness y {COSIGNERS['x'].vkey}\nquorum x", "line 2 .*another has"),
        (f"witness x {COSIGNERS['x'].vkey}\nwitness x {COSIGNERS['y'].vkey}\nquorum x", "line 2 .*taken"),
        (f"witness none {COSIGNERS['x'].vkey}\nquorum none", "taken"),
        (f"witness x {COSIGNERS['x'].vkey}\ngroup g 2 x\nquorum g", "all, any|needs '2'"),
        (f"witness x {COSIGNERS['x'].vkey}\ngroup g any x y\nquorum g", "members"),
        (f"witness x {COSIGNERS['x'].vkey}\ngroup g any x\ngroup h any x\nquorum h", "members"),
        ("quorum none\nquorum none", "line 2"),
        ("witness x abc\nquorum x", "verifier key"),
        (f"witness x {COSIGNERS['x'].vkey[:-8]}AAAAAAA=\nquorum x", "hint|verifier key|base64"),
        ("nonsense", "line 1"),
    ],
)
def test_a_malformed_policy_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        witness.parse_policy(text)


def test_groups_nest() -> None:
    policy = witness.parse_policy(
        "\n".join(
            [
                *(f"witness {name} {one.vkey}" for name, one in COSIGNERS.items()),
                "group xy any x y",
                "group both all xy z",
                "quorum both",
            ]
        )
    )
    assert policy.met(frozenset({"x", "z"}))
    assert not policy.met(frozenset({"x", "y"}))
    assert witness.parse_policy("quorum none").met(frozenset())


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    try:
        witness.parse_policy(text)
    except VerificationError:
        pass


def test_the_database_does_not_say_how_much_an_anchor_covers(log: Log) -> None:
    from ml_governance.evidence import anchors
    from ml_governance.evidence.reader import Anchor

    note_of_8 = cosigned(log.ledger.checkpoint(), "x", "y")
    with log.writer() as writer:
        writer.record(note("later"), [MODEL])
    log.ledger.keep_anchor(Anchor(size=log.ledger.size, kind="cosigned", name="witnesses", note=note_of_8))
    (held,), problems = anchors.hold(
        log.ledger, log.verify().checkpoint, log.trust.log_keys, witnesses=witness.parse_policy(TWO_OF_THREE)
    )
    assert not problems
    assert held.size == 8
    assert "rollback-proof up to 8 entries" in held.sentence()


class HonestWitness:
    """A witness as c2sp.org/tlog-witness describes it, in a few lines."""

    def __init__(self, log: Log, name: str) -> None:
        self.log, self.cosigner, self.size, self.root = log, COSIGNERS[name], 0, merkle.EMPTY

    def answer(self, body: bytes) -> tuple[int, str]:
        head, _, text = body.decode().partition("\n\n")
        lines = head.split("\n")
        checkpoint = read_note(text, [self.log.log_signer.public], origin=ORIGIN)
        old = int(lines[0].removeprefix("old "))
        if old != self.size:
            return 409, f"{self.size}\n"
        try:
            proof = [decode_base64(line) for line in lines[1:]]
            merkle.verify_consistency(old, checkpoint.size, self.root, checkpoint.root, proof if old else ())
        except VerificationError:
            return 422, "the log forked"
        self.size, self.root = checkpoint.size, checkpoint.root
        return 200, self.cosigner.cosign(text, AT)


def test_witnesses_are_asked_and_corrected(log: Log) -> None:
    policy = witness.parse_policy(TWO_OF_THREE)
    people = {f"https://{name}.example/add-checkpoint": HonestWitness(log, name) for name in ("x", "y")}

    def post(url: str, body: bytes) -> tuple[int, str]:
        if url not in people:
            raise OSError("connection refused")
        return people[url].answer(body)

    def proof(old: int) -> Sequence[bytes]:
        return log.ledger.consistency_proof(old, log.ledger.size)

    for known in (0, 3):  # at first they have seen nothing, then something else than we think
        text, refusals = witness.gather(log.ledger.checkpoint(), policy, post=post, proof=proof, known_size=known)
        assert set(witness.require_quorum(text, policy)) == {"x", "y"}
        assert refusals == {"z": "connection refused"}
        with log.writer() as writer:
            writer.record(note("more"), [MODEL])


def test_a_witness_that_saw_another_history_refuses(log: Log) -> None:
    policy = witness.parse_policy(f"witness x {COSIGNERS['x'].vkey} https://x.example\nquorum x")
    person = HonestWitness(log, "x")
    person.size, person.root = 3, bytes(32)
    text, refusals = witness.gather(
        log.ledger.checkpoint(),
        policy,
        post=lambda _url, body: person.answer(body),
        proof=lambda old: log.ledger.consistency_proof(old, log.ledger.size),
        known_size=3,
    )
    assert "422" in refusals["x"]
    assert text == log.ledger.checkpoint()
    text, refusals = witness.gather(
        log.ledger.checkpoint(), policy, post=lambda *_: (200, "— someone else AAAAAA==\n"), proof=lambda _: (), known_size=0
    )  # fmt: skip
    assert refusals


def test_one_hostile_witness_does_not_stop_the_others(log: Log) -> None:
    import socketserver
    import threading

    from ml_governance.workspace import exchange

    policy = witness.parse_policy(TWO_OF_THREE)
    junk = "".join(f"\N{EM DASH} junk{i} {base64.b64encode(bytes(80)).decode()}\n" for i in range(62))

    class Nonsense(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(b"NONSENSE\r\n\r\n")

    def post(url: str, body: bytes) -> tuple[int, str]:
        if url.startswith("https://y"):
            return exchange.post(f"http://127.0.0.1:{server.server_address[1]}/", body)
        name = url.removeprefix("https://")[0]
        text = body.decode().partition("\n\n")[2]
        return 200, COSIGNERS[name].cosign(text, AT) + (junk if name == "x" else "")

    with socketserver.TCPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text, refusals = witness.gather(log.ledger.checkpoint(), policy, post=post, proof=lambda _: (), known_size=0)
        server.shutdown()
    assert set(witness.require_quorum(text, policy)) == {"x", "z"}
    assert "nonsense" in refusals["y"]
    with pytest.raises(OSError, match="no web address"):
        exchange.post("http://[bad/", b"")
