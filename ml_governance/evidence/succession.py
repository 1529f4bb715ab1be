"""The next version of a trust file: who is trusted, whose key is revoked, which keys follow which.

Pure functions from the version in force to its successor. The root signs it, old and new if the root itself changes, and an entry
of the log puts it in force.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError
from ml_governance.evidence.trust import LogKey, Principal, Resumption, TrustedKey, TrustFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_governance.evidence.keys import PublicKey


def following(current: TrustFile, *, at: datetime, expires_at: datetime | None = None) -> TrustFile:
    """Return the next version with nobody changed: its number, dates and predecessor, and nothing said about time yet."""
    return replace(
        current,
        version=current.version + 1,
        previous=current.digest,
        issued_at=at,
        expires_at=expires_at or current.expires_at,
        resumes=None,
        remark=None,
    )


def admit(draft: TrustFile, person: Principal, key: PublicKey, *, index: int) -> TrustFile:
    """Trust a person with a key from an index on; for someone known, roles and projects become those given.

    Parameters
    ----------
    draft : TrustFile
        The version in the making.
    person : Principal
        Id, name, custodian, roles and projects; its keys are not looked at.
    key : PublicKey
        Their key.
    index : int
        First index that it may sign.

    Raises
    ------
    ConfigurationError
        If the key was ended before: it may have been stolen.
    """
    known = {one.id: one for one in draft.principals}
    keys = known[person.id].keys if person.id in known else ()
    ended = [one.valid_until for one in keys if one.public.keyid == key.keyid and one.valid_until is not None]
    if ended:
        raise ConfigurationError(
            f"the key {key.keyid[:16]} of {person.id} ended at #{max(ended)}",
            expected="a key that was never taken back",
            next_step=f"mlgov keys new {person.id}, on their own account",
        )
    if not any(one.public.keyid == key.keyid and one.valid_until is None for one in keys):
        keys = (*keys, TrustedKey(public=key, valid_from=index))
    known[person.id] = replace(person, keys=keys)
    return replace(draft, principals=tuple(known.values()))


def revoke(draft: TrustFile, who: str, *, until: int) -> TrustFile:
    """End the validity of a person's keys, or of the one key whose id begins so.

    Parameters
    ----------
    draft : TrustFile
        The version in the making.
    who : str
        A person's id, or the first 8 or more digits of a key id.
    until : int
        First index that no longer counts. Below the present size it takes back what was signed since: so one says that a key
        was stolen, and only what an anchored checkpoint of that size covers still counts.

    Raises
    ------
    ConfigurationError
        If nobody and no key fits, or nothing is left to revoke.
    """
    changed = 0

    def ended(person: Principal, key: TrustedKey) -> TrustedKey:
        nonlocal changed
        named = who == person.id or (len(who) >= 8 and key.public.keyid.startswith(who))
        if not named or (key.valid_until is not None and key.valid_until <= until):
            return key
        changed += 1
        return replace(key, valid_until=max(until, key.valid_from))

    people = tuple(replace(one, keys=tuple(ended(one, key) for key in one.keys)) for one in draft.principals)
    if not changed:
        raise ConfigurationError(
            f"no key in use belongs to {who!r}",
            expected=f"one of {', '.join(sorted(one.id for one in draft.principals))}, or a key id",
        )
    return replace(draft, principals=people)


def change_key(draft: TrustFile, who: str, key: PublicKey, *, index: int) -> TrustFile:
    """Let a person go on with another key: the old ones end where the new one begins."""
    person = next((one for one in draft.principals if one.id == who), None)
    if person is None:
        raise ConfigurationError(
            f"nobody is called {who!r}", expected=f"one of {', '.join(sorted(one.id for one in draft.principals))}"
        )
    in_use = any(one.valid_until is None or one.valid_until > index for one in person.keys)
    return admit(revoke(draft, who, until=index) if in_use else draft, person, key, index=index)


def change_root(draft: TrustFile, keys: Sequence[PublicKey], threshold: int) -> TrustFile:
    """Put other root keys in charge; the old root and the new one must both sign."""
    return replace(draft, root_keys=tuple(keys), root_threshold=threshold)


def change_log_key(draft: TrustFile, new: LogKey, *, size: int, until: int) -> TrustFile:
    """Let the log go on with another key.

    Parameters
    ----------
    draft : TrustFile
        The version in the making.
    new : LogKey
        The key; its range is not looked at.
    size : int
        The smallest tree that it may sign.
    until : int
        The smallest tree that the keys before it may no longer sign.
    """
    ended = tuple(key if _over(key, until) else replace(key, valid_until=until) for key in draft.log_keys)
    return replace(draft, log_keys=(replace(new, valid_from=size, valid_until=None), *ended))


def end_log_key(draft: TrustFile, which: str, *, until: int) -> TrustFile:
    """End the range of one log key, whose hexadecimal form begins so.

    Parameters
    ----------
    draft : TrustFile
        The version in the making.
    which : str
        Its first 8 or more digits.
    until : int
        The smallest tree that it may no longer sign. Below the present size it takes back checkpoints: so one says that a key
        was stolen.

    Raises
    ------
    ConfigurationError
        If it has ended by then, or is the only one in use.
    """
    (key,) = log_keys_called(draft, which)
    if _over(key, until):
        raise ConfigurationError(
            f"the log key {key.public[:16]} was to sign trees {key.sizes()}", expected="a key that goes on from there"
        )
    if not any(one is not key and one.valid_until is None for one in draft.log_keys):
        raise ConfigurationError(
            f"the log key {key.public[:16]} is the only one in use",
            expected="another that signs from now on",
            next_step="mlgov keys rotate log, then revoke this one",
        )
    ended = replace(key, valid_until=max(until, key.valid_from))
    return replace(draft, log_keys=tuple(ended if one is key else one for one in draft.log_keys))


def log_keys_called(trust: TrustFile, which: str) -> tuple[LogKey, ...]:
    """Return the log key whose hexadecimal form begins so; none, or one."""
    found = tuple(key for key in trust.log_keys if len(which) >= 8 and key.public.startswith(which))
    return found if len(found) == 1 else ()


def _over(key: LogKey, until: int) -> bool:
    return key.valid_until is not None and key.valid_until <= until


def resume(draft: TrustFile, *, since: int, at: datetime) -> TrustFile:
    """Set the log's time right: entries from ``since`` on may claim a time that has not come, and it is ``at``."""
    return replace(draft, resumes=Resumption(since=since, at=at))
