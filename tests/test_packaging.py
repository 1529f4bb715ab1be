"""Wheel, sdist and checkout all carry what the code needs at run time."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "ml_governance/py.typed",
    "ml_governance/demo/data/adult.parquet",
    "ml_governance/demo/data/ATTRIBUTION.md",
    *(
        f"ml_governance/report/templates/{name}.j2"
        for name in (
            "annex_iv.html",
            "compare.html",
            "ll144_summary.html",
            "macros.html",
            "page.html",
            "report.html",
            "style.css",
            "unverified.html",
        )
    ),
)
USE = """
from ml_governance.workspace import catalogue, packs
from ml_governance.report.html import environment
from ml_governance.demo import dataset
import ml_governance
print(ml_governance.__file__, packs()["credit-scoring"], len(list(packs()["credit-scoring"].glob("cases/*.yaml"))))
environment().get_template("report.html.j2"); dataset.load(); catalogue()
"""


def build(source: Path, target: Path, kind: str) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.mark.slow
def test_wheel_and_sdist_carry_everything(tmp_path: Path) -> None:
    wheel = build(ROOT, tmp_path / "wheel", "wheel")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(NEEDED) <= names
    policies = {str(path.relative_to(ROOT)) for path in ROOT.glob("policies/**/*.*")}
    assert {"policies/controls.yaml", "policies/baseline/policy.yaml"} <= policies
    assert {f"ml_governance/_{path}" for path in policies} <= names
    assert not any(name.startswith(("tests/", "docs/")) for name in names)
    sdist = build(ROOT, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        # Python before 3.11.4 has no filters; this archive is our own.
        archive.extractall(tmp_path / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build(unpacked, tmp_path / "again", "wheel")
    assert set(zipfile.ZipFile(again).namelist()) == names
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    where, packs, cases = done.stdout.split()
    assert where.startswith(str(tmp_path / "installed")) and packs.startswith(str(tmp_path / "installed"))
    assert int(cases) >= 8


def test_a_checkout_finds_everything(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert str(ROOT / "policies") in done.stdout


def test_lock_files_carry_hashes_and_no_addresses() -> None:
    small, large = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    pins = {line.split(" ")[0] for line in small.splitlines() if "==" in line}
    assert pins <= {line.split(" ")[0] for line in large.splitlines() if "==" in line}
    for text in (small, large):
        assert "://" not in text and "--index" not in text
        assert text.count("--hash=sha256:") > text.count("==")
