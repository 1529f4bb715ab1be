"""Functions as machine code, made when they are first called and kept on disk for later processes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a function of arrays and numbers; it runs without the interpreter's lock."""
    import numba

    made: Callable[..., None] = numba.njit(cache=True, nogil=True)(function)
    return made
