"""The evidence of policy cases: from its compact form to the contents that would be signed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.decide.champion import PAIRED
from ml_governance.decide.conditions import OVERLAP
from ml_governance.decide.reading import nearest
from ml_governance.decide.require import CROSS
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.evidence_kinds import EVIDENCE_KINDS
from ml_governance.evidence.metrics import METRICS, rate_counts
from ml_governance.evidence.predicates import (
    CONTENTS,
    AdverseAction,
    Assessment,
    Deployment,
    HumanText,
    Interval,
    Measurement,
    Monitoring,
    Registration,
    Resource,
    TrainingRun,
)
from ml_governance.evidence.statement import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.wire import Content

MAX_INPUTS = 1000
MAX_EARLIER = 1000
_SIGNED = frozenset({"signed_by", "age"})
_KEYS = {
    HumanText.kind: _SIGNED | {"text"},
    TrainingRun.kind: _SIGNED | {"event", "capture", "inputs"},
    Registration.kind: _SIGNED,
    AdverseAction.kind: _SIGNED | {"declined"},
    Deployment.kind: _SIGNED | {"stage"},
}
_OF_ASSESSMENTS = _SIGNED | {
    "groups", "all", "rates", "scores", "over", "dataset", "rows", "shared", "paired", "earlier", "predictions", "details",
}  # fmt: skip
PREVIOUS = Subject(name="credit-risk/0", sha256=sha256_hex(b"the earlier version of the cases"))
"""The version before the one that a case is about."""
_SPANS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What somebody signed, how long ago, and how often the same was done before with an earlier version."""

    content: Content
    by: str
    age: timedelta
    earlier: int = 0


def age_of(text: Any) -> timedelta:
    """Read an age such as ``3h``."""
    if not isinstance(text, str) or not text[:-1].isdecimal() or text[-1] not in _SPANS:
        raise ValueError(f"the age is {text!r:.100}, expected one such as 30m, 3h or 7d")
    return timedelta(seconds=int(text[:-1]) * _SPANS[text[-1]])


def contents(kind: str, compact: Mapping[str, Any], *, model: str) -> Iterator[Made]:
    """Yield the contents of one kind, of a registered name.

    Raises
    ------
    LookupError, TypeError, ValueError, AttributeError
        If the compact form is malformed.
    """
    kinds = [*EVIDENCE_KINDS, Deployment.kind]
    if kind not in kinds:
        near = nearest(kind, kinds)
        raise ValueError(
            f"nothing records evidence {kind!r:.100}, expected some of {', '.join(kinds)}"
            + (f"; did you mean {near!r}?" if near else "")
        )
    for one in (compact, *(compact.values() if kind == HumanText.kind and isinstance(compact, dict) else ())):
        if not isinstance(one, dict):
            raise TypeError(f"{kind} holds {one!r:.100}, expected keys with values, such as {{signed_by: rita}}")
    if kind == HumanText.kind:
        for name, one in compact.items():
            _known(kind, one)
            text = one.get("text", f"Case: {name}")
            content = HumanText(name=name, sha256=sha256_hex(text.encode()), text=text)
            yield Made(content=content, by=one.get("signed_by", "rita"), age=age_of(one.get("age", "1h")))
        return
    _known(kind, compact)
    age = age_of(compact.get("age", "1h"))
    if kind == TrainingRun.kind:
        yield Made(content=_training_run(compact), by=compact.get("signed_by", "ada"), age=age)
        return
    if kind == Registration.kind:
        yield Made(
            content=registration(model, "1"), by=compact.get("signed_by", "ada"), age=age_of(compact.get("age", "3h"))
        )
        return
    if kind == AdverseAction.kind:
        yield Made(content=_stated(compact), by=compact.get("signed_by", "rita"), age=age)
        return
    if kind == Deployment.kind:
        yield Made(content=_deployment(compact, model), by=compact.get("signed_by", "max"), age=age)
        return
    if not 0 <= (earlier := compact.get("earlier", 0)) <= MAX_EARLIER:
        raise ValueError(f"earlier is {earlier}, expected at most {MAX_EARLIER}")
    yield Made(content=_assessment(kind, compact), by=compact.get("signed_by", "vera"), age=age, earlier=earlier)


def registration(name: str, version: str) -> Registration:
    """Return the registration of a version of the model that cases are about."""
    return Registration(registry="cases", name=name, version=version, format="file", files=1, size=1)


def _known(kind: str, compact: Mapping[str, Any]) -> None:
    """Refuse a key that means nothing: the case would not show what its writer thinks."""
    known = _KEYS.get(kind, _OF_ASSESSMENTS)
    for key in compact.keys() - known:
        near = nearest(str(key), known)
        raise ValueError(
            f"{kind} has the key {key!r}, expected some of {', '.join(sorted(known))}"
            + (f"; did you mean {near!r}?" if near else "")
        )


def _training_run(compact: Mapping[str, Any]) -> TrainingRun:
    if (count := compact.get("inputs", 1)) > MAX_INPUTS:
        raise ValueError(f"inputs is {count}, expected at most {MAX_INPUTS}")
    return TrainingRun(
        event={"eventType": compact.get("event", "COMPLETE")},
        capture=compact.get("capture", "observed"),
        inputs=tuple(Resource(name=f"data/{at}", sha256=_data(f"data/{at}")) for at in range(count)),
    )


def _stated(compact: Mapping[str, Any]) -> AdverseAction:
    rows = Resource(name="applicants", sha256=_data("applicants"))
    return AdverseAction(
        applicants=rows, compared=rows, baseline="at_cutoff", averaged=100, average=1.0, cutoff=0.0, declined_side="below",
        output="margin", engine="cases", check="cases", protected=(), at_most=4, least_covered=1.0, declined=compact.get("declined", 100),
        factors=(), manifest=_data("manifest"), addressees=_data("addressees"), software={},
    )  # fmt: skip


def _deployment(compact: Mapping[str, Any], model: str) -> Deployment:
    return Deployment(
        phase="started", stage=compact.get("stage", "production"), registry="cases", name=model, version="1",
        promotion=_data("promotion"), decision=_data("decision"), instance="0" * 32, check_seconds=60, grace_seconds=300,
    )  # fmt: skip


def _in_use(kind: str, compact: Mapping[str, Any]) -> dict[str, Any]:
    """Return what monitoring says besides: in cases, a day of as many predictions as there are rows."""
    if kind != Monitoring.kind:
        return {}
    begins, rows = datetime(2026, 1, 14, tzinfo=UTC), compact.get("rows", 1000)
    return {
        "stage": "production", "begins": begins, "ends": begins + timedelta(days=1), "baseline": _data("baseline"),
        "predicted": rows, "labelled": 0, "uncounted": 0,
    }  # fmt: skip


def _data(name: str) -> str:
    return sha256_hex(name.encode())


def _assessment(kind: str, compact: Mapping[str, Any]) -> Assessment:
    model = CONTENTS[kind]
    if not issubclass(model, Assessment):
        raise TypeError(f"{kind} is no assessment")
    measurements = [
        *_grouped(compact.get("groups", {})),
        *_rates((), (), compact.get("all", []), "all"),
        *(_rate(metric, counts) for metric, counts in compact.get("rates", {}).items()),
        *(_score(metric, numbers) for metric, numbers in compact.get("scores", {}).items()),
        *(
            _score(metric, numbers, tuple(attribute.split(CROSS)))
            for attribute, metrics in compact.get("over", {}).items()
            for metric, numbers in metrics.items()
        ),
    ]
    name = compact.get("dataset", "test")
    together = _together(kind, compact.get("paired", {}))
    shared = [{"with": _data(other), "rows": rows} for other, rows in compact.get("shared", {}).items()]
    return model(
        predictions=compact.get("predictions", "recomputed"),
        dataset=Resource(name=name, sha256=_data(name), rows=compact.get("rows", 1000)),
        columns={}, confidence=0.95, min_group_size=30, measurements=tuple(measurements), software={}, **_in_use(kind, compact),
        details={
            **compact.get("details", {}),
            **({OVERLAP: shared} if shared else {}),
            **({PAIRED: {"with": PREVIOUS.sha256, **together}} if compact.get("paired") else {}),
        },
    )  # fmt: skip


def _together(kind: str, paired: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the two models together: joint counts of a rate, the difference of any other number."""
    rates = {metric for metric in paired if METRICS[kind, metric].form == "rate"}
    return {
        "counts": [{"metric": one, "by": [], "group": [], "counts": paired[one]} for one in paired if one in rates],
        "differences": [_score(one, paired[one]).to_wire() for one in paired if one not in rates],
    }


def _grouped(groups: Mapping[str, Mapping[str, Sequence[int]]]) -> list[Measurement]:
    made = []
    for attribute, levels in groups.items():
        if not isinstance(levels, dict):
            raise TypeError(f"groups of {attribute} are {levels!r:.100}, expected levels, each with [tn, fp, fn, tp]")
        by = tuple(attribute.split(CROSS))
        for level, counts in levels.items():
            if counts is not None:
                made += _rates(
                    by, tuple(level.split(CROSS)) if len(by) > 1 else (level,), counts, f"{attribute}: {level}"
                )
    return made


def _rates(by: tuple[str, ...], group: tuple[str, ...], counts: Any, where: str) -> list[Measurement]:
    if not counts:
        return []
    if not isinstance(counts, list) or len(counts) != 4 or any(type(one) is not int or one < 0 for one in counts):
        raise ValueError(
            f"{where} has {counts!r:.100}, expected rows as [tn, fp, fn, tp]: four whole numbers from 0 up"
        )
    made = []
    for metric, (k, n) in rate_counts(*counts).items():
        common: dict[str, Any] = {
            "metric": metric,
            "by": by,
            "group": group,
            "numerator": k,
            "denominator": n,
            "n": sum(counts),
        }
        made.append(
            Measurement(**common, value=k / n, status="ok")
            if n
            else Measurement(**common, status="undefined", reason="0/0")
        )
    return made


def _rate(metric: str, counts: Any) -> Measurement:
    if not isinstance(counts, list) or len(counts) != 2 or any(type(one) is not int for one in counts):
        raise ValueError(f"{metric} has {counts!r:.100}, expected [k, n]: how many of how many rows")
    k, n = counts
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"{metric} has {counts}, expected [k, n]: how many of how many rows")
    return Measurement(metric=metric, value=k / n, numerator=k, denominator=n, n=n, status="ok")


def _score(metric: str, numbers: Sequence[float], by: tuple[str, ...] = ()) -> Measurement:
    value, *bounds = numbers
    if len(bounds) not in (0, 2, 4):
        raise ValueError(
            f"{metric} has {len(numbers)} numbers, expected value, lower, upper, and lower, upper of two sides"
        )
    both: tuple[Sides, ...] = ("one-sided", "two-sided")
    intervals = tuple(
        Interval(confidence=0.95, sides=sides, lower=lower, upper=upper, method="case")
        for sides, lower, upper in zip(both, bounds[::2], bounds[1::2], strict=False)
    )
    return Measurement(metric=metric, by=by, value=value, n=1000, intervals=intervals, status="ok")
