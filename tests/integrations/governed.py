"""A small workspace whose models are in MLflow, and its registry store with the gate in it."""

from __future__ import annotations

import shutil
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask

import ml_governance as gov
from ml_governance.evidence.predicates import RegistryRequest
from ml_governance.integrations import mlflow_store
from ml_governance.testing import FrozenClock
from ml_governance.workspace import Person, config
from ml_governance.workspace.gatekeeper import Gatekeeper
from tests.promote.house import PEOPLE, POLICY, House

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what MLflow's own modules do when they are imported
    from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
    from mlflow.exceptions import MlflowException
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

__all__ = ["MlflowException", "ModelVersionTag", "RegisteredModelTag", "SqlAlchemyStore"]

if TYPE_CHECKING:
    from collections.abc import Iterator

STAFF = (
    *PEOPLE,
    Person(id="server", name="MLflow server", roles=("release_manager",)),
    Person(id="mia", name="Mia, whose MLflow user has another name", roles=("release_manager",)),
    Person(id="idle", name="A server that may not promote", roles=("author",)),
)
SECTION = """
[server]
models = ["credit*", "text*", "mlflow-demo*"]
released = { "credit-prod" = "production" }
people = { "mia@bank.example" = "mia" }
"""


@dataclass(slots=True)
class Governed(House):
    """The workspace, and calls on its governed store as an authenticated user makes them."""

    store: Any = None

    @property
    def database(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    def gatekeeper(self, signer: str = "server") -> Gatekeeper:
        return Gatekeeper(config.load(self.root), signer=signer, clock=self.clock)

    def opened(self, signer: str = "server") -> Any:
        self.store = mlflow_store.open_store(self.database, self.gatekeeper(signer))
        return self.store

    def asked(self) -> list[RegistryRequest]:
        with self.as_(None) as ws:
            return [a.content for a in ws.view().of_kind("registry-request") if isinstance(a.content, RegistryRequest)]

    def stands(self, name: str = "credit", alias: str = "production") -> str | None:
        return self.store.get_registered_model(name).aliases.get(alias)


@contextmanager
def user(name: str | None) -> Iterator[None]:
    """A request that MLflow's basic-auth app let through."""
    with flask.Flask("mlflow").test_request_context():
        if name is not None:
            flask.g.mlflow_authenticated_user = name
        yield


def build(folder: Path, registry: str, clock: Any = None) -> Path:
    (folder / "pack").mkdir()
    (folder / "pack" / "policy.yaml").write_text(POLICY)
    root = folder / "ws"
    gov.init(
        root, project="credit", people=STAFF, policy=str(folder / "pack"), registry=registry, clock=clock or FrozenClock()
    ).close()  # fmt: skip
    with (root / "governance.toml").open("a") as file:
        file.write(SECTION)
    return root


def copied(template: Path, target: Path) -> Governed:
    shutil.copytree(template, target)
    house = Governed(root=target, clock=FrozenClock())
    house.opened()
    return house
