"""Making a workspace: keys, a root-signed trust file, a ledger, a policy pack, and governance.toml last.

Everything is built in a temporary folder beside its place. governance.toml, which makes a folder a
workspace, is written after all else is on disk, so an interrupted ``init`` leaves nothing that looks whole.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError
from ml_governance.evidence import genesis, keys, trust
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.charter import Charter
from ml_governance.evidence.checkpoint import LogSigner
from ml_governance.evidence.predicates import PolicyInForce
from ml_governance.evidence.statement import Subject
from ml_governance.evidence.writer import Writer
from ml_governance.workspace import pins
from ml_governance.workspace.config import FILE, write_atomically
from ml_governance.workspace.shipped import controls_beside, packs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ml_governance.evidence.keys import Signer

FOLDER = "governance"
ROOT_KEY = "root.pem"
LOG_KEY = "log.pem"
RETIRED = "retired-"  # before a key file that signs no more, and belongs to no person
TRUST_LIFETIME = timedelta(days=365)
CHARTER = Charter(
    grants={"protect": frozenset({"policy_owner"}), "read": frozenset({"validator"})},
    delegable=frozenset({"validator", "risk_officer", "release_manager"}),
    people=2,
)
"""What a new workspace's root says of roles: `mlgov keys charter` puts another in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Someone who gets a key of their own when a workspace is made.

    Parameters
    ----------
    id : str
        Short id, also the key file's name: letters, digits, ``-``, ``_`` and ``.``.
    name : str
        Name for reports.
    roles : tuple of str
        For example ``("validator",)``. Somebody needs ``policy_owner`` to sign the policy.
    """

    id: str
    name: str
    roles: tuple[str, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.id) or self.id in ("root", "log"):
            raise ConfigurationError(
                f"{self.id!r} cannot be a person's id",
                expected="1 to 64 letters, digits, '.', '-' or '_', and not 'root' or 'log'",
            )


PEOPLE: tuple[Person, ...] = (
    Person(id="author", name="Author", roles=("author",)),
    Person(id="validator", name="Validator", roles=("validator",)),
    Person(id="risk-officer", name="Risk officer", roles=("risk_officer", "policy_owner")),
    Person(id="release-manager", name="Release manager", roles=("release_manager",)),
)
"""Who a workspace has unless it is told: four people, so that no one has to approve their own work."""


def make(
    path: Path,
    *,
    project: str,
    people: Sequence[Person],
    policy: str,
    registry: str | None,
    ledger: str | None,
    clock: Callable[[], datetime],
    software: dict[str, str],
) -> Path:
    """Make a workspace in ``path`` and return its folder.

    Raises
    ------
    ConfigurationError
        If there already is one, the folder cannot be written, nobody may own the policy, or the environment pins a trust root.
    LedgerError
        If the database cannot be written, for example on a full disk.
    """
    pins.require_no_root()
    path = path.resolve()
    for taken in (FILE, FOLDER, "policies"):
        if (path / taken).exists():
            raise ConfigurationError(
                f"{path / taken} already exists",
                expected="a folder without a workspace",
                next_step="use another folder",
            )
    pack = _pack(policy)
    owner = next((person for person in people if "policy_owner" in person.roles), None)
    if owner is None or len({person.id for person in people}) != len(people):
        raise ConfigurationError(
            "nobody has the role policy_owner" if owner is None else "two people have the same id",
            expected="distinct people, one of whom may sign the policy",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=path, prefix=".mlgov-init-"))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", next_step="use another folder"
        ) from error
    placed: list[Path] = []
    try:
        config = _build(building, project, people, owner, pack, registry, ledger, clock, software)
        for name in (FOLDER, "policies"):
            (building / name).rename(path / name)
            placed.append(path / name)
        write_atomically(path / FILE, config)
    except OSError as error:
        _remove(placed)
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", next_step="free space, or use another folder"
        ) from error
    except BaseException:
        _remove(placed)
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return path


def _remove(placed: Sequence[Path]) -> None:
    for folder in placed:
        shutil.rmtree(folder, ignore_errors=True)


def _pack(name: str) -> Path:
    shipped = packs()
    if name in shipped:
        return shipped[name]
    own = Path(name)
    if (own / "policy.yaml").is_file():
        return own.resolve()
    raise ConfigurationError(
        f"there is no policy pack {name!r}",
        expected=f"one of {', '.join(shipped)}, or a folder that holds policy.yaml",
    )


def _build(
    building: Path,
    project: str,
    people: Sequence[Person],
    owner: Person,
    pack: Path,
    registry: str | None,
    database: str | None,
    clock: Callable[[], datetime],
    software: dict[str, str],
) -> str:
    from ml_governance.decide.policy import parse_policy

    home = building / FOLDER
    folder = home / "keys"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    (home / ".gitignore").write_text(
        "# keys are secrets; the database is the service's, not the repository's\n*\n", encoding="utf-8"
    )

    root_signer = keys.generate(folder / ROOT_KEY)
    log_signer = LogSigner.generate(folder / LOG_KEY, name=(origin := f"mlgov.local/{secrets.token_hex(8)}"))
    signers = {person.id: keys.generate(folder / f"{person.id}.pem") for person in people}
    now = clock()
    document = trust.TrustFile(
        version=1,
        origin=origin,
        issued_at=now,
        expires_at=now + TRUST_LIFETIME,
        root_keys=(root_signer.public,),
        root_threshold=1,
        log_keys=(log_signer.public,),
        principals=tuple(_principal(person, signers[person.id], project) for person in people),
        previous=None,
        charter=CHARTER,
    )
    text = (pack / "policy.yaml").read_text(encoding="utf-8")
    policy = parse_policy(text, controls=controls_beside(pack / "policy.yaml").ids)
    shutil.copytree(pack, building / "policies" / pack.name)
    ledger, envelope = genesis.begin(
        database or f"sqlite:///{home / 'ledger.sqlite'}",
        trust=document,
        root_signers=[root_signer],
        log_signer=log_signer,
        clock=clock,
        software=software,
    )
    (home / "trust.json").write_bytes(envelope.to_bytes())
    with ledger, Writer(ledger, signers[owner.id], clock=clock, software=software) as writer:
        digest = sha256_hex(text.encode())
        writer.record(
            PolicyInForce(name=policy.policy, version=policy.version, stage=policy.stage, sha256=digest, text=text),
            [Subject(name=f"policy/{policy.policy}", sha256=digest)],
        )
    return _toml(
        project, origin, document.root_digest, f"policies/{pack.name}/policy.yaml", policy.stage, registry, database
    )


def _principal(person: Person, signer: Signer, project: str) -> trust.Principal:
    return trust.Principal(
        id=person.id,
        name=person.name,
        custodian="local account",
        roles=frozenset(person.roles),
        projects=frozenset({project}),
        keys=(trust.TrustedKey(public=signer.public, valid_from=0, valid_until=None),),
    )


def _toml(
    project: str, origin: str, root: str, policy: str, stage: str, registry: str | None, database: str | None
) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return f"""\
# The workspace of one project. Paths are relative to this file.
version = 1
project = {quoted(project)}

[ledger]
# MLGOV_LEDGER_URL overrides it: a database's password belongs into no file that is shared.
url = {quoted(_without_password(database) or f"sqlite:///{FOLDER}/ledger.sqlite")}
origin = {quoted(origin)}

[trust]
# Compare this with the digest that the root key's holder gave you by another way.
root = {quoted(root)}
file = "{FOLDER}/trust.json"

[keys]
# On one account these keys prove files, not people: see SECURITY.md.
directory = "{FOLDER}/keys"

[registry]
uri = {quoted(registry or f"mlflow+sqlite:///{FOLDER}/mlflow.db")}

[stages.{quoted(stage)}]
# The signed copy in the ledger is in force, not this file: see `mlgov attest --policy`.
policy = {quoted(policy)}
alias = {quoted(stage)}

# For how many days content must be kept before `mlgov log erase` takes it, by kind; leaves and proofs stay for ever.
# [retention]
# default = 3650
# training-run = 365

# What `mlgov check` does in a pipeline; see docs/how-to/ci.md.
# [check]
# data = "data/held-out.parquet"
# y_true = "label"
# by = ["sex", "race"]

# Signed lineage events go there from a durable outbox: `mlgov log outbox --send`.
# [openlineage]
# destinations = ["https://lineage.example/api/v1/lineage?key_env=OPENLINEAGE_KEY"]
"""


def _without_password(url: str | None) -> str | None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if url is None:
        return None
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text is not repeated: it may hold a password.
        raise ConfigurationError(
            "--ledger is not a database's URL",
            expected="postgresql+psycopg://USER@HOST/DATABASE of an empty database",
            next_step="leave it out for SQLite inside the workspace",
        ) from None
    return parsed.set(password=None).render_as_string(hide_password=False)
