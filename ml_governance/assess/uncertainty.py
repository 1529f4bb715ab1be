"""Questions about uncertainty that a fairness report answers when asked: nothing of it is computed, or signed, unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ml_governance.assess import bootstrap as boot
from ml_governance.assess import family as families
from ml_governance.assess import functionals, pooling, relative, rows
from ml_governance.assess import power as planning
from ml_governance.errors import DataError
from ml_governance.evidence.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_governance.assess.bootstrap import Floats, Functional
    from ml_governance.assess.contrasts import Contrast
    from ml_governance.assess.cube import Cube
    from ml_governance.assess.family import Against, Flag
    from ml_governance.assess.power import Power
    from ml_governance.assess.rows import Rows
    from ml_governance.assess.simultaneous import Adjustment, Simultaneous
    from ml_governance.evidence.intervals import Sides
    from ml_governance.evidence.predicates import Measurement

FLAGGED = ("selection_rate", "true_positive_rate", "false_positive_rate")


class Uncertainty:
    """What a report with a cube can say about families of comparisons, smooth functions, small groups and power.

    Mixed into :class:`ml_governance.assess.fairness.FairnessReport`, which has the fields below.
    """

    cube: Cube
    confidence: float
    min_group_size: int
    rows: Callable[[], Rows] | None

    def simultaneous(
        self,
        metrics: str | Sequence[str],
        bys: Sequence[Sequence[str]] | None = None,
        *,
        against: Against = "overall",
        form: Contrast = "difference",
        method: Simultaneous = "max-t",
        seed: int = 0,
    ) -> tuple[Measurement, ...]:
        """Return rates or comparisons of a family, with intervals that all hold together.

        Name the family before you look at its numbers.

        Parameters
        ----------
        metrics : str or sequence of str
            Rates.
        bys : sequence of sequence of str, optional
            Attributes, or crossings of them; default is each attribute by itself.
        against : {'overall', 'none'} or mapping of attribute to level, default 'overall'
            What each group is compared with: all rows, nothing, or the group of these reference levels.
        form : {'difference', 'ratio'}, default 'difference'
            How they are compared.
        method : {'max-t', 'sidak', 'bonferroni', 'none'}, default 'max-t'
            See :func:`ml_governance.assess.simultaneous.level`.
        seed : int, default 0
            Of the draws of max-t.

        Raises
        ------
        DataError
            If a metric is no rate, or an attribute, level or method is unknown.
        """
        members = families.family(self.cube, _several(metrics), self._bys(bys), against, form)
        return families.together(
            self.cube, members, method=method, confidence=self.confidence, min_group_size=self.min_group_size, seed=seed
        )

    def flags(
        self,
        metrics: str | Sequence[str] = FLAGGED,
        bys: Sequence[Sequence[str]] | None = None,
        *,
        against: Against = "overall",
        method: Adjustment = "holm",
    ) -> tuple[Flag, ...]:
        """Flag groups whose rate differs from the reference, accounting for how many are looked at.

        For display only: that nothing is flagged does not show that groups are alike.

        Parameters
        ----------
        metrics, bys, against
            As :meth:`simultaneous`; the tests by group ask whether it differs from everybody else.
        method : {'holm', 'fdr_bh'}, default 'holm'
            ``holm`` controls the chance of any mistaken flag, ``fdr_bh`` the share of them.
        """
        members = families.family(self.cube, _several(metrics), self._bys(bys), against)
        return families.flags(members, method=method, alpha=1 - self.confidence)

    def bootstrap(
        self,
        functional: str | Callable[[Floats], Floats],
        by: Sequence[str] | None = None,
        *,
        group: Sequence[str] | str = (),
        reference: Sequence[str] | str | None = None,
        cluster: Any = None,
        real_rows: bool = False,
        replicates: int = boot.REPLICATES,
        seed: int = 0,
    ) -> Measurement:
        """Return a smooth function of the counts with a percentile interval of the bootstrap on the cube.

        Parameters
        ----------
        functional : str or callable
            ``f1``, ``balanced_accuracy`` or a rate, of `group`, minus that of `reference` if there is one;
            ``average_odds_difference`` of the two; ``<number>_group_average``, over groups that each count alike;
            ``conditional_<number>_difference``, of two levels of the first attribute of `by` within strata of the others;
            or a function of arrays of shape (replicates, levels of `by`..., 2, 2) that returns one number for each.
        by : sequence of str, optional
            Attributes; default is all of them, crossed.
        group, reference : str or sequence of str
            Levels, parallel to `by`; ``()`` for all rows. For a conditional difference, levels of the first attribute.
        cluster : array-like, optional
            Which rows belong together, such as a person's: whole clusters are drawn. In order of the rows of the report.
        real_rows : bool, default False
            Draw the rows themselves in cells of fewer than 600, which heavy-tailed weights need.
        replicates : int, default 10,000
            How many.
        seed : int, default 0
            Of the generator.

        Raises
        ------
        DataError
            If the function is not smooth, as the largest minus the smallest of several groups; if rows are needed and the
            report was made without.
        """
        names = self.cube.attributes if by is None else tuple(by)
        own = self.cube.marginal(names)
        wanted = self._functional(functional, own, _levels(group), None if reference is None else _levels(reference))
        clusters = None
        if cluster is not None:
            held = self._rows("clusters are drawn")
            cell = held.cells(names, own.counts.shape)
            found = rows.clusters(cell, own.counts.size, cluster, held.weight)
            drawn = boot.cluster_draws(found, own.counts.shape, replicates=replicates, seed=seed)
            clusters, method = found.count, "clusters"
        else:
            real = None
            if real_rows:
                held = self._rows("rows themselves are drawn")
                if held.weight is not None:
                    real = (held.cells(names, own.counts.shape), held.weight)
            drawn = boot.draws(
                own.counts, replicates=replicates, seed=seed, weights=own.weights, squares=own.squares, rows=real
            )
            method = "cube" if own.weights is None else "weighted-cube"
        return boot.percentile(
            wanted,
            own.values,
            own.counts,
            drawn,
            by=names,
            confidence=self.confidence,
            method=method,
            clusters=clusters,
        )

    def pooled(self, metric: str, by: Sequence[str] | None = None, *, seed: int = 0) -> tuple[Measurement, ...]:
        """Return rates of all groups after partial pooling; see :mod:`ml_governance.assess.pooling`.

        Parameters
        ----------
        metric : str
            A rate.
        by : sequence of str, optional
            Attributes; default is all of them, crossed.
        seed : int, default 0
            Of the draws.

        Raises
        ------
        DataError
            If the metric is no rate, rows are weighted, or fewer than three groups have one.
        """
        if metric not in relative.RATE_NAMES:
            raise DataError(f"{metric!r} is no rate", expected=f"one of {', '.join(sorted(relative.RATE_NAMES))}")
        names, numbers, _ = relative.numbers_of(self.cube, metric, by)
        return pooling.measure(metric, names, numbers, confidence=self.confidence, seed=seed)

    def power(
        self,
        metric: str,
        by: Sequence[str] | None = None,
        *,
        bound: float,
        rate: float | None = None,
        sides: Sides = "one-sided",
        replicates: int = planning.REPLICATES,
        seed: int = 0,
    ) -> Power:
        """Return the chance that a rule on this comparison passes at this size, and the size that would settle it.

        Parameters
        ----------
        metric : str
            A ratio, which must be at least the bound, or a difference, which must be at most it.
        by : sequence of str, optional
            Attributes; default is all of them, crossed.
        bound : float
            Of the rule.
        rate : float, optional
            Assume that all groups truly have this rate; default is the rates as measured.
        sides : {'one-sided', 'two-sided'}, default 'one-sided'
            What the report's confidence means, as in the rule.
        replicates, seed
            Of the simulation.

        Raises
        ------
        DataError
            If the metric compares no rates, rows are weighted, or a rate is undefined.
        """
        definition = METRICS.get(("fairness", metric))
        if definition is None or definition.form not in {"ratio", "difference"}:
            raise DataError(f"{metric!r} compares no rates", expected="such as demographic_parity_ratio")
        parts = []
        for name in definition.of:
            if name not in relative.RATE_NAMES:
                raise DataError(f"{name} is no rate", expected="a comparison of rates")
            names, numbers, _ = relative.numbers_of(self.cube, name, by)
            counts = [one.counts for one in numbers if one.counts is not None and one.method == "wilson"]
            if len(counts) < len(numbers):
                raise DataError(
                    f"{name} by {' x '.join(names)} is weighted or undefined", expected="counts of every group"
                )
            parts.append(counts)
        form: Any = definition.form
        assumed = None if rate is None else [[rate] * len(part) for part in parts]
        return planning.power(
            parts, form=form, bound=bound, confidence=self.confidence, sides=sides, rates=assumed, replicates=replicates,
            seed=seed,
        )  # fmt: skip

    def _bys(self, bys: Sequence[Sequence[str]] | None) -> list[tuple[str, ...]]:
        if bys is None:
            return [(name,) for name in self.cube.attributes]
        return [(one,) if isinstance(one, str) else tuple(one) for one in bys]

    def _rows(self, why: str) -> Rows:
        if self.rows is None:
            raise DataError(
                f"{why}, and this report was made without rows", expected="a report of rows",
                next_step="assess_fairness(...) from data frames or arrays",
            )  # fmt: skip
        return self.rows()

    @staticmethod
    def _functional(
        wanted: str | Callable[[Floats], Floats], cube: Cube, group: tuple[str, ...], reference: tuple[str, ...] | None
    ) -> Functional:
        if not isinstance(wanted, str):
            return functionals.whole(wanted, getattr(wanted, "__name__", "functional"))
        if wanted.endswith("_group_average"):
            return functionals.group_average(wanted.removesuffix("_group_average"), cube)
        if wanted.startswith("conditional_") and wanted.endswith("_difference"):
            if len(group) != 1 or reference is None or len(reference) != 1 or len(cube.attributes) < 2:
                raise DataError(
                    f"{wanted} needs two levels and strata",
                    expected="by=(sensitive, control, ...), group='level', reference='level'",
                )
            name = wanted.removeprefix("conditional_").removesuffix("_difference")
            return functionals.conditional_difference(name, cube, group[0], reference[0])
        return functionals.named(wanted, cube, group, reference)


def _several(metrics: str | Sequence[str]) -> list[str]:
    return [metrics] if isinstance(metrics, str) else list(metrics)


def _levels(group: Sequence[str] | str) -> tuple[str, ...]:
    return (group,) if isinstance(group, str) else tuple(group)
