"""Whether the loss of a row tells that a model was trained on it: the baseline of membership inference.

The attack calls a row a member if its loss is at most a threshold (Yeom et al., CSF 2018, 268). Its threshold is set on one half of
the rows and judged on the other, so that the advantage is not what was looked for. It needs nothing but losses; an attack with
shadow models (Carlini et al., IEEE S&P 2022, 1897) can tell more, never less than what is shown here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ml_governance.assess import labels, ranks, roc
from ml_governance.assess.contrasts import both_sides, difference_of_rates
from ml_governance.assess.halves import draws
from ml_governance.assess.rates import rate_measurement
from ml_governance.errors import DataError
from ml_governance.evidence.predicates import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.uint8]

LOW = 0.01
"""False positive rate that the careful attack keeps to."""


def log_losses(true: Flags, score: Floats) -> Floats:
    """Return -ln of the probability that a score gives to the label; infinite where it calls the label impossible.

    To 40 binary digits: 0.3 for one label and 0.7 for the other are the same loss, and rounding must not tell which it was.
    """
    with np.errstate(divide="ignore"):
        loss = np.where(true == 1, -np.log(score), -np.log1p(-score))
    digits, power = np.frexp(loss)
    rounded: Floats = np.ldexp(np.round(np.ldexp(digits, 40)), power - 40)
    return rounded


def checked(loss: Any, member: Any) -> tuple[Floats, Flags]:
    """Return losses and flags of membership as arrays.

    Raises
    ------
    DataError
        If they do not fit, a loss is NaN, or a flag is neither true nor false.
    """
    losses = labels.numbers(loss, "loss", "the loss of each row")
    flags = labels.column(member, "member")
    labels.same_length(loss=losses, member=flags)
    if np.isnan(losses).any():
        raise DataError(f"{int(np.isnan(losses).sum())} losses are NaN", expected="a loss in every row")
    if flags.dtype.kind not in "biu" or not np.isin(flags, (0, 1)).all():
        raise DataError(
            "member is no column of flags", expected="True for each row that the model was trained on, else False"
        )
    return losses, flags.astype(np.uint8)


def attacked(
    loss: Floats,
    member: Flags,
    *,
    by: tuple[str, ...] = (),
    group: tuple[str, ...] = (),
    confidence: float,
    min_rows: int,
    seed: int,
) -> list[Measurement]:
    """Return what the attack can tell about some rows: AUC, advantage, and the rate of a careful attack.

    Parameters
    ----------
    loss : array of float64, shape (n,)
        Of each row; smaller is better known.
    member : array of uint8, shape (n,)
        1 where the model was trained on the row.
    by, group : tuple of str
        Whose rows they are.
    confidence : float in (0, 1)
        Of the intervals.
    min_rows : int
        With fewer members, or fewer others, numbers are ``insufficient``.
    seed : int
        Of the halves.
    """
    m = int(member.sum())
    n = len(member) - m
    common: dict[str, Any] = {"by": by, "group": group, "n": len(member)}
    if not m or not n:
        reason = "there are only training rows" if m else "there are no training rows"
        names = ("membership_auc", "membership_advantage", "membership_tpr_at_low_fpr")
        return [Measurement(metric=name, **common, status="undefined", reason=reason) for name in names]
    few = min(m, n)
    small = f"{few} rows of a kind where {min_rows} are required" if few < min_rows else None
    _, place = np.unique(-loss, return_inverse=True)
    found = ranks.exact_auc(member, place / max(int(place.max()), 1))
    auc = float(found.value[0])
    bounds, method = roc.auc_bounds(auc, float(found.variance[0]), m, n)
    made = [
        Measurement(
            metric="membership_auc", **common, value=auc, intervals=both_sides(bounds, confidence, method),
            status="insufficient" if small else "ok", reason=small,
        )
    ]  # fmt: skip
    learnt = _halved(member, seed)
    return [
        *made,
        _advantage(loss, member, learnt, common, confidence, small),
        _careful(loss, member, learnt, common, confidence, min_rows),
    ]


def _halved(member: Flags, seed: int) -> NDArray[np.bool_]:
    """Return which rows thresholds are set on: one half of either kind, drawn at random."""
    shuffled = draws(seed).permutation(len(member))
    order = shuffled[np.argsort(member[shuffled], kind="stable")]
    learnt = np.zeros(len(member), dtype=bool)
    learnt[order[::2]] = True
    return learnt


def _advantage(
    loss: Floats, member: Flags, learnt: NDArray[np.bool_], common: dict[str, Any], confidence: float, small: str | None
) -> Measurement:
    inside, outside = loss[learnt & (member == 1)], loss[learnt & (member == 0)]
    tested = ~learnt
    n1, n2 = int((tested & (member == 1)).sum()), int((tested & (member == 0)).sum())
    if not len(inside) or not len(outside) or not n1 or not n2:
        why = "two rows of either kind are needed, to set a threshold and to judge it"
        return Measurement(metric="membership_advantage", **common, status="undefined", reason=why)
    candidates = np.unique(np.concatenate([inside, outside]))
    gains = np.searchsorted(np.sort(inside), candidates, side="right") / len(inside)
    gains = gains - np.searchsorted(np.sort(outside), candidates, side="right") / len(outside)
    called = tested & (loss <= candidates[int(gains.argmax())])
    k1, k2 = int((called & (member == 1)).sum()), int((called & (member == 0)).sum())
    return difference_of_rates("membership_advantage", (k1, n1), (k2, n2), confidence, small, **common)


def _careful(
    loss: Floats, member: Flags, learnt: NDArray[np.bool_], common: dict[str, Any], confidence: float, min_rows: int
) -> Measurement:
    outside = np.sort(loss[learnt & (member == 0)])
    allowed = int(LOW * len(outside))
    if not allowed:
        why = f"{len(outside)} other rows to set a threshold on, where {1 / LOW:.0f} are required"
        return Measurement(metric="membership_tpr_at_low_fpr", **common, status="undefined", reason=why)
    tested = ~learnt & (member == 1)
    k = int((tested & (loss < outside[allowed])).sum())
    by, group = common["by"], common["group"]
    rows = int(tested.sum())
    return rate_measurement("membership_tpr_at_low_fpr", k, rows, rows, by, group, confidence, min_rows)
