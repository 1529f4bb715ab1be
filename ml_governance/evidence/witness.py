"""Witnesses: others who have seen a checkpoint and say that it continues what they saw before.

Formats: c2sp.org/tlog-cosignature (Ed25519), c2sp.org/tlog-witness and c2sp.org/tlog-policy. A log's operator can show
different histories to different people; a quorum of witnesses that he does not control makes that impossible.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence.checkpoint import key_hint, parse_body, parse_vkey, split_note, vkey
from ml_governance.evidence.trust import LogKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

COSIGNATURE = b"\x04"
MAX_POLICY = 64 * 1024
MAX_NAMES = 256
_LATEST = 253402300799  # the last second that a calendar date can name


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Someone who cosigns checkpoints.

    Parameters
    ----------
    name : str
        Their name in the policy.
    key : LogKey
        Their Ed25519 key under its own name.
    url : str or None
        Where they take checkpoints.
    """

    name: str
    key: LogKey
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessPolicy:
    """Which witnesses count, and how many of them must have cosigned.

    Parameters
    ----------
    witnesses : tuple of Witness
        All of them.
    groups : mapping of str to (int, tuple of str)
        Groups: how many of which members.
    quorum : str or None
        The witness or group that must have cosigned; None asks for nobody.
    """

    witnesses: tuple[Witness, ...]
    groups: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    quorum: str | None

    def met(self, cosigners: frozenset[str]) -> bool:
        """Tell whether these witnesses are enough."""

        def has(name: str) -> bool:
            if name in self.groups:
                needed, members = self.groups[name]
                return sum(has(member) for member in members) >= needed
            return name in cosigners

        return self.quorum is None or has(self.quorum)


def parse_policy(text: str) -> WitnessPolicy:
    """Read a policy file (c2sp.org/tlog-policy).

    Raises
    ------
    VerificationError
        With the line, if it is malformed.
    """
    if len(text) > MAX_POLICY:
        raise VerificationError("the witness policy is too long", expected=f"at most {MAX_POLICY} characters")
    reader = _PolicyReader()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip(" \t").replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if words and not words[0].startswith("#"):
            try:
                reader.line(words)
            except VerificationError as error:
                raise VerificationError(
                    f"line {number} of the witness policy: {error.found}", expected=error.expected
                ) from error
    if not reader.decided:
        raise VerificationError("the witness policy has no quorum line", expected="quorum NAME, or quorum none")
    return WitnessPolicy(witnesses=tuple(reader.witnesses.values()), groups=reader.groups, quorum=reader.quorum)


class _PolicyReader:
    def __init__(self) -> None:
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.quorum: str | None = None
        self.decided = False
        self.members: set[str] = set()

    def line(self, words: list[str]) -> None:
        match words:
            case ["log", _] | ["log", _, _]:
                parse_vkey(words[1])
            case ["witness", name, key] | ["witness", name, key, _]:
                self._new(name)
                public = parse_vkey(key, COSIGNATURE)
                if any(known.key.public == public.public for known in self.witnesses.values()):
                    raise VerificationError(f"the witness {name} has a key that another has", expected="a key for each")
                self.witnesses[name] = Witness(name=name, key=public, url=words[3] if len(words) == 4 else None)
            case ["group", name, needed, *members] if members:
                self._new(name)
                self._group(name, needed, tuple(members))
            case ["quorum", name] if not self.decided:
                if name != "none" and name not in self.witnesses and name not in self.groups:
                    raise VerificationError(f"{name!r} is not defined above", expected="a witness or a group")
                self.quorum, self.decided = (None if name == "none" else name), True
            case _:
                raise VerificationError(f"{' '.join(words)[:80]!r}", expected="log, witness, group, or one quorum line")

    def _new(self, name: str) -> None:
        if name == "none" or name in self.witnesses or name in self.groups:
            raise VerificationError(f"the name {name!r} is taken", expected="a name of its own")
        if len(self.witnesses) + len(self.groups) >= MAX_NAMES:
            raise VerificationError("too many names", expected=f"at most {MAX_NAMES}")

    def _group(self, name: str, needed: str, members: tuple[str, ...]) -> None:
        unknown = [member for member in members if member not in self.witnesses and member not in self.groups]
        if unknown or len(set(members)) != len(members) or self.members & set(members):
            raise VerificationError(
                f"the group {name} has the members {', '.join(members)}",
                expected="names defined above, none in two places",
            )
        self.members |= set(members)
        count = {"all": len(members), "any": 1}.get(needed) or (
            int(needed) if needed.isascii() and needed.isdigit() else 0
        )
        if not 1 <= count <= len(members):
            raise VerificationError(f"the group {name} needs {needed!r}", expected=f"all, any, or 1 to {len(members)}")
        self.groups[name] = (count, members)


def cosigned_message(body: str, timestamp: int) -> bytes:
    """Return what a cosignature is over."""
    return f"cosignature/v1\ntime {timestamp}\n{body}".encode()


class Cosigner:
    """A witness's own key, for those who run one."""

    def __init__(self, private: Ed25519PrivateKey, name: str) -> None:
        self._private = private
        self.public = LogKey(name=name, public=private.public_key().public_bytes_raw().hex())

    @property
    def vkey(self) -> str:
        """The verifier key that a policy names."""
        raw = bytes.fromhex(self.public.public)
        hint = key_hint(self.public.name, raw, COSIGNATURE).hex()
        return f"{self.public.name}+{hint}+{base64.b64encode(COSIGNATURE + raw).decode()}"

    def cosign(self, note: str, at: datetime) -> str:
        """Return the signature line; whether the checkpoint deserves it, the caller has checked."""
        body, _ = split_note(note)
        timestamp = int(at.timestamp())
        hint = key_hint(self.public.name, bytes.fromhex(self.public.public), COSIGNATURE)
        signature = self._private.sign(cosigned_message(body, timestamp))
        blob = base64.b64encode(hint + timestamp.to_bytes(8, "big") + signature).decode()
        return f"\N{EM DASH} {self.public.name} {blob}\n"


def cosignatures(note: str, policy: WitnessPolicy) -> dict[str, datetime]:
    """Return who of the policy's witnesses cosigned a note, and when they say they did.

    Raises
    ------
    VerificationError
        If the note is malformed, or a line claims to be a witness's and does not verify.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    body, signatures = split_note(note)
    parse_body(body)
    known = {}
    for witness in policy.witnesses:
        raw = bytes.fromhex(witness.key.public)
        known[witness.key.name, key_hint(witness.key.name, raw, COSIGNATURE)] = (witness, raw)
    found: dict[str, datetime] = {}
    for name, blob in signatures:
        if (name, blob[:4]) not in known:
            continue
        witness, raw = known[name, blob[:4]]
        timestamp = int.from_bytes(blob[4:12], "big")
        try:
            if len(blob) != 76 or timestamp > _LATEST:
                raise InvalidSignature
            Ed25519PublicKey.from_public_bytes(raw).verify(blob[12:], cosigned_message(body, timestamp))
        except InvalidSignature as error:
            raise VerificationError(f"the cosignature by {name} does not verify") from error
        found[witness.name] = datetime.fromtimestamp(timestamp, UTC)
    return found


def require_quorum(note: str, policy: WitnessPolicy) -> dict[str, datetime]:
    """Return the cosigners of a note, if they are enough.

    Raises
    ------
    VerificationError
        If they are not.
    """
    found = cosignatures(note, policy)
    if not policy.met(frozenset(found)):
        raise VerificationError(
            f"{len(found)} of the policy's {len(policy.witnesses)} witnesses cosigned the checkpoint"
            + (f" ({', '.join(sorted(found))})" if found else ""),
            expected=f"the quorum {policy.quorum}",
            next_step="mlgov log checkpoint --witnesses POLICY",
        )
    return found


def claimed(note: str) -> datetime | None:
    """Return the earliest time that a cosignature of a note claims, whoever made it; nothing is verified.

    Raises
    ------
    VerificationError
        If the note is malformed, or claims a time that no calendar has.
    """
    # A cosignature has a time before its 64 bytes, and so is longer than a log's own signature.
    times = [int.from_bytes(blob[4:12], "big") for _, blob in split_note(note)[1] if len(blob) == 76]
    if any(at > _LATEST for at in times):
        raise VerificationError("a cosignature claims a time that no calendar has")
    return min((datetime.fromtimestamp(at, UTC) for at in times), default=None)


def agreed_at(cosigned: Mapping[str, datetime], policy: WitnessPolicy) -> datetime:
    """Return the time by which the quorum had cosigned: no witness alone can make it earlier than the others let it be.

    Parameters
    ----------
    cosigned : mapping of str to datetime
        What :func:`require_quorum` returned; not empty.
    policy : WitnessPolicy
        The same one: whose cosignatures make the quorum.
    """
    times = sorted(cosigned.values())
    return next(at for at in times if policy.met(frozenset(name for name, when in cosigned.items() if when <= at)))


def request_body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """Return the body of an ``add-checkpoint`` request (c2sp.org/tlog-witness)."""
    lines = [f"old {old}", *(base64.b64encode(step).decode() for step in proof), "", note]
    return "\n".join(lines).encode()


def gather(
    note: str,
    policy: WitnessPolicy,
    *,
    post: Callable[[str, bytes], tuple[int, str]],
    proof: Callable[[int], Sequence[bytes]],
    known_size: int,
) -> tuple[str, dict[str, str]]:
    """Ask each witness that has an address to cosign a checkpoint.

    Parameters
    ----------
    note : str
        The signed checkpoint.
    policy : WitnessPolicy
        Whom to ask.
    post : callable
        ``post(url, body)`` returns the HTTP status and text of the answer.
    proof : callable
        ``proof(old)`` returns the consistency proof from a size to the checkpoint.
    known_size : int
        The size that the witnesses are thought to have seen; each corrects it.

    Returns
    -------
    note : str
        The checkpoint with every cosignature that verifies.
    refusals : dict of str to str
        Why others did not cosign, by name.
    """
    refusals: dict[str, str] = {}
    for witness in policy.witnesses:
        if witness.url is None:
            continue
        url = f"{witness.url.rstrip('/')}/add-checkpoint"
        old = known_size
        status, answer = 0, ""
        try:
            for _ in range(2):
                status, answer = post(url, request_body(old, proof(old) if old else (), note))
                seen = answer.strip()
                if status != 409 or not seen.isdigit() or len(seen) > 16 or int(seen) == old:
                    break
                old = int(seen)
            if status != 200:
                raise VerificationError(f"answered {status}: {answer.strip()[:200]}")
            # Its own line and no other: a note has room for few, and the other witnesses need theirs.
            own = [line for line in answer.split("\n") if line.startswith(f"\N{EM DASH} {witness.key.name} ")]
            extended = note + "".join(f"{line}\n" for line in own[:1])
            if witness.name not in cosignatures(extended, policy):
                raise VerificationError("answered without its own cosignature")
            note = extended
        except VerificationError as error:
            refusals[witness.name] = error.found
        except OSError as error:
            refusals[witness.name] = str(error)
    return note, refusals


__all__ = [
    "Cosigner", "Witness", "WitnessPolicy", "cosignatures", "gather", "parse_policy", "require_quorum", "vkey",
]  # fmt: skip
