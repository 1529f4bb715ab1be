"""How a model becomes files: the safest format that its library has, and what loading those files means.

============  =====================  ================  =======  ======================================================
stack         file                   bytes repeat      loading  written with
============  =====================  ================  =======  ======================================================
xgboost       ``model.ubj``          yes               data     ``save_model`` (UBJSON)
lightgbm      ``model.txt``          yes               data     ``Booster.save_model`` (text)
torch         ``model.safetensors``  yes               data     safetensors over ``state_dict``; ``weights.pt`` without it
torch export  ``model.pt2``          no                data     ``torch.export.save``, for an ``ExportedProgram``
keras         ``model.keras``        no                data     ``save`` (configuration and weights), loaded in safe mode
scikit-learn  ``model.skops``        yes               data     skops, if every type in it is one that skops or we trust
any other     ``model.joblib``       mostly            code     joblib: pickle
functions     ``model.cloudpickle``  no                code     cloudpickle: the function's code itself
============  =====================  ================  =======  ======================================================

A pickle is written only where nothing safer can hold the model, and then the record says ``code`` and why. Whatever the
format, models are loaded in a process without keys.
"""

from __future__ import annotations

import inspect
import json
import pickle
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ml_governance.capture import skops_file
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_governance.evidence.loading import Loading

_CODE = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".pt", ".pth", ".bin", ".h5", ".py", ".dill")
_DATA = (".ubj", ".json", ".txt", ".safetensors", ".onnx", ".skops", ".parquet", ".csv", ".yaml", ".npy", ".md")
CLASS_FILE = "class.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serialisation:
    """How a model was written, and what loading it does.

    Parameters
    ----------
    stack : str
        The library.
    format : str
        The format, such as ``ubj`` or ``joblib``.
    loading : {'data', 'code', 'unknown'}
        ``code``: loading runs whatever the file says.
    why : str or None
        Why nothing safer was used.
    """

    stack: str
    format: str
    loading: Loading
    why: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        described = {"stack": self.stack, "format": self.format, "loading": self.loading}
        return described if self.why is None else {**described, "why": self.why}


@dataclass(frozen=True, slots=True)
class _Stack:
    """One row of the table: whose models it takes, and how they are written and read."""

    name: str
    roots: tuple[str, ...]
    files: tuple[str, ...]
    write: Callable[[Any, Path], Serialisation]
    read: Callable[[Path], Any]


def stack_of(model: Any) -> str:
    """Return the library that a model belongs to: the first known one in its class's ancestry, else ``python``."""
    if inspect.isroutine(model):
        return "function"
    roots = [ancestor.__module__.partition(".")[0] for ancestor in type(model).__mro__]
    for stack in _STACKS:
        if any(root in roots for root in stack.roots):
            return stack.name
    return "python"


def write(model: Any, target: Path) -> Serialisation:
    """Write a model into an empty folder.

    Parameters
    ----------
    model : object
        A fitted model, or a function.
    target : Path
        An existing folder.

    Raises
    ------
    DataError
        If nothing can write it.
    """
    stack = stack_of(model)
    for one in _STACKS:
        if one.name == stack:
            return one.write(model, target)
    return _function(model, target) if stack == "function" else _pickled(model, target, "nothing safer holds it")


def read(path: Path) -> Any:
    """Load what :func:`write` wrote. A pickle runs code: only in a process without keys.

    Raises
    ------
    DataError
        If there is none, or it says something that is not trusted.
    """
    if not path.is_dir():
        return _unpickled(path)
    for stack in _STACKS:
        if any((path / name).is_file() for name in stack.files):
            return stack.read(path)
    for name in ("model.joblib", "model.cloudpickle"):
        if (path / name).is_file():
            return _unpickled(path / name)
    raise DataError(f"{path} holds no model that can be loaded", expected="a folder that produces() wrote")


def of_files(path: Path) -> Serialisation:
    """Say what loading foreign files means, from their names; nothing is opened."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    suffixes = {one.suffix.lower() for one in files}
    if found := sorted(suffixes.intersection(_CODE)):
        return Serialisation(
            stack="files", format="files", loading="code", why=f"there are files of kind {', '.join(found)}"
        )
    loading: Loading = "data" if suffixes and suffixes.issubset(_DATA) else "unknown"
    return Serialisation(stack="files", format="files", loading=loading)


# --- the stacks ---------------------------------------------------------------------------------------------


def _class_of(path: Path, module: str, allowed: tuple[str, ...]) -> Any:
    name = json.loads((path / CLASS_FILE).read_text(encoding="utf-8"))["class"]
    if name not in allowed:
        raise DataError(f"{path} names the class {name!r}", expected=f"one of {', '.join(allowed)}")
    return getattr(import_module(module), name)


def _say_class(target: Path, **said: Any) -> None:
    (target / CLASS_FILE).write_text(json.dumps(said, sort_keys=True), encoding="utf-8")


_XGBOOST = ("Booster", "XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")


def _write_xgboost(model: Any, target: Path) -> Serialisation:
    name = next((one.__name__ for one in type(model).__mro__ if one.__name__ in _XGBOOST), None)
    if name is None:
        return _pickled(model, target, "it is no model of XGBoost that has a format of its own")
    model.save_model(str(target / "model.ubj"))
    _say_class(target, **{"class": name})
    return Serialisation(stack="xgboost", format="ubj", loading="data")


def _read_xgboost(path: Path) -> Any:
    model = _class_of(path, "xgboost", _XGBOOST)()
    model.load_model(str(path / "model.ubj"))
    return model


def _write_lightgbm(model: Any, target: Path) -> Serialisation:
    booster = getattr(model, "booster_", model)
    if not hasattr(booster, "save_model"):
        return _pickled(model, target, "it is no fitted model of LightGBM")
    booster.save_model(str(target / "model.txt"))
    classes = getattr(model, "classes_", None)
    _say_class(target, classes=None if classes is None else classes.tolist())
    return Serialisation(stack="lightgbm", format="txt", loading="data")


def _read_lightgbm(path: Path) -> Any:
    booster = import_module("lightgbm").Booster(model_file=str(path / "model.txt"))
    classes = json.loads((path / CLASS_FILE).read_text(encoding="utf-8"))["classes"]
    return booster if classes is None else BoosterClassifier(booster, classes)


class BoosterClassifier:
    """A LightGBM booster with the labels that it was fitted to: what its text format does not hold.

    Parameters
    ----------
    booster : lightgbm.Booster
        The trees.
    classes : list
        Labels, in the order of the columns of :meth:`predict_proba`.
    """

    def __init__(self, booster: Any, classes: list[Any]) -> None:
        import numpy as np

        self.booster, self.classes_ = booster, np.asarray(classes)
        self.feature_names_in_ = np.asarray(booster.feature_name(), dtype=object)

    def predict_proba(self, rows: Any) -> Any:
        """Return the probability of each class, shape (n, classes)."""
        import numpy as np

        raw = np.asarray(self.booster.predict(rows))
        return np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw

    def predict(self, rows: Any) -> Any:
        """Return the likeliest label of each row."""
        return self.classes_[self.predict_proba(rows).argmax(axis=1)]


def _write_torch(model: Any, target: Path) -> Serialisation:
    import torch

    if isinstance(model, torch.export.ExportedProgram):
        torch.export.save(model, target / "model.pt2")
        return Serialisation(stack="torch", format="pt2", loading="data")
    if not isinstance(model, torch.nn.Module):
        return _pickled(model, target, "it is neither a module nor an exported program")
    kind = type(model)
    _say_class(
        target,
        **{"class": f"{kind.__module__}:{kind.__qualname__}", "arguments": getattr(model, "init_arguments", {})},
        tensors={key: [str(one.dtype), list(one.shape)] for key, one in model.state_dict().items()},
    )
    if find_spec("safetensors") is not None:
        import_module("safetensors.torch").save_model(model, str(target / "model.safetensors"))
        return Serialisation(stack="torch", format="safetensors", loading="data")
    torch.save(model.state_dict(), target / "weights.pt")
    return Serialisation(
        stack="torch", format="state_dict", loading="code",
        why="safetensors is not installed; load with weights_only=True",
    )  # fmt: skip


def _read_torch(path: Path) -> Any:
    import torch

    if (path / "model.pt2").is_file():
        return torch.export.load(path / "model.pt2").module()
    said = json.loads((path / CLASS_FILE).read_text(encoding="utf-8"))
    module, _, name = said["class"].partition(":")
    try:
        model = getattr(import_module(module), name)(**said["arguments"])
    except (ImportError, AttributeError, TypeError) as error:
        raise DataError(
            f"the module {said['class']} cannot be made: {error}",
            expected="a class that can be imported here, made from its attribute init_arguments",
            next_step="or export the model with torch.export, which needs no class",
        ) from error
    if (path / "model.safetensors").is_file():
        import_module("safetensors.torch").load_model(model, str(path / "model.safetensors"))
    else:
        model.load_state_dict(torch.load(path / "weights.pt", weights_only=True))
    return model.eval()


def _write_keras(model: Any, target: Path) -> Serialisation:
    model.save(str(target / "model.keras"))
    return Serialisation(stack="keras", format="keras", loading="data")


def _read_keras(path: Path) -> Any:
    return import_module("keras").saving.load_model(str(path / "model.keras"), safe_mode=True)


def _write_sklearn(model: Any, target: Path) -> Serialisation:
    data, why = skops_file.dumped(model)
    if why is not None:
        return _pickled(model, target, why)
    (target / "model.skops").write_bytes(skops_file.repeatable(data))
    return Serialisation(stack="sklearn", format="skops", loading="data")


def _pickled(model: Any, target: Path, why: str) -> Serialisation:
    import joblib

    try:
        joblib.dump(model, target / "model.joblib")
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise DataError(
            f"a {type(model).__name__} cannot be pickled: {error}",
            expected="a fitted model, a function, or a path to its files",
        ) from error
    return Serialisation(stack=stack_of(model), format="joblib", loading="code", why=why)


def _function(model: Any, target: Path) -> Serialisation:
    import cloudpickle

    try:
        data = cloudpickle.dumps(model)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise DataError(
            f"the function cannot be pickled: {error}", expected="one without open files or locks"
        ) from error
    (target / "model.cloudpickle").write_bytes(data)
    return Serialisation(stack="function", format="cloudpickle", loading="code", why="a function is code")


def _unpickled(file: Path) -> Any:
    import joblib

    if not file.is_file():
        raise DataError(f"{file} holds no model that can be loaded", expected="model.joblib")
    if file.suffix == ".cloudpickle":
        return FunctionModel(pickle.loads(file.read_bytes()))  # noqa: S301  said in the record; the process has no keys
    return joblib.load(file)


class FunctionModel:
    """A plain function as a model: ``predict`` calls it.

    Parameters
    ----------
    function : callable
        Takes rows, returns one prediction for each.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def predict(self, rows: Any) -> Any:
        """Return what the function returns."""
        return self.function(rows)


_STACKS = (
    _Stack("xgboost", ("xgboost",), ("model.ubj",), _write_xgboost, _read_xgboost),
    _Stack("lightgbm", ("lightgbm",), ("model.txt",), _write_lightgbm, _read_lightgbm),
    _Stack("keras", ("keras", "tf_keras"), ("model.keras",), _write_keras, _read_keras),
    _Stack("torch", ("torch",), ("model.pt2", "model.safetensors", "weights.pt"), _write_torch, _read_torch),
    _Stack(
        "sklearn", ("sklearn",), ("model.skops",), _write_sklearn, lambda path: skops_file.read(path / "model.skops")
    ),
)
