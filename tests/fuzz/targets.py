"""Everything that reads bytes from strangers, as data: what to call, what to start from, which laws must hold.

A target either returns or raises a GovernanceError. Any other exception, a broken law (an AssertionError), too much time or
too much memory is a defect.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_governance.cli.run import INTERNAL, run
from ml_governance.decide.cases import run_cases
from ml_governance.decide.difference import difference
from ml_governance.decide.lint import lint
from ml_governance.decide.policy import Policy, parse_policy
from ml_governance.decide.sentences import explain_policy
from ml_governance.errors import ConfigurationError, GovernanceError
from ml_governance.evidence import bundle, entry, keys, merkle, offline, subject_index, timestamp, trust, witness
from ml_governance.evidence.canonical import canonicalise, parse
from ml_governance.evidence.checkpoint import Checkpoint, as_text, parse_vkey, read_note, split_note, vkey
from ml_governance.evidence.envelope import PAYLOAD_TYPE, Envelope, Signature, sign
from ml_governance.evidence.prefix import Prefix
from ml_governance.evidence.proof import TlogProof
from ml_governance.evidence.reader import StoredEntry
from ml_governance.evidence.statement import Statement
from ml_governance.workspace import config, received
from ml_governance.workspace.claims import read_claims
from tests.evidence.conftest import MODEL, ORIGIN
from tests.fuzz import mutate
from tests.fuzz.world import HERE, every_kind, timestamped, world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of bytes.

    ``examples`` is how many the quick suite tries.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    mutations: Sequence[mutate.Mutation]
    examples: int = 300


# --- envelopes and what is in them ------------------------------------------------------------------------------


def canonical_json(data: bytes) -> None:
    assert canonicalise(parse(data)) == data


def envelope(data: bytes) -> None:
    assert Envelope.from_bytes(data).to_bytes() == data


def log_entry(data: bytes) -> entry.Entry:
    """What is read is what was written: every field in the one spelling that the writer has."""
    read = entry.read(data)
    assert read.data == data
    signed = parse(read.envelope.payload)["predicate"]
    assert canonicalise(entry.predicate(read.chain, read.content)) == canonicalise(signed)
    assert entry.Leaf.from_bytes(read.leaf.to_bytes()) == read.leaf
    return read


def _unsigned(payload: bytes, kind: str = PAYLOAD_TYPE) -> Envelope:
    return Envelope(payload=payload, payload_type=kind, signatures=(Signature(keyid="0" * 64, sig=b"x"),))


def predicate(data: bytes) -> None:
    log_entry(_unsigned(data).to_bytes())


def statement(data: bytes) -> None:
    read = Statement.from_bytes(data)
    assert read.payload == data == canonicalise(parse(data))
    built = Statement.build(predicate_type=read.predicate_type, subjects=read.subjects, predicate=dict(read.predicate))
    assert Statement.from_bytes(built.payload) == built


def leaf(data: bytes) -> None:
    assert entry.Leaf.from_bytes(data).to_bytes() == data


# --- trust and keys ---------------------------------------------------------------------------------------------


def trust_file(data: bytes) -> None:
    read = trust.read(_unsigned(data, trust.TRUST_TYPE))
    assert trust.payload_of(read) == data
    read.expired(read.issued_at)
    for keyid in read.verification_keys:
        for index in (0, 7):
            with suppress(GovernanceError):
                read.signer(keyid, index)


def trust_envelope(data: bytes) -> None:
    """Only what root has signed verifies."""
    known = world().log.trust
    assert trust.verify_trust(Envelope.from_bytes(data), root=known.root_digest) == known


def public_key(data: bytes) -> None:
    key = keys.public_from_pem(as_text(data, "the key"))
    assert keys.public_from_pem(key.pem) == key == keys.PublicKey.from_dict(key.to_dict())


# --- checkpoints and witnesses ----------------------------------------------------------------------------------


def note(data: bytes) -> None:
    text = as_text(data, "the note")
    checkpoint = read_note(text, [world().log.log_signer.public], origin=ORIGIN)
    assert checkpoint.body() == split_note(text)[0]
    assert checkpoint.body() in world().bodies


def cosignatures(data: bytes) -> None:
    text = as_text(data, "the note")
    if witness.cosignatures(text, world().policy):
        assert split_note(text)[0] in world().bodies
        witness.require_quorum(text, world().policy)


def witness_policy(data: bytes) -> None:
    policy = witness.parse_policy(as_text(data, "the witness policy"))
    everybody = frozenset(one.name for one in policy.witnesses)
    assert policy.met(everybody)
    if policy.met(frozenset()):
        assert policy.quorum is None
    for one in everybody:
        policy.met(everybody - {one})


def verifier_key(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")  # as an argument of a command arrives
    assert vkey(parse_vkey(text)) == text


# --- proofs -----------------------------------------------------------------------------------------------------


def proof(data: bytes) -> None:
    text = as_text(data, "the proof")
    read = TlogProof.from_text(text)
    assert read.to_text() == text
    found, checkpoint = read.verify([world().log.log_signer.public], origin=ORIGIN)
    assert read.leaf == world().leaves[read.index] == found.to_bytes()
    assert checkpoint.size == world().size


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def inclusion(data: bytes) -> None:
    """Bytes: index and size, eight each, then the proof."""
    index, size, steps = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big"), _hashes(data[16:])
    found = world()
    root = found.checkpoint.root
    for leaf_bytes in found.leaves:
        try:
            merkle.verify_inclusion(merkle.leaf_hash(leaf_bytes), index, size, steps, root)
        except GovernanceError:
            continue
        assert found.leaves.index(leaf_bytes) == index or size != found.size
        return
    raise GovernanceError("no leaf has this proof")


def consistency(data: bytes) -> None:
    """Bytes: the older size, then the proof; a proof is good for one size."""
    old = int.from_bytes(data[:8], "big")
    found = world()
    hashes = [merkle.leaf_hash(one) for one in found.leaves]
    root = merkle.root_of(hashes[: old % (found.size + 1)])
    merkle.verify_consistency(old, found.size, root, merkle.root_of(hashes), _hashes(data[8:]))
    assert old <= found.size
    assert _hashes(data[8:]) == _hashes(_consistencies()[old][8:])


def index_proof(data: bytes) -> None:
    """Bytes: nodes, each behind its length in two bytes."""
    found, nodes, at = world(), [], 0
    while at < len(data):
        stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
        nodes.append(data[at + 2 : stop])
        at = stop
    for node in nodes:
        with suppress(GovernanceError):
            list(subject_index.children_of(node))
    key = bytes.fromhex(MODEL.sha256)
    value = subject_index.verify_key(found.checkpoint.index_root, key, nodes, found.kinds)
    assert value.count == len(found.about_model)


def kinds_list(data: bytes) -> None:
    assert subject_index.pack_kinds(subject_index.unpack_kinds(data)) == data


# --- bundles and tiles ------------------------------------------------------------------------------------------


def bundle_form(data: bytes) -> None:
    assert bundle.Bundle.from_bytes(data).to_bytes() == data


def _genuine(found: offline.Checkout) -> None:
    """Nothing counts that the log does not have, whatever else is wrong with a file."""
    for problem in found.problems:
        assert len(problem.what) < 20_000
    if found.root_known and not found.problems:
        assert found.checkpoint.body() in world().bodies
        for one in found.attestations:
            assert world().payloads[one.index] == one.payload_digest


def bundle_verified(data: bytes) -> None:
    _genuine(offline.verify_bundle(data, root=world().log.trust.root_digest))


def bundle_of_unknown_root(data: bytes) -> None:
    _genuine(offline.verify_bundle(data, root=None))


def tiles_folder(data: bytes) -> None:
    """Bytes: which file of the folder, then what it holds instead."""
    found = world()
    names = sorted(found.tile_files)
    name = names[data[0] % len(names)] if data else names[0]
    path = found.tiles / name
    path.write_bytes(data[1:])
    try:
        checkout = offline.verify_tiles(found.tiles, root=found.log.trust.root_digest)
    finally:
        path.write_bytes(found.tile_files[name])
    _genuine(checkout)
    if not checkout.problems and name != "checkpoint":
        assert data[1:] == found.tile_files[name]


# --- a log whose keys are all the attacker's --------------------------------------------------------------------


def hostile_log(data: bytes) -> None:
    """Bytes: JSON of a leaf and a statement, made into one more entry of a log that is signed from root to checkpoint."""
    found = world()
    try:
        value = json.loads(data)
        payload = canonicalise(value["statement"])
        shown, root_signs = value["leaf"], bool(value.get("root"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, GovernanceError):
        return
    signed = sign(payload, [found.log.root if root_signs else found.log.ada]).to_bytes()
    try:
        made = entry.read(signed).leaf.to_bytes()
    except GovernanceError:
        made = b"{}"
    if shown is not None:
        try:
            made = canonicalise({**json.loads(made), **shown})
        except (TypeError, GovernanceError):
            return
    _verify_resigned([*zip(found.leaves, found.envelopes, strict=True), (made, signed)])


def hostile_trust(data: bytes) -> None:
    """Bytes: a trust file, which root signs and which then governs a log."""
    found = world()
    try:
        value = parse(data)
        signed = sign(canonicalise(value), [found.log.root], payload_type=trust.TRUST_TYPE)
    except GovernanceError:
        return
    for place in (1, -2):
        old = entry.read(found.envelopes[place])
        if old.kind != "trust":
            continue
        content = old.content.model_copy(update={"envelope": signed.to_dict()})
        made = entry.make(old.chain, content, old.subjects, found.log.root)
        rows = list(zip(found.leaves, found.envelopes, strict=True))
        rows[place] = (made.leaf.to_bytes(), made.data)
        _verify_resigned(rows)


def _verify_resigned(rows: Sequence[tuple[bytes, bytes]]) -> None:
    found = world()
    stored = [
        StoredEntry(index=index, leaf=leaf, leaf_hash=merkle.leaf_hash(leaf), envelope=envelope)
        for index, (leaf, envelope) in enumerate(rows)
    ]
    frontier, nodes = merkle.Frontier(), {}
    for one in stored:
        frontier, made = frontier.append(one.leaf_hash)
        nodes.update({(level, at): value for level, at, value in made})
    promised = Checkpoint(
        origin=ORIGIN,
        size=frontier.size,
        root=frontier.root,
        index_root=found.checkpoint.index_root,
    )
    genuine = bundle.Bundle.from_bytes(found.partial)
    entries = tuple(
        bundle.Bundled(
            entry=one, proof=merkle.inclusion_proof(lambda level, at: nodes[level, at], one.index, frontier.size)
        )
        for one in stored
    )
    for subjects in ((), genuine.subjects):
        made = replace(genuine, entries=entries, checkpoint=found.log.log_signer.sign(promised), subjects=subjects)
        for root in (None, found.log.trust.root_digest):
            try:
                again = made.to_bytes()
            except GovernanceError:
                return
            offline.verify_bundle(again, root=root)


# --- times, files and the command -------------------------------------------------------------------------------


def timestamp_token(data: bytes) -> None:
    text, token, roots = timestamped()
    at = timestamp.verify(data, text, timestamp.read_roots(roots))
    assert at == timestamp.verify(token, text, timestamp.read_roots(roots))


def authorities(data: bytes) -> None:
    """Certificates that the verifier brings along; that a library is not happy with one is said, and no refusal."""
    text, token, _ = timestamped()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timestamp.verify(token, text, timestamp.read_roots(data))


def remembered(data: bytes) -> None:
    assert canonicalise(Prefix.from_dict(parse(data)).to_dict()) == data


def _file(name: str, data: bytes) -> Path:
    path = world().folder / name
    path.write_bytes(data)
    return path


def pinned(data: bytes) -> None:
    text = as_text(data, "the note")
    assert received.read_pin(_file("pin", data)).body() == split_note(text)[0]


def claims(data: bytes) -> None:
    for one in read_claims(_file("claims.json", data)):
        canonicalise(one.to_wire())


def governance_toml(data: bytes) -> None:
    folder = world().folder / "workspace"
    folder.mkdir(exist_ok=True)
    (folder / config.FILE).write_bytes(data)
    read = config.load(folder)
    with suppress(ConfigurationError):
        read.stage("production")


def policy_yaml(data: bytes) -> None:
    policy = parse_policy(as_text(data, "the policy"))
    policy.applies(project="credit", model="credit-risk")
    explain_policy(policy)
    lint(policy)
    assert difference(policy, policy) == ()
    for rule in policy.rules:
        assert rule.require.bound is None or rule.require.bound[1] == rule.require.bound[1]


def policy_case(data: bytes) -> None:
    policy, others = _shipped()
    run_cases(policy, {**others, "case": as_text(data, "the case")})


@cache
def _shipped() -> tuple[Policy, dict[str, str]]:
    folder = HERE.parent.parent / "policies/credit-scoring"
    allow = (folder / "cases" / "allow.yaml").read_text(encoding="utf-8")
    return parse_policy((folder / "policy.yaml").read_text(encoding="utf-8")), {"allow": allow}


_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def command(data: bytes) -> None:
    """``mlgov log verify FILE``: an exit code of the table, and nothing from the file that a terminal would obey."""
    found = world()
    path = _file("given", data)
    known = ["--root", found.log.trust.root_digest, "--vkey", vkey(found.log.log_signer.public)]
    for arguments in ((*known,), (*known, "--json"), ()):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(["log", "verify", str(path), *arguments])
        said = out.getvalue() + err.getvalue()
        assert code in {0, 2, 4}, f"{code}: {said}"
        assert code != INTERNAL
        assert not _CONTROL.search(said), repr(said)
        said.encode()
        if code == 0:
            assert arguments, "nobody vouched for the root"
        if "--json" in arguments:
            json.loads(out.getvalue())


# --- what they start from ---------------------------------------------------------------------------------------


def _payloads() -> list[bytes]:
    return [Envelope.from_bytes(one).payload for one in every_kind()]


def _trusts() -> list[bytes]:
    return [Envelope.from_dict(content.envelope).payload for content in _updates()]


def _updates() -> list[Any]:
    return [read.content for read in map(entry.read, world().envelopes) if read.kind == "trust"]


def _index_proofs() -> list[bytes]:
    nodes = world().log.ledger.index_proof(bytes.fromhex(MODEL.sha256))
    return [b"".join(len(node).to_bytes(2, "big") + node for node in nodes)]


@cache
def _inclusions() -> list[bytes]:
    found = world()
    return [
        index.to_bytes(8, "big") + found.size.to_bytes(8, "big") + b"".join(found.log.ledger.inclusion_proof(index))
        for index in range(found.size)
    ]


@cache
def _consistencies() -> list[bytes]:
    found = world()
    return [
        old.to_bytes(8, "big") + b"".join(found.log.ledger.consistency_proof(old, found.size))
        for old in range(found.size + 1)
    ]


def _bundles() -> list[bytes]:
    return [world().partial, world().whole]


def _tile_seeds() -> list[bytes]:
    return [bytes([at]) + data for at, (_, data) in enumerate(sorted(world().tile_files.items()))]


def _root_envelopes() -> list[bytes]:
    return [Envelope.from_dict(content.envelope).to_bytes() for content in _updates()]


def _gone() -> bytes:
    value = json.loads(world().whole)
    value["entries"][5]["envelope"] = None
    return canonicalise(value)


def _hostile() -> list[bytes]:
    made = []
    for envelope_bytes in (*world().envelopes[-3:], *every_kind()):
        payload = parse(Envelope.from_bytes(envelope_bytes).payload)
        payload["predicate"]["log"] = ORIGIN
        for shown in (None, {"kind": "revocation", "seq": 3}):
            made.append(
                canonicalise({"statement": payload, "leaf": shown, "root": ":trust:" in payload["predicateType"]})
            )
    return made


def _policies() -> list[bytes]:
    return [(HERE.parent.parent / "policies/credit-scoring/policy.yaml").read_bytes()]


def _cases() -> list[bytes]:
    """Return the cases that stand alone; those that are like another one need it beside them."""
    found = sorted((HERE.parent.parent / "policies/credit-scoring/cases").glob("*.yaml"))
    return [data for path in found if b"\nlike:" not in (data := path.read_bytes())]


def _claims() -> list[bytes]:
    made = []
    for envelope_bytes in every_kind():
        read = entry.read(envelope_bytes)
        if read.kind in ("fairness", "performance", "explanation"):
            made.append(json.dumps({"kind": read.kind, **read.content.to_wire()}).encode())
    return made


def _toml() -> list[bytes]:
    digest = world().log.trust.root_digest
    return [
        f"""version = 1
project = "credit"
[ledger]
url = "sqlite:///ledger.sqlite"
origin = "mlgov.local/test"
[trust]
root = "{digest}"
file = "trust.json"
[keys]
directory = "keys"
[registry]
uri = "local:models"
[stages.production]
policy = "policy.yaml"
alias = "production"
[retention]
default = 30
[openlineage]
destinations = ["https://lineage.example"]
""".encode()
    ]


def _prefixes() -> list[bytes]:
    return [canonicalise(world().log.verify().prefix.to_dict())]


def _fake_key() -> list[bytes]:
    return [vkey(world().log.log_signer.public).encode()]


def _json(name: str, call: Callable[[bytes], object], seeds: Callable[[], Sequence[bytes]], **more: Any) -> Target:
    return Target(name=name, run=call, seeds=seeds, mutations=mutate.JSON, **more)


def _text(name: str, call: Callable[[bytes], object], seeds: Callable[[], Sequence[bytes]], **more: Any) -> Target:
    return Target(name=name, run=call, seeds=seeds, mutations=mutate.LINES, **more)


def _bytes(name: str, call: Callable[[bytes], object], seeds: Callable[[], Sequence[bytes]], **more: Any) -> Target:
    return Target(name=name, run=call, seeds=seeds, mutations=mutate.BYTES, **more)


TARGETS: dict[str, Target] = {
    one.name: one
    for one in (
        _json(
            "canonical-json",
            canonical_json,
            lambda: [*_payloads(), b'{"a":[1,-0.5,1e-7,"\xc3\xa9",null,true]}'],
            examples=300,
        ),
        _json("envelope", envelope, lambda: [*world().envelopes, *_root_envelopes()]),
        _json("entry", log_entry, every_kind),
        _json("predicate", predicate, _payloads, examples=1000),
        _json("statement", statement, _payloads),
        _json("leaf", leaf, lambda: world().leaves, examples=600),
        _json("trust-file", trust_file, _trusts, examples=600),
        _json("trust-envelope", trust_envelope, lambda: [_root_envelopes()[0]]),
        _text("public-key", public_key, lambda: [world().log.ada.public.pem.encode()]),
        _text("note", note, lambda: [world().note.encode(), world().cosigned.encode()], examples=600),
        _text("cosignatures", cosignatures, lambda: [world().cosigned.encode()]),
        _text("witness-policy", witness_policy, lambda: [world().policy_text.encode()], examples=600),
        _text("verifier-key", verifier_key, _fake_key),
        _text("proof", proof, lambda: [one.encode() for one in world().proofs], examples=600),
        _bytes("inclusion", inclusion, _inclusions),
        _bytes("consistency", consistency, _consistencies),
        _bytes("index-proof", index_proof, _index_proofs),
        _bytes("kinds", kinds_list, lambda: [world().kinds]),
        _json("bundle", bundle_form, _bundles),
        _json("bundle-verified", bundle_verified, lambda: [*_bundles(), _gone()]),
        _json("bundle-of-unknown-root", bundle_of_unknown_root, _bundles),
        _bytes("tiles", tiles_folder, _tile_seeds),
        _json("hostile-log", hostile_log, _hostile, examples=150),
        _json("hostile-trust", hostile_trust, _trusts, examples=60),
        _bytes("timestamp", timestamp_token, lambda: [timestamped()[1]], examples=600),
        _text("authorities", authorities, lambda: [timestamped()[2]]),
        _json("remembered", remembered, _prefixes),
        _text("pinned", pinned, lambda: [world().note.encode()]),
        _json("claims", claims, _claims),
        _text("governance-toml", governance_toml, _toml),
        _text("policy", policy_yaml, _policies, examples=60),
        _text("policy-case", policy_case, _cases, examples=150),
        _json("command", command, lambda: [*_bundles(), _gone(), world().proofs[3].encode()], examples=40),
    )
}
