"""The trust file: who people are, which keys are theirs, and from which ledger index to which.

Root keys sign it, with a threshold. A verifier needs only ``sha256:...`` of the root, got by another way: that
digest fixes the first version, and each later version is signed by the old and the new root. Validity is a
range of ledger indices, not of time, because an index cannot be backdated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml_governance.errors import VerificationError
from ml_governance.evidence import envelope as dsse
from ml_governance.evidence import trust_fields
from ml_governance.evidence.canonical import canonicalise, parse, sha256_hex, stamp
from ml_governance.evidence.charter import Charter
from ml_governance.evidence.holders import ROLES, ROOT, LogKey, Principal, Resumption, TrustedKey, by_id
from ml_governance.evidence.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ml_governance.evidence.keys import Signer

TRUST_TYPE = "application/vnd.ml-governance.trust+json"
"""The payloadType of a trust file, so that no statement passes for one."""

MAX_SHOWN = 5
"""Ranges of validity that an error names."""

__all__ = ["ROLES", "ROOT", "LogKey", "Principal", "Resumption", "TrustFile", "TrustedKey", "by_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFile:
    """One version of the trust file.

    Parameters
    ----------
    version : int
        From 1; each successor adds one.
    origin : str
        The log that it is for.
    issued_at, expires_at : datetime
        UTC. An expired file is still history, but nothing new may be decided under it.
    root_keys : tuple of PublicKey
        Who may sign the next version.
    root_threshold : int
        How many of them must.
    log_keys : tuple of LogKey
        Keys whose checkpoints count, each at its sizes of the tree.
    principals : tuple of Principal
        The people.
    previous : str or None
        SHA-256 of the previous version's payload; None for version 1.
    resumes : Resumption, optional
        Sets the log's time right when this version comes into force.
    remark : str, optional
        What the root's holders want on record about this version, such as on what they rest a revocation.
    charter : Charter or None
        What holds of roles; None in files of before there were charters, which delegate and open nothing.
    digest : str
        SHA-256 of this version's payload.
    """

    version: int
    origin: str
    issued_at: datetime
    expires_at: datetime
    root_keys: tuple[PublicKey, ...]
    root_threshold: int
    log_keys: tuple[LogKey, ...]
    principals: tuple[Principal, ...]
    previous: str | None
    resumes: Resumption | None = None
    remark: str | None = None
    charter: Charter | None = None
    digest: str = field(init=False, repr=False, compare=False)
    root_ids: frozenset[str] = field(init=False, repr=False, compare=False)
    verification_keys: Mapping[str, PublicKey] = field(init=False, repr=False, compare=False)
    _holders: Mapping[str, Sequence[tuple[Principal, TrustedKey]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        holders: dict[str, list[tuple[Principal, TrustedKey]]] = {}
        for principal in self.people().values():
            for key in principal.keys:
                holders.setdefault(key.public.keyid, []).append((principal, key))
        roots = {key.keyid: key for key in self.root_keys}
        people = {keyid: held[0][1].public for keyid, held in holders.items()}
        object.__setattr__(self, "digest", sha256_hex(payload_of(self)))
        object.__setattr__(self, "root_ids", frozenset(roots))
        object.__setattr__(self, "verification_keys", roots | people)
        object.__setattr__(self, "_holders", holders)

    @property
    def root_digest(self) -> str:
        """``sha256:...`` over log name, root keys and threshold: what a verifier must know beforehand."""
        root = {
            "origin": self.origin,
            "keys": sorted(key.spki_sha256 for key in self.root_keys),
            "threshold": self.root_threshold,
        }
        return "sha256:" + sha256_hex(canonicalise(root))

    def people(self) -> dict[str, Principal]:
        """Return the people by id, each with the roles that theirs inherit."""
        if self.charter is None:
            return dict(by_id(self.principals))
        return {one.id: replace(one, roles=self.charter.roles(one.roles)) for one in self.principals}

    def expired(self, at: datetime) -> bool:
        """Tell whether nothing new may be decided under this version any more."""
        return at >= self.expires_at

    def signer(self, keyid: str, index: int) -> Principal:
        """Return whose key signed at an index.

        Raises
        ------
        VerificationError
            If nobody has that key, or it does not count at that index.
        """
        held = self._holders.get(keyid, ())
        for principal, key in held:
            if key.valid_at(index):
                return principal
        if not held:
            raise VerificationError(
                f"the key {keyid[:16]} belongs to nobody in version {self.version} of the trust file",
                expected="a key of somebody whom the root trusts",
            )
        ranges = ", ".join(
            f"{key.valid_from} to {key.valid_until - 1}" if key.valid_until is not None else f"{key.valid_from} on"
            for _, key in held[:MAX_SHOWN]
        )
        raise VerificationError(
            f"the key {keyid[:16]} of {held[0][0].id} signed at #{index}", expected=f"an index from {ranges}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; what earlier versions of the library did not know stands only where it is used."""
        more: dict[str, Any] = {}
        if self.resumes is not None:
            more["resumes"] = self.resumes.to_dict()
        if self.remark is not None:
            more["remark"] = self.remark
        return more | {
            "version": self.version,
            "origin": self.origin,
            "issuedAt": stamp(self.issued_at),
            "expiresAt": stamp(self.expires_at),
            "root": {"keys": [key.to_dict() for key in self.root_keys], "threshold": self.root_threshold},
            "logKeys": [key.to_dict() for key in self.log_keys],
            "principals": [principal.to_dict() for principal in self.principals],
            "previous": self.previous,
            **({} if self.charter is None else {"charter": self.charter.to_dict()}),
        }

    @classmethod
    def from_dict(cls, value: Any) -> TrustFile:
        """Read plain JSON values; unknown, missing and wrong fields are refused."""
        names = {"version", "origin", "issuedAt", "expiresAt", "root", "logKeys", "principals", "previous"}
        trust_fields.check_names(value, names, "the trust file", optional={"resumes", "remark", "charter"})
        trust_fields.check_names(value["root"], {"keys", "threshold"}, "the root")
        return cls(
            version=trust_fields.whole(value["version"]),
            origin=trust_fields.text(value["origin"]),
            issued_at=trust_fields.moment(value["issuedAt"]),
            expires_at=trust_fields.moment(value["expiresAt"]),
            root_keys=tuple(PublicKey.from_dict(key) for key in trust_fields.items(value["root"]["keys"])),
            root_threshold=trust_fields.whole(value["root"]["threshold"]),
            log_keys=tuple(LogKey.from_dict(key) for key in trust_fields.items(value["logKeys"])),
            principals=tuple(Principal.from_dict(one) for one in trust_fields.items(value["principals"])),
            previous=None if value["previous"] is None else trust_fields.text(value["previous"]),
            resumes=Resumption.from_dict(value["resumes"]) if "resumes" in value else None,
            remark=trust_fields.text(value["remark"]) if "remark" in value else None,
            charter=Charter.from_dict(value["charter"]) if "charter" in value else None,
        )


def payload_of(trust: TrustFile) -> bytes:
    """Return the bytes that root keys sign."""
    return canonicalise(trust.to_dict())


def sign_trust(trust: TrustFile, signers: Sequence[Signer]) -> dsse.Envelope:
    """Sign a trust file with root keys."""
    return dsse.sign(payload_of(trust), signers, payload_type=TRUST_TYPE)


def verify_trust(envelope: dsse.Envelope, *, root: str) -> TrustFile:
    """Check the first version against a root digest that the verifier knows.

    Parameters
    ----------
    envelope : Envelope
        Version 1 of a trust file.
    root : str
        ``sha256:...``, obtained by another way than the file.

    Raises
    ------
    VerificationError
        If the file is malformed, is not version 1, has another root, or too few root keys signed it.
    """
    trust = read(envelope)
    if trust.version != 1 or trust.previous is not None:
        raise VerificationError(
            f"the first trust file has version {trust.version}", expected="version 1 without a previous one"
        )
    return verify_alone(envelope, root=root)


def verify_alone(envelope: dsse.Envelope, *, root: str) -> TrustFile:
    """Check a trust file of any version without those before it, which is possible while its root is the first one.

    It may be older than the one in force.

    Raises
    ------
    VerificationError
        If it is malformed, has another root, or too few root keys signed it.
    """
    trust = read(envelope)
    if trust.root_digest != root:
        raise VerificationError(
            f"the trust root is {trust.root_digest}",
            expected=f"{root}, which this verifier was told",
            next_step="where the root has changed since, only the log, a bundle or tiles lead from one to the other",
        )
    _signed_by_root(envelope, trust, "its own")
    return trust


def verify_successor(envelope: dsse.Envelope, current: TrustFile) -> TrustFile:
    """Check a later version: one more, same log, same predecessor, signed by the old root and the new.

    Raises
    ------
    VerificationError
        If any of these does not hold.
    """
    trust = read(envelope)
    if trust.version != current.version + 1:
        raise VerificationError(
            f"trust version {trust.version} follows {current.version}",
            expected=f"version {current.version + 1}",
        )
    if trust.origin != current.origin:
        raise VerificationError(f"the trust file is for {trust.origin}", expected=current.origin)
    if trust.previous != current.digest:
        raise VerificationError(
            "the trust file names another predecessor", expected="the digest of the version in force"
        )
    _signed_by_root(envelope, current, "the previous")
    _signed_by_root(envelope, trust, "its own")
    return trust


def read(envelope: dsse.Envelope) -> TrustFile:
    """Read a trust file whose signatures are checked elsewhere, or have been before.

    Raises
    ------
    VerificationError
        If it is malformed.
    """
    if envelope.payload_type != TRUST_TYPE:
        raise VerificationError(f"the payloadType is {envelope.payload_type!r}", expected=repr(TRUST_TYPE))
    trust = TrustFile.from_dict(parse(envelope.payload))
    if trust.digest != sha256_hex(envelope.payload):
        raise VerificationError(
            f"version {trust.version} of the trust file is not in its one form",
            expected="sorted roles and projects, each once, and times in UTC to the second",
        )
    return trust


def _signed_by_root(envelope: dsse.Envelope, trust: TrustFile, whose: str) -> None:
    try:
        dsse.verify(
            envelope,
            {key.keyid: key for key in trust.root_keys},
            threshold=trust.root_threshold,
            payload_type=TRUST_TYPE,
        )
    except VerificationError as error:
        raise VerificationError(
            f"version {trust.version} of the trust file is not signed by {whose} root: {error.found}",
            expected=f"signatures of {trust.root_threshold} of its {len(trust.root_keys)} root keys",
        ) from error


def _check(trust: TrustFile) -> None:
    distinct = {key.spki_sha256 for key in trust.root_keys}
    if len(distinct) != len(trust.root_keys) or not 1 <= trust.root_threshold <= len(distinct):
        raise VerificationError(
            f"the root has {len(distinct)} distinct keys and the threshold {trust.root_threshold}",
            expected="distinct keys, at least as many as the threshold",
        )
    ids = [principal.id for principal in trust.principals]
    if len(set(ids)) != len(ids) or ROOT.id in ids:
        raise VerificationError("two principals have one id, or one is called 'root'", expected="distinct ids")
    seen = dict.fromkeys(distinct, ROOT.id)
    for principal in trust.principals:
        for key in principal.keys:
            other = seen.setdefault(key.public.spki_sha256, principal.id)
            if other != principal.id:
                raise VerificationError(f"{principal.id} and {other} have the same key", expected="a key for each")
    if all(key.valid_until is not None for key in trust.log_keys):
        raise VerificationError("no log key is in use", expected="one without an end, or nothing could be appended")
    if len({key.public for key in trust.log_keys}) != len(trust.log_keys):
        raise VerificationError("a log key is named twice", expected="one range of sizes for each")
    if trust.resumes is not None and trust.version == 1:
        raise VerificationError("the first trust file sets a time right", expected="a log whose time went wrong")
    for principal in trust.principals:
        if trust.charter is not None and (clash := trust.charter.clash(principal.roles)):
            raise VerificationError(
                f"{principal.id} holds {clash}, which the charter keeps apart", expected="one of them for each person"
            )
    if trust.expires_at <= trust.issued_at:
        raise VerificationError(
            f"the trust file expires at {stamp(trust.expires_at)} and is issued at {stamp(trust.issued_at)}",
            expected="a later end",
        )
