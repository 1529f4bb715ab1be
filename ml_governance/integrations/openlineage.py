"""OpenLineage out: signed events from the outbox to their receivers, and back against the log.

Each event goes out exactly as it was signed, with one facet more, which says where the signature is. Whoever has the event
drops that facet, canonicalises, and compares digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.capture.lineage_event import PRODUCER
from ml_governance.errors import CanonicalisationError, VerificationError
from ml_governance.evidence import entry
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.outbox import Outbox
from ml_governance.evidence.predicates import TrainingRun
from ml_governance.integrations.openlineage_transport import (
    TIMEOUT_SECONDS,
    RefusedError,
    TemporaryError,
    open_transport,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ml_governance.evidence.ledger import Ledger
    from ml_governance.integrations.openlineage_transport import Transport

FACET = "mlgov_attestation"
FACET_SCHEMA = "urn:ml-governance:facet:attestation:v1"
LEASE = timedelta(seconds=6 * TIMEOUT_SECONDS)
"""How long a sender that died keeps an event from others; an attempt takes far less."""


# --- the facet ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """Where the signature of an event is.

    Parameters
    ----------
    log : str
        The log's name.
    index : int
        The entry.
    payload : str
        SHA-256 of the signed statement.
    event : str
        SHA-256 of the event's canonical form.
    """

    log: str
    index: int
    payload: str
    event: str


def with_attestation(event: dict[str, Any], *, log: str, index: int, payload: str) -> dict[str, Any]:
    """Return an event with the facet that says where its signature is."""
    run = dict(event.get("run") or {})
    facets = dict(run.get("facets") or {})
    facets[FACET] = {
        "_producer": PRODUCER,
        "_schemaURL": FACET_SCHEMA,
        "log": log,
        "index": index,
        "payload": payload,
        "event": sha256_hex(canonicalise(event)),
    }
    return {**event, "run": {**run, "facets": facets}}


def verify_event(event: dict[str, Any]) -> Attested:
    """Check that an event is the one its facet names, however a backend has stored it.

    Parameters
    ----------
    event : dict
        As a backend returns it; the order of keys and the spelling of numbers do not matter.

    Returns
    -------
    Attested
        Which ledger entry to compare with.

    Raises
    ------
    VerificationError
        If it has no such facet, or was changed, or the facet is from another event.
    """
    try:
        run = dict(event["run"])
        facets = dict(run["facets"])
        facet = facets.pop(FACET)
        found = Attested(
            log=str(facet["log"]), index=int(facet["index"]), payload=str(facet["payload"]), event=str(facet["event"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VerificationError(f"the event has no readable {FACET} facet: {error!r}") from error
    candidates = [{**event, "run": {**run, "facets": facets}}]
    if not facets:
        candidates.append({**event, "run": {name: value for name, value in run.items() if name != "facets"}})
    try:
        digests = [sha256_hex(canonicalise(one)) for one in candidates]
    except CanonicalisationError as error:
        raise VerificationError(f"the event has no canonical form: {error.found}") from error
    if found.event not in digests:
        raise VerificationError(
            f"the event was changed: its digest is {digests[0][:16]}...",
            expected=f"{found.event[:16]}..., as its facet says",
        )
    return found


def compare_with_log(event: dict[str, Any], ledger: Ledger) -> Attested:
    """Check an event against the entry that its facet names; the log itself is verified elsewhere.

    Raises
    ------
    VerificationError
        If the event was changed, or the entry holds another one.
    """
    found = verify_event(event)
    stored = next(ledger.entries(found.index, found.index + 1), None)
    if found.log != ledger.origin or stored is None or stored.envelope is None:
        raise VerificationError(
            f"this log has no event at #{found.index}", expected=f"entry #{found.index} of {found.log}"
        )
    read = entry.read(stored.envelope)
    if (
        not isinstance(read.content, TrainingRun)
        or read.leaf.payload != found.payload
        or sha256_hex(canonicalise(read.content.event)) != found.event
    ):
        raise VerificationError(f"entry #{found.index} holds another event", expected="the facet of this event")
    return found


# --- delivering -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one round of sending did for one destination."""

    destination: str
    sent: int
    refused: int
    stopped: str | None


def deliver(
    ledger: Ledger,
    destination: str,
    *,
    clock: Callable[[], datetime],
    transport: Transport | None = None,
    limit: int | None = None,
) -> Delivered:
    """Send what is due to one destination, in order, until something holds it up.

    Parameters
    ----------
    ledger : Ledger
        The log.
    destination : str
        Its URL.
    clock : callable
        Returns the present in UTC.
    transport : Transport, optional
        How to send; default is what the URL names.
    limit : int, optional
        Stop after so many.

    Returns
    -------
    Delivered
        ``stopped`` says what held it up; None if nothing is due any more.

    Raises
    ------
    ConfigurationError
        If the URL is of no known kind, or what it needs is not installed.
    """
    name, box = shown(destination), Outbox(ledger)
    box.plan(name)
    out = transport or open_transport(destination)
    sent = refused = 0
    stopped = None
    try:
        while (limit is None or sent + refused < limit) and (
            item := box.claim(name, at=clock(), lease=LEASE)
        ) is not None:
            try:
                out.emit(_event(ledger, item.index))
            except RefusedError as error:
                box.give_up(item, name, why=str(error))
                refused += 1
            except TemporaryError as error:
                box.later(item, name, at=clock(), why=str(error))
                stopped = str(error)
                break
            else:
                box.sent(item, name)
                sent += 1
    finally:
        if transport is None:
            out.close()
    return Delivered(destination=name, sent=sent, refused=refused, stopped=stopped)


def _event(ledger: Ledger, index: int) -> dict[str, Any]:
    stored = next(ledger.entries(index, index + 1), None)
    if stored is None or stored.envelope is None:
        raise RefusedError("its content was erased")
    try:
        read = entry.read(stored.envelope)
    except VerificationError as error:
        raise RefusedError(f"it does not verify: {error.found}") from error
    assert isinstance(read.content, TrainingRun)  # noqa: S101  the outbox plans no other kind; this tells the type checker
    return with_attestation(read.content.event, log=ledger.origin, index=index, payload=read.leaf.payload)
