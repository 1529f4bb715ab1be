"""Where an MLflow server keeps artifacts, with the files of models written once: no HTTP request overwrites or deletes them.

It stands around MLflow's own repository for a folder or bucket and needs no state: what lies in the folder of a logged model
(``models/m-.../artifacts``) is written once, because a model's digest is of those files. A file that is sent again with the same bytes
is taken, since clients try again. What it cannot see is what goes round the server, and a *new* file in a model's folder, which looks as
the model's last file does; both are for the digest at load time.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import tempfile
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.store.artifact.artifact_repo import ArtifactRepository  # noqa: TID253  imported when a server opens its store
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: TID253  the same

from ml_governance.errors import ConfigurationError, RegistryError
from ml_governance.evidence import fingerprint
from ml_governance.integrations.mlflow_internals import DESTINATION, refusal
from ml_governance.promote.registry import locked

SCHEME = "write-once:"
_OF_A_MODEL = re.compile(r"(^|/)models/m-[0-9a-f]{32}/artifacts(/|$)", re.IGNORECASE)
_OF_A_RUN = re.compile(r"(^|/)([0-9a-f]{32}|traces/[^/]+)/artifacts(/|$)", re.IGNORECASE)


def opened(uri: str) -> WriteOnce:
    """Return the repository at ``write-once:<place>``.

    Raises
    ------
    ConfigurationError
        If no place is named, or one inside another such repository.
    """
    place = uri.removeprefix(SCHEME)
    if not place or place == uri or place.startswith(SCHEME):
        raise ConfigurationError(f"the artifacts are to be kept at {uri!r}", expected=f"{SCHEME}<folder or bucket>")
    return WriteOnce(get_artifact_repository(place))


def check_kept(uri: str) -> None:
    """Refuse a version whose files can be changed through a server that writes models once.

    That is what no logged model's folder holds, and a model's folder inside a run's: whoever makes experiments can name the same place
    in another way (``s3:``, ``file:``), and the server then writes the run's files there itself, past this module.

    Raises
    ------
    RegistryError
        If it is such a place; never on a server that keeps its artifacts elsewhere.
    """
    if not os.environ.get(DESTINATION, "").startswith(SCHEME):
        return
    parts = urllib.parse.urlsplit(uri)
    place = urllib.parse.unquote(parts.path)
    model = _OF_A_MODEL.search(place)
    if parts.scheme != "mlflow-artifacts" or "%" in place or model is None or _OF_A_RUN.search(place[: model.start()]):
        raise RegistryError(
            f"the artifacts at {uri} can be changed through this server, so they are not what anybody approves",
            expected="the folder of a logged model in an experiment that lies inside no run",
            next_step="log the model with log_model(name=...) of MLflow 3, and register that",
        )


class WriteOnce(ArtifactRepository):  # type: ignore[misc]
    """MLflow's repository, in which a file of a model stays what it is.

    Uploads by parts and addresses for direct uploads are not offered: they would go round this. Clients then send whole files.

    Parameters
    ----------
    real : ArtifactRepository
        Where the bytes are.
    """

    def __init__(self, real: Any) -> None:
        super().__init__(real.artifact_uri)
        self._real = real

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Keep a file, unless a model has another one there.

        Raises
        ------
        MlflowException
            PERMISSION_DENIED, if it would change a model, or the path has two spellings.
        """
        where = _plain(posixpath.join(artifact_path or "", Path(local_file).name))
        if not _OF_A_MODEL.search(where):
            self._real.log_artifact(local_file, artifact_path)
            return
        # Until it is written whole: an upload that began before another's would end after it, over what was promoted meanwhile.
        with locked(_turn(f"{self.artifact_uri}/{where.casefold()}")):
            standing = self._standing(where)
            if standing is None:
                self._real.log_artifact(local_file, artifact_path)
                return
            unchanged = posixpath.normpath(standing.path) == where and not standing.is_dir
            if not (unchanged and self._same(where, Path(local_file))):
                raise refusal(
                    f"{where} is a file of a model and is not overwritten. "
                    "Log the changed model as a new one, and register that as a new version."
                )

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Keep each file of a folder as :meth:`log_artifact` does."""
        root = Path(local_dir)
        for path in sorted(one for one in root.rglob("*") if one.is_file()):
            inside = path.relative_to(root).parent.as_posix()
            self.log_artifact(str(path), posixpath.normpath(posixpath.join(artifact_path or "", inside)))

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete what a run or trace has; what may hold a model stays.

        Raises
        ------
        MlflowException
            PERMISSION_DENIED, if it is anything else.
        """
        where = _plain(artifact_path or "")
        if _OF_A_MODEL.search(where) or not _OF_A_RUN.search(where) or self._holds_a_model(where):
            raise refusal(
                f"{where or 'everything'} may hold models and is not deleted over HTTP. "
                "Whoever keeps the store deletes there, after `mlgov log ls --kind promotion` shows no version of it."
            )
        self._real.delete_artifacts(artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """Return what is in a folder."""
        found: list[Any] = self._real.list_artifacts(path)
        return found

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None, **options: Any) -> str:
        """Return a local path with what was asked for; see MLflow's method for the parameters."""
        return str(self._real.download_artifacts(artifact_path, dst_path, **options))

    def get_local_path(self, artifact_path: str) -> str | None:
        """Return where a file is, if that is on this machine."""
        real = getattr(self._real, "get_local_path", None)
        return None if real is None else real(artifact_path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self._real._download_file(remote_file_path, local_path)  # noqa: SLF001  what MLflow's own base class calls

    def _standing(self, where: str) -> Any:
        """Return what is there already, under this name or one that a file system could take for it."""
        found = self._real.list_artifacts(posixpath.dirname(where))
        return next((one for one in found if posixpath.normpath(one.path).casefold() == where.casefold()), None)

    def _holds_a_model(self, where: str) -> bool:
        """Tell whether a model's folder lies in a run's: an experiment may be kept there."""
        folders = [one.path for one in self._real.list_artifacts(where) if one.is_dir]
        return any(_OF_A_MODEL.search(one) or self._holds_a_model(one) for one in folders)

    def _same(self, where: str, sent: Path) -> bool:
        with tempfile.TemporaryDirectory(prefix="mlgov-artifact-") as folder:
            kept = Path(folder) / "kept"
            self._real._download_file(where, str(kept))  # noqa: SLF001  a copy, also where the store is local
            return fingerprint.file(kept).sha256 == fingerprint.file(sent).sha256


def _turn(place: str) -> Path:
    """Return the file whose lock uploads to a place wait for, on this machine.

    Raises
    ------
    MlflowException
        PERMISSION_DENIED, if somebody else's folder, or no folder, stands where it would be.
    """
    folder = Path(tempfile.gettempdir()) / f"mlgov-write-once-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise refusal(f"{folder} is not the server's, so uploads cannot wait for each other: remove it, or set TMPDIR.")
    return (
        folder / hashlib.sha256(place.encode()).hexdigest()[:4]
    )  # bounded in number; strangers may wait for each other


def _plain(path: str) -> str:
    """Return a path that has one spelling; with a second one, a bucket would keep a second file."""
    if path and (path != posixpath.normpath(path) or path.startswith(("/", "../")) or "\\" in path or path == ".."):
        raise refusal(f"the artifact path {path!r} is refused: write it without '.', '..', '//' and '\\'.")
    return path
