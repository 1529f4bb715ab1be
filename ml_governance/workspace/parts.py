"""What a workspace is wired from: a clock, a signer, a ledger and a registry, each from its configuration."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import ml_governance
from ml_governance.errors import ConfigurationError, KeyFileError
from ml_governance.evidence import keys
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.ledger import Ledger
from ml_governance.workspace import secrets, setup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.keys import Signer
    from ml_governance.evidence.statement import Subject
    from ml_governance.evidence.wire import Content
    from ml_governance.evidence.writer import Writer
    from ml_governance.promote.registry import Registry
    from ml_governance.workspace.config import Config
    from ml_governance.workspace.session import Workspace

SIGNER_VARIABLE = "MLGOV_SIGNER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """A writer, and the session that is closed with it if it was opened for it."""

    writer: Writer
    owner: Workspace | None

    def record_all(self, records: Sequence[tuple[Content, Sequence[Subject]]]) -> tuple[Receipt, ...]:
        """Sign and append all or none."""
        return self.writer.record_all(records)

    def close(self) -> None:
        """Close the session if it is this thread's own."""
        if self.owner is not None:
            self.owner.close()


def utc_now() -> datetime:
    """Return the present in UTC; the only clock that a workspace has, unless it is given another."""
    return datetime.now(UTC)


def software() -> dict[str, str]:
    """Return what wrote a record: this library's version and the Python version."""
    return {"ml-governance": ml_governance.__version__, "python": platform.python_version()}


def load_signer(config: Config, signer: str | Path) -> Signer:
    """Load the key of a person of the workspace, or a key file from elsewhere.

    Raises
    ------
    ConfigurationError
        If there is no such person.
    KeyFileError
        If the key file is unsafe or unreadable.
    """
    path = signer_path(config, signer)
    if path.suffix == ".uri":
        return _in_a_service(path)
    return keys.load(path, passphrase=lambda: secrets.passphrase(path.stem))


def signer_path(config: Config, signer: str | Path) -> Path:
    """Return where the key of a person of the workspace is, or the key file that was named.

    Raises
    ------
    ConfigurationError
        If there is no such person.
    """
    path = config.keys / f"{signer}.pem"
    if isinstance(signer, Path) or not path.exists():
        path = Path(signer).expanduser()
        kept = config.keys / f"{signer}.uri"
        if not path.exists() and kept.exists():
            path = kept
    if not path.exists() and len(path.parts) == 1:
        others = (setup.ROOT_KEY, setup.LOG_KEY)
        files = (file for pattern in ("*.pem", "*.uri") for file in config.keys.glob(pattern))
        known = sorted(f.stem for f in files if f.name not in others and not f.name.startswith(setup.RETIRED))
        raise ConfigurationError(
            f"there is no key for {str(signer)!r} in {config.keys}",
            expected=f"one of {', '.join(known)}, or a key file",
            next_step=f"move it there, or mlgov keys new {path.stem} --out {config.keys}, and the root's holder: mlgov keys trust PUBLIC",
        )
    return path


def _in_a_service(path: Path) -> Signer:
    try:
        value = json.loads(keys.read_secret(path))
        return keys.UriSigner(value["uri"], keys.public_from_pem(value["public"]), secret=secrets.pin)
    except (ValueError, KeyError, TypeError) as error:
        raise KeyFileError(
            f"{path} has a wrong form: {error}", expected="a file made by mlgov keys new --uri"
        ) from error


def load_log_signer(config: Config, file: str = setup.LOG_KEY) -> LogSigner:
    """Load the key that signs checkpoints, or another one of the log's from the key folder."""
    return LogSigner.load(
        config.keys / file, name=config.origin, passphrase=lambda: secrets.passphrase("the log's key")
    )


def open_ledger(
    config: Config, *, writing: bool, clock: Callable[[], datetime] = utc_now, log_signer: LogSigner | None = None
) -> Ledger:
    """Open the workspace's log, with the log's key only if something may be written, or with another key of the log's.

    Raises
    ------
    ConfigurationError
        If the database holds the log of another workspace.
    LedgerError
        If it cannot be read.
    """
    if log_signer is None and writing:
        log_signer = load_log_signer(config)
    ledger = Ledger.open(config.ledger_url, log_signer=log_signer, clock=clock)
    if ledger.origin != config.origin:
        ledger.close()
        raise ConfigurationError(
            f"the ledger at {ledger.place} belongs to {ledger.origin}",
            expected=f"the ledger of this workspace, {config.origin}",
            next_step="restore this workspace's own ledger, or open the other workspace",
        )
    return ledger


def open_registry(uri: str) -> Registry:
    """Return the registry that a URI names.

    Raises
    ------
    ConfigurationError
        If the URI is of no known kind.
    """
    if uri.startswith("local:"):
        from ml_governance.promote.registry import LocalRegistry

        return LocalRegistry(Path(uri.removeprefix("local:")))
    if uri.startswith("mlflow+"):
        from ml_governance.integrations.mlflow import MlflowRegistry

        return MlflowRegistry(uri.removeprefix("mlflow+"))
    raise ConfigurationError(
        f"the registry {uri!r} is of no known kind", expected="mlflow+<tracking uri> or local:<folder>"
    )


def here(part: object) -> Workspace:
    """Return the workspace that a part of one belongs to: the parts are classes that only it has."""
    return cast("Workspace", part)
