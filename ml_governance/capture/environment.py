"""What a run ran on: versions and code state; no host, user or variable names."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from typing import Any

from ml_governance.evidence.canonical import canonicalise, sha256_hex

SHOWN = (
    "catboost", "fairlearn", "keras", "lightgbm", "ml-governance", "mlflow", "numpy", "pandas", "polars", "pyarrow",
    "pyspark", "scikit-learn", "scipy", "shap", "tensorflow", "torch", "xgboost",
)  # fmt: skip
"""Packages whose versions are listed; all others count through the digest."""


def environment() -> dict[str, Any]:
    """Describe where a run happens.

    Returns
    -------
    dict
        ``python``, ``platform``, ``packages`` (the shown ones), ``packagesDigest`` (SHA-256 over name and version
        of every installed distribution), and ``git`` with ``commit`` and ``dirty`` where there is a repository.
    """
    versions, digest = _packages()
    described: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()}-{platform.machine()}",
        "packages": versions,
        "packagesDigest": digest,
    }
    git = _git()
    if git:
        described["git"] = git
    return described


@cache
def _packages() -> tuple[dict[str, str], str]:
    installed = {
        distribution.metadata["Name"].lower().replace("_", "-"): distribution.version
        for distribution in metadata.distributions()
    }
    digest = sha256_hex(canonicalise(dict(sorted(installed.items()))))
    return {name: installed[name] for name in SHOWN if name in installed}, digest


def _git() -> dict[str, Any] | None:
    """Return commit and dirtiness of the repository one stands in; None without one, or without git."""
    # One question for both: a process costs milliseconds, and each run asks.
    said = _ask("status", "--porcelain=v2", "--branch", "--untracked-files=no")
    lines = said.splitlines() if said else []
    commit = next((line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")), None)
    if not commit or commit == "(initial)":
        return None
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def _ask(*words: str) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603  fixed words, no shell
            ["git", *words],  # noqa: S607  whichever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
