"""Policies in English: every rule as a sentence that its owner can agree or disagree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.decide.require import Require


def explain_policy(policy: Policy) -> str:
    """Return a policy as sentences.

    Parameters
    ----------
    policy : Policy
        What to explain.

    Returns
    -------
    str
        One line for what it covers, one for each rule, and one for each thing that people must or may do.
    """
    lines = [
        f"{policy.policy}, version {policy.version}: a model enters {policy.stage} only if every rule below passes.",
        f"It is for {_any('models called', policy.applies_to.model)} in {_any('the project', policy.applies_to.project)}.",
        "",
    ]
    lines += [f"{rule.id}  {rule.title}\n        {_rule(rule)}" for rule in policy.rules]
    lines.append("")
    for slot in policy.approvals:
        within = f", good for {span(slot.expires)}" if slot.expires else ""
        people = f"{slot.count} different people" if slot.count > 1 else "one person"
        lines.append(
            f"Approval: {people} in the role {words(slot.role)}{within}; never the model's author or trainer; no one twice."
        )
    if policy.review is not None:
        lines.append(f"Review: {some(_or(policy.review.roles))} may accept an inconclusive finding by naming it.")
    barred = f", but not the model's {_or(policy.promote.not_)}" if policy.promote.not_ else ""
    lines.append(f"Promotion: by {some(_or(policy.promote.roles))}{barred}.")
    if policy.custody == "separate":
        lines.append("Custody: nobody involved may have their keys where somebody else involved has theirs.")
    if policy.waivers.roles:
        lines.append(
            f"Waivers: {some(_or(policy.waivers.roles))} may accept a failed rule for at most {policy.waivers.max_days} days; "
            "missing or unreadable evidence cannot be waived."
        )
    if policy.break_glass is not None:
        lines.append(
            f"Break-glass: {some(_or(policy.break_glass.roles))} may promote against the answer for at most "
            f"{policy.break_glass.max_hours} hours, never their own work nor what was revoked; every decision says so until "
            f"{some(_or(policy.break_glass.reviewed_by))} has reviewed it."
        )
    return "\n".join(lines)


def _rule(rule: Rule) -> str:
    require = rule.require
    parts = [f"Only where {rule.when} is true; elsewhere it does not apply." if rule.when else "", _what(require)]
    conditions = []
    if require.metric is not None:
        conditions.append(f"predictions at least {require.predictions}")
    if require.signed_by:
        conditions.append(f"signed by {some(words(require.signed_by))}")
    if require.inputs_digested:
        conditions.append("with every input named by digest")
    if require.max_age:
        conditions.append(f"not older than {span(require.max_age)}")
    if require.by:
        conditions.append(f"groups of at least {require.min_group_size} rows")
    conditions += _test_data(require)
    if conditions:
        parts.append(f"Evidence: {', '.join(conditions)}.")
    if rule.check:
        parts.append(f"Of that evidence this must be true: {rule.check}.")
    if require.champion is not None:
        then = "it passes" if require.champion.first == "pass" else "it is missing"
        parts.append(f"Where no model is in use yet, {then}.")
    if require.judged_by_interval:
        after = "people review it" if rule.on_inconclusive == "review" else "it is denied"
        parts.append(f"If the interval spans the bound, {after}.")
    if rule.controls:
        parts.append(f"Evidence for {', '.join(rule.controls)}.")
    return " ".join(filter(None, parts))


def _test_data(require: Require) -> list[str]:
    said = []
    if require.inputs:
        said.append(f"with no inputs but {', '.join(digest[:19] for digest in require.inputs)}")
    if require.dataset:
        said.append(f"on the test data {' or '.join(digest[:19] for digest in require.dataset)}")
    if require.max_attempts is not None:
        said.append(
            f"at most {require.max_attempts} recorded attempts on the same test data over all versions of the model"
        )
    if require.no_overlap_with is not None:
        most = "no row" if not require.max_overlap else f"at most {require.max_overlap:.2%} of its rows"
        said.append(f"on test data that share {most} with what the model was trained on")
    return said


def _what(require: Require) -> str:
    if require.text is not None:
        return f"A person must have signed a text {require.text!r} about exactly these bytes."
    if require.metric is None:
        return f"There must be {require.evidence} evidence about exactly these bytes."
    definition = require.definition()
    level = f"with {require.confidence:.0%} {require.sides} confidence"
    said = _no_worse(require, level) if require.champion is not None else _bounded(require, level)
    groups = [
        f"{attribute} ({', '.join(require.levels[attribute])})"
        if attribute in require.levels
        else f"every group of {attribute}"
        for attribute in require.by
    ]
    where = f", separately for {' and '.join(groups)}," if groups else ""
    return f"{definition.name.replace('_', ' ').capitalize()} ({definition.text}){where} {said}."


def _no_worse(require: Require, level: str) -> str:
    asked = require.champion
    assert asked is not None  # noqa: S101  the caller looked
    model = f"the model in use in {asked.stage}" if asked.stage else "the model in use"
    less = f"by more than {asked.margin:g} worse" if asked.margin else "worse"
    return f"is {level} not {less} than that of {model}, measured on the same rows"


def _bounded(require: Require, level: str) -> str:
    bound = require.bound
    assert bound is not None  # noqa: S101  the policy was checked: a metric has exactly one bound, or a champion
    if require.only_measured:
        return "must have been measured, whatever it is"
    return {
        "lower_bound_at_least": f"is {level} at least {bound[1]:g}",
        "upper_bound_at_most": f"is {level} at most {bound[1]:g}",
        "value_at_least": f"is at least {bound[1]:g}",
        "value_at_most": f"is at most {bound[1]:g}",
    }[bound[0]]


def span(length: timedelta) -> str:
    """Return a duration in words."""
    hours = length.total_seconds() / 3600
    if hours < 1:
        return f"{hours * 60:g} minutes"
    return f"{hours / 24:g} days" if hours % 24 == 0 and hours > 24 else f"{hours:g} hours"


def _or(names: Sequence[str]) -> str:
    return " or ".join(words(name) for name in names)


def some(text: str) -> str:
    """Return words with their article."""
    return f"{'an' if text[:1] in set('aeiou') else 'a'} {text}"


def words(name: str) -> str:
    """Return a role or a key as it is said."""
    return name.replace("_", " ")


def _any(what: str, pattern: str) -> str:
    return (
        f"any {what.split(maxsplit=1)[0].rstrip('s') if what.startswith('models') else 'project'}"
        if pattern == "*"
        else f"{what} {pattern}"
    )
