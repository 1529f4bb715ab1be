"""What the charter allows of what is signed: one rule, asked at the log's door and again of every entry that is read."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from ml_governance.evidence.charter import NO_CHARTER
from ml_governance.evidence.predicates import (
    Assessment,
    DataAccess,
    Deployment,
    ProtectedData,
    Registration,
    RegistryRequest,
    TrainingRun,
)
from ml_governance.evidence.verdicts import Delegation

if TYPE_CHECKING:
    from datetime import datetime

    from ml_governance.evidence.charter import Charter
    from ml_governance.evidence.trust import Principal, TrustFile
    from ml_governance.evidence.wire import Content


def fault(content: Content, by: Principal, current: TrustFile, at: datetime) -> str | None:
    """Say what of an entry the charter does not allow.

    Parameters
    ----------
    content : Content
        What the entry says.
    by : Principal
        Who signed it, with the roles of their own at its index.
    current : TrustFile
        The trust file in force at its index.
    at : datetime
        The time that it claims, UTC.

    Returns
    -------
    str or None
        A sentence, or None where nothing is wrong. Kinds that no charter limits have no fault.
    """
    if not _limited(type(content)):
        return None
    charter = current.charter or NO_CHARTER
    if isinstance(content, Delegation):
        return _delegation(content, by, current, charter, at)
    if isinstance(content, ProtectedData) and not charter.may("protect", by.roles):
        return f"{by.id} {_held(by)}; to register protected data takes {_granted(charter, 'protect')}"
    if isinstance(content, DataAccess) and content.outcome == "granted" and not charter.may("read", by.roles):
        return f"{by.id} {_held(by)}; to read protected rows takes {_granted(charter, 'read')}"
    if isinstance(content, RegistryRequest) and not by.roles:
        return f"{by.id} has no role; to say what a registry was asked for takes one"
    action = _action(content)
    if action is not None and any(charter.may(action, frozenset({role})) for role in charter.delegable):
        return None  # the role may be delegated, which whoever reads the whole log judges
    return None if action is None else unfit(content, by.id, by.roles, charter)


@cache
def _limited(what: type[Content]) -> bool:
    """Tell whether a charter can limit such contents: most kinds it cannot, and they are many."""
    return what.kind in _ACTIONS or issubclass(
        what, (Assessment, DataAccess, Delegation, ProtectedData, RegistryRequest)
    )


def unfit(content: Content, who: str, roles: frozenset[str], charter: Charter) -> str | None:
    """Say why somebody with these roles, own and delegated, may not sign such evidence; None where they may."""
    action = _action(content)
    if action is None or action not in charter.grants or charter.may(action, roles):
        return None
    return f"{who} has the roles {_list(roles)}; to {action} takes {_granted(charter, action)}"


def _action(content: Content) -> str | None:
    if isinstance(content, Assessment):
        return "assess"
    return _ACTIONS.get(content.kind)


_ACTIONS = {TrainingRun.kind: "train", Registration.kind: "register", Deployment.kind: "deploy"}


def _delegation(content: Delegation, by: Principal, current: TrustFile, charter: Charter, at: datetime) -> str | None:
    people = current.people()
    to = people.get(content.to)
    if content.to == by.id:
        return f"{by.id} delegates to themselves"
    if to is None:
        return f"{by.id} delegates to {content.to}, whom the trust file does not name; only the root admits people"
    for person in (by, to):
        if not {content.project, "*"} & person.projects:
            return f"{person.id} is not trusted for the project {content.project}"
    if content.role not in by.roles:
        return f"{by.id} {_held(by)}, and nobody delegates a role that is not their own"
    if content.role not in charter.delegable:
        return f"the role {content.role} cannot be delegated; the charter lets {_list(charter.delegable)} be"
    if content.expires <= at:
        return f"the delegation ends at {content.expires.isoformat()}, which is over"
    if content.expires - at > timedelta(days=charter.max_days):
        return f"the delegation runs to {content.expires.isoformat()}, and may run for at most {charter.max_days} days"
    if clash := charter.clash(to.roles | {content.role}):
        return f"{to.id} would hold {clash}, which the charter keeps apart"
    return None


def _held(by: Principal) -> str:
    return f"has the role{'s' if len(by.roles) != 1 else ''} {_list(by.roles)}"


def _granted(charter: Charter, action: str) -> str:
    return " or ".join(sorted(charter.grants.get(action, ()))) or "a role, and the charter names none"


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
