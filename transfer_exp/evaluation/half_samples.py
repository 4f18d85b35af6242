"""Half-samples of the scoring set: intervals of scores and ranks, and models that score significantly better.

The scoring set is the subset of the training images that scores are computed on. A score would differ on another such
subset; scoring random halves of the set shows by how much. A bootstrap would draw images twice. A score that uses
nearest neighbours, or fits more dimensions than images, would count the copy of an image as new data. So half of each
class is drawn without replacement. Let a score be (nearly) a mean over N images whose contributions have variance
sigma^2. Its variance between halves of m images is

    sigma^2 (1/m - 1/N) = sigma^2 / N   at m = N/2,

which is the variance of the score on all N images, so no correction factor is needed (Politis and Romano, "Large Sample
Confidence Regions Based on Subsamples under Minimal Assumptions", Annals of Statistics 1994, with the correction for a
finite population). Scores on half of the images are systematically higher or lower than scores on all; only deviations
from the mean over draws are used. All models are scored on the same halves, so their shared variation cancels in
differences.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel


def half_samples(labels: Int[np.ndarray, " samples"], draws: int, seed: int = 0) -> Bool[np.ndarray, "draws samples"]:
    """Draw half of every class without replacement, once per draw.

    Half of an odd number is rounded up or down at random in each draw; the only image of a class is always
    drawn. With fewer than four images in a class, a half may hold a single one, which some scores refuse.
    Raises `InputError` when there are fewer than two draws, or labels are empty.
    """
    if draws < 2 or len(labels) == 0:
        raise InputError(f"{draws} half-samples of {len(labels)} images show no spread: draw two or more")
    rng = np.random.default_rng(seed)
    chosen = np.zeros((draws, len(labels)), dtype=bool)
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        size = np.maximum((len(members) + rng.integers(0, 2, draws)) // 2, 1)
        order = rng.permuted(np.tile(np.arange(len(members)), (draws, 1)), axis=1)
        chosen[:, members] = order < size[:, None]
    return chosen


def score_intervals(
    scores: PerModel, halves: Float[np.ndarray, "draws models"], level: float = 0.95
) -> Float[np.ndarray, "models 2"]:
    """Compute an interval of each score over other scoring sets of the same size.

    Each interval individually covers the expected score of its model with probability ``level``; all intervals of a
    pool together do so less often. Use `rank_intervals` to compare models. The interval is [score - q_high, score -
    q_low] with quantiles q of the deviations (the basic interval, Davison and Hinkley, "Bootstrap Methods and their
    Application", 1997, eq. 5.6). It may exceed a bound of the metric.

    Args:
        scores: (M,), scores on all images.
        halves: (draws, M), scores on each of the `half_samples`.
        level: Confidence level, in (0, 1).

    Returns:
        (M, 2), low and high.

    Raises:
        InputError: When shapes differ, draws are fewer than two, a score is not finite, or ``level`` is out of range.
    """
    deviations = _deviations(scores, halves, level)
    q_low, q_high = np.quantile(deviations, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.stack([scores - q_high, scores - q_low], axis=1)


def significantly_better(
    scores: PerModel, halves: Float[np.ndarray, "draws models"], level: float = 0.95
) -> Bool[np.ndarray, "models models"]:
    """Test all pairs of models at once: element (i, j) is True when model i scores significantly better than model j.

    The claims hold simultaneously: with probability ``level`` not one of them is false, for any dependence between the
    pairs (single-step max-t: Westfall and Young, "Resampling-Based Multiple Testing", 1993). With scores s, model i is
    better where (s_i - s_j) / se_ij exceeds the ``level`` quantile, over draws, of the largest |d_i - d_j| / se_ij of
    any pair. Here d are deviations from the mean over draws, and se_ij is the standard deviation of the paired
    differences. A pair whose difference is the same in all draws is significant unless the difference is zero.
    Parameters and errors are those of `score_intervals`.
    """
    deviations = _deviations(scores, halves, level)
    ratio = np.zeros((len(scores), len(scores)))
    largest = np.zeros(len(deviations))
    # One row of pairs at a time, because all pairs of a thousand models would not fit into memory.
    for i in range(len(scores)):
        differences = deviations[:, [i]] - deviations
        error = differences.std(axis=0, ddof=1)
        varies = error > 1e-12 * max(1.0, float(np.abs(scores).max()))
        scaled = np.divide(np.abs(differences), error, out=np.zeros_like(differences), where=varies)
        largest = np.maximum(largest, scaled.max(axis=1))
        gap = scores[i] - scores
        constant_ratio = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
        ratio[i] = np.where(varies, gap / np.where(varies, error, 1.0), constant_ratio)
    return np.asarray(ratio > np.quantile(largest, level, method="higher"))


def rank_intervals(
    scores: PerModel, halves: Float[np.ndarray, "draws models"], level: float = 0.95
) -> Int[np.ndarray, "models 2"]:
    """Compute the best and worst rank (1 is first) that each model may have, (M, 2).

    With probability ``level`` these intervals contain the ranks of all models at once. The ends are 1 + the number of
    significantly better models, and M - the number of significantly worse ones. Source: Mogstad, Romano, Shaikh and
    Wilhelm, "Inference for Ranks with Applications to Mobility across Neighbourhoods and Academic Achievement across
    Countries", Review of Economic Studies 2024, section 3. Parameters and errors are those of `score_intervals`.
    """
    better = significantly_better(scores, halves, level)
    return np.stack([1 + better.sum(axis=0), len(scores) - better.sum(axis=1)], axis=1)


def _deviations(scores: np.ndarray, halves: np.ndarray, level: float) -> Float[np.ndarray, "draws models"]:
    """Check the arguments, and return scores on halves minus their mean over draws."""
    if halves.ndim != 2 or halves.shape[1:] != scores.shape or len(halves) < 2 or len(scores) == 0:
        raise InputError(f"need scores (M,) and two or more draws (draws, M): got {scores.shape} and {halves.shape}")
    if not 0 < level < 1:
        raise InputError(f"level={level} is not a confidence level: give one between 0 and 1, such as 0.95")
    invalid = ~np.isfinite(scores) | ~np.isfinite(halves).all(axis=0)
    if invalid.any():
        raise InputError(f"model {np.flatnonzero(invalid)[0]} has a score that is not finite: leave that model out")
    return np.asarray(halves - halves.mean(axis=0))
