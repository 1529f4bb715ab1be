"""OpenLineage out: signed events from the outbox to HTTP, Kafka, a file or the console.

The client's own ``emit`` is not used: it alters events after they were signed, can be switched off by a variable, and some
of its transports swallow failures. Each event goes out exactly as it was signed, with one facet more, which
says where the signature is. Whoever has the event drops that facet, canonicalises, and compares digests.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from ml_governance import __version__
from ml_governance.errors import CanonicalisationError, ConfigurationError, VerificationError
from ml_governance.evidence import entry
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.outbox import Outbox
from ml_governance.evidence.predicates import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ml_governance.evidence.ledger import Ledger

FACET = "mlgov_attestation"
FACET_SCHEMA = "urn:ml-governance:facet:attestation:v1"
PRODUCER = f"urn:ml-governance:{__version__}"
KEY_VARIABLES = ("OPENLINEAGE_", "OL_")
TIMEOUT_SECONDS = 10.0
LEASE = timedelta(seconds=6 * TIMEOUT_SECONDS)
"""How long a sender that died keeps an event from others; an attempt takes far less."""


class RefusedError(Exception):
    """The receiver will never take this event; trying again is pointless."""


class TemporaryError(Exception):
    """The receiver cannot take the event now."""


class Transport(Protocol):
    """Something that delivers one event, or raises."""

    def emit(self, event: dict[str, Any]) -> None:
        """Deliver one event; return only when the receiver has it."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


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


def shown(destination: str) -> str:
    """Return a destination's address without secrets, as it is kept in the database."""
    parts = urlsplit(destination)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))[:200]


# --- transports -----------------------------------------------------------------------------------------------


def open_transport(destination: str) -> Transport:
    """Return the transport that a URL names.

    ``https://host/api/v1/lineage?key_env=OPENLINEAGE_KEY`` (the API key is in that variable), ``kafka://broker:9092/topic``,
    ``file:///folder/events.jsonl`` or ``console:``.

    Raises
    ------
    ConfigurationError
        If it is of no known kind, or what it needs is missing.
    """
    parts = urlsplit(destination)
    if parts.scheme in ("http", "https") and parts.netloc:
        return HttpTransport(destination)
    if parts.scheme == "kafka" and parts.netloc and parts.path.strip("/"):
        return KafkaTransport(parts.netloc, unquote(parts.path.strip("/")))
    if parts.scheme == "file" and parts.path:
        return FileTransport(Path(unquote(parts.path)))
    if parts.scheme == "console":
        return ConsoleTransport()
    raise ConfigurationError(
        f"{shown(destination)!r} is no destination for OpenLineage events",
        expected="https://..., kafka://broker/topic, file:///path or console:",
    )


class HttpTransport:
    """OpenLineage's HTTP transport without retries of its own, redirects, or changes to the event.

    Parameters
    ----------
    url : str
        Whole address of the endpoint; ``key_env`` in its query names the variable that holds the API key.
    """

    def __init__(self, url: str) -> None:
        from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig
        from openlineage.client.transport.http import HttpTransport as Client
        from requests import Session

        parts = urlsplit(url)
        session = Session()
        session.max_redirects = 0  # a redirected POST becomes a GET, and the event is gone
        settings: dict[str, Any] = {}
        for name in parse_qs(parts.query).get("key_env", []):
            if not name.startswith(KEY_VARIABLES):
                # Whoever writes the address must not choose which of this account's secrets goes there.
                raise ConfigurationError(
                    f"the variable {name} does not hold a key for OpenLineage",
                    expected=f"a name that begins with {' or '.join(KEY_VARIABLES)}",
                )
            if not os.environ.get(name):
                raise ConfigurationError(
                    f"the variable {name} is empty", expected="the API key of the OpenLineage backend"
                )
            settings["auth"] = ApiKeyTokenProvider({"apiKey": os.environ[name]})
        self._client = Client(
            HttpConfig(
                url=urlunsplit((parts.scheme, parts.netloc, "", "", "")),
                endpoint=parts.path.lstrip("/") or "api/v1/lineage",
                timeout=TIMEOUT_SECONDS,
                retry={"total": 0},
                session=session,
                **settings,
            )
        )

    def emit(self, event: dict[str, Any]) -> None:
        """Deliver one event."""
        from openlineage.client.serde import Serde
        from requests.exceptions import HTTPError, RequestException, TooManyRedirects

        if json.loads(Serde.to_json(event)) != event:
            raise RefusedError(
                "the OpenLineage client would change this event (it drops nulls and empty objects in lists)"
            )
        try:
            self._client.emit(event)
        except HTTPError as error:
            status = error.response.status_code
            if 400 <= status < 500 and status not in (401, 403, 404, 408, 425, 429):
                raise RefusedError(f"the receiver answered {status}: {error.response.text[:200]}") from error
            raise TemporaryError(f"the receiver answered {status}") from error
        except TooManyRedirects as error:
            raise TemporaryError("the receiver redirects: give its own address") from error
        except RequestException as error:
            raise TemporaryError(f"the receiver cannot be reached: {type(error).__name__}") from error

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()


class KafkaTransport:
    """Kafka, with acknowledgement by all replicas before an event counts as sent.

    Parameters
    ----------
    broker, topic : str
        Where to.
    settings : dict, optional
        More settings of librdkafka.
    """

    def __init__(self, broker: str, topic: str, settings: dict[str, Any] | None = None) -> None:
        try:
            from confluent_kafka import Producer
        except ImportError as error:
            raise ConfigurationError(
                "Kafka needs the package confluent-kafka", next_step="pip install 'ml-governance[kafka]'"
            ) from error
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": int(TIMEOUT_SECONDS * 1000),
                **(settings or {}),
            }
        )

    def emit(self, event: dict[str, Any]) -> None:
        """Deliver one event, keyed by its job, so that a job's events keep their order."""
        outcome: list[Any] = []
        job = event.get("job") or {}
        data = canonicalise(event)
        try:
            self._producer.produce(
                self._topic,
                value=data,
                key=f"run:{job.get('namespace')}/{job.get('name')}",
                on_delivery=lambda error, _message: outcome.append(error),
            )
            self._producer.flush(2 * TIMEOUT_SECONDS)
        except Exception as error:
            if "MSG_SIZE_TOO_LARGE" in str(error):
                raise RefusedError(f"the event has {len(data):,} bytes, too many for the broker") from error
            raise TemporaryError(f"Kafka: {error}") from error
        if not outcome:
            raise TemporaryError("Kafka did not acknowledge the event")
        if outcome[0] is not None:
            raise TemporaryError(f"Kafka: {outcome[0]}")

    def close(self) -> None:
        """Let go of connections."""
        self._producer.flush(TIMEOUT_SECONDS)


class FileTransport:
    """One line of canonical JSON for each event, on disk before it counts as sent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event."""
        try:
            with self._path.open("ab") as stream:
                stream.write(canonicalise(event) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise TemporaryError(f"{self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Nothing to let go of."""


class ConsoleTransport:
    """One line of canonical JSON for each event on standard output."""

    def emit(self, event: dict[str, Any]) -> None:
        """Print one event."""
        sys.stdout.write(canonicalise(event).decode() + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing to let go of."""
