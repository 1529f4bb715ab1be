"""Outside systems, one module each; loaded when they are first reached, as in ``gov.integrations.mlflow``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_LOADED_WHEN_REACHED = ("mlflow", "openlineage")


def __getattr__(name: str) -> ModuleType:
    if name in _LOADED_WHEN_REACHED:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
