"""Half-samples of the scoring set: how far scores would move with other images, and which models cannot be told apart.

A bootstrap draws images twice, and a score that looks at neighbours, or fits more dimensions than it has images, takes
a copy for evidence: the copy of an image is its nearest neighbour. Here half of each class is drawn without
replacement instead. For a score that is a mean over images, or nearly, the variance between half-samples is

    sigma^2 (1/m - 1/N) = sigma^2 / N   at m = N/2,

which is that of the score on all N: no factor is needed (Politis and Romano, "Large Sample Confidence Regions Based on
Subsamples under Minimal Assumptions", Annals of Statistics 1994, with the correction for a finite population). The
level that a score has on half of the images is not that on all; only deviations from the mean over draws are used.
All models are scored on the same halves, so what they share cancels from their differences.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from transfer_exp.errors import InputError


def half_samples(labels: Int[np.ndarray, " samples"], draws: int, seed: int = 0) -> Bool[np.ndarray, "draws samples"]:
    """Draw half of every class, without replacement, so many times.

    A class of an odd number has one more or one less in half of the draws each; the only image of a class is always
    in. With fewer than four images in a class, a half may hold one, which some scores refuse.

    Parameters
    ----------
    labels
        (N,), integers.
    draws, seed
        How many halves, at least two, and from which seed.

    Raises
    ------
    InputError
        For fewer than two draws, or no label.
    """
    if draws < 2 or len(labels) == 0:
        raise InputError(f"{draws} half-samples of {len(labels)} images show no spread: draw two or more")
    rng = np.random.default_rng(seed)
    chosen = np.zeros((draws, len(labels)), dtype=bool)
    for value in np.unique(labels):
        members = np.flatnonzero(labels == value)
        size = np.maximum((len(members) + rng.integers(0, 2, draws)) // 2, 1)
        place = rng.permuted(np.tile(np.arange(len(members)), (draws, 1)), axis=1)
        chosen[:, members] = place < size[:, None]
    return chosen


def score_intervals(
    scores: Float[np.ndarray, " models"], halves: Float[np.ndarray, "draws models"], level: float = 0.95
) -> Float[np.ndarray, "models 2"]:
    """Return intervals for the scores that other scoring sets of as many images have on average, each by itself.

    [score - q_high, score - q_low], q being quantiles of the deviations (the basic interval of Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, eq. 5.6). An end may pass a bound of the metric.

    Parameters
    ----------
    scores
        (M,), on all images.
    halves
        (draws, M), on the images of each of `half_samples`.
    level
        Confidence, in (0, 1).

    Returns
    -------
    np.ndarray
        (M, 2), low and high.

    Raises
    ------
    InputError
        When the shapes differ, there are fewer than two draws, a score is not finite, or ``level`` is out of range.
    """
    deviations = _deviations(scores, halves, level)
    high, low = np.quantile(deviations, [(1 + level) / 2, (1 - level) / 2], axis=0)
    return np.stack([scores - high, scores - low], axis=1)


def significantly_better(
    scores: Float[np.ndarray, " models"], halves: Float[np.ndarray, "draws models"], level: float = 0.95
) -> Bool[np.ndarray, "models models"]:
    """Return who scores better than whom beyond what other images would change: element (i, j), i better than j.

    i is better where (s_i - s_j) / se_ij exceeds the ``level`` quantile, over draws, of the largest |deviation| /
    se_ij of any pair, se_ij being the standard deviation of the paired differences. So with probability ``level`` no
    claim is false, for all pairs together and whatever their dependence (single-step max-t: Westfall and Young,
    "Resampling-Based Multiple Testing", 1993). A pair whose difference never moves is told apart unless it is zero.

    Parameters and errors as `score_intervals`.
    """
    deviations = _deviations(scores, halves, level)
    ratio = np.zeros((len(scores), len(scores)))
    largest = np.zeros(len(deviations))
    for i in range(len(scores)):  # a row of pairs at a time, as all at once are too many for a thousand models
        differences = deviations[:, [i]] - deviations
        error = differences.std(axis=0, ddof=1)
        moves = error > 1e-12 * max(1.0, float(np.abs(scores).max()))
        scaled = np.divide(np.abs(differences), error, out=np.zeros_like(differences), where=moves)
        largest = np.maximum(largest, scaled.max(axis=1))
        gap = scores[i] - scores
        fixed = np.where(gap == 0, 0.0, np.copysign(np.inf, gap))
        ratio[i] = np.where(moves, gap / np.where(moves, error, 1.0), fixed)
    return np.asarray(ratio > np.quantile(largest, level, method="higher"))


def rank_intervals(
    scores: Float[np.ndarray, " models"], halves: Float[np.ndarray, "draws models"], level: float = 0.95
) -> Int[np.ndarray, "models 2"]:
    """Return the best and the worst rank (1 is first) that each model may have, all together at that level.

    1 + the number of models told to be better, and M - the number told to be worse (Mogstad, Romano, Shaikh and
    Wilhelm, "Inference for Ranks with Applications to Mobility across Neighbourhoods and Academic Achievement across
    Countries", Review of Economic Studies 2024, section 3). Whoever may have rank 1 cannot be told from the best.

    Parameters and errors as `score_intervals`.
    """
    better = significantly_better(scores, halves, level)
    return np.stack([1 + better.sum(axis=0), len(scores) - better.sum(axis=1)], axis=1)


def _deviations(scores: np.ndarray, halves: np.ndarray, level: float) -> Float[np.ndarray, "draws models"]:
    """Return scores on halves minus their mean over draws, or refuse."""
    if halves.ndim != 2 or halves.shape[1:] != scores.shape or len(halves) < 2 or len(scores) == 0:
        raise InputError(f"need scores (M,) and two or more draws (draws, M): got {scores.shape} and {halves.shape}")
    if not 0 < level < 1:
        raise InputError(f"level={level} is no confidence: give one between 0 and 1, such as 0.95")
    bad = ~np.isfinite(scores) | ~np.isfinite(halves).all(axis=0)
    if bad.any():
        raise InputError(f"model {np.flatnonzero(bad)[0]} has a score that is not finite: leave that model out")
    return np.asarray(halves - halves.mean(axis=0))
