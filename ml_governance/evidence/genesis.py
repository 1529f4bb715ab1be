"""The beginning of a log: its first entries put the trust file in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.evidence.ledger import Ledger
from ml_governance.evidence.predicates import TrustUpdate
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.trust import TrustFile, sign_trust
from ml_governance.evidence.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from ml_governance.evidence.checkpoint import LogSigner
    from ml_governance.evidence.envelope import Envelope
    from ml_governance.evidence.keys import Signer


def begin(
    url: str,
    *,
    trust: TrustFile,
    root_signers: Sequence[Signer],
    log_signer: LogSigner,
    clock: Callable[[], datetime],
    software: Mapping[str, str],
) -> tuple[Ledger, Envelope]:
    """Make a log whose first fact is who may sign in it.

    Returns
    -------
    ledger : Ledger
        With the root's writer session: opening, trust file, closing.
    envelope : Envelope
        The signed trust file.
    """
    envelope = sign_trust(trust, root_signers)
    ledger = Ledger.create(url, origin=trust.origin, log_signer=log_signer, clock=clock)
    with Writer(ledger, root_signers[0], clock=clock, software=software) as writer:
        writer.record(
            TrustUpdate(version=trust.version, envelope=envelope.to_dict()),
            [Subject(name=f"trust/{trust.version}", sha256=_digest(envelope))],
        )
    return ledger, envelope


def _digest(envelope: Envelope) -> str:
    from ml_governance.evidence.canonical import sha256_hex

    return sha256_hex(envelope.payload)
