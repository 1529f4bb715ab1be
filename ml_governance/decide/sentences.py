"""Policies in English: every rule as a sentence that its owner can agree or disagree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from ml_governance.decide.policy import Policy, Require, Rule


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
            f"Approval: {people} in the role {_role(slot.role)}{within}; never the model's author or trainer; no one twice."
        )
    if policy.review is not None:
        lines.append(f"Review: a {_or(policy.review.roles)} may accept an inconclusive finding by naming it.")
    barred = f", but not the model's {_or(policy.promote.not_)}" if policy.promote.not_ else ""
    lines.append(f"Promotion: by a {_or(policy.promote.roles)}{barred}.")
    if policy.custody == "separate":
        lines.append("Custody: nobody involved may have their keys where somebody else involved has theirs.")
    if policy.waivers.roles:
        lines.append(
            f"Waivers: a {_or(policy.waivers.roles)} may accept a failed rule for at most {policy.waivers.max_days} days; "
            "missing or unreadable evidence cannot be waived."
        )
    return "\n".join(lines)


def _rule(rule: Rule) -> str:
    require = rule.require
    parts = [_what(require)]
    conditions = []
    if require.metric is not None:
        conditions.append(f"predictions at least {require.predictions}")
    if require.signed_by:
        conditions.append(f"signed by a {_role(require.signed_by)}")
    if require.inputs_digested:
        conditions.append("with every input named by digest")
    if require.max_age:
        conditions.append(f"not older than {span(require.max_age)}")
    if require.by:
        conditions.append(f"groups of at least {require.min_group_size} rows")
    if conditions:
        parts.append(f"Evidence: {', '.join(conditions)}.")
    bound = require.bound
    if bound and bound[0] in ("lower_bound_at_least", "upper_bound_at_most"):
        after = "people review it" if rule.on_inconclusive == "review" else "it is denied"
        parts.append(f"If the interval spans the bound, {after}.")
    if rule.controls:
        parts.append(f"Evidence for {', '.join(rule.controls)}.")
    return " ".join(parts)


def _what(require: Require) -> str:
    bound = require.bound
    if require.metric is None or bound is None:
        return f"There must be {require.evidence} evidence about exactly these bytes."
    definition = require.definition()
    level = f"with {require.confidence:.0%} {require.sides} confidence"
    words = {
        "lower_bound_at_least": f"is {level} at least {bound[1]:g}",
        "upper_bound_at_most": f"is {level} at most {bound[1]:g}",
        "value_at_least": f"is at least {bound[1]:g}",
        "value_at_most": f"is at most {bound[1]:g}",
    }[bound[0]]
    groups = [
        f"{attribute} ({', '.join(require.levels[attribute])})"
        if attribute in require.levels
        else f"every group of {attribute}"
        for attribute in require.by
    ]
    where = f", separately for {' and '.join(groups)}," if groups else ""
    return f"{definition.name.replace('_', ' ').capitalize()} ({definition.text}){where} {words}."


def span(length: timedelta) -> str:
    """Return a duration in words."""
    hours = length.total_seconds() / 3600
    if hours < 1:
        return f"{hours * 60:g} minutes"
    return f"{hours / 24:g} days" if hours % 24 == 0 and hours > 24 else f"{hours:g} hours"


def _or(names: Sequence[str]) -> str:
    return " or ".join(_role(name) for name in names)


def _role(name: str) -> str:
    return name.replace("_", " ")


def _any(what: str, pattern: str) -> str:
    return (
        f"any {what.split(maxsplit=1)[0].rstrip('s') if what.startswith('models') else 'project'}"
        if pattern == "*"
        else f"{what} {pattern}"
    )
