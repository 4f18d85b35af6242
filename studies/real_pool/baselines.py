"""What a ranking is worth that has not looked at the target, and what no ranking can exceed."""

from __future__ import annotations

import numpy as np

from studies.real_pool.data import Study
from transfer_exp.evaluation.accuracy_spread import static_rank_tau
from transfer_exp.evaluation.correlation import weighted_tau, weighted_tau_many
from transfer_exp.evaluation.intervals import percentile_interval

_DRAWS = 10_000


def static_tau(study: Study, regime: str, target: str) -> float:
    """Return the weighted tau of the mean accuracy rank on the other targets, the control left out."""
    truth = study.truth(regime)
    others = [study.targets.index(t) for t in study.averaged if t != target]
    return static_rank_tau(truth[study.targets.index(target)], truth[others])


def seed_ceiling(study: Study, regime: str, target: str) -> float | None:
    """Return the weighted tau of the accuracies of one seed with the mean of the others; None with a single seed."""
    runs = study.seed_accuracies[regime][:, study.targets.index(target)]
    runs = runs[np.isfinite(runs).all(axis=1)]
    if len(runs) < 2:
        return None
    return float(np.mean([weighted_tau(run, np.delete(runs, at, axis=0).mean(axis=0)) for at, run in enumerate(runs)]))


def blind_band(study: Study, regime: str) -> tuple[float, float]:
    """Return what holds 95 % of the mean weighted tau of rankings drawn blindly, each kept for all targets.

    Wider than for independent rankings, as targets resemble each other: a lucky favourite is lucky everywhere.
    """
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(len(study.models)), (_DRAWS, 1)), axis=1)
    truth = study.truth(regime)
    of_targets = [truth[study.targets.index(t)] for t in study.averaged]
    taus = [weighted_tau_many(orders.astype(float), np.tile(accuracies, (_DRAWS, 1))) for accuracies in of_targets]
    return percentile_interval(np.mean(taus, axis=0), 0.95)
