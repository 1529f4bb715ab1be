"""What a pickle would import, found by following its opcodes and running none of them.

The machine below keeps the stack, the marks and the memo as the real one does, but its objects only stand for what would be made.
Whatever it cannot follow is a problem and never passes for nothing: an import whose name is computed, a call of what another call
returned, attributes set on what was imported, an extension code, a byte that is no opcode, bytes after the end. What was imported up
to there is kept, for the real machine runs up to there as well.

joblib writes the bytes of an array into the stream behind the object that stands for it. A file that has such objects is followed in
both ways in which it can be loaded: as joblib does, past these bytes, and as ``pickle.load`` does, through them. What only the second
imports counts where such a module is installed: for any other, the real machine stops there.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

from ml_governance.assess.pickle_values import DTYPE, OPAQUE, WRAPPER, Broken, Global, Made, array, typed

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPCODES = 20_000_000
MAX_PICKLES = 64
_LEGACY_TORCH = 0x1950A86A20F9469CFC6C
"""What the first of the pickles in a file of old versions of PyTorch holds; four more follow, and then the tensors' bytes."""
_MORE_OF_TORCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pickle:
    """What a pickle imports, and why that may not be all.

    Parameters
    ----------
    imports : frozenset of (str, str)
        Modules and names.
    problems : tuple of str
        Why it could not be followed to its end; empty where it was.
    """

    imports: frozenset[tuple[str, str]]
    problems: tuple[str, ...]


def read(stream: BinaryIO, size: int) -> Pickle:
    """Follow the pickles in a file.

    Parameters
    ----------
    stream : binary file
        Seekable, at the beginning of the first.
    size : int
        Bytes in it.
    """
    start = stream.tell()
    plain = _follow(stream, size, arrays=False)
    if (WRAPPER.module, WRAPPER.name) not in plain.imports:
        return plain
    stream.seek(start)
    past = _follow(stream, size, arrays=True)
    return Pickle(imports=past.imports | {one for one in plain.imports if _there(one[0])}, problems=past.problems)


def _there(module: str) -> bool:
    """Tell whether a module can be found here. Read as opcodes, the bytes of arrays name modules that nobody wrote."""
    try:
        return find_spec(module.partition(".")[0]) is not None
    except (ValueError, ImportError, AttributeError):
        return True  # a module that is loaded and says nothing of its origin, such as __main__


def _follow(stream: BinaryIO, size: int, *, arrays: bool) -> Pickle:
    imports: set[tuple[str, str]] = set()
    problems: list[str] = []
    budget = [MAX_OPCODES]
    count = more = 0
    while stream.tell() < size:
        if count == MAX_PICKLES:
            problems.append(f"more than {MAX_PICKLES} pickles in one file")
            break
        machine = _Machine(stream, size, imports, problems, budget, arrays=arrays)
        top = machine.run()
        count += 1
        if machine.broken:
            break
        more = _MORE_OF_TORCH if count == 1 and top == _LEGACY_TORCH else more - 1
        if more == 0 and count == 1 + _MORE_OF_TORCH:
            break  # the tensors' bytes follow
    if not count:
        problems.append("the file is empty")
    return Pickle(imports=frozenset(imports), problems=tuple(dict.fromkeys(problems)))


class _Machine:
    """The stack machine of one pickle."""

    def __init__(
        self,
        stream: BinaryIO,
        size: int,
        imports: set[tuple[str, str]],
        problems: list[str],
        budget: list[int],
        *,
        arrays: bool,
    ) -> None:
        self.stream, self.size, self.imports, self.problems, self.budget = stream, size, imports, problems, budget
        self.arrays = arrays
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.fixed: dict[int, Any] = {}  # the fields of types of arrays, which NumPy keeps and does not copy
        self.protocol = 0
        self.wrappers = 0  # how often the class of joblib's arrays was pushed and not yet made an object of
        self.frame_end = 0
        self.broken = False

    def run(self) -> Any:
        """Follow one pickle to its end, and return what stands for its value."""
        try:
            for opcode, argument, _ in pickletools.genops(self.stream):
                self.budget[0] -= 1
                if self.budget[0] < 0:
                    raise Broken(f"more than {MAX_OPCODES:,} opcodes")
                if opcode.name == "STOP":
                    if self.arrays and self.wrappers:
                        raise Broken("the class of joblib's arrays is used for something else")
                    return self.pop()
                step = _STEPS.get(opcode.name)
                if step is None:
                    self.stack.append(argument)
                else:
                    step(self, argument)
        except Broken as problem:
            self.problems.append(str(problem))
        except (
            ValueError,
            IndexError,
            KeyError,
            TypeError,
            OverflowError,
            RecursionError,
            UnicodeError,
            EOFError,
        ) as error:
            self.problems.append(f"the pickle breaks off: {type(error).__name__}")
        self.broken = True
        return None

    def push(self, value: Any) -> None:
        self.stack.append(value)
        self.wrappers += value == WRAPPER

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def imported(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Broken("it imports what it computes while it is loaded")
        if self.protocol < 3:
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        self.imports.add((module, name))
        return Global(module, name)

    def called(self, what: Any, args: Any) -> None:
        if not isinstance(what, Global):
            raise Broken("it calls what is not imported but computed")
        self.stack.append(Made(what, args))

    def changed(self, target: Any) -> Any:
        if isinstance(target, Global):
            raise Broken(f"it changes {target.module}.{target.name} itself")
        return target

    def build(self, _: Any) -> None:
        state = self.pop()
        made = self.changed(self.stack[-1])
        if isinstance(made, Made):
            made.state, made.changes = state, made.changes + 1
            if made.by == DTYPE:
                typed(made)
                fields = state[4]
                self.fixed[id(fields)] = fields
            elif self.arrays and made.by == WRAPPER:
                self.past_array(made)

    def past_array(self, made: Made) -> None:
        """Go past the bytes of an array, as joblib does when it has read the object that stands for it."""
        if self.stream.tell() < self.frame_end:
            raise Broken("an array stands inside a frame, where joblib reads other bytes than stand there")
        told = array(made)
        self.stack[-1] = OPAQUE
        if told.objects:
            inner = _Machine(self.stream, self.size, self.imports, self.problems, self.budget, arrays=False)
            inner.run()
            if inner.broken:
                raise Broken("an array of objects cannot be followed")
            return
        if told.padded:
            padding = self.stream.read(1)
            self.stream.seek(self.stream.tell() + int.from_bytes(padding, "little"))
        end = self.stream.tell() + told.length
        if end > self.size:
            raise Broken("an array ends beyond the file")
        self.stream.seek(end)


# --- opcodes --------------------------------------------------------------------------------------------


def _into_dict(machine: _Machine, items: list[Any]) -> None:
    target = machine.changed(machine.stack[-1])
    if isinstance(target, dict):
        if id(target) in machine.fixed:
            raise Broken("it changes the fields of a type of arrays")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key if isinstance(key, str) else OPAQUE] = value


def _setitem(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _into_dict(machine, [key, value])


def _setitems(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    _into_dict(machine, items)


def _mark_popped(machine: _Machine, _: Any) -> None:
    machine.pop_mark()


def _appended(machine: _Machine, _: Any) -> None:
    machine.pop()
    machine.changed(machine.stack[-1])


def _many_appended(machine: _Machine, _: Any) -> None:
    machine.pop_mark()
    machine.changed(machine.stack[-1])


def _dict(machine: _Machine, _: Any) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    _into_dict(machine, items)


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _popped(machine: _Machine, _: Any) -> None:
    if machine.stack:
        machine.pop()
    else:
        machine.pop_mark()


def _global(machine: _Machine, argument: Any) -> None:
    module, _, name = argument.partition(" ")
    machine.push(machine.imported(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(machine.imported(module, name))


def _inst(machine: _Machine, argument: Any) -> None:
    args = tuple(machine.pop_mark())
    module, _, name = argument.partition(" ")
    machine.called(machine.imported(module, name), args)


def _obj(machine: _Machine, _: Any) -> None:
    what, *args = machine.pop_mark()
    machine.called(what, tuple(args))


def _reduce(machine: _Machine, _: Any) -> None:
    args, what = machine.pop(), machine.pop()
    if isinstance(what, Global) and (what.module, what.name) in _NEW and isinstance(args, tuple) and args:
        what, args = args[0], args[1:]  # these make an object of the class that they are given
    machine.called(what, args)


_NEW = {("copyreg", "_reconstructor"), ("copyreg", "__newobj__")}


def _newobj(machine: _Machine, _: Any) -> None:
    args, what = machine.pop(), machine.pop()
    machine.wrappers -= what == WRAPPER
    machine.called(what, args)


def _newobj_ex(machine: _Machine, _: Any) -> None:
    named, args, what = machine.pop(), machine.pop(), machine.pop()
    machine.called(what, (args, named))


def _extension(_: _Machine, argument: Any) -> None:
    raise Broken(f"it imports by the extension code {argument}, which says nothing of what that is")


def _frame(machine: _Machine, argument: Any) -> None:
    machine.frame_end = machine.stream.tell() + argument


def _tuple_of(n: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(n)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _pushes(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _collected(make: Callable[[list[Any]], Any]) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        items = machine.pop_mark()  # first: it puts the stack below the mark back
        machine.stack.append(make(items))

    return step


def _got(machine: _Machine, argument: Any) -> None:
    machine.push(machine.memo[int(argument)])


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[int(argument)] = machine.stack[-1]


def _memoized(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _protocol(machine: _Machine, argument: Any) -> None:
    machine.protocol = argument


def _nothing(_: _Machine, __: Any) -> None:
    return None


def _persistent(machine: _Machine, _: Any) -> None:
    machine.pop()
    machine.stack.append(OPAQUE)


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _protocol, "FRAME": _frame, "MARK": _mark, "POP": _popped, "POP_MARK": _mark_popped,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "NONE": _pushes(lambda: None), "NEWTRUE": _pushes(lambda: True), "NEWFALSE": _pushes(lambda: False),
    "NEXT_BUFFER": _pushes(lambda: OPAQUE), "READONLY_BUFFER": _nothing,
    "EMPTY_LIST": _pushes(list), "EMPTY_TUPLE": _pushes(tuple), "EMPTY_DICT": _pushes(dict), "EMPTY_SET": _pushes(set),
    "LIST": _collected(lambda _: []), "TUPLE": _collected(tuple), "FROZENSET": _collected(lambda _: OPAQUE),
    "TUPLE1": _tuple_of(1), "TUPLE2": _tuple_of(2), "TUPLE3": _tuple_of(3),
    "APPEND": _appended, "APPENDS": _many_appended, "ADDITEMS": _many_appended,
    "DICT": _dict, "SETITEM": _setitem, "SETITEMS": _setitems,
    "GET": _got, "BINGET": _got, "LONG_BINGET": _got, "PUT": _put, "BINPUT": _put, "LONG_BINPUT": _put, "MEMOIZE": _memoized,
    "GLOBAL": _global, "STACK_GLOBAL": _stack_global, "INST": _inst, "OBJ": _obj, "REDUCE": _reduce, "NEWOBJ": _newobj,
    "NEWOBJ_EX": _newobj_ex, "BUILD": _Machine.build, "EXT1": _extension, "EXT2": _extension, "EXT4": _extension,
    "PERSID": _pushes(lambda: OPAQUE), "BINPERSID": _persistent,
}  # fmt: skip
"""What opcodes do; every other pushes its argument, which is a number, a text or bytes."""
