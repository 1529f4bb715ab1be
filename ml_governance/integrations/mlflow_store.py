"""An MLflow registry store with the gate in it, made from the store that MLflow itself would use.

It sits below HTTP, so REST, the UI and every client meet it, whatever route or encoding they take, and server admins too.
Each method that changes something is wrapped, with the signature that this MLflow gives it; one that nobody here
has read is refused. Whatever goes wrong inside the gate refuses, with a status that clients do not try again.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ml_governance.errors import GovernanceError
from ml_governance.evidence import fingerprint
from ml_governance.integrations import mlflow_internals as internals
from ml_governance.integrations.mlflow_places import AliasPlace, NamePlace
from ml_governance.integrations.mlflow_rules import (
    COMPOSED,
    OPEN,
    READS,
    RULES,
    Asked,
    Open,
    Promote,
    Record,
    Refuse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_governance.integrations.mlflow_protection import Protection
    from ml_governance.integrations.mlflow_rules import Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the log keeps of a call.

    Parameters
    ----------
    operation, name : str
        The store's method, and the registered model.
    version, alias, stage : str or None
        What it is about, where the call says so.
    user : str or None
        Whom the server authenticated.
    """

    operation: str
    name: str
    version: str | None = None
    alias: str | None = None
    stage: str | None = None
    user: str | None = None


class Gate(Protocol):
    """Whoever decides for the store, and keeps the log."""

    @property
    def protection(self) -> Protection:
        """What is protected."""
        ...

    @property
    def uri(self) -> str:
        """The registry as the log calls it."""
        ...

    def promotions(self, name: str, version: str | None) -> str | None:
        """Return how a model, or one version of it, came into a stage."""
        ...

    def withdrawn(self, name: str, alias: str) -> str | None:
        """Return why what stands under an alias may stand there no more."""
        ...

    def refused(self, request: Request, why: str) -> None:
        """Put a refusal into the log."""
        ...

    def allowed(self, request: Request, why: str) -> None:
        """Put into the log what is about to be done."""
        ...

    def promote(self, request: Request, asked: Promote, place: AliasPlace, sha256: str, model_id: str | None) -> None:
        """Let the place act, if the policy in force allows it now, for this user and these bytes.

        Raises
        ------
        GovernanceError
            If it does not.
        """
        ...


def open_store(uri: str, gate: Gate) -> Any:
    """Make a governed store over a database, and reserve the released names in it.

    Raises
    ------
    ConfigurationError
        If the URI names no database, or the server would run its clients' code.
    """
    from mlflow.exceptions import MlflowException

    internals.check_uri(uri)
    internals.check_runs_nobodys_code()
    real = internals.database_store()
    store = internals.make(governed(real, gate), uri)
    for name in gate.protection.released:
        with internals.default_workspace():
            try:
                real.create_registered_model(store, name, description="Reserved: its versions come through the gate.")  # type: ignore[attr-defined]
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
    return store


def governed(real: type, gate: Gate) -> type:
    """Make a class from a store's class, with the gate before each method that changes something."""
    wrapped = {name: _gated(name, method, gate) for name, method in methods(real).items() if name in RULES}
    unknown = {name: _unknown(name, method) for name, method in methods(real).items() if not known(name, real)}
    return type(f"Governed{real.__name__}", (real,), wrapped | unknown)


def methods(store: type) -> dict[str, Callable[..., Any]]:
    """Return a store's public methods."""
    return {name: one for name, one in inspect.getmembers(store, callable) if not name.startswith("_")}


def known(name: str, store: type) -> bool:
    """Tell whether somebody here has read what a method does, as this store has it."""
    if name in COMPOSED:
        return getattr(store, name) is getattr(internals.abstract_store(), name)
    return name in READS | OPEN | RULES.keys()


def _unknown(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        del self, args, kwargs
        raise internals.refusal(
            _text(
                f"{name} is new to this version of ml_governance",
                "call by call, what it does to governed models must be known: update ml-governance, or MLflow back",
            )
        )

    return refuse


def _gated(operation: str, method: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        act = functools.partial(method, self, *args, **kwargs)
        try:
            given = signature.bind(self, *args, **kwargs).arguments
            asked = Asked(operation=operation, arguments=given, protection=gate.protection, facts=_Facts(self, gate))
            ruling = RULES[operation](asked)
            if isinstance(ruling, Promote):
                return _promote(self, asked, ruling, act, gate)
            if not isinstance(ruling, Open):
                _settle(asked, ruling, gate)
        except Exception as error:
            raise _answer(error) from error
        return act()

    return call


def _settle(asked: Asked, ruling: Ruling, gate: Gate) -> None:
    """Record a ruling, and refuse if that is what it says."""
    request = _request(asked)
    if isinstance(ruling, Record):
        gate.allowed(request, ruling.why)
    if isinstance(ruling, Refuse):
        _refuse(request, _text(ruling.why, ruling.instead), gate)


def _promote(store: Any, asked: Asked, ruling: Promote, act: Callable[[], Any], gate: Gate) -> Any:
    place = AliasPlace(store, gate.uri, act) if ruling.into is None else NamePlace(store, gate.uri, act, ruling.into)
    request = _request(asked, ruling)
    try:
        version = store.get_model_version(ruling.name, ruling.version)
        found = fingerprint.artifact(place.artifact(ruling.name, ruling.version))
        gate.promote(request, ruling, place, found.sha256, version.model_id or None)
    except Exception as error:  # noqa: BLE001  whatever it is, the answer is no
        _refuse(request, _why(error), gate)
    return place.answer


def _refuse(request: Request, why: str, gate: Gate) -> None:
    try:
        gate.refused(request, why)
    except Exception as error:  # noqa: BLE001  the answer is no all the same
        why += f"\n  this refusal is not in the log: {_why(error)}"
    raise internals.refusal(why.replace("\n  ", "\n\u2022 "))  # the UI shows all lines as one


def _answer(error: Exception) -> Exception:
    """Return an error as a status that no client tries again."""
    return (
        error if internals.is_refusal(error) else internals.refusal(_text(_why(error), "mlgov doctor, on the server"))
    )


def _why(error: Exception) -> str:
    if isinstance(error, GovernanceError):
        return str(error)
    message = getattr(error, "message", None) or str(error)
    return (
        str(message) if internals.is_refusal(error) else f"the gate could not decide: {type(error).__name__}: {message}"
    )


def _text(why: str, instead: str) -> str:
    return f"{why}\n  next: {instead}"


def _request(asked: Asked, ruling: Promote | None = None) -> Request:
    def said(name: str) -> str | None:
        value = asked.arguments.get(name)
        return None if value is None else str(value)[:400]

    stage = ruling.stage if ruling is not None else said("stage")
    return Request(
        operation=asked.operation, name=asked.name[:400] or "''", version=said("version") or said("source"),
        alias=said("alias") or said("new_name"), stage=stage, user=internals.authenticated_user(),
    )  # fmt: skip


class _Facts:
    """What the rules ask, answered by the store and the gate."""

    def __init__(self, store: Any, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    def aliases(self, name: str) -> Mapping[str, str]:
        return {str(alias): str(version) for alias, version in self._store.get_registered_model(name).aliases.items()}

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        found = self._store.get_model_version(name, version)
        return dict(getattr(found, "_tags", None) or found.tags)

    def is_prompt(self, name: str) -> bool:
        return internals.is_prompt(self._store.get_registered_model(name))

    def digest(self, name: str, version: str) -> str:
        place = AliasPlace(self._store, self._gate.uri, lambda: None)
        return fingerprint.artifact(place.artifact(name, version)).sha256

    def promotions(self, name: str, version: str | None = None) -> str | None:
        return self._gate.promotions(name, version)

    def withdrawn(self, name: str, alias: str) -> str | None:
        return self._gate.withdrawn(name, alias)
