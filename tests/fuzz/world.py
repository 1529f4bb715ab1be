"""What the fuzzers start from: one real log, made once, with everything that it gives away."""

from __future__ import annotations

import atexit
import base64
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ml_governance.evidence import bundle, entry, succession, tiles, trust, witness
from ml_governance.evidence.checkpoint import Checkpoint, read_note
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.proof import TlogProof
from ml_governance.evidence.statement import Subject
from tests.evidence.conftest import MODEL, ORIGIN, Log, make_log, note

HERE = Path(__file__).resolve().parent
OTHER = Subject(name="model/2", sha256="cd" * 32)
ABSENT = "ef" * 32
AT = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """A log with its exports; what is kept here is genuine, so whatever verifies must be among it."""

    folder: Path
    log: Log
    size: int
    note: str
    checkpoint: Checkpoint
    kinds: bytes
    about_model: tuple[int, ...]
    bodies: frozenset[str]
    leaves: tuple[bytes, ...]
    envelopes: tuple[bytes, ...]
    payloads: dict[int, str]
    whole: bytes
    partial: bytes
    proofs: tuple[str, ...]
    policy_text: str
    policy: witness.WitnessPolicy
    cosigned: str
    tiles: Path
    tile_files: dict[str, bytes] = field(repr=False)


@cache
def world() -> World:
    """Return the one log of this process."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    log = make_log(folder / "log")
    with log.writer() as writer:
        writer.record(note("about both"), [MODEL, OTHER])
    second = succession.following(log.trust, at=log.clock() + timedelta(seconds=1))
    signed = trust.sign_trust(second, [log.root])
    with log.writer(log.root) as writer:
        writer.record(TrustUpdate(version=2, envelope=signed.to_dict()), [Subject(name="trust/2", sha256="12" * 32)])
    with log.writer() as writer:
        writer.record(note("about another"), [OTHER])
    ledger = log.ledger
    size, text = ledger.size, ledger.checkpoint()
    stored = list(ledger.entries())
    cosigners = [
        witness.Cosigner(Ed25519PrivateKey.from_private_bytes(n.encode() * 32), f"{n}.example/w") for n in "xyz"
    ]
    lines = [f"witness {name} {one.vkey} https://{name}.example" for name, one in zip("xyz", cosigners, strict=True)]
    policy_text = "\n".join(
        ["# two of three", *lines, "group most 2 x y z", "group all-of-it all most", "quorum all-of-it"]
    )
    tiles.write(ledger, folder / "tiles")
    return World(
        folder=folder,
        log=log,
        size=size,
        note=text,
        checkpoint=read_note(text, [log.log_signer.public], origin=ORIGIN),
        kinds=ledger.head().kinds,
        about_model=ledger.find(bytes.fromhex(MODEL.sha256)),
        bodies=frozenset({text.rpartition("\n\n")[0] + "\n"}),
        leaves=tuple(one.leaf for one in stored),
        envelopes=tuple(one.envelope or b"" for one in stored),
        payloads={one.index: entry.Leaf.from_bytes(one.leaf).payload for one in stored},
        whole=bundle.collect(ledger).to_bytes(),
        partial=bundle.collect(ledger, (MODEL.sha256, ABSENT)).to_bytes(),
        proofs=tuple(
            TlogProof(
                index=one.index, leaf=one.leaf, hashes=ledger.inclusion_proof(one.index), checkpoint=text
            ).to_text()
            for one in stored
        ),
        policy_text=policy_text,
        policy=witness.parse_policy(policy_text),
        cosigned=text + "".join(one.cosign(text, AT) for one in cosigners),
        tiles=folder / "tiles",
        tile_files={
            str(path.relative_to(folder / "tiles")): path.read_bytes()
            for path in sorted((folder / "tiles").rglob("*"))
            if path.is_file()
        },
    )


@cache
def every_kind() -> tuple[bytes, ...]:
    """Return an envelope of every kind, from the ledgers that earlier versions wrote."""
    newest = max((HERE.parent / "fixtures").glob("*.sqlite"))
    with closing(sqlite3.connect(f"file:{newest}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT data FROM blobs ORDER BY idx").fetchall()
    kinds = {entry.read(bytes(row[0])).kind: bytes(row[0]) for row in rows}
    return tuple(kinds.values())


@cache
def timestamped() -> tuple[str, bytes, bytes]:
    """Return a note, a token that openssl made over it, and the authority's certificate."""
    kept = json.loads((HERE.parent / "evidence" / "timestamp.json").read_text(encoding="utf-8"))
    return kept["note"], base64.b64decode(kept["token"]), kept["roots"].encode()
