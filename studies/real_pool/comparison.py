"""One perturbation against another: how much, how surely over targets and over models, and how stable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from studies.real_pool.data import Cell, Pools, Study
from transfer_exp.evaluation.intervals import percentile_interval, resamples
from transfer_exp.evaluation.paired import PairedComparison, compare_paired, holm
from transfer_exp.evaluation.sub_pools import ROUNDING, flip_rate, sub_pools

_DRAWS, _LEVEL = 1000, 0.95


@dataclass(frozen=True)
class Comparison:
    """A perturbation minus its control, mean over metrics and targets.

    Attributes
    ----------
    perturbation, control
        What is compared.
    paired
        Over targets.
    interval
        95 % of resamples of the models.
    flips
        Share of the sub-pools without two models that disagree on which side is better.
    holm_p
        The larger of the two p-values, corrected for all comparisons of the family.
    """

    perturbation: str
    control: str
    paired: PairedComparison
    interval: tuple[float, float]
    flips: float
    holm_p: float

    @property
    def mean(self) -> float:
        """Mean difference of tau_w."""
        assert self.paired.mean is not None, "there are targets"
        return self.paired.mean

    @property
    def beyond_the_models(self) -> bool:
        """Whether resampling the models leaves the sign as it is; 0 to rounding has none."""
        return self.interval[0] > ROUNDING or self.interval[1] < -ROUNDING


@cache  # several tables tell of the same comparisons, which take seconds
def comparisons(study: Study, regime: str, metrics: tuple[str, ...], images: str = "all") -> tuple[Comparison, ...]:
    """Compare every perturbation with ``none`` and with ``pca``, as one family of comparisons."""
    pairs = [(p, c) for c in ("none", "pca") for p in study.perturbations if p not in ("none", c)]
    models = len(study.models)
    drawn, without_two, everyone = resamples(models, _DRAWS, 0), sub_pools(models), np.arange(models)[None]
    means = {
        (id(pools), p): np.mean(
            [study.taus(Cell(m, p, images), regime, study.averaged, pools) for m in metrics], axis=0
        )
        for pools in (drawn, without_two, everyone)
        for p in study.perturbations
    }
    paired = {pair: _paired(study, regime, metrics, images, *pair) for pair in pairs}
    corrected = holm(np.array([max(p.wilcoxon_p, p.permutation_p) for p in paired.values()]))

    def differences(pools: Pools, first: str, second: str) -> Float[np.ndarray, " pools"]:
        return np.asarray(means[id(pools), first] - means[id(pools), second])

    return tuple(
        Comparison(
            *pair,
            paired[pair],
            percentile_interval(differences(drawn, *pair), _LEVEL),
            flip_rate(float(differences(everyone, *pair)[0]), differences(without_two, *pair)),
            float(p),
        )
        for pair, p in zip(pairs, corrected, strict=True)
    )


def _paired(
    study: Study, regime: str, metrics: Sequence[str], images: str, first: str, second: str
) -> PairedComparison:
    """Compare over targets, the mean over metrics being the value of a target."""

    def by_target(perturbation: str) -> dict[str, float | None]:
        cells = [Cell(metric, perturbation, images) for metric in metrics]
        return {t: float(np.mean([study.tau(cell, regime, t) for cell in cells])) for t in study.averaged}

    return compare_paired(by_target(first), by_target(second))
