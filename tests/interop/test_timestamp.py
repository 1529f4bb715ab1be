"""RFC 3161 against OpenSSL as a local timestamping authority, and what it must refuse."""

from __future__ import annotations

import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import GovernanceError, VerificationError
from ml_governance.evidence import timestamp
from ml_governance.testing import FrozenClock, workspace
from tests.evidence.conftest import MODEL, Log, make_log, note
from tests.workspace.test_custody import record

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("rfc3161_client")
pytestmark = pytest.mark.interop

CONFIG = """
[tsa]
default_tsa = config
[config]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class Authority:
    """A certificate authority and a timestamping authority under it."""

    def __init__(self, folder: Path, *, usage: str = "critical,timeStamping") -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "ext").write_text(f"extendedKeyUsage={usage}\nkeyUsage=critical,digitalSignature\n")
        self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650",
                 "-subj", "/CN=Test CA")  # fmt: skip
        self.run(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test TSA"
        )
        self.run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem",
                 "-days", "3650", "-extfile", "ext")  # fmt: skip

    def run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def answer(self, request: bytes) -> bytes:
        (self.folder / "q.tsq").write_bytes(request)
        self.run("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "q.tsq", "-out", "r.tsr")
        return (self.folder / "r.tsr").read_bytes()

    @property
    def roots(self) -> Path:
        return self.folder / "ca.pem"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    return Authority(tmp_path_factory.mktemp("tsa") / "ca")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return make_log(tmp_path / "log")


def test_a_timestamp_says_when_a_checkpoint_existed(authority: Authority, log: Log, tmp_path: Path) -> None:
    text = log.ledger.checkpoint()
    token = authority.answer(timestamp.request(text))
    roots = timestamp.read_roots(authority.roots.read_bytes())
    assert abs(timestamp.verify(token, text, roots).at - datetime.now(UTC)) < timedelta(minutes=1)
    body = tmp_path / "body"
    body.write_text(text.partition("\n\n")[0] + "\n")
    (authority.folder / "kept.tsr").write_bytes(token)
    authority.run("ts", "-verify", "-data", str(body), "-in", "kept.tsr", "-CAfile", "ca.pem")


def test_a_timestamp_over_something_else_is_refused(authority: Authority, log: Log, tmp_path: Path) -> None:
    text = log.ledger.checkpoint()
    token = authority.answer(timestamp.request(text))
    roots = timestamp.read_roots(authority.roots.read_bytes())
    with log.writer() as writer:
        writer.record(note("more"), [MODEL])
    with pytest.raises(VerificationError, match="does not verify"):
        timestamp.verify(token, log.ledger.checkpoint(), roots)
    other = timestamp.read_roots(Authority(tmp_path / "other").roots.read_bytes())
    with pytest.raises(VerificationError, match="does not verify"):
        timestamp.verify(token, text, other)
    for broken in (b"", token[:-40], token[:50] + bytes(30) + token[80:], b"\x30" * 100_000):
        with pytest.raises(VerificationError):
            timestamp.verify(broken, text, roots)
    with pytest.raises(VerificationError, match="certificate"):
        timestamp.read_roots(b"nothing")


def test_a_certificate_for_another_use_is_no_authority(log: Log, tmp_path: Path) -> None:
    server = Authority(tmp_path / "server", usage="critical,timeStamping,serverAuth")
    text = log.ledger.checkpoint()
    try:
        token = server.answer(timestamp.request(text))
    except subprocess.CalledProcessError:
        return  # openssl itself refuses to sign with it
    with pytest.raises(VerificationError):
        timestamp.verify(token, text, timestamp.read_roots(server.roots.read_bytes()))


@pytest.fixture
def service(authority: Authority) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path == "/tsa" else 503)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_workspace_is_anchored_in_time(authority: Authority, service: str, tmp_path: Path) -> None:
    ws = workspace(tmp_path / "ws", clock=FrozenClock(datetime.now(UTC)))
    size = ws.ledger.size
    ws.log.ask_time(service + "/tsa", authority.roots)
    record(ws, "validator")
    audit = ws.log.verify(authorities=authority.roots)
    assert not audit.verified.problems
    assert [one.size for one in audit.anchored] == [size]
    assert "does not prove that there was nothing newer" in " ".join(audit.verified.notes)
    assert not ws.log.verify().anchored, "without the authority's certificate it proves nothing"
    for wrong in (service + "/down", "http://127.0.0.1:9/", "ftp://x"):
        with pytest.raises(GovernanceError):
            ws.log.ask_time(wrong, authority.roots)
    with ws.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE anchors SET note = replace(note, 'mlgov-index', 'mlgov-xndex')")
    assert ws.log.verify(authorities=authority.roots).verified.problems
