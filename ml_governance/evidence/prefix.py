"""What a verifier keeps of a log that it has verified, so that it can go on from there another time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_governance.errors import CanonicalisationError, VerificationError
from ml_governance.evidence import merkle, subject_index
from ml_governance.evidence.canonical import canonicalise
from ml_governance.evidence.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Where a writer stands: its last record."""

    seq: int
    payload: str
    keyid: str
    at: datetime | None
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """What a verifier keeps of a log that it has verified up to a size, to go on from there.

    Parameters
    ----------
    origin : str
        The log's name.
    root : str
        ``sha256:...`` of the trust root under which it was verified.
    frontier : Frontier
        The tree's right edge.
    trie, kinds : bytes
        The subject index: its trie's root and the packed list of kinds.
    latest : datetime or None
        The newest time of an entry.
    trust : tuple of (int, str) or None
        Index and payload digest of the trust file in force.
    sessions : dict of str to Session
        Writers whose last record is so recent that it could be repeated unnoticed.
    """

    origin: str
    root: str
    frontier: merkle.Frontier
    trie: bytes
    kinds: bytes
    latest: datetime | None
    trust: tuple[int, str] | None
    sessions: dict[str, Session]

    @property
    def checkpoint(self) -> Checkpoint:
        """What the log promised at that size."""
        return Checkpoint(
            origin=self.origin,
            size=self.frontier.size,
            root=self.frontier.root,
            index_root=subject_index.index_root(self.trie, self.kinds),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "version": 1,
            "origin": self.origin,
            "root": self.root,
            "size": self.frontier.size,
            "frontier": self.frontier.to_bytes().hex(),
            "trie": self.trie.hex(),
            "kinds": self.kinds.hex(),
            "latest": None if self.latest is None else self.latest.isoformat(),
            "trust": None if self.trust is None else list(self.trust),
            "sessions": {
                writer: [s.seq, s.payload, s.keyid, None if s.at is None else s.at.isoformat(), s.closed]
                for writer, s in self.sessions.items()
            },
        }

    @classmethod
    def from_dict(cls, value: Any) -> Prefix:
        """Read :meth:`to_dict`.

        Raises
        ------
        VerificationError
            If it has another form.
        """
        try:
            if value["version"] != 1:
                raise VerificationError(f"the verified prefix has version {value['version']!r}", expected="1")
            prefix = cls(
                origin=str(value["origin"]),
                root=str(value["root"]),
                frontier=merkle.Frontier.from_bytes(value["size"], bytes.fromhex(value["frontier"])),
                trie=bytes.fromhex(value["trie"]),
                kinds=bytes.fromhex(value["kinds"]),
                latest=_moment(value["latest"]),
                trust=None if value["trust"] is None else (int(value["trust"][0]), str(value["trust"][1])),
                sessions={
                    str(writer): Session(
                        seq=int(seq),
                        payload=str(payload),
                        keyid=str(keyid),
                        at=_moment(at),
                        closed=bool(closed),
                    )
                    for writer, (seq, payload, keyid, at, closed) in value["sessions"].items()
                },
            )
            same = canonicalise(prefix.to_dict()) == canonicalise(value)
        except (LookupError, TypeError, ArithmeticError, ValueError, AttributeError, CanonicalisationError) as error:
            raise VerificationError(f"the verified prefix has a wrong form: {error!r:.200}") from error
        if not same:
            raise VerificationError("the verified prefix has a wrong form", expected="what a verification wrote")
        return prefix


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r:.40} has no zone")
    return moment
