"""One entry of the log: the leaf that the tree commits to, and the checks that an entry must pass to become one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import canonicalise, parse, sha256_hex
from ml_governance.evidence.envelope import PAYLOAD_TYPE, Envelope, sign
from ml_governance.evidence.predicates import PREDICATES, predicate_type
from ml_governance.evidence.statement import Statement, Subject
from ml_governance.evidence.wire import Chain, Content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.evidence.keys import Signer

LEAF_VERSION = 1
MAX_KIND = 80
_MAX_LEAF = 4096
MAX_FAULTS = 1000
_TRUTH = re.compile(rb"[:,\[](?:true|false)")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[0-9A-Za-z:._/-]*")
_READ_LEAF = re.compile(
    rb'\{"envelope":"(?P<envelope>[0-9a-f]{64})","keyid":"(?P<keyid>[0-9A-Za-z:._/-]*)","kind":"(?P<kind>[0-9A-Za-z:._/-]{1,80})",'
    rb'"payload":"(?P<payload>[0-9a-f]{64})","seq":(?P<seq>0|[1-9][0-9]{0,14}),"v":1,"writer":"(?P<writer>[0-9A-Za-z:._/-]*)"\}'
)
"""A leaf in which nothing needs escaping; another form may be a leaf too, and goes through the parser."""

_CHAIN_WIRE = frozenset(field.alias or name for name, field in Chain.model_fields.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What the tree commits to about one entry: digests and its place, no content.

    Parameters
    ----------
    kind : str
        Short name of the predicate type.
    payload, envelope : str
        SHA-256 of the signed bytes, and of the envelope as stored.
    writer : str
        Writer session.
    seq : int
        Place in that session.
    keyid : str
        The key that signed.
    """

    kind: str
    payload: str
    envelope: str
    writer: str
    seq: int
    keyid: str

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes as plain values."""
        return _leaf, (self.kind, self.payload, self.envelope, self.writer, self.seq, self.keyid)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON that is hashed into the tree."""
        if _PLAIN.fullmatch(self.kind + self.writer + self.keyid):
            # The canonical form, where nothing needs escaping.
            return (
                f'{{"envelope":"{self.envelope}","keyid":"{self.keyid}","kind":"{self.kind}","payload":"{self.payload}",'
                f'"seq":{self.seq},"v":1,"writer":"{self.writer}"}}'
            ).encode()
        return canonicalise(
            {
                "v": LEAF_VERSION,
                "kind": self.kind,
                "payload": self.payload,
                "envelope": self.envelope,
                "writer": self.writer,
                "seq": self.seq,
                "keyid": self.keyid,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Leaf:
        """Read :meth:`to_bytes` strictly."""
        if len(data) <= _MAX_LEAF and (plain := _READ_LEAF.fullmatch(data)) is not None:
            envelope, keyid, kind, payload, seq, writer = (part.decode() for part in plain.groups())
            return cls(kind=kind, payload=payload, envelope=envelope, writer=writer, seq=int(seq), keyid=keyid)
        value = parse(data, max_bytes=_MAX_LEAF)
        names = {"v", "kind", "payload", "envelope", "writer", "seq", "keyid"}
        if (
            not isinstance(value, dict)
            or set(value) != names
            or type(value["v"]) is not int
            or value["v"] != LEAF_VERSION
        ):
            raise VerificationError("the leaf has an unknown form", expected=f"version {LEAF_VERSION}")
        fields = {name: value[name] for name in names - {"v"}}
        if type(fields["seq"]) is not int or any(type(fields[n]) is not str for n in names - {"v", "seq"}):
            raise VerificationError("the leaf's fields have wrong types")
        if fields["seq"] < 0 or not (_DIGEST.fullmatch(fields["payload"]) and _DIGEST.fullmatch(fields["envelope"])):
            raise VerificationError("the leaf has a wrong form", expected="a place from 0 and two SHA-256 digests")
        if not fields["kind"].isascii() or not 1 <= len(fields["kind"]) <= MAX_KIND:
            raise VerificationError("the leaf's kind is no name of one", expected=f"ASCII, 1 to {MAX_KIND} characters")
        return cls(**fields)


def _leaf(kind: str, payload: str, envelope: str, writer: str, seq: int, keyid: str) -> Leaf:
    return Leaf(kind=kind, payload=payload, envelope=envelope, writer=writer, seq=seq, keyid=keyid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An envelope with everything inside it read and checked for form; signatures are not checked here.

    Parameters
    ----------
    envelope : Envelope
        What was signed, and the signature.
    data : bytes
        Its canonical bytes, as they are stored.
    leaf : Leaf
        What the tree commits to.
    subjects : tuple of Subject
        What the entry is about.
    chain : Chain
        Its place.
    content : Content
        What it says.
    """

    envelope: Envelope = field(repr=False)
    data: bytes = field(repr=False)
    leaf: Leaf
    subjects: tuple[Subject, ...]
    chain: Chain
    content: Content

    @property
    def kind(self) -> str:
        """Short name of the predicate type."""
        return self.leaf.kind

    def digests(self) -> tuple[bytes, ...]:
        """Return the digests of the subjects, by which the entry is found."""
        return tuple(sorted({bytes.fromhex(subject.sha256) for subject in self.subjects}))


def predicate(chain: Chain, content: Content) -> dict[str, Any]:
    """Return the wire form of a predicate: the chain fields and the content's."""
    return {**chain.to_wire(), **content.to_wire()}


def statement(chain: Chain, content: Content, subjects: Sequence[Subject]) -> Statement:
    """Serialise a new entry's statement."""
    return Statement.build(
        predicate_type=predicate_type(content.kind, content.form),
        subjects=subjects,
        predicate=predicate(chain, content),
    )


def make(chain: Chain, content: Content, subjects: Sequence[Subject], signer: Signer) -> Entry:
    """Sign a new entry.

    Raises
    ------
    CanonicalisationError
        If its content has no canonical form, or is too large.
    """
    return sign_all([(chain, content, statement(chain, content, subjects))], signer)[0]


def sign_all(drafts: Sequence[tuple[Chain, Content, Statement]], signer: Signer) -> list[Entry]:
    """Sign new entries whose statements are written; all are signed in one go, which is faster than in turn with other work."""
    envelopes = [sign(made.payload, [signer]) for _, _, made in drafts]
    return [
        _entry(envelope, None, made, chain, content)
        for envelope, (chain, content, made) in zip(envelopes, drafts, strict=True)
    ]


def read(data: bytes) -> Entry:
    """Read an envelope, its statement, chain and content from untrusted bytes.

    Raises
    ------
    VerificationError
        If anything in it is unknown, missing or of the wrong form.
    """
    envelope = Envelope.from_bytes(data)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise VerificationError(f"the payloadType is {envelope.payload_type!r}", expected=PAYLOAD_TYPE)
    if len(envelope.signatures) != 1:
        raise VerificationError(f"the entry has {len(envelope.signatures)} signatures", expected="one, by its writer")
    parsed = Statement.from_bytes(envelope.payload)
    model = PREDICATES.get(parsed.predicate_type)
    if model is None:
        raise VerificationError(f"the predicateType {parsed.predicate_type!r} is unknown")
    fields = dict(parsed.predicate)
    chain_fields = {name: fields.pop(name) for name in _CHAIN_WIRE if name in fields}
    try:
        chain, content = Chain.model_validate(chain_fields), model.model_validate(fields)
    except ValidationError as error:
        raise VerificationError(f"the {model.kind} predicate does not have its form: {_first(error)}") from error
    if not _as_written(predicate(chain, content), parsed):
        raise VerificationError(
            f"the {model.kind} predicate is not in the form of its version",
            expected="every field as the writer spells it",
        )
    return _entry(envelope, data, parsed, chain, content)


def again(data: bytes, leaf: Leaf) -> Entry:
    """Read an envelope once more, whose bytes are known to be ones that :func:`read` has accepted: their form is not checked twice.

    Parameters
    ----------
    data : bytes
        The envelope; its digest must have been held against a verified leaf.
    leaf : Leaf
        That leaf.

    Raises
    ------
    VerificationError
        If it cannot be read all the same.
    """
    envelope = Envelope.from_bytes(data)
    try:
        value = json.loads(envelope.payload)
        fields = value["predicate"]
        chain = Chain.model_validate({name: fields.pop(name) for name in _CHAIN_WIRE if name in fields})
        content = PREDICATES[value["predicateType"]].model_validate(fields)
        subjects = tuple(Subject.from_dict(one) for one in value["subject"])
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"an entry that was verified before cannot be read: {error!r:.200}") from error
    return Entry(envelope=envelope, data=data, leaf=leaf, subjects=subjects, chain=chain, content=content)


def _as_written(wire: dict[str, Any], parsed: Statement) -> bool:
    """Tell whether the fields stand in the statement as a writer writes them: no number as text, no null, no other name."""
    if wire != parsed.predicate:
        return False
    payload = parsed.payload
    if (b"true" in payload or b"false" in payload) and _TRUTH.search(payload):  # which equals 1 or 0
        return canonicalise(wire) == canonicalise(parsed.predicate)
    return True


def _first(error: ValidationError) -> str:
    """Return what is wrong first; where very much is, only how much, for a list of it would fill the memory."""
    if (count := error.error_count()) > MAX_FAULTS:
        return f"{count:,} faults"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part)[:80] for part in first['loc'])}: {first['msg']}"


def _entry(envelope: Envelope, data: bytes | None, made: Statement, chain: Chain, content: Content) -> Entry:
    stored = envelope.to_bytes() if data is None else data
    leaf = Leaf(
        kind=content.kind,
        payload=made.payload_digest,
        envelope=sha256_hex(stored),
        writer=chain.writer,
        seq=chain.seq,
        keyid=envelope.signatures[0].keyid,
    )
    return Entry(envelope=envelope, data=stored, leaf=leaf, subjects=made.subjects, chain=chain, content=content)
