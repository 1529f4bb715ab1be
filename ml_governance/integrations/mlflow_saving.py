"""Models as MLflow folders: the same choice of formats as in :mod:`ml_governance.capture.serialisation`.

Requirements are given, because inferring them starts an interpreter and takes seconds; what a run ran on is recorded by
:mod:`ml_governance.capture.environment` anyway.
"""

from __future__ import annotations

import inspect
import shutil
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_governance.capture import serialisation, skops_file
from ml_governance.capture.serialisation import Serialisation
from ml_governance.errors import DataError
from ml_governance.evidence import fingerprint
from ml_governance.evidence.loading import SKLEARN_DATA

if TYPE_CHECKING:
    from ml_governance.promote.registry import Format

ALWAYS = ("cloudpickle", "numpy", "pandas", "scikit-learn")
PACKAGES = {"xgboost": "xgboost", "lightgbm": "lightgbm", "keras": "keras", "torch": "torch", "sklearn": "scikit-learn"}


def save(model: Any, target: Path) -> tuple[Format, Serialisation]:
    """Write a model as an MLflow folder, or copy the file or folder at a path.

    Raises
    ------
    DataError
        If it is of no kind that MLflow can save.
    """
    if isinstance(model, str | Path):
        fingerprint.artifact(Path(model))  # refuses links and special files before anything is copied
        if Path(model).is_dir():
            shutil.copytree(model, target)
        else:
            target.mkdir()
            shutil.copyfile(model, target / Path(model).name)
        return ("mlflow-model" if (target / "MLmodel").is_file() else "file"), serialisation.of_files(target)
    stack = serialisation.stack_of(model)
    if stack == "sklearn":
        return "mlflow-model", _sklearn(model, target)
    if stack in ("xgboost", "lightgbm"):
        return "mlflow-model", _native(model, target, stack)
    if stack == "keras":
        _module("keras").save_model(model, str(target), pip_requirements=_requirements("keras"))
        return "mlflow-model", Serialisation(stack=stack, format="keras", loading="data")
    return "mlflow-model", _pyfunc(model, target, stack)


def _module(name: str) -> Any:
    return import_module(f"mlflow.{name}")


def _native(model: Any, target: Path, stack: str) -> Serialisation:
    """Boosters have a format of their own; what MLflow does with LightGBM's scikit-learn classes depends on its version."""
    _module(stack).save_model(model, str(target), pip_requirements=_requirements(stack))
    written = {path.suffix for path in target.rglob("*") if path.name.startswith("model.")}
    if written.intersection((".pkl", ".pickle")):
        why = "this MLflow pickles the class; its booster_ has a text format"
        return Serialisation(stack=stack, format="pickle", loading="code", why=why)
    if ".skops" in written:  # with a list of types to be trusted that MLflow fixes
        return Serialisation(stack=stack, format="skops", loading="data")
    return Serialisation(stack=stack, format="ubj" if stack == "xgboost" else "txt", loading="data")


def _sklearn(model: Any, target: Path) -> Serialisation:
    flavour = _module("sklearn")
    knows = hasattr(flavour, "SERIALIZATION_FORMAT_SKOPS")
    why = skops_file.dumped(model)[1] if knows else "this MLflow knows no skops"
    if why is not None:
        flavour.save_model(
            model, str(target), pip_requirements=_requirements("sklearn"), serialization_format="cloudpickle"
        )
        return Serialisation(stack="sklearn", format="cloudpickle", loading="code", why=why)
    flavour.save_model(
        model, str(target), pip_requirements=[*_requirements("sklearn"), f"skops=={metadata.version('skops')}"],
        serialization_format="skops", skops_trusted_types=list(SKLEARN_DATA),
    )  # fmt: skip
    return Serialisation(stack="sklearn", format="skops", loading="data")


def _pyfunc(model: Any, target: Path, stack: str) -> Serialisation:
    pyfunc = _module("pyfunc")
    if inspect.isroutine(model):
        model = _as_python_model(model)
    if not isinstance(model, pyfunc.PythonModel):
        raise DataError(
            f"a {type(model).__module__}.{type(model).__qualname__} is of no kind that is saved here",
            expected="a scikit-learn, XGBoost, LightGBM or Keras model, an mlflow PythonModel, a function, "
            "or a path to its files",
            next_step="a PyTorch model: export it with torch.export.save, and give the file",
        )
    pyfunc.save_model(str(target), python_model=model, pip_requirements=_requirements(stack))
    return Serialisation(stack=stack, format="cloudpickle", loading="code", why="a function is code")


def _as_python_model(function: Any) -> Any:
    base = _module("pyfunc").PythonModel

    class Function(base):  # type: ignore[misc, valid-type]  # MLflow carries no types
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            del context, params
            return function(model_input)

    return Function()


def _requirements(stack: str) -> list[str]:
    names = [*ALWAYS, "fairlearn"]
    if stack in PACKAGES and PACKAGES[stack] not in names:
        names.append(PACKAGES[stack])
    return [f"{name}=={metadata.version(name)}" for name in map(_distribution, names)]


def _distribution(name: str) -> str:
    """Return what an importable package was installed as: XGBoost is also there as xgboost-cpu."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return next(iter(metadata.packages_distributions().get(name, [name])))
    return name
