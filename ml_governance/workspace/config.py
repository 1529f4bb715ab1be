"""governance.toml: where a workspace keeps things, and which trust root it believes."""

from __future__ import annotations

import os
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml_governance.errors import ConfigurationError
from ml_governance.workspace import pins

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "governance.toml"
MAX_FILE = 16 * 1024
MAX_RETENTION = 36_525
"""Days that content can be kept at most: a hundred years."""
LEDGER_VARIABLE = "MLGOV_LEDGER_URL"
"""Where the log is, instead of what governance.toml says: a database's password belongs into no file that is shared."""


Place = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
"""A path or an address."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class LedgerSection(_Section):
    """Where the log is."""

    url: Place
    origin: str = Field(min_length=1)
    verify: Literal["concerned", "every"] = "concerned"


class TrustSection(_Section):
    """Which root of trust the workspace believes."""

    root: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    file: Place


class KeysSection(_Section):
    """Where the people's keys are."""

    directory: Place


class RegistrySection(_Section):
    """Which model registry: ``mlflow+<tracking uri>`` or ``local:<folder>``."""

    uri: Place


class StageSection(_Section):
    """A stage: the policy file people edit for it, and the registry alias that it moves."""

    policy: str
    alias: str


class OpenLineageSection(_Section):
    """Where signed lineage events are sent to."""

    destinations: tuple[str, ...] = ()


class CostsSection(_Section):
    """What wrong decisions cost."""

    false_positive: float = Field(ge=0)
    false_negative: float = Field(ge=0)


Shares = dict[str, dict[str, Annotated[float, Field(ge=0)]]]
"""Of groups, by column and level."""


class CheckSection(_Section):
    """What ``mlgov check`` does when it is not told otherwise."""

    model: str | None = Field(default=None, min_length=1)
    stage: str = Field(default="production", min_length=1)
    data: Place | None = None
    y_true: str | None = None
    by: tuple[str, ...] = ()
    kinds: tuple[
        Literal["performance", "fairness", "explanation", "robustness", "data-quality", "privacy", "security-scan"], ...
    ] = ()
    task: Literal["binary", "multiclass", "regression"] = "binary"
    costs: CostsSection | None = None
    training: tuple[Place, ...] = ()
    against: str | None = Field(default=None, min_length=1)
    rerun: str | None = Field(default=None, min_length=1)
    population: Shares = Field(default_factory=dict)
    identifiers: tuple[str, ...] = ()
    time: str | None = None
    monotone: dict[str, Literal["+", "-"]] = Field(default_factory=dict)
    shift: Shares = Field(default_factory=dict)
    noise: float | None = Field(default=None, gt=0)
    requirements: Place | None = None
    advisories: Place | None = None
    trusted: tuple[str, ...] = ()
    pos_label: str | int | float | None = None
    background: Place | None = None
    confidence: float = Field(default=0.95, gt=0, lt=1)
    min_group_size: int = Field(default=30, ge=1)
    policy_sha256: str | None = None
    data_sha256: str | None = None


class ServerSection(_Section):
    """What an MLflow server with the ``governed:`` store protects, and who its users are here."""

    models: tuple[Annotated[str, Field(min_length=1)], ...] = ("*",)
    released: dict[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    people: dict[str, str] = Field(default_factory=dict)


class _File(_Section):
    # Defaults are made, not validated: each model that is validated alone has its validator built first.

    version: int = Field(ge=1, le=1)
    project: str = Field(min_length=1)
    ledger: LedgerSection
    trust: TrustSection
    keys: KeysSection
    registry: RegistrySection
    stages: dict[str, StageSection] = Field(min_length=1)
    retention: dict[str, Annotated[int, Field(ge=0, le=MAX_RETENTION)]] = Field(default_factory=dict)
    openlineage: OpenLineageSection = Field(default_factory=OpenLineageSection.model_construct)
    check: CheckSection = Field(default_factory=CheckSection.model_construct)
    server: ServerSection = Field(default_factory=ServerSection.model_construct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A parsed governance.toml, with paths resolved against its folder.

    Parameters
    ----------
    root : Path
        The workspace folder.
    project : str
        Project name, matched against principals and policies.
    origin : str
        The ledger's name.
    ledger_url : str
        SQLAlchemy URL.
    trust_root : str
        ``sha256:...`` of the trust root.
    trust_file, keys : Path
        The published trust file and the folder of key files.
    verify : {'concerned', 'every'}
        Whether decisions verify the entries that are new or concern them, or every entry.
    registry : str
        Registry URI.
    stages : dict of str to StageSection
        Stages by name.
    retention : dict of str to int
        Days for which entries of a kind must be kept; ``default`` is for the others.
    destinations : tuple of str
        URLs to which OpenLineage events are sent.
    check : CheckSection
        What ``mlgov check`` does.
    server : ServerSection
        What a governed MLflow server protects.
    """

    root: Path
    project: str
    origin: str
    ledger_url: str
    trust_root: str
    trust_file: Path
    keys: Path
    registry: str
    stages: dict[str, StageSection]
    retention: dict[str, int] = field(default_factory=dict)
    destinations: tuple[str, ...] = ()
    check: CheckSection = field(default_factory=CheckSection)
    verify: Literal["concerned", "every"] = "concerned"
    server: ServerSection = field(default_factory=ServerSection)

    def stage(self, name: str) -> StageSection:
        """Look a stage up.

        Raises
        ------
        ConfigurationError
            If governance.toml has no such stage.
        """
        try:
            return self.stages[name]
        except KeyError:
            raise ConfigurationError(
                f"there is no stage {name!r} in {self.root / FILE}",
                expected=f"one of {', '.join(sorted(self.stages))}",
            ) from None


def find(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that holds governance.toml.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise ConfigurationError(
        f"no {FILE} in {start} or above it",
        expected="a folder inside a workspace",
        next_step="mlgov init (makes one here), or mlgov demo",
    )


def load(root: Path) -> Config:
    """Read and check governance.toml.

    Raises
    ------
    ConfigurationError
        If it cannot be read, is not TOML, or has missing, unknown or wrong entries.
    VerificationError
        If the environment pins another trust root.
    """
    path = root / FILE
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise ConfigurationError(f"{path} is too large", expected=f"at most {MAX_FILE:,} bytes")
        raw: dict[str, Any] = tomllib.loads(text.decode("utf-8"))
        file = _File.model_validate(raw)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{path}: {problems}", next_step="compare with a file made by mlgov init") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    if len(file.openlineage.destinations) > 1:
        _distinct(path, file.openlineage.destinations)
    unknown = sorted(set(file.server.released.values()) - set(file.stages))
    if unknown:
        raise ConfigurationError(
            f"{path}: server.released names the stage {unknown[0]!r}",
            expected=f"one of {', '.join(sorted(file.stages))}",
        )
    pins.require_root(file.trust.root, path)
    return Config(
        root=root,
        project=file.project,
        origin=file.ledger.origin,
        ledger_url=_anchor(os.environ.get(LEDGER_VARIABLE) or file.ledger.url, "sqlite:///", root),
        trust_root=file.trust.root,
        trust_file=root / file.trust.file,
        keys=root / file.keys.directory,
        registry=_anchor(_anchor(file.registry.uri, "mlflow+sqlite:///", root), "local:", root),
        stages=file.stages,
        retention=dict(file.retention),
        destinations=tuple(one for one in file.openlineage.destinations),
        check=file.check,
        verify=file.ledger.verify,
        server=file.server,
    )


def _distinct(path: Path, destinations: Sequence[str]) -> None:
    """Refuse two destinations that the outbox would keep as one, and so send to only one of them."""
    from ml_governance.integrations.openlineage_transport import shown

    names = [shown(one) for one in destinations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"{path}: {names.count(twice[0])} destinations have the address {twice[0]}",
            expected="addresses that differ in more than a password, a query or what follows 200 characters",
            next_step="give each receiver a path or host name of its own",
        )


def _anchor(uri: str, prefix: str, root: Path) -> str:
    """Make the file path of a URI absolute, so that nothing depends on the current folder."""
    if not uri.startswith(prefix):
        return uri
    return prefix + str((root / uri.removeprefix(prefix)).resolve())


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Write a file that is there whole or not at all, and flushed to disk; text as UTF-8."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
