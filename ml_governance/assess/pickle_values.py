"""What the objects of a pickle stand for while its opcodes are followed, and what they say of arrays.

How many bytes an array takes, and whether they are pointers to objects, hangs on the state that a pickle sets; whoever reads that
otherwise than NumPy and joblib do goes on at other bytes than they. A type is therefore made anew by NumPy itself from its parts and must
come out as the pickle says, and what joblib reads arrays by must have the form in which joblib writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Global:
    """What is imported."""

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Made:
    """What a call would return; its state is what was set on it last, and ``changes`` how often."""

    by: Any
    args: Any
    state: Any = None
    changes: int = 0


class Broken(Exception):  # noqa: N818  it ends the reading, and nobody else sees it
    """The real machine would raise here, or goes where this one cannot follow."""


OPAQUE = object()
"""A value, or a key, that stands for anything."""
WRAPPER = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
DTYPE = Global("numpy", "dtype")
_STATE = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
_OWNS_OBJECTS = 0x0F
"""The flags of a type that say that its items are pointers, counted, set before use, and pickled as a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """The bytes that joblib reads behind an object that stands for an array.

    Parameters
    ----------
    length : int
        Bytes; 0 where ``objects``.
    objects : bool
        Whether a pickle of its own stands there instead.
    padded : bool
        Whether a byte comes first that says how many to go past.
    """

    length: int
    objects: bool
    padded: bool


def array(made: Made) -> Array:
    """Return what joblib reads behind the object that stands for an array.

    Raises
    ------
    Broken
        If it has another form than joblib writes, in which it could read anything.
    """
    state = made.state
    if made.args != () or made.changes != 1 or not isinstance(state, dict) or not set(state) <= _STATE:
        raise Broken("an array is told in another form than joblib writes")
    shape, alignment, dtype = state.get("shape"), state.get("numpy_array_alignment_bytes"), state.get("dtype")
    if not isinstance(shape, tuple) or not all(type(one) is int and one >= 0 for one in shape):
        raise Broken("an array has no shape")
    if alignment is not None and type(alignment) is not int:
        raise Broken("an array is told in another form than joblib writes")
    if not isinstance(dtype, Made):
        raise Broken("an array is of a type that cannot be read")
    layout = typed(dtype)
    if layout.hasobject:
        return Array(length=0, objects=True, padded=False)
    length = layout.itemsize
    for one in shape:
        length *= one
    return Array(length=length, objects=False, padded=alignment is not None)


def typed(made: Made) -> np.dtype[Any]:
    """Return the type of arrays that a call makes, with what was set on it.

    Raises
    ------
    Broken
        If it cannot be made, or says other things of itself than the same type made by NumPy.
    """
    import numpy as np

    code = made.args[0] if isinstance(made.args, tuple) and made.args else None
    if made.by != DTYPE or not isinstance(code, str) or made.changes > 1:
        raise Broken("an array is of a type that cannot be read")
    try:
        plain = np.dtype(code)
        return plain if not made.changes else _with_state(plain, made.state)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError):
        raise Broken("an array is of a type that cannot be read") from None


def _with_state(plain: np.dtype[Any], state: Any) -> np.dtype[Any]:
    import numpy as np

    order, base, names, fields, size, alignment, flags = state[1:8]
    if base is not None:
        built = np.dtype((typed(base[0]), tuple(map(_whole, base[1]))))
    elif names is not None:
        parts = [fields[name] for name in names]
        if set(fields) != set(names):
            raise ValueError(names)
        built = np.dtype(
            {
                "names": list(names),
                "formats": [typed(one[0]) for one in parts],
                "offsets": [_whole(one[1]) for one in parts],
                "itemsize": _whole(size),
            }
        )
    else:
        built = plain if order == "|" else plain.newbyteorder(order)
    told: Any = built.__reduce__()[2]  # function, arguments, state
    simple = base is None and names is None
    if (size, flags & _OWNS_OBJECTS) != (told[5], told[7] & _OWNS_OBJECTS) or (
        simple and (fields is not None or alignment != told[6])
    ):
        raise ValueError(size)
    return built


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value
