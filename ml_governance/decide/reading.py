"""Reading what people write: strict YAML with the line of every value, and every mistake named at once.

Nothing here knows what a policy is; :mod:`ml_governance.decide.policy` brings the model.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ml_governance.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_TEXT = 256 * 1024
MAX_DEPTH = 32
MAX_SHOWN = 100
UNKNOWN_NAME = "unknown_name"
"""Type of a validation error that says a name is none of ``known``."""

_MERGE = "tag:yaml.org,2002:merge"
_SHOULD_BE = "Input should be "
_FORMS = {
    "bool_type": "true or false, without quotes",
    "dict_type": "keys with values, such as {key: value}",
    "float_type": "a number with a point and without quotes, such as 0.8",
    "int_type": "a whole number without quotes, such as 2",
    "list_type": "a list in brackets, such as [one, two]",
    "model_type": "keys with values, such as {key: value}",
    "string_type": "text, in quotes where YAML takes it for something else",
}
"""What a value should have been, in the words of those who write files."""
_SLIPS = (
    ("'\\t'", "spaces before the line, and no tab"),
    ("block end", "as many spaces before the line as before the others of its block"),
    ("mapping values", "'key: value' on a line of its own, indented like its neighbours; quotes around a text with a colon"),
    ("',' or", "a comma between items, and a bracket at the end"),
    ("end of stream", "a quote at the end of the text as well"),
    ("any token", "quotes around a text that begins with this sign"),
    ("another document", "one document, without a line of three dashes in between"),
)  # fmt: skip
"""A part of what PyYAML says, and what would be right in the words of those who write files."""
_ALIKE = re.compile(r"[\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\U00010000-\U0010ffff]*")
"""Texts in which PyYAML and libyaml find the same: without tabs, and with no line break or byte order mark but the line feed."""
_APART = re.compile(r"^(?:---|\.\.\.|%)|[|>][-+0-9]*#", re.MULTILINE)
"""What they read differently all the same: documents without content, and a comment that touches a block's sign."""
_Model = TypeVar("_Model", bound=BaseModel)

Location = tuple[Any, ...]
Lines = dict[Location, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong in a file.

    Parameters
    ----------
    line : int
        Where, from 1.
    where : str
        The key, such as ``rules.0.require.metric``, or the id of a rule; empty for the whole file.
    found : str
        What stands there.
    expected : str
        What would be right; empty where ``found`` says it all.
    near : str
        The valid name that looks most like it; empty where none does.
    """

    line: int
    where: str
    found: str
    expected: str = ""
    near: str = ""

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        expected = f"; expected {self.expected}" if self.expected else ""
        told = where + self.found + expected + (f"; did you mean {self.near!r}?" if self.near else "")
        # Names may be a stranger's: one mistake is one line, whatever they hold.
        return "".join(one if one.isprintable() else " " for one in told)


class MistakesError(PolicyError):
    """A file has mistakes.

    Parameters
    ----------
    what : str
        What was read, such as ``policy``.
    mistakes : iterable of Mistake
        All of them.
    file : str, optional
        Its name, for ``file:line``.
    next_step : str
        Where its form is described.
    """

    def __init__(
        self,
        what: str,
        mistakes: Iterable[Mistake],
        file: str | None = None,
        *,
        next_step: str = "see docs/reference/policy.md",
    ) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda one: one.line))
        self.file = file
        told = [f"{file}:{one.line}: {one}" if file else f"line {one.line}: {one}" for one in self.mistakes]
        if len(told) > MAX_SHOWN:
            told = [*told[:MAX_SHOWN], f"and {len(told) - MAX_SHOWN:,} more"]
        super().__init__(f"the {what} cannot be accepted:\n  " + "\n  ".join(told), next_step=next_step)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like a name; empty where none does."""
    return (get_close_matches(name[:200], list(known), n=1) or [""])[0]


def line_of(lines: Mapping[Location, int], location: Location) -> int:
    """Return the line of a value, or of the nearest thing around it that has one."""
    while location not in lines and location:
        location = location[:-1]
    return lines.get(location, 1)


# --- YAML -----------------------------------------------------------------------------------------------


class _Bounded:
    """YAML without anchors, aliases, tags and deep nesting, whoever finds its parts."""

    depth = 0

    def compose_node(self: Any, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse a node before it is made: below some depth PyYAML takes ever longer for each."""
        event: Any = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise PolicyError(f"line {line}: an anchor or alias", expected="each value written out")
        if event.tag is not None:
            raise PolicyError(f"line {line}: the tag {event.tag!r:.80}", expected="plain values without tags")
        if self.depth >= MAX_DEPTH:
            raise PolicyError(f"line {line}: the file is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return yaml.composer.Composer.compose_node(self, parent, index)
        finally:
            self.depth -= 1


class _Loader(_Bounded, yaml.SafeLoader):
    """The parser that says what is accepted."""


@cache
def _quick() -> Any:
    """Return a loader of the same with libyaml's scanner, where PyYAML has it: an order of magnitude faster."""
    if not yaml.__with_libyaml__:
        return _Loader
    from yaml.composer import Composer
    from yaml.constructor import SafeConstructor
    from yaml.cyaml import CParser  # type: ignore[attr-defined]  # PyYAML's own, which its stubs leave out
    from yaml.resolver import Resolver

    plain = Resolver()

    @lru_cache(maxsize=4096)
    def tag(value: str) -> str:
        return str(plain.resolve(yaml.ScalarNode, value, (True, False)))  # type: ignore[no-untyped-call]

    class Quick(_Bounded, Composer, CParser, SafeConstructor, Resolver):
        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            """Remember what plain words are: a policy repeats them."""
            return tag(value) if implicit == (True, False) else super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

    return Quick


def read_yaml(text: str, *, file: str | None = None, again: bool = False) -> tuple[Any, Lines]:
    """Read YAML strictly, with the line of every value.

    Parameters
    ----------
    text : str
        YAML.
    file : str, optional
        Its name, for messages.
    again : bool
        Whether it was accepted before, as a policy is that was signed. Then libyaml reads it, which is faster, where it is known to
        find what PyYAML finds; elsewhere, and whatever it refuses, PyYAML reads it as the first time.

    Raises
    ------
    PolicyError
        If it is too large or too deep, no YAML, or uses duplicate keys, anchors, aliases or tags.
    """
    if again and _ALIKE.fullmatch(text) and not _APART.search(text):
        with suppress(PolicyError):  # what is refused is refused below, in the same words as ever
            return _read(text, _quick())
    try:
        return _read(text, _Loader)
    except PolicyError as problem:
        if file is None:
            raise
        found = problem.found
        found = f"{file}:{found.removeprefix('line ')}" if found.startswith("line ") else f"{file}: {found}"
        raise PolicyError(found, expected=problem.expected, next_step=problem.next_step) from problem


def _read(text: str, load: Any) -> tuple[Any, Lines]:
    if len(text) > MAX_TEXT:
        raise PolicyError(f"the text has {len(text):,} characters", expected=f"at most {MAX_TEXT:,}")
    try:
        loader = load(text)
        node = loader.get_single_node()
        lines: Lines = {}
        if node is None:
            raise PolicyError("the file is empty", expected="a policy")
        return _value(node, (), lines, loader), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        problem = str(getattr(error, "problem", None) or error)
        right = next((words for part, words in _SLIPS if part in problem), "plain YAML")
        raise PolicyError(f"{line}this is no YAML: {problem}", expected=right) from error
    except ValueError as error:  # such as a date that no calendar has
        raise PolicyError(f"a value cannot be read: {error}") from error


def _value(node: yaml.Node, path: Location, lines: Lines, loader: Any) -> Any:
    """Return what a node says, and note the line of everything in it."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        made = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise PolicyError(f"line {line}: a key that is no text", expected="plain keys")
            if key.tag == _MERGE:
                raise PolicyError(f"line {line}: the key <<", expected="each value written out")
            name = loader.construct_object(key)
            if name in made or (*path, key.value) in lines:
                raise PolicyError(f"line {line}: the key {key.value!r:.80} stands twice", expected="each key once")
            made[name] = _value(value, (*path, key.value), lines, loader)
            lines[(*path, key.value)] = line
        return made
    if isinstance(node, yaml.SequenceNode):
        return [_value(value, (*path, position), lines, loader) for position, value in enumerate(node.value)]
    return loader.construct_object(node)


# --- values against a model -----------------------------------------------------------------------------


def validate(value: Any, model: type[_Model], lines: Mapping[Location, int]) -> tuple[_Model | None, list[Mistake]]:
    """Check a value against a model.

    Parameters
    ----------
    value : object
        As it was read.
    model : type
        Its form.
    lines : mapping
        The line of every value.

    Returns
    -------
    The validated model, None if there is any mistake, and the mistakes.
    """
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [_mistake(one, model, lines) for one in error.errors(include_url=False)]


def empty_values(value: Any, lines: Mapping[Location, int], at: Location = ()) -> list[Mistake]:
    """Return a mistake for every key or item without a value: whoever began it meant something by it."""
    if value is None:
        where = ".".join(str(part)[:80] for part in at)
        return [
            Mistake(line=line_of(lines, at), where=where, found="nothing stands here", expected="a value, or no key")
        ]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, part in inner for one in empty_values(part, lines, (*at, key))]


def _mistake(error: Any, model: type[BaseModel], lines: Mapping[Location, int]) -> Mistake:
    location: Location = error["loc"]
    where, line = ".".join(str(part)[:80] for part in location), line_of(lines, location)
    if error["type"] == "extra_forbidden":
        key = str(location[-1])
        known = _keys(model, location[:-1])
        return Mistake(
            line=line, where=where, found="this key is unknown", expected=_one_of(known), near=nearest(key, known)
        )
    if error["type"] == "missing":
        return Mistake(line=line, where=where, found="this key is missing")
    told = str(error["msg"]).removeprefix("Value error, ").removeprefix(_SHOULD_BE).removeprefix("expected ")
    message = _FORMS.get(error["type"], told)
    allowed: Iterable[str] = ()
    if error["type"] == "string_pattern_mismatch":
        message = f"text of the form {error['ctx']['pattern']}"
    if error["type"] == UNKNOWN_NAME:
        allowed = error["ctx"]["known"]
    elif error["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", message)
    near = nearest(error["input"], allowed) if isinstance(error["input"], str) else ""
    return Mistake(line=line, where=where, found=_shown(error), expected=message[:1].lower() + message[1:], near=near)


def _shown(error: Any) -> str:
    found = error.get("input")
    if found is None:
        return "nothing stands here"
    if isinstance(found, int) and found.bit_length() > 64:
        return f"found a number of {found.bit_length()} bits"
    if isinstance(found, str | int | float | bool):
        shown = str(found).lower() if isinstance(found, bool) else repr(found)
        return f"found {shown:.200}"
    if isinstance(found, date):
        return f"found the date {found}"
    return (
        f"found {'a list' if isinstance(found, list) else 'keys with values' if isinstance(found, dict) else 'a value'}"
    )


def _one_of(names: Iterable[str]) -> str:
    return f"one of {', '.join(names)}"


def _keys(model: type[BaseModel], location: Location) -> tuple[str, ...]:
    """Return the keys that may stand at a place."""
    at: Any = model
    for part in location:
        at = _inner(at, part)
        if at is None:
            return ()
    at = _bare(at)
    if isinstance(at, type) and issubclass(at, BaseModel):
        return tuple(field.alias or name for name, field in at.model_fields.items())
    return ()


def _inner(at: Any, part: Any) -> Any:
    at = _bare(at)
    if isinstance(at, type) and issubclass(at, BaseModel):
        return next((f.annotation for name, f in at.model_fields.items() if part in (name, f.alias)), None)
    arguments = get_args(at)
    return arguments[-1] if arguments else None


def _bare(at: Any) -> Any:
    """Return a type without its annotations and without None."""
    while True:
        if get_origin(at) is Annotated:
            at = get_args(at)[0]
        elif get_origin(at) in (Union, UnionType):
            (at, *_) = [one for one in get_args(at) if one is not NoneType]
        else:
            return at
