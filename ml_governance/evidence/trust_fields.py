"""The plain JSON values of a trust file, read strictly: a value of another type is refused, never converted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ml_governance.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


def check_names(value: Any, names: set[str], what: str, *, optional: AbstractSet[str] = frozenset()) -> None:
    """Refuse what is no object, or has other fields than these."""
    if not isinstance(value, dict) or set(value) - optional != names:
        found = ", ".join(sorted(map(str, value))) if isinstance(value, dict) else type(value).__name__
        raise VerificationError(f"{what} has the fields {found:.200}", expected=", ".join(sorted(names)))


def items(value: Any) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise VerificationError(f"the trust file has {value!r:.80} where a list belongs")
    return value


def text(value: Any) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise VerificationError(f"the trust file has {value!r:.80} where text belongs")
    return value


def texts(value: Any) -> frozenset[str]:
    """Return a list of texts as a set."""
    return frozenset(map(text, items(value)))


def whole(value: Any) -> int:
    """Return a whole number of 0 or more."""
    if type(value) is not int or value < 0:
        raise VerificationError(f"the trust file has {value!r:.80} where a whole number belongs")
    return value


def moment(value: Any) -> datetime:
    """Return a time in UTC; it has to name its zone."""
    try:
        found = datetime.fromisoformat(text(value))
        if found.tzinfo is None:
            raise VerificationError(f"the time {value!r:.80} has no zone", expected="ISO 8601 in UTC")
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise VerificationError(f"the trust file has the time {value!r:.80}", expected="ISO 8601 in UTC") from error
