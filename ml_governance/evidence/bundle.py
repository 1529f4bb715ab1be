"""One file that a stranger can check offline: envelopes, proofs and a signed checkpoint.

A bundle is about some subjects, or it is the whole log. Beside the entries about its subjects it always has every
entry of the kinds that decide what others are worth (:data:`ALWAYS`). The subject index proves that none of either
is kept back.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import DataError, VerificationError
from ml_governance.evidence.canonical import canonicalise, parse
from ml_governance.evidence.checkpoint import decode_base64
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.merkle import leaf_hash
from ml_governance.evidence.predicates import Erasure, PolicyInForce, Revocation, TrustUpdate
from ml_governance.evidence.reader import StoredEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.evidence.reader import LogReader

MEDIA_TYPE = "application/vnd.ml-governance.bundle+json"
VERSION = 1
MAX_BUNDLE = 16 * 1024 * 1024
"""A larger bundle is neither written nor read; a log of that size is exported as tiles."""

MAX_PARTS = 2**20
"""Most values in a bundle; its entries are strings, whose own values are counted when they are read."""

ALWAYS = (TrustUpdate.kind, PolicyInForce.kind, Revocation.kind, Erasure.kind)
"""Kinds of which a bundle holds every entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """One entry of a bundle, with its proof; ``about`` has the subjects of an entry whose content was erased."""

    entry: StoredEntry
    proof: tuple[bytes, ...] = field(repr=False)
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle holds, nothing verified.

    Parameters
    ----------
    origin : str
        The log's name.
    checkpoint : str
        The signed note.
    subjects : tuple of str
        Digests that it is about; empty for the whole log.
    entries : tuple of Bundled
        By index.
    trie, kinds : bytes
        The subject index: root of its trie, and the packed list of kinds.
    proofs : dict of str to tuple of bytes
        Index proofs by digest.
    """

    origin: str
    checkpoint: str = field(repr=False)
    subjects: tuple[str, ...]
    entries: tuple[Bundled, ...] = field(repr=False)
    trie: bytes = field(repr=False)
    kinds: bytes = field(repr=False)
    proofs: dict[str, tuple[bytes, ...]] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the file's bytes: canonical JSON.

        Raises
        ------
        DataError
            If the bundle would be too large.
        """
        entries = [
            {
                "index": one.entry.index,
                "leaf": one.entry.leaf.decode(),
                "envelope": None if one.entry.envelope is None else Envelope.from_bytes(one.entry.envelope).to_dict(),
                "proof": [_b64(step) for step in one.proof],
                "about": list(one.about),
            }
            for one in self.entries
        ]
        estimate = sum(len(one.entry.envelope or b"") + 512 for one in self.entries)
        if estimate > MAX_BUNDLE:
            raise DataError(
                f"the bundle would have about {estimate:,} bytes",
                expected=f"at most {MAX_BUNDLE:,}",
                next_step="mlgov log export --tiles DIR, or a bundle about one subject",
            )
        return canonicalise(
            {
                "mediaType": MEDIA_TYPE,
                "version": VERSION,
                "origin": self.origin,
                "checkpoint": self.checkpoint,
                "subjects": list(self.subjects),
                "entries": entries,
                "index": {
                    "trie": _b64(self.trie),
                    "kinds": _b64(self.kinds),
                    "proofs": {digest: [_b64(node) for node in nodes] for digest, nodes in self.proofs.items()},
                },
            },
            max_values=MAX_PARTS,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Bundle:
        """Read a bundle from a stranger.

        Raises
        ------
        VerificationError
            If it has another form or is too large.
        """
        value = parse(data, max_bytes=MAX_BUNDLE, max_values=MAX_PARTS)
        names = {"mediaType", "version", "origin", "checkpoint", "subjects", "entries", "index"}
        if (
            not isinstance(value, dict)
            or value.get("mediaType") != MEDIA_TYPE
            or type(value.get("version")) is not int
            or value["version"] != VERSION
        ):
            raise VerificationError("this is no bundle", expected=f"{MEDIA_TYPE}, version {VERSION}")
        try:
            if set(value) != names or set(value["index"]) != {"trie", "kinds", "proofs"}:
                raise VerificationError(f"the bundle has the fields {sorted(value)}", expected=", ".join(sorted(names)))
            entries = tuple(_bundled(one) for one in _list(value["entries"]))
            places = [one.entry.index for one in entries]
            if places != sorted(set(places)):
                raise VerificationError("the bundle's entries are out of order or repeated")
            return cls(
                origin=_text(value["origin"]),
                checkpoint=_text(value["checkpoint"]),
                subjects=tuple(_digest(one) for one in _list(value["subjects"])),
                entries=entries,
                trie=decode_base64(_text(value["index"]["trie"])),
                kinds=decode_base64(_text(value["index"]["kinds"])),
                proofs={
                    _digest(digest): tuple(decode_base64(_text(node)) for node in _list(nodes))
                    for digest, nodes in value["index"]["proofs"].items()
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise VerificationError(f"the bundle has a wrong form: {error!r}") from error


def collect(ledger: LogReader, subjects: Sequence[str] = ()) -> Bundle:
    """Take a bundle out of a log.

    Parameters
    ----------
    ledger : LogReader
        The log.
    subjects : sequence of str
        Digests; without any, the whole log is taken.
    """
    with ledger.snapshot():
        head = ledger.head()
        digests = tuple(sorted(set(subjects)))
        if digests:
            places = {index for digest in digests for index in ledger.find(bytes.fromhex(digest))}
            places |= {index for kind in ALWAYS for index in ledger.find_kind(kind)}
            found = [next(ledger.entries(index, index + 1)) for index in sorted(places)]
            entries = tuple(
                Bundled(
                    entry=one,
                    proof=ledger.inclusion_proof(one.index, head.size),
                    about=ledger.keys_of(one.index) if one.envelope is None else (),
                )
                for one in found
            )
        else:
            entries = tuple(Bundled(entry=one, proof=()) for one in ledger.entries(0, head.size))
        return Bundle(
            origin=ledger.origin,
            checkpoint=ledger.cosigned(),
            subjects=digests,
            entries=entries,
            trie=head.trie,
            kinds=head.kinds,
            proofs={digest: ledger.index_proof(bytes.fromhex(digest)) for digest in digests},
        )


def sigstore_bundle(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as a Sigstore bundle with a public key, which sigstore's own tools verify.

    Format: Sigstore bundle 0.3 (github.com/sigstore/protobuf-specs); the key's id is the hint.
    """
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": {"hint": envelope.signatures[0].keyid},
            "tlogEntries": [],
            "timestampVerificationData": {"rfc3161Timestamps": []},
        },
        "dsseEnvelope": envelope.to_dict(),
    }


def _bundled(value: Any) -> Bundled:
    if (
        set(value) != {"index", "leaf", "envelope", "proof", "about"}
        or type(value["index"]) is not int
        or value["index"] < 0
    ):
        raise VerificationError("an entry of the bundle has a wrong form")
    leaf = _text(value["leaf"]).encode()
    envelope = None if value["envelope"] is None else Envelope.from_dict(value["envelope"]).to_bytes()
    return Bundled(
        entry=StoredEntry(index=value["index"], leaf=leaf, leaf_hash=leaf_hash(leaf), envelope=envelope),
        proof=tuple(decode_base64(_text(step)) for step in _list(value["proof"])),
        about=tuple(_digest(one) for one in _list(value["about"])),
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise VerificationError(f"the bundle has {value!r:.40} where text belongs")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise VerificationError(f"the bundle has {value!r:.40} where a list belongs")
    return value


def _digest(value: Any) -> str:
    text = _text(value)
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise VerificationError(
            f"the bundle has {text[:70]!r} where a digest belongs", expected="64 hexadecimal digits"
        )
    return text
