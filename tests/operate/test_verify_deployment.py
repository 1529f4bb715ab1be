"""``mlgov verify-deployment``: by a workspace, or by a bundle alone, with the exit codes of the contract."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_governance.cli.run import run
from ml_governance.errors import DeniedError, GovernanceError, MissingEvidenceError, UsageError, VerificationError
from ml_governance.evidence.canonical import canonicalise
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import admission
from tests.promote import house as made
from tests.promote.house import PEOPLE, POLICY, House

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "deployment"


@pytest.fixture(scope="module")
def now_template(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A workspace of today, since commands look at the machine's clock: credit/1 and credit/2 were promoted in turn."""
    folder, clock = tmp_path_factory.mktemp("today"), FrozenClock(datetime.now(UTC) - timedelta(minutes=5))
    (folder / "pack").mkdir()
    (folder / "pack" / "policy.yaml").write_text(POLICY)
    workspace(folder / "ws", policy=str(folder / "pack"), people=PEOPLE, clock=clock).close()
    house = House(root=folder / "ws", clock=clock)
    for weights in ("1", "2"):
        version = house.ready(weights)
        house.approve(version)
        house.promote(version)
    return house


@pytest.fixture
def house(now_template: House, tmp_path: Path) -> House:
    copy = made.copy(now_template.root, tmp_path / "ws")
    return House(root=copy.root, clock=FrozenClock(now_template.clock()))


def folder(house: House, version: str = "2") -> Path:
    with house.as_(None) as ws:
        return ws.registry.artifact("credit", version)


def digest(house: House, version: str = "2") -> str:
    with house.as_(None) as ws:
        return f"sha256:{ws.resolve(f'credit/{version}').sha256}"


def exported(house: House, *subjects: str) -> tuple[Path, str]:
    path = house.root / f"{len(subjects)}.bundle.json"
    with house.as_(None) as ws:
        ws.log.export_bundle(path, subjects=list(subjects))
        return path, ws.config.trust_root


def mlgov(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code = run(["verify-deployment", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_stands_in_the_stage_may_be_served_however_it_is_named(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in (folder(house), digest(house), "credit/2"):
        code, told = mlgov(capsys, target, "--workspace", house.root)
        assert (code, told["servable"], told["subject"]["name"]) == (0, True, "credit/2")
        assert bool(told["notes"]) == str(target).startswith("sha256:")


def test_exit_codes_say_why_not(house: House, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ("--workspace", house.root)
    assert mlgov(capsys, folder(house, "1"), *where)[0] == 1  # superseded
    (tmp_path / "strange").write_text("strange")
    assert mlgov(capsys, tmp_path / "strange", *where)[0] == 4  # nobody promoted these bytes
    assert mlgov(capsys, "credit/9", *where)[0] == 4
    assert mlgov(capsys, folder(house), "--stage", "other", *where)[0] == 2
    assert mlgov(capsys, folder(house), "--max-age", "1h", *where)[0] == 2
    with house.as_("rita") as ws:
        ws.revoke("credit/2", reason="it is wrong")
    code, told = mlgov(capsys, folder(house), *where)
    assert code == 1 and "withdrawn by rita" in told["error"]["found"]


@pytest.mark.parametrize("target", ["folder", "name"])
def test_changed_bytes_may_not_be_served(house: House, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder(house) / "extra.py").write_text("print()")
    asked = folder(house) if target == "folder" else "credit/2"
    assert mlgov(capsys, asked, "--workspace", house.root)[0] == 4


@pytest.mark.parametrize("subjects", [(), ("credit/2",)])
def test_a_bundle_and_the_root_suffice(
    house: House,
    subjects: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, root = exported(house, *subjects)
    monkeypatch.chdir(tmp_path)
    code, told = mlgov(capsys, folder(house), "--bundle", bundle, "--root", root)
    assert code == 0 and told["subject"]["name"] == "credit/2"
    assert any("about this model alone" in note for note in told["notes"]) == bool(subjects)
    monkeypatch.setenv("MLGOV_BUNDLE", str(bundle))
    monkeypatch.setenv("MLGOV_ROOT", root)
    assert mlgov(capsys, folder(house))[0] == 0


def test_a_bundle_of_the_whole_log_shows_what_was_superseded(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, root = exported(house)
    assert mlgov(capsys, folder(house, "1"), "--bundle", bundle, "--root", root)[0] == 1


def test_a_withdrawal_is_in_every_bundle_that_is_made_after_it(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    before, root = exported(house, "credit/2")
    kept = before.rename(house.root / "before.json")
    with house.as_("rita") as ws:
        ws.revoke("credit/2", reason="it is wrong")
    after, _ = exported(house, "credit/2")
    assert mlgov(capsys, folder(house), "--bundle", after, "--root", root)[0] == 1
    assert mlgov(capsys, folder(house), "--bundle", kept, "--root", root)[0] == 0  # it is as old as it is
    note = house.root / "checkpoint.txt"
    with house.as_(None) as ws:
        note.write_text(ws.ledger.checkpoint())
    assert mlgov(capsys, folder(house), "--bundle", kept, "--root", root, "--pin", note)[0] == 4


def test_a_bundle_that_left_the_withdrawal_out_does_not_verify(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    with house.as_("rita") as ws:
        ws.revoke("credit/2", reason="it is wrong")
    for subjects in ((), ("credit/2",)):
        bundle, root = exported(house, *subjects)
        value = json.loads(bundle.read_text())
        kept = [one for one in value["entries"] if '"revocation"' not in one["leaf"]]
        assert len(kept) < len(value["entries"])
        bundle.write_bytes(canonicalise({**value, "entries": kept}))
        code, told = mlgov(capsys, folder(house), "--bundle", bundle, "--root", root)
        assert code == 4 and "the bundle does not verify" in told["error"]["found"]


def test_a_bundle_counts_under_the_root_that_was_brought_along(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, root = exported(house)
    assert mlgov(capsys, folder(house), "--bundle", bundle)[0] == 2
    assert mlgov(capsys, folder(house), "--bundle", bundle, "--root", "sha256:" + "0" * 64)[0] == 4
    assert mlgov(capsys, folder(house), "--bundle", bundle, "--root", root[:-1])[0] == 2
    assert mlgov(capsys, "credit/2", "--bundle", bundle, "--root", root)[0] == 2


def test_an_old_bundle_is_refused_where_its_age_is_limited(house: House) -> None:
    bundle, root = exported(house)
    options: dict[str, Any] = {"root": root, "stage": "production", "max_age": timedelta(hours=24)}
    assert admission.in_bundle(bundle, folder(house), at=house.clock(), **options).standing.subject.name == "credit/2"
    with pytest.raises(VerificationError, match="the newest entry"):
        admission.in_bundle(bundle, folder(house), at=house.clock() + timedelta(hours=25), **options)
    with pytest.raises(VerificationError, match="the trust file expired"):
        admission.in_bundle(
            bundle, folder(house), at=house.clock() + timedelta(days=366), **options | {"max_age": None}
        )


NOTE = "model_name: credit\nmodel_version: '2'\n"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("registered_model_meta", NOTE, 2),
        ("registered_model_meta", "model_name: null\nmodel_version: null\n", 2),
        ("registered_model_meta", f"model_name: {'word ' * 16}\n  {'word ' * 15}\n  word\nmodel_version: '2'\n", 2),
        ("registered_model_meta2", NOTE, 1),
        ("registered_model_meta", NOTE + "import os\n", 1),
        ("registered_model_meta", NOTE * 40, 1),
        (
            "registered_model_meta",
            f"model_name: {'n' * (2049 - len(NOTE) + len('credit'))}\nmodel_version: '2'\n" + "import os\n",
            1,
        ),
        ("registered_model_meta", f"model_name: {'n' * 2100}\nmodel_version: '2'\n", 1),
        ("registered_model_meta", "import os\n", 1),
        ("registered_model_meta", "", 1),
        ("registered_model_meta/x", NOTE, 1),
    ],
    ids=[
        "of a version",
        "of a logged model",
        "of a long name",
        "another name",
        "code behind it",
        "too much",
        "code behind a long one",
        "too long",
        "code under its name",
        "empty",
        "a folder",
    ],
)
def test_what_mlflow_adds_to_a_download_is_left_out_and_nothing_else_is(
    tmp_path: Path, name: str, text: str, found: int
) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert len(admission._digests(tmp_path)) == found


def test_neither_pandas_nor_mlflow_is_loaded_to_verify(house: House) -> None:
    bundle, root = exported(house)
    code = (
        "import sys; from ml_governance.cli.run import run; "
        f"code = run(['verify-deployment', {str(folder(house))!r}, '--bundle', {str(bundle)!r}, '--root', {root!r}]); "
        "heavy = {'pandas', 'numpy', 'mlflow', 'sklearn', 'shap', 'pyarrow', 'duckdb'} & set(sys.modules); "
        "sys.exit(code or (print(heavy) or 9 if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the manifests that ship -------------------------------------------------------------------------------


def run_as_shipped(init: dict[str, Any], home: Path, root: str) -> subprocess.CompletedProcess[str]:
    """Run an init container's command with its volumes in a folder."""
    (home / "bin").mkdir(exist_ok=True)
    shim = home / "bin" / "mlgov"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ml_governance.cli "$@"\n')
    shim.chmod(0o755)

    def placed(text: str) -> str:
        for mount in init["volumeMounts"]:
            text = text.replace(f"{mount['mountPath']}/", f"{home}{mount['mountPath']}/")
        return text

    environment = {**os.environ, "MLGOV_ROOT": root, "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        [placed(part) for part in (*init["command"], *init["args"])], env=environment, cwd="/", capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_the_init_container_lets_through_what_may_be_served_and_nothing_else(house: House, tmp_path: Path) -> None:
    pod = yaml.safe_load((EXAMPLES / "init-container.yaml").read_text())
    (init,) = pod["spec"]["initContainers"]
    assert {one["name"] for one in init["env"]} == {"MLGOV_ROOT"}
    for name in ("models", "evidence", "served"):
        (tmp_path / name).mkdir()
    bundle, root = exported(house)
    shutil.copy(bundle, tmp_path / "evidence" / "credit-risk.bundle.json")
    shutil.copytree(folder(house), tmp_path / "models" / "credit-risk")
    done = run_as_shipped(init, tmp_path, root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "served" / "credit-risk" / "weights.txt").read_text() == "2"
    assert run_as_shipped(init, tmp_path, "sha256:" + "0" * 64).returncode == 4
    (tmp_path / "models" / "credit-risk" / "extra.py").write_text("print()")
    assert run_as_shipped(init, tmp_path, root).returncode == 4
    (tmp_path / "models" / "credit-risk" / "extra.py").unlink()
    assert run_as_shipped(init, tmp_path, root).returncode == 0, "what was refused is not in the next copy"


def test_the_server_of_the_pod_reads_what_was_verified_where_nobody_writes() -> None:
    pod = yaml.safe_load((EXAMPLES / "init-container.yaml").read_text())["spec"]
    (init,), (server,) = pod["initContainers"], pod["containers"]
    looked_at = init["args"][1]
    assert server["command"][server["command"].index("--model-uri") + 1] == looked_at
    mounted = {one["mountPath"]: one for one in server["volumeMounts"]}
    place = mounted[str(Path(looked_at).parent)]
    assert place["readOnly"] and {"name": place["name"], "emptyDir": {}} in pod["volumes"]
    assert "/models" not in mounted


def test_the_entry_point_of_the_image_serves_only_after_verifying(house: House, tmp_path: Path) -> None:
    lines = (EXAMPLES / "Dockerfile").read_text().splitlines()
    entry = json.loads(next(line for line in lines if line.startswith("ENTRYPOINT")).removeprefix("ENTRYPOINT "))
    assert entry[:2] == ["/bin/sh", "-c"]
    bundle, root = exported(house)
    shim = tmp_path / "mlgov"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ml_governance.cli "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "MLGOV_ROOT": root,
        "MLGOV_BUNDLE": str(bundle),
    }
    script = entry[2].replace("/models/credit-risk", str(folder(house)))

    def started() -> bool:
        command = [*entry[:2], script, entry[3], "touch", str(tmp_path / "serving")]
        subprocess.run(command, env=environment, capture_output=True, check=False)
        return (tmp_path / "serving").exists()

    (folder(house) / "extra.py").write_text("print()")
    assert not started()
    (folder(house) / "extra.py").unlink()
    assert started()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({}, UsageError),
        ({"MLGOV_BUNDLE": "b.json"}, UsageError),
        ({"MLGOV_WORKSPACE": "/nowhere"}, UsageError),
        ({"MLGOV_BUNDLE": "/nowhere/b.json", "MLGOV_ROOT": "sha256:" + "0" * 64}, UsageError),
    ],
)
def test_what_names_no_evidence_verifies_nothing(
    house: House, settings: dict[str, str], error: type[GovernanceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(house)
    for name in ("MLGOV_BUNDLE", "MLGOV_ROOT", "MLGOV_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(error):
        admission.from_environment(path, at=house.clock())


def test_the_environment_names_a_workspace_or_a_bundle(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLGOV_BUNDLE", raising=False)
    monkeypatch.setenv("MLGOV_WORKSPACE", str(house.root))
    assert admission.from_environment(folder(house), at=house.clock()).standing.subject.name == "credit/2"
    with pytest.raises(DeniedError):
        admission.from_environment(folder(house, "1"), at=house.clock())
    bundle, root = exported(house)
    monkeypatch.setenv("MLGOV_BUNDLE", str(bundle))
    monkeypatch.setenv("MLGOV_ROOT", root)
    assert admission.from_environment(folder(house), at=house.clock()).standing.subject.name == "credit/2"
    (folder(house) / "extra.py").write_text("print()")
    with pytest.raises(MissingEvidenceError):
        admission.from_environment(folder(house), at=house.clock())
