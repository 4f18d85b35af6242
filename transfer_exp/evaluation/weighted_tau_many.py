"""The symmetric weighted tau of many rankings at once: over resampled pools, and pools with models left out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import check_pair


def weighted_tau_many(
    scores: Float[np.ndarray, "draws models"], accuracies: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, " draws"]:
    """Return what `correlation.weighted_tau` (symmetric) gives for each row, in O(draws M^2) without a loop over draws.

    A sum over pairs of (w_i + w_j) p_ij equals sum_i w_i sum_j p_ij. So three counts per model are enough: models on
    the same side of it in both rankings minus those on opposite sides, models of another score, models of another
    accuracy. Weights are 1/(rank + 1), ranks being taken once by score and once by accuracy; equal values rank by the
    other side, as in scipy (Vigna, "A weighted correlation index for rankings with ties", WWW 2015).

    Parameters
    ----------
    scores, accuracies
        (draws, M), larger is better.

    Returns
    -------
    np.ndarray
        (draws,), in [-1, 1]; 0 where a row is constant on either side.

    Raises
    ------
    InputError
        When the shapes differ, a row has fewer than two models, or a value is NaN or infinite.
    """
    if scores.shape != accuracies.shape or scores.shape[1] < 2:
        raise InputError(f"need two or more models a row on both sides: got {scores.shape} and {accuracies.shape}")
    for name, values in (("scores", scores), ("accuracies", accuracies)):
        if not np.isfinite(values).all():
            row, model = np.argwhere(~np.isfinite(values))[0]
            raise InputError(f"{name} must be finite: model {model} of row {row} is not; leave that model out")
    counts = np.zeros((3, *scores.shape))
    for i in range(scores.shape[1]):
        by_score, by_accuracy = _compare(scores, i), _compare(accuracies, i)
        for count, orders in zip(counts, (by_score * by_accuracy, by_score != 0, by_accuracy != 0), strict=True):
            count[:, i] = orders.sum(axis=1)
    return (_tau(counts, _weights(scores, accuracies)) + _tau(counts, _weights(accuracies, scores))) / 2


def pool_taus(
    scores: Float[np.ndarray, " models"],
    accuracies: Float[np.ndarray, " models"],
    pools: Int[np.ndarray, "pools members"],
) -> Float[np.ndarray, " pools"]:
    """Return the weighted tau of the models each row of indices names.

    A model named twice is equal to its copy on both sides: that pair counts neither for nor against, but each copy
    holds a rank of its own. Raises as `check_pair` and `weighted_tau_many`.
    """
    check_pair(scores, accuracies)
    return weighted_tau_many(scores[pools], accuracies[pools])


def pool_differences(
    first: Float[np.ndarray, "*datasets models"],
    second: Float[np.ndarray, "*datasets models"],
    accuracies: Float[np.ndarray, "*datasets models"],
    pools: Int[np.ndarray, "pools members"],
) -> Float[np.ndarray, " pools"]:
    """Return weighted tau of ``first`` minus that of ``second``, mean over datasets, for each row of model indices.

    Both conditions and all datasets use the same models of a row. Arrays are (M,) for one dataset, or (datasets, M)
    with models in one order. Raises as `pool_taus`, and `InputError` when shapes differ or there is no dataset.
    """
    if first.size == 0 or not first.shape == second.shape == accuracies.shape:
        shapes = f"{first.shape}, {second.shape} and {accuracies.shape}"
        raise InputError(f"need two conditions and accuracies of one shape, with a dataset: got {shapes}")
    rows = [values.reshape(-1, values.shape[-1]) for values in (first, second, accuracies)]
    taus = [(pool_taus(a, truth, pools), pool_taus(b, truth, pools)) for a, b, truth in zip(*rows, strict=True)]
    return np.asarray(np.mean([ours - theirs for ours, theirs in taus], axis=0))


def _compare(values: np.ndarray, i: int) -> np.ndarray:
    """Return 1, 0, -1 where model ``i`` is above, equal to, below each model; by comparison, so nothing overflows."""
    one = values[:, [i]]
    return np.asarray((one > values).astype(np.int8) - (one < values))


def _weights(leading: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return 1/(rank + 1) of each model in descending order of ``leading``, then of ``other``."""
    descending = np.lexsort((other, leading), axis=1)[:, ::-1]
    ranked = np.broadcast_to(1 / (np.arange(leading.shape[1]) + 1.0), leading.shape)
    weights = np.empty(leading.shape)
    np.put_along_axis(weights, descending, ranked, axis=1)
    return weights


def _tau(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted agreement over the geometric mean of the weights of unequal pairs; 0 where that is 0."""
    agreement, by_score, by_accuracy = (counts * weights).sum(axis=2)
    most = np.sqrt(by_score) * np.sqrt(by_accuracy)
    return np.divide(agreement, most, out=np.zeros_like(most), where=most > 0)
