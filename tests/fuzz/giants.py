"""Inputs that are made to be expensive, each tried in a process of its own: ``python -m tests.fuzz.giants`` prints what they cost.

The process may use a bounded address space and a bounded time, so that a defence that is gone fails a test and not the machine.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
import warnings
from typing import TYPE_CHECKING, Any

from ml_governance.errors import GovernanceError
from ml_governance.evidence import entry
from ml_governance.evidence.canonical import MAX_BYTES, parse
from ml_governance.evidence.envelope import PAYLOAD_TYPE, Envelope
from tests.fuzz.targets import TARGETS
from tests.fuzz.world import every_kind, timestamped, world

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS_SPACE = 4 << 30
SECONDS = 60
MIB = 1 << 20
PUBLIC = "-----BEGIN PUBLIC KEY-----\n"


def _envelope(signatures: int, payload: bytes = b"QQ==") -> bytes:
    one = b'{"keyid":"%b","sig":"QQ=="}' % (b"0" * 64)
    return b'{"payload":"%b","payloadType":"%b","signatures":[%b]}' % (
        payload, PAYLOAD_TYPE.encode(), b",".join([one] * signatures)
    )  # fmt: skip


def _changed(seed: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return canonical JSON after a change, however large it has become."""
    value = json.loads(seed)
    change(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _payload(kind: str) -> bytes:
    read = next(read for read in map(entry.read, every_kind()) if read.kind == kind)
    return read.envelope.payload


def _trust() -> bytes:
    (first, *_) = (read for read in map(entry.read, world().envelopes) if read.kind == "trust")
    return Envelope.from_dict(first.content.to_wire()["envelope"]).payload


def _some_json() -> dict[str, bytes]:
    """JSON that costs its reader far more than its bytes."""
    return {
        "200,000 levels": b"[" * 200_000 + b"]" * 200_000,
        "small objects": b"[" + b'{"a":1},' * (2 * MIB - 1) + b"0]",
        "quotes without an end": b"[" * 65 + b'"' + b'\\"' * (5 * MIB) + b"\\",
    }


def _json() -> dict[str, bytes]:
    return {
        **_some_json(),
        "levels of objects": b'{"a":' * 200_000 + b"0" + b"}" * 200_000,
        "empty lists": b"[" + b"[]," * (5 * MIB) + b"0]",
        "numbers": b"[" + b"9," * (8 * MIB - 1) + b"0]",
        "fractions": b"[" + b"0.5," * (4 * MIB - 1) + b"0]",
        "one key again and again": b"{" + b'"a":0,' * (2 * MIB) + b'"a":0}',
        "very many keys": _changed(b"{}", lambda v: v.update((str(at), 0) for at in range(900_000))),
        "as many values as may be": b"[" + b'{"a":0},' * 87_000 + b"0]",
        "backslashes": b'["' + b"\\" * (10 * MIB) + b'"]',
        "backslashes without an end": b"[" * 65 + b'"' + b"\\" * (10 * MIB + 1),
        "many strings without an end": b"[" * 65 + b'"a' * (5 * MIB),
        "a number of ten million digits": b"9" * (10 * MIB),
        "a fraction of ten million digits": b"0." + b"1" * (10 * MIB),
        "a large exponent": b"1e999999999",
        "control characters": b'["' + b"\\u0001" * (2 * MIB) + b'"]',
        "wide characters": b'["' + "\U0001f600".encode() * (3 * MIB) + b'"]',
        "one wide character": b'["' + "\U0001f600".encode() + b"a" * (12 * MIB) + b'"]',
        "closing brackets": b"[" * 65 + b"]" * (15 * MIB),
        "too large": b" " * (33 * MIB),
    }


def _note_with(lines: int, line: str = "\N{EM DASH} a AAAAAAAA") -> bytes:
    return (world().note + f"{line}\n" * lines).encode()


def _body(size: str) -> bytes:
    lines = world().note.split("\n")
    lines[1] = size
    return "\n".join(lines).encode()


def _proof(hashes: int) -> bytes:
    head, _, note = world().proofs[3].partition("\n\n")
    return (head + ("\n" + "A" * 43 + "=") * hashes + "\n\n" + note).encode()


def giants() -> dict[str, Callable[[], dict[str, bytes]]]:
    """Return by target what makes its expensive inputs, by name; all at once would fill the memory."""
    subjects = [{"name": f"model/{at}", "digest": {"sha256": f"{at:064x}"}} for at in range(60_000)]
    return {
        "canonical-json": _json,
        "envelope": lambda: {
            "100,000 signatures": _envelope(100_000),
            "no signature": _envelope(0),
            "a payload of 22 MiB": _envelope(1, b"A" * (22 * MIB)),
            "a payload within the bound": _envelope(1, base64.b64encode(b"A" * MAX_BYTES)),
            "a payload of newlines": _envelope(1, b"\\n" * (8 * MIB)),
            "empty": b"",
            **_some_json(),
        },
        "predicate": lambda: {
            "60,000 subjects": _changed(_payload("fairness"), lambda v: v.update(subject=subjects)),
            "200,000 wrong measurements": _changed(
                _payload("fairness"), lambda v: v["predicate"].update(measurements=[0] * 200_000)
            ),
            "8 million wrong measurements": _changed(
                _payload("fairness"), lambda v: v["predicate"].update(measurements=[0] * 8_000_000)
            ),
            "200,000 unknown fields": _changed(
                _payload("fairness"), lambda v: v["predicate"].update((f"x{at}", 0) for at in range(200_000))
            ),
            "a name of ten million characters": _changed(
                _payload("registration"), lambda v: v["predicate"].update(name="n" * (10 * MIB))
            ),
            "a predicateType of ten million characters": _changed(
                _payload("registration"), lambda v: v.update(predicateType="n" * (10 * MIB))
            ),
            **_some_json(),
        },
        "leaf": lambda: {"a long kind": _changed(world().leaves[0], lambda v: v.update(kind="k" * (10 * MIB)))},
        "trust-file": lambda: {
            "30,000 ranges of one key": _changed(_trust(), lambda v: v["principals"][0].update(
                keys=v["principals"][0]["keys"] * 30_000)),
            "100,000 people": _changed(_trust(), lambda v: v.update(principals=[
                {**v["principals"][0], "id": str(at), "keys": []} for at in range(20_000)])),
            "200,000 roles": _changed(_trust(), lambda v: v["principals"][0].update(
                roles=[f"{at:06}" for at in range(200_000)])),
            "a key in ten million characters": _changed(_trust(), lambda v: v["root"]["keys"][0].update(
                pem=PUBLIC + "A" * (10 * MIB))),
            **_some_json(),
        },
        "public-key": lambda: {
            "ten million characters": (PUBLIC + "A" * (10 * MIB)).encode(),
            "a million keys": world().log.ada.public.pem.encode() * 60_000,
        },
        "note": lambda: {
            "100,000 signatures": _note_with(100_000),
            "64 signatures": _note_with(63),
            "one long line": _note_with(1, "\N{EM DASH} a " + "A" * (10 * MIB)),
            "10^18 entries": _body(str(10**18)),
            "a size of ten million digits": _body("9" * (10 * MIB)),
            "newlines": b"\n" * (10 * MIB),
        },
        "cosignatures": lambda: {"100,000 signatures": _note_with(100_000), "newlines": b"\n" * (10 * MIB)},
        "witness-policy": lambda: {
            "a million lines": b"# nothing\n" * 1_000_000,
            "groups in groups": (world().policy_text.rpartition("\n")[0] + "\n" + "\n".join(
                f"group g{at} all {'most' if at == 0 else f'g{at - 1}'}" for at in range(240)) + "\nquorum g239").encode(),
            "a group of very many": ("group g 9 " + "x " * (5 * MIB)).encode(),
        },
        "verifier-key": lambda: {"ten million characters": b"a+00000000+" + b"A" * (10 * MIB), "pluses": b"+" * (10 * MIB)},
        "proof": lambda: {
            "a million lines": _proof(1_000_000),
            "1,000 lines": _proof(1_000),
            "an index of ten million digits": world().proofs[3].replace("index 3", "index " + "9" * (10 * MIB)).encode(),
            "a leaf of ten million characters": world().proofs[3].replace("extra ", "extra " + "A" * (10 * MIB)).encode(),
        },
        "inclusion": lambda: {
            "a million hashes": (3).to_bytes(8, "big") + b"\xff" * 8 + bytes(32 * 1_000_000),
            "2^64 entries": b"\xff" * 16 + bytes(64 * 32),
        },
        "consistency": lambda: {"2^63 entries": b"\x7f" + b"\xff" * 7 + bytes(64 * 32), "a million hashes": bytes(8 + 32 * 1_000_000)},
        "index-proof": lambda: {"100,000 nodes": b"\x00\x04\x00\x00\x00\x00" * 100_000, "ten million bytes": b"\xff" * (10 * MIB)},
        "kinds": lambda: {
            "ten million bytes": b"\xff" * (10 * MIB),
            "200,000 kinds": b"".join(b"\x08%08d" % at + bytes(40) for at in range(200_000)),
        },
        "bundle-verified": lambda: {
            "100,000 empty entries": _changed(world().whole, lambda v: v.update(entries=[{}] * 100_000)),
            "very many subjects": _changed(world().partial, lambda v: v.update(
                subjects=[f"{at:064x}" for at in range(200_000)])),
            "very many proofs": _changed(world().partial, lambda v: v["index"].update(
                proofs={f"{at:064x}": ["AAAAAA=="] for at in range(100_000)})),
            "a checkpoint of 10^15 entries": _changed(world().whole, lambda v: v.update(checkpoint=_body("9" * 15).decode())),
            "one entry 10,000 times": _changed(world().whole, lambda v: v.update(entries=[
                {**v["entries"][5], "index": at, "envelope": None} for at in range(10_000)])),
            "a list of kinds of ten million bytes": _changed(world().whole, lambda v: v["index"].update(
                kinds=base64.b64encode(b"\xff" * (10 * MIB)).decode())),
            **_some_json(),
        },
        "tiles": lambda: {
            "a checkpoint of 10^15 entries": b"\x00" + _body("9" * 15),
            "a checkpoint of ten million bytes": b"\x00" + b"\n" * (10 * MIB),
            "envelopes of 64 MiB": b"\x01" + b"\n" * (64 * MIB),
            "one envelope of 64 MiB": b"\x01" + b"{" * (64 * MIB),
            "hashes of 64 MiB": b"\x02" + bytes(64 * MIB),
            "leaves of 64 MiB": b"\x03" + bytes(64 * MIB),
        },
        "timestamp": lambda: {
            "ten million bytes": b"\x30" * (10 * MIB),
            "64 KiB of nesting": b"\x30\x82\xff\xff" * 16_000,
            "a length of 4 GiB": b"\x30\x84\xff\xff\xff\xff" + timestamped()[1],
        },
        "authorities": lambda: {"a thousand certificates": timestamped()[2] * 1_000, "ten million bytes": b"-" * (10 * MIB)},
        "remembered": _some_json,
        "policy": lambda: {
            "nested lists": b"[" * 260_000,
            "nested dashes": b"- " * 130_000,
            "nested questions": b"? " * 130_000,
            "very many items": b"- a\n" * 65_000,
            "aliases of aliases": b"a: &a [x]\n" + b"".join(b"b%d: &b%d [*a,*a]\n" % (at, at) for at in range(9_000)),
            "a number of very many digits": b"version: " + b"9" * 260_000,
            "a long key": b"k" * 260_000 + b": 1",
            "quotes without an end": b"'" * 260_001,
            "too large": b"#" * (10 * MIB),
        },
        "governance-toml": lambda: {
            "nested lists": b"a = " + b"[" * 60_000,
            "a long path of keys": b"a." * 10_000 + b"b = 1",
            "ten million bytes": b"#" * (10 * MIB),
        },
        "claims": lambda: {"200,000 levels": b"[" * 200_000, "200,000 levels of objects": b'{"kind":' * 200_000},
    }  # fmt: skip


def cost(target: str, data: bytes) -> dict[str, Any]:
    """Try one input in a child of this process; return its processor seconds, the memory it took in MiB, and the outcome."""
    sys.stdout.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(target, data, write)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read().decode()
    _, status, used = os.wait4(child, 0)
    outcome, _, before = said.rpartition(" ")
    if status or not outcome:
        outcome, before = f"ended with status {status}", "0"
    return {
        "seconds": round(used.ru_utime + used.ru_stime, 2),
        "mib": round(used.ru_maxrss / 1024 - int(before) / 1024),
        "outcome": outcome,
    }


def _child(target: str, data: bytes, write: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        TARGETS[target].run(data)
        outcome = "accepted"
    except GovernanceError as error:
        outcome = f"refused: {len(str(error))} characters"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error!s:.200}"
    os.write(write, f"{outcome} {before}".encode())
    os._exit(0)


def main() -> None:
    """Print a line of JSON for each input."""
    warnings.simplefilter("ignore")
    for target in TARGETS:
        TARGETS[target].seeds()
        for seed in TARGETS[target].seeds()[:1]:
            try:
                TARGETS[target].run(seed)  # what is imported and cached on first use is no cost of an input
            except GovernanceError:
                pass
    assert parse(b"[]") == []
    for target, make in giants().items():
        for name, data in make().items():
            result = {"target": target, "name": name, "bytes": len(data), **cost(target, data)}
            sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
