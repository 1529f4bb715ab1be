"""The gate in front of a real MLflow server: what it promotes, and what others move behind its back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ml_governance as gov
from ml_governance.errors import VerificationError
from ml_governance.integrations.mlflow import MlflowRegistry
from ml_governance.promote import gate
from ml_governance.testing import FrozenClock
from tests.integrations import browser, mlflow_house
from tests.promote.house import PEOPLE, POLICY, House

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that proxies artifacts, and the folder in which it keeps them."""
    home = tmp_path_factory.mktemp("server")
    with mlflow_house.running(home, port=mlflow_house.free_port()) as url:
        yield url, home / "artifacts"


@pytest.fixture
def house(server: tuple[str, Path], tmp_path: Path) -> House:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "policy.yaml").write_text(POLICY)
    clock = FrozenClock()
    gov.init(
        tmp_path / "ws", project="credit", people=PEOPLE, policy=str(tmp_path / "pack"), registry=f"mlflow+{server[0]}", clock=clock
    ).close()  # fmt: skip
    return House(root=tmp_path / "ws", clock=clock)


def model_name(request: pytest.FixtureRequest) -> str:
    return "credit-" + re.sub(r"[^a-z]", "-", request.node.name)[:40]


def kept(server: tuple[str, Path]) -> Path:
    """Return the newest weights that the server keeps."""
    return max(server[1].rglob("weights.txt"), key=lambda path: path.stat().st_mtime_ns)


def test_promotion_rollback_and_what_others_move(house: House, request: pytest.FixtureRequest) -> None:
    name = model_name(request)
    first, second = house.ready("1", name=name), house.ready("2", name=name)
    for version in (first, second):
        house.approve(version)
        house.promote(version)
    with house.as_(None) as ws:
        registry = ws.registry
        assert isinstance(registry, MlflowRegistry)
        assert registry.alias(name, "production") == "2" and not ws.reconcile()
        registry._client.set_registered_model_alias(name, "production", "1")
        (one,) = ws.reconcile()
        assert (one.found, one.recorded) == ("1", "2")
        registry._client.delete_registered_model_alias(name, "production")
        (one,) = ws.reconcile()
        assert one.found is None and ws.doctor().exit_code == 4
    with house.as_("max") as ws:
        assert ws.rollback(name, stage="production").subject == first
        assert not ws.reconcile() and ws.doctor().exit_code == 0


def test_bytes_that_change_on_the_server_between_gate_and_action_are_not_promoted(
    house: House, server: tuple[str, Path], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = house.ready("the judged weights", name=model_name(request))
    house.approve(version)
    original = gate._act

    def swap(*arguments: object) -> int:
        kept(server).write_text("other weights")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(gate, "_act", swap)
    with pytest.raises(VerificationError, match="has the digest"):
        house.promote(version)
    with house.as_(None) as ws:
        assert ws.registry.alias(model_name(request), "production") is None


def test_bytes_that_change_on_the_server_after_promotion_are_told(
    house: House, server: tuple[str, Path], request: pytest.FixtureRequest
) -> None:
    version = house.ready("the judged weights", name=model_name(request))
    house.approve(version)
    house.promote(version)
    with house.as_(None) as ws:
        assert not ws.reconcile()
        kept(server).write_text("other weights")
        (one,) = ws.reconcile()
    assert "was changed after its promotion" in one.what


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed")
def test_mlflows_sandboxed_frame_shows_the_report(
    house: House, server: tuple[str, Path], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    version = house.ready(name=model_name(request))
    with house.as_("ada") as ws:
        run = ws.show(version)
        experiment = ws.registry.client.get_run(run).info.experiment_id
    report = f"{server[0]}/#/experiments/{experiment}/runs/{run}/artifacts/governance/report.html"
    with browser.page(report, user="ada", password="") as page:
        # The pane is empty until MLflow has fetched the file into a blob: look at the frame, not at the page's load event.
        page.wait("document.querySelector('iframe.mlflow-html-iframe')?.src.startsWith('blob:')")
        size = page.evaluate(
            "(r => [r.width, r.height])(document.querySelector('iframe.mlflow-html-iframe').getBoundingClientRect())"
        )
        with page.frame() as frame:
            frame.wait("document.body?.innerText.includes('Audit report')")
            said = frame.text()
            styled = frame.evaluate("getComputedStyle(document.querySelector('main')).maxWidth")
        page.screenshot(tmp_path / "report.png")
    assert min(size) > 200, size
    assert styled == "960px", "the page's own rules against foreign content must let its own style in"
    assert version.sha256 in said and "1. Summary" in said
