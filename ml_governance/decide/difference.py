"""What a new version of a policy asks less of, more of, or otherwise, in sentences.

"Weaker" is meant strictly: as soon as something that the old rule stopped might pass the new one. Where two rules cannot be
compared, such as over two metrics, they are ``changed``, and whoever guards against weakening has to treat that as weaker.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ml_governance.decide.sentences import span, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_governance.decide.policy import Policy, Rule
    from ml_governance.decide.require import Require

Verdict = Literal["weaker", "stronger", "changed", "added", "removed"]
WEAKENING: frozenset[Verdict] = frozenset({"weaker", "changed", "removed"})
"""What may let something pass that was stopped before."""

_PREDICTIONS = ("claimed", "caller-supplied", "recomputed")
_FOREVER = timedelta.max


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that differs between two policies.

    Parameters
    ----------
    what : str
        The rule's id, or the policy's key.
    verdict : {'weaker', 'stronger', 'changed', 'added', 'removed'}
        Seen from the old policy. A removed rule is weaker, an added one stronger.
    sentence : str
        What differs.
    """

    what: str
    verdict: Verdict
    sentence: str

    @property
    def weakens(self) -> bool:
        """Whether something that was stopped before may pass."""
        return self.verdict in WEAKENING


def difference(old: Policy, new: Policy) -> tuple[Difference, ...]:
    """Compare two policies, rule by rule.

    Parameters
    ----------
    old, new : Policy
        The policies.

    Returns
    -------
    tuple of Difference
        In the order of the old policy; nothing for what only reads otherwise, as titles and controls do.
    """
    found = list(_circumstances(old, new))
    after = {rule.id: rule for rule in new.rules}
    before = {rule.id for rule in old.rules}
    for rule in old.rules:
        if rule.id not in after:
            found.append(Difference(what=rule.id, verdict="removed", sentence=f"the rule is gone: {rule.title}"))
        else:
            found += _rules(rule, after[rule.id])
    # Where every rule has a condition, a model that none applied to was denied, and a new rule may let it pass.
    verdict: Verdict = "changed" if all(rule.when is not None for rule in old.rules) else "added"
    found += [
        Difference(what=rule.id, verdict=verdict, sentence=f"a new rule: {rule.title}")
        for rule in new.rules
        if rule.id not in before
    ]
    return tuple(found)


def at_least_as_strong(new: Require, old: Require) -> bool:
    """Tell whether everything that meets one requirement meets another."""
    return not any(verdict in WEAKENING for verdict, _ in _requires(old, new))


# --- a rule ---------------------------------------------------------------------------------------------


def _rules(old: Rule, new: Rule) -> Iterator[Difference]:
    told = [*_conditions(old, new), *_requires(old.require, new.require)]
    if old.on_inconclusive != new.on_inconclusive:
        weaker = new.on_inconclusive == "review"
        told.append((
            "weaker" if weaker else "stronger",
            "what is inconclusive goes to review and was denied" if weaker else "what is inconclusive is denied and went to review",
        ))  # fmt: skip
    for verdict, sentence in told:
        yield Difference(what=old.id, verdict=verdict, sentence=sentence)


def _conditions(old: Rule, new: Rule) -> Iterator[Told]:
    """Compare expressions: nobody can tell which of two stops more, nor whether one that is gone stopped by having no answer."""
    if old.when != new.when:
        always = "the rule always applied" if old.when is None else f"the rule applied where {old.when}"
        now = "always applies" if new.when is None else f"applies where {new.when}"
        yield ("weaker" if old.when is None else "changed"), f"{always}, and now {now}"
    if old.check != new.check:
        verdict: Verdict = "stronger" if old.check is None else "weaker" if new.check is None else "changed"
        yield (
            verdict,
            f"of the evidence must be true {new.check or 'nothing more'}, and before {old.check or 'nothing more'}",
        )


Told = tuple[Verdict, str]


def _requires(old: Require, new: Require) -> Iterator[Told]:
    for name in ("evidence", "metric", "text"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield from _other(name, before, after)
    yield from _bounds(old, new)
    yield from _groups(old, new)
    for name, compare in _FIELDS.items():
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield from compare(name, before, after)


def _other(name: str, before: Any, after: Any) -> Iterator[Told]:
    yield "changed", f"the {name} is {after or 'none'} and was {before or 'none'}"


def _bounds(old: Require, new: Require) -> Iterator[Told]:
    if old.champion is not None and new.champion is not None:
        yield from _champions(old, new)
    elif (old.champion is None) != (new.champion is None):
        yield "changed", f"the rule asks for {_asked(new)} and asked for {_asked(old)}"
    else:
        yield from _numbers(old, new)
    if old.judged_by_interval and new.judged_by_interval and _tail(old) != _tail(new):
        weaker = _tail(new) > _tail(old)
        yield (
            "weaker" if weaker else "stronger",
            f"the bounds hold with {new.confidence:g} {new.sides} confidence and held with {old.confidence:g} {old.sides}",
        )


def _numbers(old: Require, new: Require) -> Iterator[Told]:
    before, after = old.bound, new.bound
    if before == after:
        return
    if before is None or after is None:
        yield (
            ("stronger" if before is None else "weaker"),
            f"the rule asks for {_asked(new)} and asked for {_asked(old)}",
        )
        return
    sentence = f"it asks for {_asked(new)} and asked for {_asked(old)}"
    if before[0].endswith("at_least") != after[0].endswith("at_least"):
        yield "changed", sentence
        return
    up = after[0].endswith("at_least")
    less = after[1] < before[1] if up else after[1] > before[1]
    if old.judged_by_interval and not new.judged_by_interval:
        yield "weaker", f"{sentence}: the number alone, whatever chance may have done to it"
    elif after[1] != before[1] or new.judged_by_interval != old.judged_by_interval:
        yield ("weaker" if less else "stronger"), sentence


def _champions(old: Require, new: Require) -> Iterator[Told]:
    before, after = old.champion, new.champion
    assert before is not None and after is not None  # noqa: S101, PT018  the caller looked
    if before.margin != after.margin:
        verdict: Verdict = "weaker" if after.margin > before.margin else "stronger"
        yield verdict, f"it may be worse than the model in use by {after.margin:g}, and might by {before.margin:g}"
    if before.first != after.first:
        verdict = "weaker" if after.first == "pass" else "stronger"
        yield verdict, f"without a model in use it is {after.first} and was {before.first}"
    if before.stage != after.stage:
        yield from _other("champion's stage", before.stage or "the policy's", after.stage or "the policy's")


def _asked(require: Require) -> str:
    if require.champion is not None:
        return f"no worse than the model in use less {require.champion.margin:g}"
    if require.bound is None:
        return "the evidence alone"
    return f"{words(require.bound[0])} {require.bound[1]:g}"


def _tail(require: Require) -> float:
    return (1 - require.confidence) / (1 if require.one_sided else 2)


def _groups(old: Require, new: Require) -> Iterator[Told]:
    if bool(old.by) != bool(new.by):
        yield "changed", f"it is about {_by(new)} and was about {_by(old)}"
        return
    for attribute in old.by:
        if attribute not in new.by:
            yield "weaker", f"groups of {attribute} are no longer judged"
        else:
            yield from _levels(attribute, old.levels.get(attribute), new.levels.get(attribute))
    for attribute in new.by:
        if attribute not in old.by:
            yield "stronger", f"groups of {attribute} are judged as well"


def _by(require: Require) -> str:
    return f"groups of {', '.join(require.by)}" if require.by else "all rows together"


def _levels(attribute: str, before: Sequence[str] | None, after: Sequence[str] | None) -> Iterator[Told]:
    if before is None and after is not None:
        yield "weaker", f"of {attribute} only {', '.join(after)} are judged, and every reported group was"
    elif before is not None and after is None:
        yield "weaker", f"of {attribute} no group is required any more, and {', '.join(before)} were"
    elif before is not None and after is not None:
        gone, come = [one for one in before if one not in after], [one for one in after if one not in before]
        if gone:
            yield "weaker", f"of {attribute} {', '.join(gone)} may be left out"
        if come:
            yield "stronger", f"of {attribute} {', '.join(come)} must be there as well"


# --- the other fields -----------------------------------------------------------------------------------


def _ordered(key: Callable[[Any], Any], shown: Callable[[Any], str] = str) -> Callable[[str, Any, Any], Iterator[Told]]:
    """Compare by a key of which more is stronger."""

    def compare(name: str, before: Any, after: Any) -> Iterator[Told]:
        weaker = key(after) < key(before)
        yield ("weaker" if weaker else "stronger"), f"{words(name)} is {shown(after)} and was {shown(before)}"

    return compare


def _role(name: str, before: str | None, after: str | None) -> Iterator[Told]:
    sentence = f"{words(name)} is {after or 'anybody'} and was {before or 'anybody'}"
    yield ("stronger" if before is None else "weaker" if after is None else "changed"), sentence


def _datasets(name: str, before: list[str], after: list[str]) -> Iterator[Told]:
    if not after or (before and set(after) > set(before)):
        yield "weaker", f"{name}: more data count than before"
    elif not before or set(after) < set(before):
        yield "stronger", f"{name}: less data count than before"
    elif set(after) != set(before):
        yield "changed", f"{name}: other data count than before"


def _limit(value: Any) -> str:
    return "not limited" if value is None else span(value) if isinstance(value, timedelta) else str(value)


_FIELDS: dict[str, Callable[[str, Any, Any], Iterator[Told]]] = {
    "min_group_size": _ordered(int),
    "max_age": _ordered(lambda age: -(_FOREVER if age is None else age).total_seconds(), _limit),
    "predictions": _ordered(_PREDICTIONS.index),
    "signed_by": _role,
    "inputs_digested": _ordered(bool),
    "inputs": _datasets,
    "dataset": _datasets,
    "max_attempts": _ordered(lambda most: float("-inf") if most is None else -most, _limit),
    "no_overlap_with": _ordered(lambda data: data is not None, lambda data: data or "nothing"),
    "max_overlap": _ordered(lambda share: -share, lambda share: f"{share:.2%}"),
}
HANDLED = frozenset({
    *_FIELDS, "evidence", "metric", "text", "by", "levels", "champion", "confidence", "one_sided", "lower_bound_at_least",
    "upper_bound_at_most", "value_at_least", "value_at_most",
})  # fmt: skip
"""Every key of ``require``; a test holds this table against the model."""


# --- around the rules -----------------------------------------------------------------------------------


def _circumstances(old: Policy, new: Policy) -> Iterator[Difference]:
    def told(what: str, verdict: Verdict, sentence: str) -> Difference:
        return Difference(what=what, verdict=verdict, sentence=sentence)

    for name in ("policy", "stage", "applies_to"):
        if getattr(old, name) != getattr(new, name):
            yield told(name, "changed", f"{words(name)} is {_plain(new, name)} and was {_plain(old, name)}")
    for name, before, after, clause in (
        ("promote", old.promote.roles, new.promote.roles, "may promote"),
        ("review", old.review.roles if old.review else [], new.review.roles if new.review else [], "may accept what is inconclusive"),
        ("waivers", old.waivers.roles, new.waivers.roles, "may waive"),
    ):  # fmt: skip
        yield from (told(name, "weaker", f"{words(role)} {clause}") for role in after if role not in before)
        yield from (told(name, "stronger", f"{words(role)} no longer {clause}") for role in before if role not in after)
    # Of waivers the same key says nothing: nobody waives for their own work, whatever a policy says.
    barred, bars = old.promote.not_, new.promote.not_
    yield from (told("promote", "weaker", f"a model's {who} may promote it") for who in barred if who not in bars)
    yield from (told("promote", "stronger", f"a model's {who} may not promote it") for who in bars if who not in barred)
    if old.waivers.max_days != new.waivers.max_days:
        weaker = new.waivers.max_days > old.waivers.max_days
        sentence = f"a waiver runs for at most {new.waivers.max_days} days and ran for {old.waivers.max_days}"
        yield told("waivers", "weaker" if weaker else "stronger", sentence)
    yield from (told("approvals", verdict, sentence) for verdict, sentence in _approvals(old, new))
    yield from (told("break_glass", verdict, sentence) for verdict, sentence in _emergencies(old, new))
    if old.custody != new.custody:
        sentence = "keys of several people involved may lie in one place" + (
            ", and might not" if new.custody == "any" else " no more"
        )
        yield told("custody", "weaker" if new.custody == "any" else "stronger", sentence)
    handled = {
        "policy", "version", "stage", "applies_to", "promote", "review", "waivers", "approvals", "rules", "mode", "break_glass",
        "custody",
    }  # fmt: skip
    for name in type(old).model_fields:
        if name not in handled and getattr(old, name) != getattr(new, name):
            yield told(name, "changed", f"{words(name)} is {_plain(new, name)} and was {_plain(old, name)}")


def _emergencies(old: Policy, new: Policy) -> Iterator[Told]:
    before, after = old.break_glass, new.break_glass
    if before is None or after is None:
        if before is not after:
            opened = after is not None
            yield (
                ("weaker" if opened else "stronger"),
                "the glass may be broken" if opened else "the glass may not be broken any more",
            )
        return
    yield from (("weaker", f"{words(role)} may break the glass") for role in after.roles if role not in before.roles)
    yield from (
        ("stronger", f"{words(role)} may no longer break it") for role in before.roles if role not in after.roles
    )
    if after.max_hours != before.max_hours:
        verdict: Verdict = "weaker" if after.max_hours > before.max_hours else "stronger"
        yield verdict, f"it stays broken for at most {after.max_hours} hours, and for {before.max_hours} before"
    if after.reviewed_by != before.reviewed_by:
        yield (
            "changed",
            f"its uses are reviewed by {', '.join(after.reviewed_by)}, and were by {', '.join(before.reviewed_by)}",
        )


def _approvals(old: Policy, new: Policy) -> Iterator[Told]:
    roles = dict.fromkeys(slot.role for policy in (old, new) for slot in policy.approvals)
    for role in roles:
        before, after = ([slot for slot in policy.approvals if slot.role == role] for policy in (old, new))
        counts = sum(slot.count for slot in before), sum(slot.count for slot in after)
        if counts[0] != counts[1]:
            verdict: Verdict = "weaker" if counts[1] < counts[0] else "stronger"
            yield verdict, f"approvals needed by a {words(role)}: {counts[1]}, and {counts[0]} before"
        yield from _lives(
            role, *(sorted(s.expires or _FOREVER for s in slots for _ in range(s.count)) for slots in (before, after))
        )


def _lives(role: str, before: Sequence[timedelta], after: Sequence[timedelta]) -> Iterator[Told]:
    """Compare how long approvals are good for, seat by seat."""
    for one, other in zip(before, after, strict=False):
        if one != other:
            shown = [_limit(None if life == _FOREVER else life) for life in (one, other)]
            verdict: Verdict = "weaker" if other > one else "stronger"
            yield verdict, f"how long an approval by a {words(role)} is good for is {shown[1]} and was {shown[0]}"


def _plain(policy: Policy, name: str) -> str:
    value = getattr(policy, name)
    if not hasattr(value, "model_dump"):
        return str(value)
    return ", ".join(f"{words(key)} {part}" for key, part in value.model_dump(mode="json", by_alias=True).items())
