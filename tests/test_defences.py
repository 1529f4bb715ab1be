"""The table of defences is complete and says nothing that is no longer so. That each of its tests fails, remove_defences.py asks."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.defences import ATTACKS, DEFENCES, LINES

ROOT = Path(__file__).resolve().parent.parent


def test_every_line_has_a_defence_and_every_defence_a_line() -> None:
    assert [line for line in LINES if not any(one.line == line for one in DEFENCES)] == []
    assert [one.line for one in DEFENCES if one.line not in LINES] == []
    names = [(one.line, one.without) for one in DEFENCES]
    assert len(set(names)) == len(names)


def test_every_attack_on_policies_is_stopped_by_a_defence() -> None:
    assert len(ATTACKS) == 21
    defended = {one.line for one in DEFENCES}
    for attack, lines in ATTACKS.items():
        assert lines, attack
        assert set(lines) <= defended, attack


def test_what_is_removed_stands_exactly_once_and_leaves_python_behind() -> None:
    for one in DEFENCES:
        changed = one.removed(ROOT)
        assert changed
        for file, text in changed.items():
            ast.parse(text, file)


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_named_test_exists() -> None:
    for one in DEFENCES:
        assert one.tests
        for node in one.tests:
            file, _, name = node.partition("::")
            assert name.partition("[")[0] in functions(file), node
