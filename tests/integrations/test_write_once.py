"""A server's artifacts with the files of models written once."""

from __future__ import annotations

import os
import posixpath
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from ml_governance.errors import ConfigurationError, RegistryError
from ml_governance.workspace.parts import utc_now
from tests.integrations import mlflow_server
from tests.integrations.governed import Governed, MlflowException, build
from tests.integrations.mlflow_house import python

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ml_governance.integrations import mlflow_internals
    from ml_governance.integrations.mlflow_artifacts import check_kept, opened

MODEL = f"1/models/m-{'a' * 32}/artifacts"
RUN = f"1/{'b' * 32}/artifacts"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return opened(f"write-once:{tmp_path / 'kept'}")


def put(store: Any, folder: str, text: str, name: str = "MLmodel") -> None:
    """Send a file as the server's handler does."""
    with tempfile.TemporaryDirectory() as sent:
        (Path(sent) / name).write_text(text)
        store.log_artifact(str(Path(sent) / name), folder)


def kept(tmp_path: Path, path: str) -> str:
    return (tmp_path / "kept" / path).read_text()


def test_a_models_file_is_written_once_and_taken_again_only_with_the_same_bytes(store: Any, tmp_path: Path) -> None:
    put(store, MODEL, "first")
    put(store, MODEL, "first")
    with pytest.raises(MlflowException, match="is not overwritten") as raised:
        put(store, MODEL, "other")
    assert raised.value.get_http_status_code() == 403
    assert kept(tmp_path, f"{MODEL}/MLmodel") == "first"


def test_an_upload_that_takes_long_does_not_end_over_what_came_meanwhile(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket shows an upload when it is whole: two that both found nothing there would end one over the other."""
    begun, end, whole = threading.Event(), threading.Event(), store._real.log_artifact

    def slow(local_file: str, artifact_path: str | None = None) -> None:
        if Path(local_file).read_text() == "of long ago":
            begun.set()
            assert end.wait(30)
        whole(local_file, artifact_path)

    monkeypatch.setattr(store._real, "log_artifact", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(put, store, MODEL, "of long ago")
        assert begun.wait(30)
        second = pool.submit(put, opened_again(store, slow), MODEL, "judged")
        wait([second], timeout=0.5)
        overtook = second.done() and second.exception() is None
        end.set()
        assert first.exception() is None
        assert isinstance(second.exception(), MlflowException)
    assert not overtook and kept(tmp_path, f"{MODEL}/MLmodel") == "of long ago"


def opened_again(store: Any, slow: Any) -> Any:
    """Return the repository as another request opens it."""
    again = opened(f"write-once:{store.artifact_uri}")
    again._real.log_artifact = slow
    return again


@pytest.mark.parametrize("put_there", ["a link to a folder", "a link to nothing", "a file"])
def test_what_is_no_folder_of_the_server_orders_no_uploads(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put_there: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    place = tmp_path / "tmp" / f"mlgov-write-once-{os.getuid()}"
    if put_there == "a file":
        place.write_text("")
    else:
        place.symlink_to(tmp_path if put_there == "a link to a folder" else tmp_path / "nothing")
    with pytest.raises(MlflowException, match="is not the server's") as raised:
        put(store, MODEL, "first")
    assert raised.value.get_http_status_code() == 403


@pytest.mark.parametrize(
    "folder",
    [
        f"1//models/m-{'a' * 32}/artifacts",
        f"{MODEL}/.",
        f"1/x/../models/m-{'a' * 32}/artifacts",
        f"/{MODEL}",
        f"{MODEL}/",
    ],
    ids=["two slashes", "a dot", "up and down", "absolute", "a slash behind"],
)
def test_a_second_spelling_of_a_path_is_no_way_round(store: Any, tmp_path: Path, folder: str) -> None:
    put(store, MODEL, "first")
    with pytest.raises(MlflowException) as raised:
        put(store, folder, "other")
    assert 400 <= raised.value.get_http_status_code() < 500
    assert kept(tmp_path, f"{MODEL}/MLmodel") == "first"


@pytest.mark.parametrize("prefix", ["", "workspaces/team/", "elsewhere/deep/"])
def test_wherever_an_experiment_keeps_its_models_they_are_written_once(store: Any, prefix: str) -> None:
    put(store, prefix + MODEL, "first")
    for name in ("MLmodel", "mlmodel"):  # one file, on some file systems
        with pytest.raises(MlflowException, match="is not overwritten"):
            put(store, prefix + MODEL, "other", name)


def test_a_folder_with_one_changed_file_is_refused(store: Any, tmp_path: Path) -> None:
    put(store, f"{MODEL}/data", "weights", "w.bin")
    (tmp_path / "sent" / "data").mkdir(parents=True)
    (tmp_path / "sent" / "data" / "w.bin").write_text("other")
    with pytest.raises(MlflowException, match="is not overwritten"):
        store.log_artifacts(str(tmp_path / "sent"), MODEL)
    assert kept(tmp_path, f"{MODEL}/data/w.bin") == "weights"


@pytest.mark.parametrize(
    "path", ["", "1", "1/models", f"1/models/m-{'a' * 32}", MODEL, f"{MODEL}/MLmodel", "workspaces/team"]
)
def test_nothing_that_may_hold_a_model_is_deleted(store: Any, tmp_path: Path, path: str) -> None:
    put(store, MODEL, "first")
    with pytest.raises(MlflowException, match="not deleted over HTTP") as raised:
        store.delete_artifacts(path)
    assert raised.value.get_http_status_code() == 403 and kept(tmp_path, f"{MODEL}/MLmodel") == "first"


def test_a_run_in_whose_folder_an_experiment_keeps_models_is_not_deleted(store: Any, tmp_path: Path) -> None:
    put(store, f"{RUN}/{MODEL}", "first")
    for folder in (RUN, f"{RUN}/1/models"):
        with pytest.raises(MlflowException, match="not deleted over HTTP"):
            store.delete_artifacts(folder)
    assert kept(tmp_path, f"{RUN}/{MODEL}/MLmodel") == "first"


def test_a_file_does_not_take_the_place_of_a_models_folder(store: Any, tmp_path: Path) -> None:
    put(store, f"{MODEL}/data", "first")
    for folder, name in (posixpath.split(MODEL), (MODEL, "data")):
        with pytest.raises(MlflowException, match="is not overwritten"):
            put(store, folder, "other", name)
    assert kept(tmp_path, f"{MODEL}/data/MLmodel") == "first"


@pytest.mark.parametrize(
    "uri",
    [
        f"mlflow-artifacts:/{RUN}/model",
        f"mlflow-artifacts:/{RUN}/{MODEL}",
        f"mlflow-artifacts:/1/{'B' * 32}/artifacts/{MODEL}",
        f"mlflow-artifacts:/{RUN.replace('/', '%2F')}/{MODEL}",
        f"mlflow-artifacts:/{RUN.replace('/', '%252F')}/{MODEL}",
        f"mlflow-artifacts:/1/traces/tr-1/artifacts/{MODEL}",
        f"file:///srv/artifacts/{MODEL}",
        f"/srv/artifacts/{MODEL}",
        f"s3://models/mlflow/{MODEL}",
    ],
)
def test_a_version_in_a_place_that_a_run_can_write_to_is_not_judged(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mlflow_internals.DESTINATION, "write-once:/srv/artifacts")
    with pytest.raises(RegistryError, match="can be changed through this server"):
        check_kept(uri)
    for place in (MODEL, f"workspaces/team/{MODEL}", f"team/{MODEL}"):
        check_kept(f"mlflow-artifacts:/{place}")
    monkeypatch.setenv(mlflow_internals.DESTINATION, "/srv/artifacts")
    check_kept(uri)


def test_the_servers_places_are_read_where_mlflow_keeps_them() -> None:
    from mlflow.server import ARTIFACT_ROOT_ENV_VAR, ARTIFACTS_DESTINATION_ENV_VAR

    assert (mlflow_internals.DESTINATION, mlflow_internals.ROOT) == (
        ARTIFACTS_DESTINATION_ENV_VAR,
        ARTIFACT_ROOT_ENV_VAR,
    )


def test_bytes_that_lie_here_do_not_speak_for_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mlflow_internals.ROOT, "mlflow-artifacts://own.example:5000/")
    with pytest.raises(RegistryError, match=r"elsewhere\.example, which is another server"):
        mlflow_internals.artifacts(f"mlflow-artifacts://elsewhere.example/{MODEL}", tmp_path)


def test_what_a_run_has_is_overwritten_and_deleted_as_before(store: Any, tmp_path: Path) -> None:
    for text in ("first", "second"):
        put(store, RUN, text, "table.json")
    assert kept(tmp_path, f"{RUN}/table.json") == "second"
    assert [one.path for one in store.list_artifacts(RUN)] == [f"{RUN}/table.json"]
    assert Path(store.download_artifacts(f"{RUN}/table.json")).read_text() == "second"
    store.delete_artifacts(f"{RUN}/table.json")
    assert store.list_artifacts(RUN) == []


def test_a_place_that_is_none_is_refused() -> None:
    for uri in ("write-once:", "write-once:write-once:/srv", "/srv"):
        with pytest.raises(ConfigurationError, match="are to be kept at"):
            opened(uri)


LOG = """
import mlflow, mlflow.sklearn, numpy as np, sys
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run():
    model = LogisticRegression().fit(np.arange(10)[:, None], [0] * 5 + [1] * 5)
    made = mlflow.sklearn.log_model(model, name="fitted", pip_requirements=[], registered_model_name="plain", input_example=np.ones((1, 1)))
    mlflow.log_dict({"a": 1}, "notes.json")
    mlflow.log_dict({"a": 2}, "notes.json")
print(mlflow.sklearn.load_model("models:/plain/1").predict([[9]])[0], made.model_id)
"""


@pytest.mark.full
@pytest.mark.server
@pytest.mark.filterwarnings("ignore")
def test_a_server_keeps_promoted_bytes_over_http_and_clients_log_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = mlflow_server.free_port()
    root = build(tmp_path, f"mlflow+http://127.0.0.1:{port}", clock=utc_now)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow_server.PASSWORD)
    with mlflow_server.running(tmp_path, port, workspace=root, users=("max", "ada"), artifacts="write-once:") as server:
        done = python(
            LOG, server.url, path=os.pathsep.join(mlflow_server.entry_points(tmp_path / "more")), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        house = Governed(root=root, clock=utc_now)  # type: ignore[arg-type]
        house.approve(house.ready("1"))
        alias = {"name": "credit", "alias": "production", "version": "1"}
        answer = server.call("POST", "/api/2.0/mlflow/registered-models/alias", alias)
        assert answer.status == 200, answer
        where = server.call("GET", "/api/2.0/mlflow/model-versions/get-download-uri?name=credit&version=1").json
        place = where["artifact_uri"].removeprefix("mlflow-artifacts:/").strip("/")
        (weights,) = (tmp_path / "artifacts").rglob("weights.txt")
        for name in ("weights.txt", "./weights.txt", "%2e/weights.txt", "/weights.txt"):
            for prefix in ("/api", "/ajax-api"):
                for user in ("max", mlflow_server.ADMIN):
                    answer = server.call(
                        "PUT", f"{prefix}/2.0/mlflow-artifacts/artifacts/{place}/{name}", data=b"other", user=user
                    )
                    assert 400 <= answer.status < 500, (name, answer)
        assert (
            "is not overwritten"
            in server.call("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/weights.txt", data=b"other").body
        )
        for gone in (place, f"{place}/weights.txt"):
            answer = server.call("DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{gone}", user=mlflow_server.ADMIN)
            assert answer.status == 403, answer
        for part in ("create", "complete", "abort"):
            answer = server.call(
                "POST", f"/api/2.0/mlflow-artifacts/mpu/{part}/{place}", {"path": "weights.txt", "num_parts": 1}
            )
            assert answer.status in (400, 404, 501), answer
        assert weights.read_text() == "1"
        with house.as_(None) as ws:
            assert not ws.reconcile()
        assert "can be changed through this server" in promoted_inside_a_run(server, tmp_path / "artifacts")


def promoted_inside_a_run(server: mlflow_server.Server, kept_at: Path) -> str:
    """Keep a model where a run of one's own writes by another name of the same folder; ask for its promotion."""
    api = "/api/2.0/mlflow"

    def made(what: str, **body: str) -> Any:
        answer = server.call("POST", f"{api}/{what}", body)
        assert answer.status == 200, answer
        return answer.json

    outer = made("experiments/create", name="outer", artifact_location=f"file://{kept_at}/zzz")["experiment_id"]
    run = made("runs/create", experiment_id=outer)["run"]["info"]["run_id"]
    inner = made("experiments/create", name="inner", artifact_location=f"mlflow-artifacts:/zzz/{run}/artifacts")
    model = made("logged-models", experiment_id=inner["experiment_id"], name="x")["model"]["info"]
    for text in (b"1", b"other"):  # as often as one likes
        path = f"models/{model['model_id']}/artifacts/weights.txt"
        put = server.call("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}", data=text)
        assert put.status == 200, put
    version = made("model-versions/create", name="credit", source=model["artifact_uri"], model_id=model["model_id"])[
        "model_version"
    ]["version"]
    answer = server.call(
        "POST", f"{api}/registered-models/alias", {"name": "credit", "alias": "production", "version": version}
    )
    assert answer.status == 403, answer
    return answer.body
