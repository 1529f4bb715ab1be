"""What ``models:`` URIs are loaded from when loads are verified: bytes that may be served now, in a folder of one's own.

A part of a model is downloaded with all of it, for only the whole has a digest. What was verified is what is handed over: a private copy,
even where MLflow would load from the place in which others can write.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository  # noqa: TID253  imported when a model is loaded

from ml_governance.errors import UsageError, VerificationError
from ml_governance.evidence import fingerprint
from ml_governance.workspace import admission
from ml_governance.workspace.parts import utc_now


class VerifiedModels(ModelsArtifactRepository):  # type: ignore[misc]
    """MLflow's repository of registered and logged models, each verified whole before any of it is handed over."""

    def download_artifacts(
        self, artifact_path: str, dst_path: str | None = None, lineage_header_info: Any = None
    ) -> str:
        """Download, verify and return the local path; see MLflow's method for the parameters.

        Raises
        ------
        DeniedError, MissingEvidenceError, VerificationError
            If these bytes may not be served.
        UsageError
            If the path leads out of the model, or no evidence is named.
        """
        wanted = _inside(artifact_path)
        home = Path(tempfile.mkdtemp(prefix="mlgov-load-"))
        try:
            whole = Path(super().download_artifacts("", str(home), lineage_header_info))
            admission.from_environment(whole, at=utc_now())
            if dst_path is None:
                return str(whole / wanted)
            target = _copied(whole, wanted, Path(dst_path))
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        shutil.rmtree(home, ignore_errors=True)
        return str(target)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        with tempfile.TemporaryDirectory(prefix="mlgov-load-") as folder:
            shutil.copyfile(self.download_artifacts(remote_file_path, folder), local_path)


def _inside(artifact_path: str | None) -> PurePosixPath:
    path = PurePosixPath(artifact_path or "")
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(f"{artifact_path!r} leads out of the model", expected="a path inside it")
    return path


def _copied(whole: Path, wanted: PurePosixPath, target: Path) -> Path:
    """Copy what was asked for to where it was asked for, and refuse a folder in which there is something else as well."""
    source, place = whole / wanted, target / wanted
    # Before anything is written: a link there would lead the copy elsewhere.
    other = place.is_symlink() or (
        source.is_dir() and place.exists() and set(fingerprint.names(place)) - set(fingerprint.names(source))
    )
    if other:
        raise VerificationError(
            f"{place} holds other files than the model's", expected="an empty folder to download into"
        )
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    return place
