"""What MLflow downloads from ``models:`` is verified: without a server, so that it can be asked often."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import ml_governance as gov
from ml_governance.errors import UsageError
from ml_governance.testing import FrozenClock
from tests.promote.house import PEOPLE, POLICY, House

DOWNLOAD = """
import json, sys, logging, warnings
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
import mlflow, mlflow.artifacts
tracking, *asked = json.loads(sys.argv[1])
mlflow.set_tracking_uri(tracking)
told = []
for uri, target in asked:
    try:
        told.append(["loaded", mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=target)])
    except Exception as error:
        told.append([type(error).__name__, str(error)])
print("TOLD" + json.dumps(told))
"""
ON = {"MLGOV_VERIFY_LOAD": "1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> House:
    """credit/1 is in production, credit/2 was never promoted; the clock is that of the machine, which loaders ask."""
    folder, clock = tmp_path_factory.mktemp("loading"), FrozenClock(datetime.now(UTC) - timedelta(minutes=5))
    (folder / "pack").mkdir()
    (folder / "pack" / "policy.yaml").write_text(POLICY)
    gov.init(folder / "ws", project="credit", people=PEOPLE, policy=str(folder / "pack"), clock=clock).close()
    house = House(root=folder / "ws", clock=clock)
    first = house.ready("1")
    house.approve(first)
    house.promote(first)
    house.train("2")
    return house


def download(
    house: House, installed: dict[str, str], settings: dict[str, str], *asked: tuple[str, Path | None]
) -> list[list[str]]:
    tracking = f"sqlite:///{house.root / 'governance' / 'mlflow.db'}"
    request = json.dumps([tracking, *((uri, None if target is None else str(target)) for uri, target in asked)])
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, request], env={**installed, "MLGOV_WORKSPACE": str(house.root), **settings},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("TOLD")), None)
    assert line is not None, done.stdout + done.stderr
    found: list[list[str]] = json.loads(line.removeprefix("TOLD"))
    return found


def test_what_was_promoted_comes_whole_or_in_part_and_what_was_not_does_not(
    made: House, installed: dict[str, str], tmp_path: Path
) -> None:
    for name in ("clean", "dirty"):
        (tmp_path / name).mkdir()
    (tmp_path / "dirty" / "sitecustomize.py").write_text("x")
    whole, part, clean, dirty, other = download(
        made, installed, ON, ("models:/credit@production", None), ("models:/credit/1/weights.txt", None),
        ("models:/credit/1", tmp_path / "clean"), ("models:/credit/1", tmp_path / "dirty"), ("models:/credit/2/weights.txt", None),
    )  # fmt: skip
    assert [one[0] for one in (whole, part, clean)] == ["loaded"] * 3
    assert Path(part[1]).read_text() == "1" and (tmp_path / "clean" / "weights.txt").read_text() == "1"
    assert dirty[0] == "VerificationError" and "other files than the model's" in dirty[1]
    assert other[0] == "MissingEvidenceError"


def test_a_link_where_a_model_is_downloaded_to_leads_nowhere(
    made: House, installed: dict[str, str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.txt").symlink_to(mine)
    answers = download(
        made,
        installed,
        ON,
        ("models:/credit/1", tmp_path / "whole"),
        ("models:/credit/1/weights.txt", tmp_path / "part"),
    )
    assert [one[0] for one in answers] == ["DataError", "VerificationError"]
    assert mine.read_text() == "mine"


def test_what_is_loaded_is_a_copy_in_which_nobody_else_writes(made: House, installed: dict[str, str]) -> None:
    ((told, path),) = download(made, installed, ON, ("models:/credit/1", None))
    with made.as_(None) as ws:
        source = ws.registry.artifact("credit", "1")
    assert told == "loaded" and Path(path) != source and (Path(path) / "weights.txt").read_text() == "1"
    assert (
        next(parent for parent in (Path(path), *Path(path).parents) if parent.name.startswith("mlgov-load-"))
        .stat()
        .st_mode
        & 0o077
        == 0
    )


def test_a_new_file_in_a_released_model_is_caught_when_a_part_of_it_is_loaded(
    made: House, installed: dict[str, str]
) -> None:
    with made.as_(None) as ws:
        file = ws.registry.artifact("credit", "1") / "code.py"
    file.write_text("print()")
    try:
        asked: list[tuple[str, Path | None]] = [("models:/credit/1", None), ("models:/credit/1/weights.txt", None)]
        assert [one[0] for one in download(made, installed, ON, *asked)] == ["MissingEvidenceError"] * 2
        assert [one[0] for one in download(made, installed, {}, *asked)] == ["loaded"] * 2
    finally:
        file.unlink()


def test_a_typing_error_turns_verification_on(made: House, installed: dict[str, str]) -> None:
    settings = {"MLGOV_VERIFY_LOAD": "ture"}
    assert download(made, installed, settings, ("models:/credit/2", None))[0][0] == "MissingEvidenceError"


def test_a_path_that_leads_out_of_a_model_is_refused() -> None:
    from ml_governance.plugins import verified_repository

    for path in ("../x", "/etc/passwd", "a/../../b"):
        with pytest.raises(UsageError, match="leads out of the model"):
            verified_repository._inside(path)
    assert str(verified_repository._inside("")) == "." and str(verified_repository._inside("a/b")) == "a/b"
