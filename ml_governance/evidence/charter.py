"""The charter: what the root's holders say about roles, beyond who holds which.

It stands in the trust file, so only the root changes it. No policy, no policy owner and no delegation goes beyond it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_governance.errors import VerificationError
from ml_governance.evidence.trust_fields import check_names, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LIMITED = ("train", "register", "assess", "deploy", "revoke", "protect", "read")
"""Actions that the charter may limit to roles; who approves, waives and promotes, each stage's policy says."""

MAX_DAYS = 366
ROLE = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What holds of roles in a log.

    Parameters
    ----------
    inherits : mapping of str to frozenset of str
        Roles that a role holds besides itself, such as ``head_of_validation: {validator}``.
    grants : mapping of str to frozenset of str
        Roles that may do each of :data:`LIMITED`. An action that is not named: ``protect`` and ``read`` nobody may; the others
        are as open as the policy leaves them. ``revoke`` adds to those who may always, policy owners and risk officers.
    delegable : frozenset of str
        Roles whose holders may delegate them.
    max_days : int
        Longest delegation, 1 to 366 days.
    apart : tuple of frozenset of str
        Sets of roles of which nobody holds two, of their own or by delegation.
    people : int
        Different people who must have taken part in what is promoted, its makers and approvers and the one who promotes, at least 1.

    Raises
    ------
    VerificationError
        If a name is no role, an action is none, roles inherit in a circle, or roles kept apart inherit one from the other.
    """

    inherits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    grants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    delegable: frozenset[str] = frozenset()
    max_days: int = 30
    apart: tuple[frozenset[str], ...] = ()
    people: int = 1

    def __post_init__(self) -> None:
        named = {*self.inherits, *self.delegable, *_all(self.inherits.values()), *_all(self.grants.values())}
        strange = sorted(role for role in named | _all(self.apart) if not ROLE.fullmatch(role))
        if strange:
            raise VerificationError(
                f"{strange[0]!r:.80} cannot be a role", expected="lower-case words, such as validator"
            )
        unknown = sorted(set(self.grants) - set(LIMITED))
        if unknown:
            raise VerificationError(f"the charter grants {unknown[0]!r:.80}", expected=f"some of {', '.join(LIMITED)}")
        for role in self.inherits:
            if role in self.roles(self.inherits[role]):
                raise VerificationError(f"the role {role} inherits from itself", expected="roles that end somewhere")
            if clash := self.clash({role}):
                raise VerificationError(
                    f"the role {role} holds {clash}", expected="roles that are kept apart to stay apart"
                )
        if not 1 <= self.max_days <= MAX_DAYS or self.people < 1 or any(len(roles) < 2 for roles in self.apart):
            raise VerificationError(
                "the charter has a number out of range, or keeps fewer than two roles apart",
                expected=f"delegations of 1 to {MAX_DAYS} days, 1 person or more, and sets of two roles or more",
            )

    def roles(self, held: Iterable[str]) -> frozenset[str]:
        """Return the roles that somebody has who holds these: themselves and all that they inherit."""
        found: set[str] = set()
        waiting = list(held)
        while waiting:
            role = waiting.pop()
            if role not in found:
                found.add(role)
                waiting += self.inherits.get(role, ())
        return frozenset(found)

    def clash(self, held: Iterable[str]) -> str:
        """Name two roles among these that are kept apart, or nothing."""
        roles = self.roles(held)
        for group in self.apart:
            if len(both := sorted(group & roles)) > 1:
                return f"{both[0]} and {both[1]}"
        return ""

    def may(self, action: str, roles: frozenset[str]) -> bool:
        """Tell whether one of these roles is granted an action that the charter limits; False where it does not name it."""
        return bool(self.grants.get(action, frozenset()) & self.roles(roles))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, in their one form."""
        return {
            "inherits": {role: sorted(held) for role, held in self.inherits.items()},
            "grants": {action: sorted(roles) for action, roles in self.grants.items()},
            "delegation": {"roles": sorted(self.delegable), "maxDays": self.max_days},
            "apart": sorted(sorted(roles) for roles in self.apart),
            "people": self.people,
        }

    @classmethod
    def from_dict(cls, value: Any) -> Charter:
        """Read :meth:`to_dict`.

        Raises
        ------
        VerificationError
            If a field is unknown, missing or of a wrong type, or as when a charter is made.
        """
        check_names(value, {"inherits", "grants", "delegation", "apart", "people"}, "the charter")
        check_names(value["delegation"], {"roles", "maxDays"}, "the charter's delegation")
        if not isinstance(value["apart"], list):
            raise VerificationError("the charter's apart is no list", expected="lists of roles")
        return cls(
            inherits=_table(value["inherits"], "inherits"),
            grants=_table(value["grants"], "grants"),
            delegable=_roles(value["delegation"]["roles"], "delegation"),
            max_days=whole(value["delegation"]["maxDays"]),
            apart=tuple(_roles(roles, "apart") for roles in value["apart"]),
            people=whole(value["people"]),
        )


def _all(sets: Iterable[Iterable[str]]) -> set[str]:
    return {role for roles in sets for role in roles}


def _table(value: Any, what: str) -> dict[str, frozenset[str]]:
    if not isinstance(value, dict):
        raise VerificationError(f"the charter's {what} is no table", expected="lists of roles by name")
    return {str(name): _roles(roles, what) for name, roles in value.items()}


def _roles(value: Any, what: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(role, str) for role in value):
        raise VerificationError(f"the charter's {what} has {value!r:.80}", expected="a list of roles")
    return frozenset(value)


NO_CHARTER = Charter()
"""What holds where a trust file has no charter: nobody's roles are limited."""
