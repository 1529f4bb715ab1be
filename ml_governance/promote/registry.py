"""Model registries: what the gate needs of one, and a local one made of folders."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from ml_governance.capture import serialisation
from ml_governance.capture.serialisation import Serialisation  # noqa: TC001  a field of a dataclass that users inspect
from ml_governance.errors import DataError, RegistryError
from ml_governance.evidence import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["mlflow-model", "joblib", "file"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """Bytes in a registry.

    Parameters
    ----------
    registry : str
        The registry's URI, without secrets.
    name, version : str
        Under which it is kept.
    path : Path
        Local file or folder with exactly these bytes.
    format : {'mlflow-model', 'joblib', 'file'}
        How it was written.
    files, size : int
        Number of files, and bytes.
    sha256 : str
        Digest of the file or folder.
    model_id : str or None
        The registry's own id of the model.
    serialisation : Serialisation or None
        How the model was written, and what loading it means.
    """

    registry: str
    name: str
    version: str
    path: Path
    format: Format
    files: int
    size: int
    sha256: str
    model_id: str | None = None
    serialisation: Serialisation | None = None


class Registry(Protocol):
    """What the gate and the hooks need of a model registry."""

    LOADER: ClassVar[str]
    """``module:function`` that loads a model from :meth:`artifact`'s path in another process."""

    @property
    def uri(self) -> str:
        """Where it is, without secrets."""
        ...

    def store(self, model: Any, *, name: str, run: str | None = None) -> StoredVersion:
        """Keep a model, or the file or folder at a path, as a new version."""
        ...

    def artifact(self, name: str, version: str) -> Path:
        """Return a local path with exactly the bytes of a version."""
        ...

    def alias(self, name: str, alias: str) -> str | None:
        """Return the version that an alias points to."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version."""
        ...

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions of a model, oldest first."""
        ...


@runtime_checkable
class Listing(Protocol):
    """A registry that can say all that it holds, so that what the log never saw is found."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all models, in order."""
        ...

    def aliases(self, name: str) -> dict[str, str]:
        """Return all aliases of a model, and the version that each points to."""
        ...


def load(path: Path) -> Any:
    """Load a model that :class:`LocalRegistry` keeps. Unpickling runs code: only in a process without keys."""
    return serialisation.read(path)


class LocalRegistry:
    """A registry of plain folders: ``<root>/<name>/<version>/`` and ``<root>/<name>/aliases.json``.

    A version appears whole or not at all and is never overwritten; two processes never get the same number.

    Parameters
    ----------
    root : Path
        Its folder; made when first written.
    """

    LOADER: ClassVar[str] = "ml_governance.promote.registry:load"

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def uri(self) -> str:
        """``local:`` and the folder's name; where the folder is may differ between machines."""
        return f"local:{self.root.name}"

    def store(self, model: Any, *, name: str, run: str | None = None) -> StoredVersion:
        """Keep a model as a new version: in the safest format that its library has, or copied if it is a path."""
        del run  # a local registry has no runs of its own
        home = self._home(name)
        with _trouble(home):
            home.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
            try:
                content = building / "content"
                kind, how = _write(model, content)
                version = self._claim(home, content)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        path = home / version
        found = fingerprint.folder(path)
        return StoredVersion(
            registry=self.uri, name=name, version=version, path=path, format=kind, files=found.files,
            size=found.size or 0, sha256=found.sha256, serialisation=how,
        )  # fmt: skip

    def _claim(self, home: Path, content: Path) -> str:
        """Move finished content to the next free number; renaming onto a non-empty folder fails, so no number is shared."""
        number = len(self.versions(home.name)) + 1
        while True:
            try:
                content.rename(home / str(number))
            except OSError:
                if not (home / str(number)).exists():
                    raise
                number += 1
            else:
                return str(number)

    def artifact(self, name: str, version: str) -> Path:
        """Return the folder of a version."""
        path = self._home(name) / version
        if not version.isdigit() or not path.is_dir():
            raise RegistryError(
                f"{self.uri} has no version {version!r} of {name!r}",
                expected=f"one of {', '.join(self.versions(name)) or 'none'}",
            )
        return path

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions of a model, oldest first."""
        home = self._home(name)
        if not home.is_dir():
            return ()
        return tuple(sorted((p.name for p in home.iterdir() if p.name.isdigit()), key=int))

    def names(self) -> tuple[str, ...]:
        """Return the names of all models, in order."""
        with _trouble(self.root):
            homes = self.root.iterdir() if self.root.is_dir() else ()
            return tuple(sorted(home.name for home in homes if _NAME.fullmatch(home.name) and home.is_dir()))

    def alias(self, name: str, alias: str) -> str | None:
        """Return the version that an alias points to."""
        return self.aliases(name).get(alias)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias to a version: whole or not at all, on disk when this returns, and without losing another alias."""
        self.artifact(name, version)
        home = self._home(name)
        with _trouble(home), locked(home / ".aliases.lock"):
            aliases = {**self.aliases(name), alias: version}
            handle, temporary = tempfile.mkstemp(dir=home, prefix=".aliases-")
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(aliases, stream, indent=2, sort_keys=True)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(home / "aliases.json")
            _flush(home)

    def aliases(self, name: str) -> dict[str, str]:
        """Return all aliases of a model, and the version that each points to."""
        file = self._home(name) / "aliases.json"
        try:
            aliases: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise RegistryError(f"{file} cannot be read: {error}", next_step="restore it from a backup") from error
        return aliases

    def _home(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise DataError(f"{name!r} cannot name a model", expected="letters, digits, '.', '-' and '_'")
        return self.root / name


def _write(model: Any, target: Path) -> tuple[Format, Serialisation]:
    target.mkdir()
    if isinstance(model, str | Path):
        source = Path(model)
        fingerprint.artifact(source)  # refuses links and special files before anything is copied
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target / source.name)
        return "file", serialisation.of_files(target)
    how = serialisation.write(model, target)
    return ("joblib" if how.format == "joblib" else "file"), how


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; whoever dies lets go of it."""
    import fcntl

    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _flush(folder: Path) -> None:
    """Write a folder's list of names to disk, so that a rename outlives a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _trouble(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"the registry at {where} cannot be written: {error.strerror}",
            next_step="free space, or check permissions",
        ) from error
