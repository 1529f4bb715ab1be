"""Lineage events reach a receiver that fails in every way, each at least once, in order, exactly as signed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from ml_governance.errors import ConfigurationError, VerificationError
from ml_governance.evidence import outbox
from ml_governance.evidence.predicates import TrainingRun
from ml_governance.evidence.statement import Subject
from ml_governance.integrations import openlineage as ol
from ml_governance.integrations import openlineage_transport as transport
from ml_governance.testing import workspace
from tests.evidence.conftest import ORIGIN, Log, any_log, make_log, note, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["any_log", "postgres"]  # fixtures
RUN = Subject(name="run", sha256="ef" * 32)


def event(number: int) -> dict[str, Any]:
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "producer": "urn:ml-governance:test",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": f"0190a2d0-1111-7222-8333-{number:012d}", "facets": {}},
        "job": {"namespace": "mlgov", "name": "credit"},
        "inputs": [{"namespace": "file", "name": "train", "facets": {}, "inputFacets": {}}],
        "outputs": [],
    }


def write_events(log: Log, count: int) -> list[dict[str, Any]]:
    events = [event(number) for number in range(count)]
    with log.writer() as writer:
        for one in events:
            writer.record(TrainingRun(event=one, capture="observed"), [RUN])
            writer.record(note("something that is no lineage"), [RUN])
    return events


def schema() -> Draft202012Validator | None:
    folder = Path(os.environ.get("MLGOV_SCHEMAS", Path(__file__).resolve().parents[3] / "shared" / "schemas"))
    if not (folder / "openlineage").is_dir():
        assert os.environ.get("CI") != "true", f"CI needs the published OpenLineage schemas in {folder}"
        return None
    core = json.loads((folder / "openlineage" / "OpenLineage.json").read_text())
    registry: Any = Registry().with_resource(core["$id"], Resource.from_contents(core))
    return Draft202012Validator({"$ref": f"{core['$id']}#/$defs/RunEvent"}, registry=registry)


@dataclass
class Receiver:
    """A backend that answers as it is told and validates what it takes."""

    url: str = ""
    answers: list[int | str] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    asked: int = 0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state, validator = Receiver(), schema()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if validator is not None:
                validator.validate(body)
            answer = state.answers.pop(0) if state.answers else 201
            if answer == "hang":
                time.sleep(2)
                return
            status = int(answer)
            if status < 300:
                state.taken.append(body)
                state.keys.append(self.headers.get("Authorization"))
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", state.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/api/v1/lineage"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def send(log: Log, url: str, **options: Any) -> ol.Delivered:
    return ol.deliver(log.ledger, url, clock=log.clock, **options)


def run_ids(events: list[dict[str, Any]]) -> list[str]:
    return [one["run"]["runId"] for one in events]


def test_every_event_arrives_as_it_was_signed(any_log: Log, receiver: Receiver) -> None:
    events = write_events(any_log, 4)
    assert send(any_log, receiver.url).sent == 4
    assert run_ids(receiver.taken) == run_ids(events)
    for one in receiver.taken:
        found = ol.compare_with_log(one, any_log.ledger)
        assert found.log == any_log.ledger.origin
    assert send(any_log, receiver.url).sent == 0
    write_events(any_log, 1)
    assert send(any_log, receiver.url).sent == 1
    assert not any_log.verify().problems


@pytest.mark.parametrize("trouble", [500, 503, 429, 408, 401, 404, 302, 307, "hang", "down"])
def test_a_receiver_in_trouble_delays_and_loses_nothing(
    log: Log, receiver: Receiver, trouble: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TIMEOUT_SECONDS", 0.4)
    events = write_events(log, 3)
    url = receiver.url
    receiver.answers = [201] if trouble == "down" else [201, trouble]
    if trouble == "down":
        assert send(log, url, limit=1).sent == 1
        assert send(log, "http://127.0.0.1:9/" + url.rpartition("/")[2]).stopped
        first = ol.Delivered(destination=url, sent=1, refused=0, stopped="x")
    else:
        first = send(log, url)
    assert (first.sent, bool(first.stopped)) == (1, True)
    assert len(receiver.taken) == 1
    if trouble != "down":
        assert send(log, url).sent == 0, "the next attempt is not due yet"
        (standing,) = outbox.Outbox(log.ledger).standing()
        assert (standing.sent, standing.waiting, standing.failed) == (1, 2, 0)
        assert standing.last_error
    log.clock.advance(timedelta(minutes=1))
    assert send(log, url).sent == 2
    assert run_ids(receiver.taken) == run_ids(events)


def test_an_event_that_the_receiver_refuses_holds_up_no_other(log: Log, receiver: Receiver) -> None:
    events = write_events(log, 3)
    receiver.answers = [201, 400]
    done = send(log, receiver.url)
    assert (done.sent, done.refused, done.stopped) == (2, 1, None)
    assert run_ids(receiver.taken) == [run_ids(events)[0], run_ids(events)[2]]
    (standing,) = outbox.Outbox(log.ledger).standing()
    assert "400" in str(standing.last_error)
    assert outbox.Outbox(log.ledger).retry(transport.shown(receiver.url)) == 1
    assert send(log, receiver.url).sent == 1


def test_the_delays_grow_and_end(log: Log, receiver: Receiver) -> None:
    write_events(log, 1)
    receiver.answers = [500] * 60
    waits = []
    for _ in range(15):
        send(log, receiver.url)
        (standing,) = outbox.Outbox(log.ledger).standing()
        assert standing.next_at is not None
        waits.append(standing.next_at - log.clock())
        log.clock.now = standing.next_at
    assert waits == sorted(waits)
    assert waits[0] == outbox.FIRST_DELAY
    assert waits[-1] == outbox.LONGEST_DELAY


def test_two_senders_share_the_work(any_log: Log, receiver: Receiver) -> None:
    """While one holds an event, another neither sends it nor overtakes it; when it dies, the event comes back."""
    write_events(any_log, 2)
    box, name = outbox.Outbox(any_log.ledger), transport.shown(receiver.url)
    box.plan(name)
    held = box.claim(name, at=any_log.clock(), lease=ol.LEASE)
    assert held is not None
    assert send(any_log, receiver.url).sent == 0
    any_log.clock.advance(ol.LEASE)
    assert send(any_log, receiver.url).sent == 2


SENDER = """
import sys
from datetime import UTC, datetime
from ml_governance.evidence.ledger import Ledger
from ml_governance.integrations import openlineage as ol
ol.deliver(Ledger.open(sys.argv[1]), sys.argv[2], clock=lambda: datetime.now(UTC))
"""


def test_a_killed_sender_is_resumed_by_another_process(log: Log, receiver: Receiver) -> None:
    events = write_events(log, 12)
    receiver.answers = [201, 201, 201, "hang"]
    process = subprocess.Popen([sys.executable, "-c", SENDER, log.url, receiver.url])
    while receiver.asked < 4:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    from datetime import UTC, datetime

    log.clock.now = datetime.now(UTC) + 2 * ol.LEASE
    send(log, receiver.url)
    seen = run_ids(receiver.taken)
    assert list(dict.fromkeys(seen)) == run_ids(events), "each at least once, in order"


def test_keys_and_passwords_are_not_kept(log: Log, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    write_events(log, 1)
    monkeypatch.setenv("OL_KEY", "s3cret")
    url = receiver.url + "?key_env=OL_KEY"
    assert send(log, url).sent == 1
    assert send(log, receiver.url.replace("http://", "http://user:hidden@").replace("v1", "v2")).sent == 1
    assert receiver.keys == ["Bearer s3cret", "Basic dXNlcjpoaWRkZW4="]
    kept = json.dumps([str(one) for one in outbox.Outbox(log.ledger).standing()])
    assert "s3cret" not in kept
    assert "hidden" not in kept
    monkeypatch.delenv("OL_KEY")
    with pytest.raises(ConfigurationError, match="OL_KEY"):
        send(log, url)


def test_an_address_does_not_choose_which_secret_goes_there(
    log: Log, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(log, 1)
    monkeypatch.setenv("MLGOV_PASSPHRASE", "correct horse")
    with pytest.raises(ConfigurationError, match="does not hold a key for OpenLineage"):
        send(log, receiver.url + "?key_env=MLGOV_PASSPHRASE")
    assert not receiver.taken


def test_a_disabled_client_does_not_disable_us(log: Log, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    write_events(log, 1)
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert send(log, receiver.url).sent == 1


def test_an_event_that_the_client_would_change_is_not_sent_changed(log: Log, receiver: Receiver) -> None:
    changed = event(0)
    changed["run"]["facets"]["list"] = [{}, 1]
    with log.writer() as writer:
        writer.record(TrainingRun(event=changed, capture="observed"), [RUN])
    done = send(log, receiver.url)
    assert (done.sent, done.refused) == (0, 1)
    assert not receiver.taken


def test_files_and_console(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(log, 2)
    target = tmp_path / "folder" / "events.jsonl"
    assert send(log, f"file://{target}").stopped
    target.parent.mkdir()
    log.clock.advance(timedelta(minutes=1))
    assert send(log, f"file://{target}").sent == 2
    assert [ol.verify_event(json.loads(line)).index for line in target.read_text().splitlines()]
    assert send(log, "console:").sent == 2
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("url", ["ftp://x/y", "kafka://broker", "lineage.example", "http:///x", ""])
def test_unknown_destinations_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no destination"):
        transport.open_transport(url)


def test_kafka_counts_only_what_was_acknowledged(log: Log) -> None:
    """Against librdkafka's own mock cluster, which speaks the real protocol."""
    pytest.importorskip("confluent_kafka")
    write_events(log, 3)
    good = transport.KafkaTransport("ignored:9092", "lineage", {"test.mock.num.brokers": 1, "log_level": 0})
    assert send(log, "kafka://ignored:9092/lineage", transport=good, limit=2).sent == 2
    good.close()
    dead = transport.KafkaTransport("127.0.0.1:9", "lineage", {"message.timeout.ms": 300, "log_level": 0})
    done = send(log, "kafka://ignored:9092/lineage", transport=dead)
    assert done.sent == 0
    assert "Kafka" in str(done.stopped)


def test_a_changed_event_or_a_borrowed_facet_is_named(log: Log) -> None:
    first, second = event(1), event(2)
    signed = ol.with_attestation(first, log="l", index=4, payload="0" * 64)
    assert ol.verify_event(signed).index == 4
    changed = json.loads(json.dumps(signed))
    changed["job"]["name"] = "other"
    borrowed = json.loads(json.dumps(second))
    borrowed["run"]["facets"][ol.FACET] = signed["run"]["facets"][ol.FACET]
    for wrong in (changed, borrowed, second, {}, {"run": 5}):
        with pytest.raises(VerificationError):
            ol.verify_event(wrong)
    with pytest.raises(VerificationError, match="this log has no event|holds another"):
        ol.compare_with_log(signed, log.ledger)


def test_a_facet_that_points_to_another_runs_entry_is_named(log: Log) -> None:
    """Whoever copies a facet may well compute its digest anew; the entry itself says what was signed."""
    events = write_events(log, 2)
    (index, payload), *_ = [(a.index, a.payload_digest) for a in log.verify().attestations if a.kind == "training-run"]
    assert ol.compare_with_log(ol.with_attestation(events[0], log=ORIGIN, index=index, payload=payload), log.ledger)
    copied = ol.with_attestation(events[1], log=ORIGIN, index=index, payload=payload)
    assert ol.verify_event(copied).index == index
    with pytest.raises(VerificationError, match=f"entry #{index} holds another event"):
        ol.compare_with_log(copied, log.ledger)


@pytest.mark.postgres
def test_the_facet_survives_jsonb(any_log: Log, request: pytest.FixtureRequest) -> None:
    """PostgreSQL's jsonb loses the order of keys and spells numbers anew; so may any backend."""
    signed = event(1)
    signed["run"]["facets"]["numbers"] = {
        "b": 1e-7,
        "a": 0.1,
        "c": 12345.678,
        "z": -0.0,
        "i": 7.0,
    }
    sent = ol.with_attestation(signed, log="l", index=4, payload="0" * 64)
    shuffled = json.loads(json.dumps(sent))
    keys = list(shuffled)
    random.Random(1).shuffle(keys)
    assert ol.verify_event({key: shuffled[key] for key in keys}).index == 4
    if "postgresql" not in any_log.url:
        return
    with any_log.ledger.database.engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT (%s::jsonb)::text", (json.dumps(sent),)).scalar_one()
    assert row != json.dumps(sent)
    assert ol.verify_event(json.loads(row)).index == 4


def test_a_workspace_sends_and_shows(tmp_path: Path, receiver: Receiver) -> None:
    with workspace(tmp_path / "ws", signer="author") as ws, ws.training("credit") as run:
        run.log_params({"depth": 3})
    config = tmp_path / "ws" / "governance.toml"
    config.write_text(config.read_text() + f'\n[openlineage]\ndestinations = ["{receiver.url}"]\n')
    from ml_governance.workspace import open_workspace

    with open_workspace(tmp_path / "ws") as ws:
        assert [one.waiting for one in ws.log.outbox()] == [2]
        assert [one.sent for one in ws.log.send()] == [2]
        assert [one.waiting for one in ws.log.outbox()] == [0]
    assert [one["eventType"] for one in receiver.taken] == ["START", "COMPLETE"]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return make_log(tmp_path / "log")
