"""Paired comparisons of perturbations, and reference values: static ranking, agreement of seeds, random rankings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from studies.real_pool.data import Cell, Pools, Study
from studies.wilcoxon import wilcoxon_p
from transfer_exp.evaluation.accuracy_spread import static_rank_tau
from transfer_exp.evaluation.correlation import weighted_tau, weighted_tau_many
from transfer_exp.evaluation.intervals import percentile_interval, resamples
from transfer_exp.evaluation.paired import PairedComparison, compare_paired, holm
from transfer_exp.evaluation.sub_pools import TAU_TOLERANCE, sub_pools

_RESAMPLES, _LEVEL = 1000, 0.95
_RANDOM_RANKINGS = 10_000


@dataclass(frozen=True)
class Comparison:
    """Difference of tau_w between a perturbation and its reference, averaged over metrics and targets.

    Attributes:
        perturbation, reference: Names of the two conditions; the reference is ``none`` or ``pca``.
        paired: Paired comparison over targets.
        interval: 95 % bootstrap interval of the difference over resampled models.
        flips: Share of the pools with two models left out in which the difference changes its sign.
        holm_p: Larger of the two p-values over targets, corrected by Holm's method for all pairs of one call of
            `comparisons`.
    """

    perturbation: str
    reference: str
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
    def is_clear(self) -> bool:
        """Whether the bootstrap interval over models excludes 0 by more than the rounding error of sums."""
        return self.interval[0] > TAU_TOLERANCE or self.interval[1] < -TAU_TOLERANCE


@cache  # several tables show the same comparisons, which take seconds
def comparisons(study: Study, regime: str, metrics: tuple[str, ...], images: str = "all") -> tuple[Comparison, ...]:
    """Compare every perturbation with ``none`` and with ``pca``; p-values are corrected for all these pairs."""
    pairs = [(p, c) for c in ("none", "pca") for p in study.perturbations if p not in ("none", c)]
    n_models = len(study.models)
    pools: dict[str, Pools] = {
        "all": np.arange(n_models)[None],
        "resampled": resamples(n_models, _RESAMPLES, seed=0),
        "without two": sub_pools(n_models),
    }
    means = {
        (name, p): np.mean([study.taus(Cell(m, p, images), regime, study.averaged, pool) for m in metrics], axis=0)
        for name, pool in pools.items()
        for p in study.perturbations
    }
    paired = {pair: _compare_over_targets(study, regime, metrics, images, *pair) for pair in pairs}
    corrected = holm(np.array([max(wilcoxon_p(p), p.sign_flip_p) for p in paired.values()]))

    def differences(name: str, perturbation: str, reference: str) -> Float[np.ndarray, " pools"]:
        return np.asarray(means[name, perturbation] - means[name, reference])

    return tuple(
        Comparison(
            perturbation=pair[0],
            reference=pair[1],
            paired=paired[pair],
            interval=percentile_interval(differences("resampled", *pair), _LEVEL),
            flips=flip_rate(float(differences("all", *pair)[0]), differences("without two", *pair)),
            holm_p=float(p),
        )
        for pair, p in zip(pairs, corrected, strict=True)
    )


def _compare_over_targets(
    study: Study, regime: str, metrics: Sequence[str], images: str, perturbation: str, reference: str
) -> PairedComparison:
    """Compare two perturbations over targets; the value of a target is the mean over metrics."""

    def mean_by_target(name: str) -> dict[str, float | None]:
        cells = [Cell(metric, name, images) for metric in metrics]
        return {t: float(np.mean([study.tau(cell, regime, t) for cell in cells])) for t in study.averaged}

    return compare_paired(mean_by_target(perturbation), mean_by_target(reference))


def static_tau(study: Study, regime: str, target: str) -> float:
    """Return the tau_w of the mean accuracy rank on the other targets; the control target is not among them."""
    accuracies = study.truth(regime)
    other_targets = [study.targets.index(t) for t in study.averaged if t != target]
    return static_rank_tau(accuracies[study.targets.index(target)], accuracies[other_targets])


def seed_ceiling(study: Study, regime: str, target: str) -> float | None:
    """Return the tau_w of one seed's accuracies with the mean of the other seeds, averaged over seeds.

    A metric cannot be expected to do better. Seeds without all accuracies are left out; None if fewer than two remain.
    """
    runs = study.seed_accuracies[regime][:, study.targets.index(target)]
    runs = runs[np.isfinite(runs).all(axis=1)]
    if len(runs) < 2:
        return None
    return float(np.mean([weighted_tau(run, np.delete(runs, i, axis=0).mean(axis=0)) for i, run in enumerate(runs)]))


@cache
def random_ranking_band(study: Study, regime: str, models: tuple[int, ...] | None = None) -> tuple[float, float]:
    """Return the central 95 % of the mean tau_w of random rankings, where a ranking is the same for all targets.

    It is wider than for independent rankings: targets resemble each other, so a lucky ranking is lucky on all of them.
    The rankings are of all models, or of those with the positions ``models``.
    """
    positions = list(range(len(study.models)) if models is None else models)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(len(positions)), (_RANDOM_RANKINGS, 1)), axis=1)
    truth = study.truth(regime)[:, positions]
    averaged = [truth[study.targets.index(t)] for t in study.averaged]
    taus = [weighted_tau_many(orders.astype(float), np.tile(row, (_RANDOM_RANKINGS, 1))) for row in averaged]
    return percentile_interval(np.mean(taus, axis=0), _LEVEL)


def flip_rate(difference: float, pool_differences: Float[np.ndarray, " pools"]) -> float:
    """Compute the share of sub-pools in which a difference has another sign than in the full pool, in [0, 1].

    A difference is that of the weighted taus of two metrics (or other conditions) in one pool. Below `TAU_TOLERANCE` it
    counts as zero, which differs from both other signs.
    """
    return float((_sign(pool_differences) != _sign(np.array([difference]))).mean())


def _sign(differences: np.ndarray) -> np.ndarray:
    """Return 1, 0 or -1, with 0 for values that are zero to rounding."""
    return np.sign(np.where(np.abs(differences) <= TAU_TOLERANCE, 0.0, differences))
