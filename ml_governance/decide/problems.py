"""What is wrong with a policy although every value has its form: each mistake with its line and the nearest valid name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ml_governance.decide import expression, facts
from ml_governance.decide.reading import Mistake, line_of, nearest
from ml_governance.decide.require import BOUNDS, HUMAN_TEXT
from ml_governance.errors import PolicyError
from ml_governance.evidence.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.decide.reading import Lines
    from ml_governance.decide.require import Require
    from ml_governance.evidence.metrics import Metric

FEW = 5
"""How many metrics a message names; a kind may have a hundred."""
Told = tuple[str, str, str, str]
"""The key, what was found, what was expected, the nearest name."""


def of_policy(policy: Policy, lines: Lines) -> list[Mistake]:
    """Return what is wrong with a policy as a whole."""
    found = []
    if policy.break_glass is not None and (shared := set(policy.break_glass.roles) & set(policy.promote.roles)):
        found.append(
            Mistake(
                line=line_of(lines, ("break_glass",)),
                where="break_glass",
                found=f"{', '.join(sorted(shared))} promotes already",
                expected="a role of its own",
            )
        )
    found += _of_all_expressions(policy, lines)
    return found + [
        Mistake(
            line=line_of(lines, ("rules", position)),
            where=rule.id,
            found="inconclusive goes to review, and review names no roles",
            expected="review: {roles: [...]}, or on_inconclusive: deny",
        )
        for position, rule in enumerate(policy.rules)
        if rule.on_inconclusive == "review" and policy.review is None and rule.require.metric is not None
    ]


def _of_all_expressions(policy: Policy, lines: Lines) -> Iterator[Mistake]:
    """Yield at most one mistake, where the work of all expressions together has no bound any more."""
    count, passes = 0, 0
    for position, rule in enumerate(policy.rules):
        for key in (facts.WHEN, facts.CHECK):
            text = getattr(rule, key)
            if text is None:
                continue
            count += 1
            try:
                passes += expression.passes(text)
            except PolicyError:
                continue  # told as a mistake of its rule
            if count > expression.MAX_EXPRESSIONS or passes > expression.MAX_PASSES:
                yield Mistake(
                    line=line_of(lines, ("rules", position, key)),
                    where=f"{rule.id}: {key}",
                    found=f"up to here the policy has {count} expressions with {passes} of {', '.join(expression.MACROS)}",
                    expected=f"in a whole policy at most {expression.MAX_EXPRESSIONS} expressions with "
                    f"{expression.MAX_PASSES}: what they may cost together is bounded",
                )
                return


def of_rules(rules: Mapping[int, Rule], lines: Lines, controls: Collection[str] | None = None) -> list[Mistake]:
    """Return what is wrong with rules, given by their position in the file; ``controls`` are the ids that may be named."""
    found = []
    seen: dict[str, int] = {}
    for position, rule in rules.items():
        line = line_of(lines, ("rules", position))
        if rule.id in seen:
            found.append(Mistake(line=line, where=rule.id, found=f"this id stands at line {seen[rule.id]} already"))
        seen.setdefault(rule.id, line)
        for key in (facts.WHEN, facts.CHECK):
            found += _of_expression(rule, key, line_of(lines, ("rules", position, key)))
        for key, what, expected, near in _of_require(rule.require):
            at = line_of(lines, ("rules", position, "require", key))
            found.append(Mistake(line=at, where=f"{rule.id}: {key}", found=what, expected=expected, near=near))
        found += [
            Mistake(
                line=line_of(lines, ("rules", position, "controls", index)),
                where=f"{rule.id}: controls",
                found=f"the catalogue has no control {control!r:.100}",
                expected="an id that mlgov policy controls lists",
                near=nearest(control, controls),
            )
            for index, control in enumerate(rule.controls)
            if controls is not None and control not in controls
        ]
    return found


def _of_expression(rule: Rule, key: str, line: int) -> Iterator[Mistake]:
    text = getattr(rule, key)
    if text is None:
        return
    try:
        expression.read(text, facts.names(key, rule.require.evidence))
    except PolicyError as problem:
        yield Mistake(line=line, where=f"{rule.id}: {key}", found=problem.found, expected=problem.expected or "")


def _of_require(require: Require) -> Iterator[Told]:
    yield from _of_kind(require)
    comparisons = [name for name in (*BOUNDS, "champion") if getattr(require, name) is not None]
    if require.metric is None:
        for key in (*comparisons, *(("by",) if require.by else ())):
            yield key, "there is no metric for it", f"metric: one of the metrics of {require.evidence} evidence", ""
        return
    try:
        definition = require.definition()
    except PolicyError:
        yield _no_metric(require)
        return
    if len(comparisons) != 1:
        expected = f"exactly one of {', '.join((*BOUNDS, 'champion'))}"
        yield "metric", f"the rule has {len(comparisons)} bounds{_listed(comparisons)}", expected, ""
    elif require.champion is not None:
        if definition.better is None:
            yield "champion", f"of {definition.name} neither more nor less is better", "a metric with a direction", ""
    else:
        yield from _of_bound(comparisons[0], require, definition)
    if definition.form in ("ratio", "difference", "aggregate") and not require.by:
        yield "metric", f"{definition.name} compares groups, and `by` names no attribute", "by: [...]", ""
    for attribute in sorted(set(require.levels) - set(require.by)):
        yield "levels", f"levels of {attribute}, which `by` does not name", "", nearest(attribute, require.by)


def _of_kind(require: Require) -> Iterator[Told]:
    """Yield what is asked of a kind of evidence that does not have it."""
    given = {
        "dataset": bool(require.dataset), "max_attempts": require.max_attempts is not None,
        "no_overlap_with": require.no_overlap_with is not None,
    }  # fmt: skip
    if not require.assessment:
        for key in (key for key, is_given in given.items() if is_given):
            yield key, f"{require.evidence} evidence is measured on no test data", "evidence that is an assessment", ""
    if require.max_overlap and require.no_overlap_with is None:
        yield "max_overlap", "no overlap is asked about", "no_overlap_with: training beside it", ""
    if require.inputs_digested and require.evidence != "training-run":
        yield "inputs_digested", f"{require.evidence} evidence has no inputs", "evidence: training-run", ""
    if require.inputs and require.evidence != "training-run":
        yield "inputs", f"{require.evidence} evidence has no inputs", "evidence: training-run", ""
    if require.text is not None and require.evidence != HUMAN_TEXT:
        yield "text", f"{require.evidence} evidence is no text", f"evidence: {HUMAN_TEXT}", ""
    if require.text is None and require.evidence == HUMAN_TEXT:
        yield "evidence", "the rule does not say which text", "text: its name, such as intended-use", ""


def _no_metric(require: Require) -> Told:
    known = [name for kind, name in METRICS if kind == require.evidence]
    found = f"{require.evidence} evidence has no metric {require.metric!r}"
    if not known:
        return "metric", found, "no metric: of this kind none is measured yet", ""
    words = set(re.split(r"[^a-z0-9]+", (require.metric or "").lower()))
    alike = sorted(known, key=lambda name: (-len(words & set(name.split("_"))), len(name), name))
    near = alike[0] if words <= set(alike[0].split("_")) else nearest(require.metric or "", known)
    elsewhere = sorted({kind for kind, name in METRICS if name == require.metric})
    if elsewhere:
        return "metric", f"{found}; {' and '.join(elsewhere)} evidence has", "a metric of the rule's own evidence", near
    shown = [name for name in alike if words & set(name.split("_"))][:FEW] if len(known) > FEW else sorted(known)
    such = f", such as {', '.join(shown)}" if shown else ""
    return "metric", found, f"one that `mlgov assess --list-metrics --kind {require.evidence}` lists{such}", near


def _of_bound(name: str, require: Require, definition: Metric) -> Iterator[Told]:
    number = float(getattr(require, name))
    wants = "higher" if name.endswith("at_least") else "lower"
    if definition.better not in (None, wants):
        turned = {"lower_bound_at_least": "upper_bound_at_most", "value_at_least": "value_at_most"}
        near = {**turned, **{after: before for before, after in turned.items()}}[name]
        yield name, f"{name} on {definition.name}, of which {definition.better} is better", near, near
    if not (definition.low is None or number >= definition.low) or not (
        definition.high is None or number <= definition.high
    ):
        yield (
            name,
            f"{name} is {number:g}",
            f"a number that {definition.name} can have: {_range(definition)}",
            "",
        )


def _range(definition: Metric) -> str:
    if definition.high is None:
        return f"{definition.low:g} or more"
    if definition.low is None:
        return f"{definition.high:g} or less"
    share = "; 80 % is 0.8" if (definition.low, definition.high) == (0, 1) else ""
    return f"{definition.low:g} to {definition.high:g}{share}"


def _listed(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
