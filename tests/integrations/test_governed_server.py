"""The governed store in a real MLflow server with basic authentication: clients as they are, plain HTTP, the UI, admins."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.workspace.parts import utc_now
from tests.integrations import browser, mlflow_server
from tests.integrations.governed import Governed, MlflowException, build
from tests.integrations.mlflow_server import ADMIN, PASSWORD, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.filterwarnings("ignore")]
USERS = ("max", "ada", "vera", "nobody", "mia", "mia@bank.example", "server")
ALIAS = "/api/2.0/mlflow/registered-models/alias"


@dataclass(slots=True)
class Site:
    """A server, the workspace that governs it, and what was trained there."""

    server: Server
    house: Governed

    def client(self, user: str) -> Any:
        """MLflow's own client, as a user."""
        from mlflow import MlflowClient

        os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        return MlflowClient(tracking_uri=self.server.url, registry_uri=self.server.url)

    def alias(self, name: str = "credit") -> str | None:
        found = self.server.call("GET", f"/api/2.0/mlflow/registered-models/get?name={name}").json["registered_model"]
        return {one["alias"]: one["version"] for one in found.get("aliases", ())}.get("production")

    def promote(self, version: str, name: str = "credit", user: str = "max") -> mlflow_server.Answer:
        return self.server.call("POST", ALIAS, {"name": name, "alias": "production", "version": version}, user=user)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """credit/1 is approved, credit/2 is not; credit-over/1 and credit-both/1 and /2 are."""
    home, port = tmp_path_factory.mktemp("site"), mlflow_server.free_port()
    root = build(home, f"mlflow+http://127.0.0.1:{port}", clock=utc_now)
    before = dict(os.environ)
    with mlflow_server.running(home, port, workspace=root, users=USERS) as server:
        house = Governed(root=root, clock=utc_now)  # type: ignore[arg-type]
        made = Site(server=server, house=house)
        made.client("ada")
        for name, weights in (("credit", "1"), ("credit-over", "o"), ("credit-both", "b"), ("credit-both", "c")):
            house.approve(house.ready(weights, name=name))
        house.ready("2")
        yield made
    os.environ.clear()
    os.environ |= before


def test_an_unmodified_client_is_refused_once_and_told_why(site: Site) -> None:
    began, calls = time.monotonic(), site.server.log().count(f"{ALIAS} HTTP")
    with pytest.raises(MlflowException) as raised:
        site.client("max").set_registered_model_alias("credit", "production", "2")
    assert raised.value.error_code == "PERMISSION_DENIED"
    assert "waiting for: an approval in the role validator" in str(raised.value)
    assert "mlgov approve credit/2 --stage production" in str(raised.value)
    assert site.server.log().count(f"{ALIAS} HTTP") == calls + 1 and time.monotonic() - began < 30
    assert site.alias() is None


@pytest.mark.parametrize("prefix", ["/api", "/ajax-api"])
@pytest.mark.parametrize("user", ["max", "nobody", ADMIN])
def test_no_route_and_no_user_of_the_server_goes_round_the_gate(site: Site, prefix: str, user: str) -> None:
    at = f"{prefix}/2.0/mlflow"
    body = {"name": "credit", "version": "2"}
    for method, path, sent in (
        ("POST", "registered-models/alias", {**body, "alias": "production"}),
        ("POST", "model-versions/transition-stage", {**body, "stage": "Production", "archive_existing_versions": True}),
        ("POST", "model-versions/create", {"name": "credit-prod", "source": "models:/credit/2"}),
        ("POST", "model-versions/set-tag", {**body, "key": "mlgov.sha256", "value": "0" * 64}),
        ("POST", "registered-models/rename", {"name": "credit", "new_name": "free"}),
        ("DELETE", "registered-models/delete", {"name": "credit-prod"}),
    ):
        answer = site.server.call(method, f"{at}/{path}", sent, user=user)
        assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED"), (path, answer)
    assert site.alias() is None
    asked = site.house.asked()[-6:]
    assert {one.user for one in asked} == {user} and {one.outcome for one in asked} == {"refused"}


def test_nobody_is_let_in_without_a_password(site: Site) -> None:
    assert (
        site.server.call("POST", ALIAS, {"name": "credit", "alias": "production", "version": "1"}, user=None).status
        == 401
    )
    forged = {"Authorization": "Basic bWF4Ondyb25n"}  # max:wrong
    answer = site.server.call(
        "POST", ALIAS, {"name": "credit", "alias": "production", "version": "1"}, user=None, headers=forged
    )
    assert answer.status == 401 and site.alias() is None


@pytest.mark.parametrize(
    ("user", "version", "told"),
    [
        ("mia", "1", "says that mia@bank.example is"),
        ("server", "1", "bears the id of this server"),
        ("mia@bank.example", "2", "waiting for: an approval"),
    ],
)
def test_a_user_who_was_named_like_somebody_in_the_trust_file_is_not_that_person(
    site: Site, user: str, version: str, told: str
) -> None:
    answer = site.promote(version, user=user)
    assert answer.status == 403 and told in answer.json["message"], answer
    assert site.alias() is None and site.house.asked()[-1].user == user


@pytest.mark.parametrize(
    "data",
    [
        b'{"name": "other", "name": "credit", "alias": "production", "version": "2"}',
        b'{"name": "credit", "alias": "challenger", "alias": "production", "version": "2"}',
        b'{"name": "credit", "alias": "production", "version": "1", "version": "2"}',
        json.dumps(json.dumps({"name": "credit", "alias": "production", "version": "2"})).encode(),
        json.dumps(json.dumps(json.dumps({"name": "credit", "alias": "production", "version": "2"}))).encode(),
        b'{"name": "\\u0063redit", "alias": "\\u0070roduction", "version": "2"}',
        b'{"name": "credit", "alias": "production", "version": 2}',
        b'{"name": "credit", "alias": "production", "version": "02"}',
        b'{"name": "credit", "alias": "Production", "version": "2"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [ALIAS, "/api/2.0/mlflow/registered-models/al%69as", f"{ALIAS}?name=other"])
def test_no_way_of_writing_a_request_goes_round_the_gate(site: Site, data: bytes, path: str) -> None:
    answer = site.server.call("POST", path, data=data)
    assert 400 <= answer.status < 500, answer
    assert site.alias() is None


def test_artifacts_overwritten_through_the_proxy_are_not_promoted(site: Site) -> None:
    version = site.server.call("GET", "/api/2.0/mlflow/model-versions/get-download-uri?name=credit-over&version=1").json
    place = version["artifact_uri"].removeprefix("mlflow-artifacts:/")
    put = site.server.call(
        "PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/weights.txt", data=b"other weights",
        headers={"Content-Type": "application/octet-stream"},
    )  # fmt: skip
    assert put.status == 200, put
    answer = site.promote("1", "credit-over")
    assert answer.status == 403 and "which was registered and judged under that name" in answer.body
    assert site.alias("credit-over") is None


def test_a_prompts_text_does_not_change_over_plain_http(site: Site) -> None:
    client = site.client("ada")
    client.create_prompt("text-hello")
    client.create_prompt_version("text-hello", "Hello")
    tag = {"name": "text-hello", "version": "1", "key": "mlflow.prompt.text", "value": "Obey"}
    assert site.server.call("POST", "/api/2.0/mlflow/model-versions/set-tag", tag, user=ADMIN).status == 403
    assert site.promote("1", "text-hello").status == 403
    assert client.get_prompt_version("text-hello", "1").template == "Hello"


def test_latest_of_a_released_name_is_only_what_was_approved(site: Site) -> None:
    client = site.client("max")
    with pytest.raises(MlflowException, match="waiting for"):
        client.copy_model_version("models:/credit/2", "credit-prod")
    source = client.get_model_version_download_uri("credit", "1")
    direct = {"name": "credit-prod", "source": source, "model_id": source.split("/")[-2]}
    answer = site.server.call("POST", "/api/2.0/mlflow/model-versions/create", direct, user=ADMIN)
    assert answer.status == 403 and "no registered version that was judged" in answer.body, answer
    copied = client.copy_model_version("models:/credit/1", "credit-prod")
    assert str(copied.version) == "1"
    with pytest.raises(MlflowException, match="waiting for"):
        client.copy_model_version("models:/credit/2", "credit-prod")
    assert [one.source for one in client.search_model_versions("name='credit-prod'")] == ["models:/credit/1"]


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed")
def test_the_uis_promote_button_shows_the_refusal_and_copies_nothing(site: Site, tmp_path: Path) -> None:
    with browser.page(f"{site.server.url}/#/models/credit/versions/2", user="max", password=PASSWORD) as page:
        page.click("Promote model")
        page.press_at("document.querySelector('#selectedModel')")
        page.click("credit-prod", role="[class*=select-item-option]")
        page.click("Promote")
        page.wait("document.body.innerText.includes('PERMISSION_DENIED')")
        page.screenshot(tmp_path / "refused.png")
        said = page.text()
    assert "waiting for: an approval in the role validator" in said
    assert "mlgov approve credit/2 --stage production" in said
    found = site.client("max").search_model_versions("name='credit-prod'")
    assert "models:/credit/2" not in [one.source for one in found]


def test_a_gate_without_its_log_refuses_with_a_status_that_nobody_tries_again(site: Site) -> None:
    ledger = site.house.root / "governance" / "ledger.sqlite"
    away = ledger.with_name("away.sqlite")
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.rename(away)
    try:
        began = time.monotonic()
        with pytest.raises(MlflowException) as raised:
            site.client("max").set_registered_model_alias("credit", "production", "1")
        assert raised.value.error_code == "PERMISSION_DENIED" and "not in the log" in str(raised.value)
        assert time.monotonic() - began < 30
        assert (
            site.server.call(
                "DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": "credit", "version": "2"}
            ).status
            == 403
        )
    finally:
        away.rename(ledger)
    assert site.alias() is None


def test_of_two_promotions_at_once_over_http_the_log_and_the_alias_tell_the_same(site: Site) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda version: site.promote(version, "credit-both").status, ["1", "2"]))
    assert set(answers) <= {200, 403} and 200 in answers
    done = [version for version, status in zip("12", answers, strict=True) if status == 200]
    assert site.alias("credit-both") in done
    site.client("max")
    with site.house.as_(None) as ws:
        assert not ws.reconcile()


def test_our_own_promote_passes_the_server_that_checks_it_again(site: Site) -> None:
    site.client("max")
    site.house.promote("credit/1")
    assert site.alias() == "1"
    asked = site.house.asked()[-1]
    assert asked.outcome == "allowed" and "announced by max" in (asked.detail or "")
    deleted = site.server.call("DELETE", ALIAS, {"name": "credit", "alias": "production"}, user=ADMIN)
    assert deleted.status == 403 and "mlgov revoke credit/1" in deleted.body
    assert (
        site.server.call("DELETE", "/api/2.0/mlflow/registered-models/delete", {"name": "credit"}, user=ADMIN).status
        == 403
    )
    with site.house.as_(None) as ws:
        assert not ws.reconcile() and ws.doctor().exit_code in (0, 3)


def test_no_job_of_mlflows_and_no_demo_goes_round_the_gate(site: Site) -> None:
    """What the server's own code does in the registry, on its own behalf: prompts with the alias of a stage."""
    site.server.call("POST", "/ajax-api/3.0/mlflow/demo/generate", {}, user="nobody")
    prompts = "/api/2.0/mlflow/registered-models/search?filter=tags.%60mlflow.prompt.is_prompt%60%20%3D%20%27true%27"
    found = site.server.call("GET", prompts, user=ADMIN).json["registered_models"]
    names = [one["name"] for one in found if one["name"].startswith("mlflow-demo")]
    assert names
    assert [site.alias(name) for name in names] == [None] * len(names)


@pytest.mark.full
def test_a_server_on_which_any_user_could_read_its_key_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS", "true")
    port = mlflow_server.free_port()
    root = build(tmp_path, f"mlflow+http://127.0.0.1:{port}", clock=utc_now)
    with (
        pytest.raises(AssertionError, match="whoever may write to an experiment runs programs as this server"),
        mlflow_server.running(tmp_path, port, workspace=root, users=()) as server,
    ):
        raise RuntimeError(f"{server.url} runs a custom scorer of any user's with the server's key")


def test_no_request_of_all_these_was_answered_with_a_servers_error(site: Site) -> None:
    assert not [line for line in site.server.log().splitlines() if ' HTTP/1.1" 5' in line]
