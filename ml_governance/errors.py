"""Every exception that crosses the public API.

::

    GovernanceError                 5  503   something here, or something we depend on, broke
    ├── UsageError                  2  400   the caller can mend it
    │   ├── ConfigurationError               governance.toml, workspace folder, stage, signer
    │   ├── DataError                        tables, columns, labels, predictions, models
    │   ├── PolicyError                      a policy or case file that cannot be accepted
    │   └── KeyFileError                     key files: mode, owner, symlink, contents
    ├── DeniedError                 1  403   a rule said no
    │   ├── NotAuthorizedError               role, project or separation of duties
    │   └── PromotionDeniedError    *   *    the gate did not allow; code follows the decision
    ├── EvidenceError               4  422   evidence is missing, stale or does not verify
    │   ├── CanonicalisationError            content that has no canonical JSON form
    │   ├── VerificationError                signature, digest, chain, tree or checkpoint
    │   └── MissingEvidenceError             nothing recorded about what was asked for
    └── UnavailableError            5  503
        ├── LedgerError                      database: full, locked, read-only, wrong schema
        ├── UnrecordedError                  a training run ended and is no evidence yet; carries what it made
        └── RegistryError                    model registry

The second column is the process exit code, the third the HTTP status. Every message says what was
found, what was expected, and the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ml_governance.decide.decision import Decision


MAX_FOUND = 2000
"""Most characters that an error says of evidence."""


class GovernanceError(Exception):
    """Root of every exception that crosses the API.

    Parameters
    ----------
    found : str
        What was found, as a sentence without the final full stop.
    expected : str, optional
        What would have been right.
    next_step : str, optional
        What the reader can do now.
    """

    exit_code: int = 5
    http_status: int = 503

    def __init__(self, found: str, *, expected: str | None = None, next_step: str | None = None) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(found)

    def __str__(self) -> str:
        parts = [self.found]
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.next_step:
            parts.append(f"next: {self.next_step}")
        return "\n  ".join(parts)


class UsageError(GovernanceError):
    """The call, its data or its configuration is wrong; the caller can mend it."""

    exit_code = 2
    http_status = 400


class ConfigurationError(UsageError):
    """The workspace or its configuration cannot be used."""


class DataError(UsageError):
    """A table, column, label, prediction or model cannot be used."""


class PolicyError(UsageError):
    """A policy or policy case is malformed."""


class KeyFileError(UsageError):
    """A key file is unsafe, unreadable or not what it says."""


class DeniedError(GovernanceError):
    """A rule said no."""

    exit_code = 1
    http_status = 403


class NotAuthorizedError(DeniedError):
    """The proven actor may not do this."""


class PromotionDeniedError(DeniedError):
    """The gate did not allow the promotion; carries the decision.

    Parameters
    ----------
    decision : Decision
        What the gate decided, with every finding.
    """

    HTTP_STATUS: ClassVar[dict[int, int]] = {1: 403, 3: 409, 4: 422}

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        super().__init__(decision.explain())
        self.exit_code = decision.exit_code
        self.http_status = self.HTTP_STATUS[decision.exit_code]


class EvidenceError(GovernanceError):
    """Evidence is missing, stale, or does not verify."""

    exit_code = 4
    http_status = 422

    def __init__(self, found: str, *, expected: str | None = None, next_step: str | None = None) -> None:
        # What was found may be a stranger's, of any length.
        if len(found) > MAX_FOUND:
            found = f"{found[:MAX_FOUND]}... and {len(found) - MAX_FOUND:,} more characters"
        super().__init__(found, expected=expected, next_step=next_step)


class CanonicalisationError(EvidenceError):
    """A value has no canonical JSON form that every reader would agree on."""


class VerificationError(EvidenceError):
    """A signature, digest, chain, tree or checkpoint does not verify."""


class MissingEvidenceError(EvidenceError):
    """Nothing is recorded about what was asked for."""


class UnavailableError(GovernanceError):
    """Something we depend on cannot be used now."""


class LedgerError(UnavailableError):
    """The ledger's database cannot be read or written."""


class RegistryError(UnavailableError):
    """The model registry cannot be read or written."""


class UnrecordedError(UnavailableError):
    """A training run ended, and the ledger or the registry did not take what it made; nothing is lost.

    Parameters
    ----------
    run : TrainingRun
        The run; its ``settle()`` records what waits.

    Attributes
    ----------
    result : object
        What a decorated function returned.
    """

    def __init__(self, found: str, *, expected: str, next_step: str, run: Any) -> None:
        super().__init__(found, expected=expected, next_step=next_step)
        self.run = run
        self.result: Any = None
