"""Ways to hand an OpenLineage event over, exactly as it was signed: HTTP, Kafka, a file or the console.

The client's own ``emit`` is not used: it alters events after they were signed, can be switched off by a variable, and some
of its transports swallow failures.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from ml_governance.errors import ConfigurationError
from ml_governance.evidence.canonical import canonicalise

KEY_VARIABLES = ("OPENLINEAGE_", "OL_")
TIMEOUT_SECONDS = 10.0


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


def shown(destination: str) -> str:
    """Return a destination's address without secrets, as it is kept in the database."""
    parts = urlsplit(destination)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))[:200]


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
