"""An MLflow registry as the gate sees it from inside the server: an alias, or a released name, moved by compare-and-swap.

What the gate read before it decided must still stand in the transaction that acts: where the alias pointed, and that the
version is the one whose artifacts were digested, not another of the same number.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ml_governance.errors import RegistryError, UsageError
from ml_governance.integrations import mlflow_internals as internals
from ml_governance.integrations.mlflow import MlflowRegistry
from ml_governance.integrations.mlflow_rules import VERSION_URI

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_governance.promote.registry import StoredVersion


class AliasPlace:
    """A stage's alias of a registered model, for one promotion.

    Parameters
    ----------
    store : object
        MLflow's registry store.
    uri : str
        The registry as the log calls it.
    act : callable
        Does what was asked for, through the store.
    """

    LOADER: ClassVar[str] = MlflowRegistry.LOADER

    def __init__(self, store: Any, uri: str, act: Callable[[], Any]) -> None:
        self._store = store
        self._act = act
        self._uri = uri
        self._stood: str | None = None
        self._seen: tuple[str, int] | None = None
        self._folder = tempfile.mkdtemp(prefix="mlgov-artifacts-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self.answer: Any = None

    @property
    def uri(self) -> str:
        """The registry as the log calls it."""
        return self._uri

    def artifact(self, name: str, version: str) -> Path:
        """Return a local path with a version's bytes, fetched again each time."""
        from ml_governance.integrations.mlflow_artifacts import check_kept

        self._seen = self._identity(name, version)
        check_kept(self._seen[0])
        return internals.artifacts(self._seen[0], Path(tempfile.mkdtemp(dir=self._folder)))

    def _identity(self, name: str, version: str) -> tuple[str, int]:
        """Return what tells a version from a later one of the same number: where its bytes are, and when it was made."""
        made = self._store.get_model_version(name, version)
        return str(self._store.get_model_version_download_uri(name, version)), int(made.creation_timestamp)

    def alias(self, name: str, alias: str) -> str | None:
        """Return the version that the alias points to, and remember it for the swap."""
        self._stood = self._standing(name, alias)
        return self._stood

    def _standing(self, name: str, alias: str) -> str | None:
        found = self._store.get_registered_model(name).aliases.get(alias)
        return None if found is None else str(found)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Act, if the alias stands where it was last read and the version is the one that was last digested.

        Raises
        ------
        RegistryError
            If either has changed; nothing is done.
        """
        with internals.transaction(self._store, self._held(name)):
            now = self._standing(name, alias)
            if now != self._stood:
                raise RegistryError(
                    f"{alias!r} of {name} was moved to {now or 'nothing'} while this promotion was under way",
                    expected=f"{self._stood or 'nothing'}, where it stood when the gate decided",
                    next_step="look at what moved it (mlgov log ls --kind promotion), then promote again",
                )
            if self._seen is None or self._identity(name, version) != self._seen:
                raise RegistryError(
                    f"{name}/{version} is no longer the version whose artifacts were digested",
                    next_step="promote again",
                )
            self.answer = self._act()
            self._check(self.answer)

    def _held(self, name: str) -> str:
        return name

    def _check(self, answer: Any) -> None:
        """Look at what was done, before it is committed."""

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions of a model, oldest first."""
        found = self._store.search_model_versions(f"name='{name.replace(chr(39), '')}'")
        return tuple(str(number) for number in sorted(int(one.version) for one in found))

    def store(self, model: Any, *, name: str, run: str | None = None) -> StoredVersion:
        """Refuse: a server stores nothing of its own."""
        raise UsageError(
            f"a registry store takes no {type(model).__name__} for {name} (run {run})", expected="a client"
        )


class NamePlace(AliasPlace):
    """A registered model whose every version stands in a stage, for one promotion; its newest version is what is in the stage.

    Parameters
    ----------
    into : str
        The released name. Its promotions have the alias ``models:/<into>`` in the log.
    """

    def __init__(self, store: Any, uri: str, act: Callable[[], Any], into: str) -> None:
        super().__init__(store, uri, act)
        self._into = into

    def _held(self, name: str) -> str:
        del name
        return self._into

    def _standing(self, name: str, alias: str) -> str | None:
        """Return the version of ``name`` that the newest version of the released name was copied from."""
        del alias
        with internals.reading(self._store) as session:
            newest = internals.newest_version(self._store, session, self._into)
        if newest is None:
            return None
        source = VERSION_URI.fullmatch(str(self._store.get_model_version(self._into, newest).source))
        return source["version"] if source is not None and source["name"] == name else f"{self._into}/{newest}"

    def _check(self, answer: Any) -> None:
        place = str(self._store.get_model_version_download_uri(self._into, str(answer.version)))
        if self._seen is None or place != self._seen[0]:
            raise RegistryError(
                f"the copy in {self._into} would have its artifacts at {place}",
                expected=self._seen[0] if self._seen else "what was digested",
            )


def name_alias(name: str) -> str:
    """Return what stands for a released name where the log has an alias."""
    return f"models:/{name}"
