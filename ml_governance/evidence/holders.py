"""Who holds keys, and where each counts: people's for ledger indices, the log's own for sizes of the tree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ml_governance.errors import VerificationError
from ml_governance.evidence.canonical import stamp
from ml_governance.evidence.keys import PublicKey
from ml_governance.evidence.trust_fields import check_names, items, moment, text, texts, whole

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

ROLES = ("author", "validator", "risk_officer", "release_manager", "policy_owner", "auditor")
"""The roles that shipped policies use; a trust file may name others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A key and the ledger indices at which it counts.

    Parameters
    ----------
    public : PublicKey
        The key.
    valid_from : int
        First index that it may sign.
    valid_until : int or None
        First index that it may no longer sign; None while in use.
    """

    public: PublicKey
    valid_from: int = 0
    valid_until: int | None = None

    def valid_at(self, index: int) -> bool:
        """Tell whether the key counts at a ledger index."""
        return self.valid_from <= index and (self.valid_until is None or index < self.valid_until)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"key": self.public.to_dict(), "validFrom": self.valid_from, "validUntil": self.valid_until}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read :meth:`to_dict`, strictly."""
        check_names(value, {"key", "validFrom", "validUntil"}, "a principal's key")
        until = value["validUntil"]
        return cls(
            public=PublicKey.from_dict(value["key"]),
            valid_from=whole(value["validFrom"]),
            valid_until=None if until is None else whole(until),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person, or a service that acts under its own name.

    Parameters
    ----------
    id : str
        Stable id; what separation of duties counts.
    name : str
        Name for readers.
    custodian : str
        Who could use the keys: principals with the same custodian are not proven to be different people.
    roles, projects : frozenset of str
        What they may act as, and where; ``*`` is every project.
    keys : tuple of TrustedKey
        Their keys.
    delegated : frozenset of (str, str)
        Of the roles, those held for somebody else at the moment in question, each with whom; no part of a trust file.
    places : frozenset of str
        Where their keys are seen to lie with somebody else's; no part of a trust file.
    """

    id: str
    name: str
    custodian: str
    roles: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    keys: tuple[TrustedKey, ...] = field(default=(), repr=False)
    delegated: frozenset[tuple[str, str]] = frozenset()
    places: frozenset[str] = frozenset()

    @property
    def custody(self) -> frozenset[str]:
        """With whom or where the keys are, by the trust file and by what is seen."""
        return self.places | {self.custodian}

    def voices(self, roles: Collection[str]) -> tuple[frozenset[str], ...]:
        """Return who speaks in each capacity that has one of some roles: they alone, or they in the place of whoever lends it."""
        alone = (frozenset({self.id}),) if self.own.intersection(roles) else ()
        return (*alone, *(frozenset({self.id, by}) for role, by in sorted(self.delegated) if role in roles))

    @property
    def own(self) -> frozenset[str]:
        """The roles that nobody has lent them."""
        return self.roles - {role for role, _ in self.delegated}

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values of what the trust file says of them."""
        return {
            "id": self.id,
            "name": self.name,
            "custodian": self.custodian,
            "roles": sorted(self.roles),
            "projects": sorted(self.projects),
            "keys": [key.to_dict() for key in self.keys],
        }

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read :meth:`to_dict`, strictly."""
        check_names(value, {"id", "name", "custodian", "roles", "projects", "keys"}, "a principal")
        return cls(
            id=text(value["id"]),
            name=text(value["name"]),
            custodian=text(value["custodian"]),
            roles=texts(value["roles"]),
            projects=texts(value["projects"]),
            keys=tuple(TrustedKey.from_dict(key) for key in items(value["keys"])),
        )


ROOT = Principal(id="root", name="Holders of the root key", custodian="root")
"""Who has signed when a root key has; it holds no role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """A key that signs checkpoints, and the sizes of the tree at which it counts.

    Parameters
    ----------
    name : str
        The log's name.
    public : str
        Ed25519 key: raw 32 bytes in hexadecimal.
    valid_from : int
        The smallest tree that it may sign.
    valid_until : int or None
        The smallest tree that it may no longer sign; None while in use.
    """

    name: str
    public: str
    valid_from: int = 0
    valid_until: int | None = None

    def valid_at(self, size: int) -> bool:
        """Tell whether a checkpoint of that size by this key counts."""
        return self.valid_from <= size and (self.valid_until is None or size < self.valid_until)

    def sizes(self) -> str:
        """Return in words which trees it may sign."""
        if self.valid_until is None:
            return f"from {self.valid_from} entries on"
        if self.valid_until <= self.valid_from:
            return "of no size"
        return f"of {self.valid_from} to {self.valid_until - 1} entries"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; bounds only where there are any, as trust files before there were any have none."""
        bounds = {"validFrom": self.valid_from or None, "validUntil": self.valid_until}
        return {"name": self.name, "public": self.public} | {k: v for k, v in bounds.items() if v is not None}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read :meth:`to_dict`, strictly."""
        check_names(value, {"name", "public"}, "a log key", optional={"validFrom", "validUntil"})
        if not re.fullmatch(r"[0-9a-f]{64}", text(value["public"])):
            raise VerificationError("a log key has a wrong form", expected="32 bytes in hexadecimal")
        return cls(
            name=text(value["name"]),
            public=value["public"],
            valid_from=whole(value.get("validFrom", 0)),
            valid_until=whole(value["validUntil"]) if "validUntil" in value else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What the root says when entries claim a time that has not come yet.

    Parameters
    ----------
    since : int
        The first ledger index whose time may be wrong.
    at : datetime
        What time it is, UTC.
    """

    since: int
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"since": self.since, "at": stamp(self.at)}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Read :meth:`to_dict`, strictly."""
        check_names(value, {"since", "at"}, "the resumption")
        return cls(since=whole(value["since"]), at=moment(value["at"]))


def by_id(principals: Sequence[Principal]) -> Mapping[str, Principal]:
    """Index people by their id."""
    return {principal.id: principal for principal in principals}
