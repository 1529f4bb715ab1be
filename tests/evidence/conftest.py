from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ml_governance.evidence import genesis, keys, trust
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import Revocation
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.verify import VerifiedLog, verify
from ml_governance.evidence.writer import Writer
from ml_governance.testing import START, FrozenClock

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.keys import KeySigner

ORIGIN = "mlgov.local/test"
MODEL = Subject(name="model/1", sha256="ab" * 32)
SOFTWARE = {"tests": "1"}


@dataclass
class Log:
    """A log on disk with three entries by ada, and everything needed to attack it."""

    path: Path
    ledger: Ledger
    root: KeySigner
    ada: KeySigner
    eve: KeySigner
    log_signer: LogSigner
    trust: trust.TrustFile
    clock: FrozenClock

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path / 'log.sqlite'}"

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


def make_log(path: Path, entries: int = 3) -> Log:
    path.mkdir(parents=True, exist_ok=True)
    root, ada, eve = (keys.generate(path / f"{name}.pem") for name in ("root", "ada", "eve"))
    log_signer = LogSigner.generate(path / "log.pem", name=ORIGIN)
    clock = FrozenClock()
    document = make_trust(root, log_signer, {"ada": ada})
    ledger, _ = genesis.begin(
        f"sqlite:///{path / 'log.sqlite'}",
        trust=document,
        root_signers=[root],
        log_signer=log_signer,
        clock=clock,
        software=SOFTWARE,
    )
    log = Log(path, ledger, root, ada, eve, log_signer, document, clock)
    with log.writer() as writer:
        for number in range(entries):
            clock.advance(timedelta(seconds=1))
            writer.record(note(f"entry {number}"), [MODEL])
    return log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return make_log(tmp_path / "log")
