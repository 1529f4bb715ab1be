"""Expressions of the Common Expression Language (CEL): a bounded part of it, and an answer that is true, false, or an error.

Only this module knows the engine. It stops neither long nor large work by itself, so what may be asked of it is bounded here.
An expression has at most :data:`MAX_LENGTH` characters, :data:`MAX_NESTING` brackets within each other, :data:`MAX_SUMS` signs
``+`` and :data:`MAX_MACROS` of :data:`MACROS`. Each of these goes through something that the context names, never through
something put together, and inside it only its own variable and :data:`SMALL` may be named. So every pass is over a part of the
context, no pass is repeated for each item of another, and with the context bounded by :data:`MAX_VALUES` the work is bounded too: the worst
that is known took 7 seconds on one core. A policy has at most :data:`MAX_EXPRESSIONS` of them with :data:`MAX_PASSES` passes, so the sum is
bounded as well.
``filter`` and ``map``, for which the engine takes time by the square of a list, regular expressions and comments are left out.
There are no functions but :data:`FUNCTIONS`: none tells the time, and none reaches outside of the context.

The language: Common Expression Language specification, https://github.com/google/cel-spec, cel.dev (2018 and later).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_governance.decide.reading import nearest
from ml_governance.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MAX_LENGTH = 400
MAX_NESTING = 12
MAX_MACROS = 4
MAX_EXPRESSIONS = 100
MAX_PASSES = 40
"""Of :data:`MACROS` in all expressions of a policy together: ten of the worst expressions, each as above."""
MAX_SUMS = 4
"""The engine copies all of a list each time that another is added."""
MAX_VALUES = 100_000
"""Values that the named part of a context may have, a long text counting as one for every 64 characters."""
MAX_DEPTH = 64
"""Lists and mappings within each other in a context: the engine goes down by recursion."""
MACROS = ("all", "exists", "exists_one")
FUNCTIONS = ("has", "size", "contains", "startsWith", "endsWith", "int", "double", "string", "timestamp", "duration")
SMALL = ("model", "stage")
"""Names that a macro may use beside its own variable."""

_WORDS = frozenset({"true", "false", "null", "in"})
_TOKEN = re.compile(
    r"(?P<space> +)"
    r"|(?P<text>\"(?:[^\"\\\r\n]|\\.)*\"|'(?:[^'\\\r\n]|\\.)*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])"
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_PLACE = re.compile(r"<input>:1:(\d+): (?:Syntax error: )?([^\n]*)")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def read(text: str, names: Collection[str]) -> frozenset[str]:
    """Check that an expression may be asked, and return which of the names it uses.

    Parameters
    ----------
    text : str
        The expression, of 1 to :data:`MAX_LENGTH` characters.
    names : collection of str
        What it may name.

    Raises
    ------
    PolicyError
        If it is no expression, too long, too deep, or asks for what is left out. It says at which character, counted from 1.
    """
    if len(text) > MAX_LENGTH:
        raise PolicyError(f"the expression has {len(text):,} characters", expected=f"at most {MAX_LENGTH}")
    hidden = next((i for i, one in enumerate(text) if not one.isprintable()), None)
    if hidden is not None:
        raise _refused(hidden, "a line break, or what cannot be seen", "one line; YAML folds several with '>-'")
    tokens = list(_tokens(text))
    _compiled(text)
    return _named(tokens, names)


def holds(text: str, context: Mapping[str, Any]) -> bool:
    """Tell whether an expression is true or false of a context.

    Parameters
    ----------
    text : str
        The expression.
    context : mapping of str to JSON value
        What it may name. A key whose value is null is absent: to read it is an error, as for every missing key.

    Raises
    ------
    PolicyError
        If the answer is neither true nor false, or there is none: whatever the engine raises, a number that is not finite or
        beyond 64 bits, null in a list, too large a context.
    """
    used = read(text, context)
    values = _bounded({name: context[name] for name in sorted(used)})
    program = _compiled(text)
    try:
        answer = program.execute(values)
    except (KeyboardInterrupt, SystemExit):
        raise
    except KeyError as error:
        raise PolicyError(
            f"there is no {error.args[0] if error.args else error!s:.80}", expected="a key that is there"
        ) from error
    except BaseException as error:  # a panic of the engine is no Exception
        raise PolicyError(f"it has no answer: {type(error).__name__}: {_first_sentence(str(error))}") from error
    if answer is True or answer is False:
        return bool(answer)
    raise PolicyError(f"the answer is {_kind(answer)}", expected="true or false")


def passes(text: str) -> int:
    """Return how many of :data:`MACROS` an expression has.

    Raises
    ------
    PolicyError
        If it cannot be read.
    """
    tokens = [token for token in _tokens(text) if token.kind != "space"]
    return sum(_macro(tokens, i) for i in range(len(tokens)))


def constant(text: str) -> bool | None:
    """Return what an expression says whatever it is about; None where that depends on something."""
    try:  # so that `true || model.name == "x"` is found as well
        answer = _compiled(text).execute({})
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001  as above; that it needs its names is what was asked
        return None
    return bool(answer) if answer is True or answer is False else None


# --- the text -------------------------------------------------------------------------------------------


def _compiled(text: str) -> Any:
    import cel

    try:
        return cel.compile(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the engine is no Exception
        place = _PLACE.search(str(error))
        if place is None:
            raise PolicyError("this is no expression", expected='an expression such as model.name == "x"') from error
        column, told = place.groups()
        found, _, expected = told.replace("'<EOF>'", "the end").partition(" expecting ")
        raise PolicyError(f"character {column}: {found[:160]}", expected=expected[:160] or "an expression") from error


def _tokens(text: str) -> Iterator[_Token]:
    """Yield what the text is made of; forms that could hide something from :func:`_named` are refused."""
    at, last = 0, _Token("", "", 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _refused(at, f"{text[at]!r}", "names, numbers, plain quoted text and signs")
        token = _Token(str(match.lastgroup), match[0], at)
        if token.kind == "text" and last.kind in ("text", "name"):
            raise _refused(at, "quotes of another kind", 'text between plain quotes, such as "a"')
        if token.text == last.text == "/":
            raise _refused(at, "a comment", "the expression alone")
        yield token
        at, last = match.end(), token


def _named(every: list[_Token], names: Collection[str]) -> frozenset[str]:
    """Return the names used, in an expression that the engine can read."""
    tokens = [token for token in every if token.kind != "space"]
    scopes: list[Collection[str]] = [names]
    variables: set[int] = set()
    used: set[str] = set()
    sums = [token for token in tokens if token.text == "+"]
    if len(sums) > MAX_SUMS:
        raise _refused(sums[MAX_SUMS].at, "one more +", f"at most {MAX_SUMS} of them")
    for i, token in enumerate(tokens):
        if token.text in _CLOSING:
            scopes.pop()
        elif token.text in _OPENING:
            scope = scopes[-1]
            if _macro(tokens, i):
                scope = {_variable(tokens, i, names), *(set(SMALL) & set(names))}
                variables.add(i + 1)
            scopes.append(scope)
            if len(scopes) > MAX_NESTING + 1:
                raise _refused(token.at, "too many brackets", f"at most {MAX_NESTING} within each other")
            if len(variables) > MAX_MACROS:
                raise _refused(token.at, "too much at once", f"at most {MAX_MACROS} of {', '.join(MACROS)}")
        elif token.text == "." and not _ends_value(tokens, i - 1):
            raise _refused(token.at, "'.' after what has no fields", "a name before it")
        elif token.kind == "name" and token.text not in _WORDS and i not in variables:
            used |= _use(tokens, i, scopes[-1]) & set(names)
    return frozenset(used)


def _use(tokens: list[_Token], i: int, scope: Collection[str]) -> set[str]:
    """Return what a name stands for in the context, if anything."""
    token = tokens[i]
    field = i > 0 and tokens[i - 1].text == "."
    if i + 1 < len(tokens) and tokens[i + 1].text == "(":
        if token.text not in FUNCTIONS and not (field and token.text in MACROS):
            raise _unknown(token, "function", (*FUNCTIONS, *MACROS))
        return set()
    if field:
        return set()
    if token.text not in scope:
        raise _unknown(token, "name", scope)
    return {token.text}


def _macro(tokens: list[_Token], bracket: int) -> bool:
    return (
        bracket > 1
        and tokens[bracket].text == "("
        and tokens[bracket - 1].text in MACROS
        and tokens[bracket - 2].text == "."
    )


def _variable(tokens: list[_Token], bracket: int, names: Collection[str]) -> str:
    """Return the variable of a macro that goes through a name, its fields and its items, and through nothing else."""
    variable = tokens[bracket + 1]
    if variable.text in names:
        raise _refused(variable.at, f"the variable {variable.text}", "a name that means nothing else")
    i = bracket - 3
    while i >= 0 and _ends_value(tokens, i):
        if tokens[i].text == "]":
            i = _opened(tokens, i) - 1
        elif tokens[i].kind != "name":
            break
        elif i and tokens[i - 1].text == ".":
            i -= 2
        else:
            return variable.text
    raise _refused(
        tokens[bracket - 1].at,
        f"{tokens[bracket - 1].text} of what is put together",
        "a name before it, with its fields, such as measurements.all(m, ...)",
    )


def _opened(tokens: list[_Token], closing: int) -> int:
    """Return where the bracket that closes here was opened."""
    depth = 0
    for i in range(closing, -1, -1):
        depth += (tokens[i].text in _CLOSING) - (tokens[i].text in _OPENING)
        if depth == 0:
            return i
    return 0


def _ends_value(tokens: list[_Token], i: int) -> bool:
    """Tell whether something that may have fields ends here."""
    if i < 0:
        return False
    token = tokens[i]
    return token.text in _CLOSING or token.kind == "text" or (token.kind == "name" and token.text not in _WORDS)


def _unknown(token: _Token, what: str, known: Collection[str]) -> PolicyError:
    near = nearest(token.text, known)
    hint = f"; did you mean {near!r}?" if near else ""
    return _refused(
        token.at, f"the {what} {token.text[:40]} is unknown here", f"one of {', '.join(sorted(known))}{hint}"
    )


def _refused(at: int, found: str, expected: str) -> PolicyError:
    return PolicyError(f"character {at + 1}: {found}", expected=expected)


# --- the context and the answer -------------------------------------------------------------------------


def _bounded(context: dict[str, Any]) -> dict[str, Any]:
    left = MAX_VALUES

    def copied(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1 + (len(value) // 64 if isinstance(value, str) else 0)
        if left < 0:
            raise PolicyError(f"it asks about more than {MAX_VALUES:,} values", expected="an expression about less")
        if depth > MAX_DEPTH:
            raise PolicyError("it asks about values too deep within each other", expected=f"at most {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {str(key): copied(part, depth + 1) for key, part in value.items() if part is not None}
        if isinstance(value, list | tuple):
            return [copied(part, depth + 1) for part in value]
        if isinstance(value, bool | str):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        shown = f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"{value!r:.40}"
        raise PolicyError(f"it asks about {shown}", expected="texts, finite numbers of 64 bits, lists and mappings")

    return {name: copied(value, 0) for name, value in context.items()}


def _kind(answer: Any) -> str:
    kinds = {type(None): "null", str: "text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(answer), "a value of another kind")


def _first_sentence(text: str) -> str:
    return text.partition("\n")[0].partition(". ")[0][:200]
