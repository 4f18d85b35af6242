"""The mean weighted tau over datasets where not every dataset has a score and an accuracy of every model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.evaluation.intervals import percentile_interval, resamples
from transfer_exp.evaluation.weighted_tau_many import weighted_tau_many


def mean_tau_interval(
    scores: Float[np.ndarray, "runs models"],
    accuracies: Float[np.ndarray, "runs models"],
    weights: Float[np.ndarray, " runs"],
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean weighted tau over models drawn with replacement, the same models in every run.

    Parameters
    ----------
    scores, accuracies
        (R, M), a run being one dataset (or one seed of it); NaN where a model has none. A model that no run has both
        of is never drawn.
    weights
        (R,), of the runs in the mean.
    level, draws, seed
        As `bootstrap_interval`.

    Raises
    ------
    InputError
        When fewer than two models are left; as `percentile_interval`.
    """
    known = np.isfinite(scores) & np.isfinite(accuracies)
    members = np.flatnonzero(known.any(axis=0))
    pools = members[resamples(len(members), draws, seed)]
    return percentile_interval(mean_taus(scores, accuracies, weights, pools), level)


def mean_taus(
    scores: Float[np.ndarray, "runs models"],
    accuracies: Float[np.ndarray, "runs models"],
    weights: Float[np.ndarray, " runs"],
    pools: Int[np.ndarray, "pools members"],
) -> Float[np.ndarray, " pools"]:
    """Return the weighted mean over runs of the weighted tau of the models that each row of indices names.

    In each run, of those of them that it has both a score and an accuracy of; 0 where these are fewer than two.
    Shapes as `mean_tau_interval`. Raises `InputError` when there is no run.
    """
    if len(scores) == 0:
        raise InputError("no run to average over: give one dataset or more")
    taus = np.zeros((len(scores), len(pools)))
    for own, values, truth in zip(taus, scores, accuracies, strict=True):
        kept = (np.isfinite(values) & np.isfinite(truth))[pools]
        sizes = kept.sum(axis=1)
        for size in set(sizes.tolist()) - {0, 1}:
            rows = sizes == size
            chosen = pools[rows][kept[rows]].reshape(-1, size)
            own[rows] = weighted_tau_many(values[chosen], truth[chosen])
    return np.asarray(np.average(taus, axis=0, weights=weights))
