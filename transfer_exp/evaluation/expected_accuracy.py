"""Expected accuracies and regrets: a regression, fitted on other datasets, of accuracies on scores.

A score says little about the level of the accuracies, which differs more between datasets than between models. The
level therefore comes from anchors where there are any: accuracies that need no fine-tuning, such as the cross-validated
accuracy of a linear classifier on the features. The regret of fine-tuning only some models is the best accuracy of the
pool minus the best of these models. With theta = `angle`, a = theta(anchor) and z the score standardised within the
dataset, model m on dataset d has

    theta(accuracy_dm) = mean_m a_dm + shift + anchor_slope (a_dm - mean_m a_dm) + score_slope z_dm + u_d + e_dm

and without anchors ``shift + score_slope z_dm + u_d + e_dm``; u_d has the standard deviation ``between`` and e_dm
``within``. The slopes are fitted within datasets and are not negative, so a better score never lowers the expected
accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel
from transfer_exp.statistics.rounding import RESOLUTION


@dataclass(frozen=True, eq=False)
class ScoredPool:
    """A pool of models scored on one dataset.

    Attributes:
        scores: (M,), finite, larger is better.
        classes: Number of classes of the dataset, C, at least 2.
        anchors: (M,), in [0, 1]: an accuracy of each model on the dataset that needs no fine-tuning. None without
            anchors.

    Raises:
        InputError: When scores are empty, a value is out of range, or the numbers of anchors and scores differ.
    """

    scores: PerModel
    classes: int
    anchors: Float[np.ndarray, " anchored"] | None = None

    def __post_init__(self) -> None:
        if len(self.scores) == 0 or not np.isfinite(self.scores).all():
            raise InputError("scores must be finite, one or more: leave out the models without a score")
        if self.classes < 2:
            raise InputError(f"classes={self.classes} of the dataset: give two or more")
        if self.anchors is None:
            return
        if self.anchors.shape != self.scores.shape:
            raise InputError(f"{len(self.anchors)} anchors for {len(self.scores)} scores: give one of each model")
        if not ((self.anchors >= 0) & (self.anchors <= 1)).all():
            raise InputError("anchors must be accuracies in [0, 1]: leave out the models without one")


@dataclass(frozen=True)
class Calibration:
    """Fitted parameters of the model in this module's docstring, in radians.

    Attributes:
        shift: Constant added to the level.
        anchor_slope: Slope of the anchors, not negative; None for a calibration without anchors.
        score_slope: Slope of the standardised scores, not negative.
        between, between_df: Standard deviation of the effect of a new dataset on all its models, including the error of
            ``shift``, and its degrees of freedom.
        within, within_df: Standard deviation of the effect of a single model, and its degrees of freedom.
    """

    shift: float
    anchor_slope: float | None
    score_slope: float
    between: float
    between_df: int
    within: float
    within_df: int


@dataclass(frozen=True, eq=False)
class ExpectedAccuracies:
    """Expected accuracies of the models of a pool, in [1/C, 1].

    Attributes:
        accuracies: (M,), medians of the predictive distributions.
        low, high: (M,), ends of their central intervals.
    """

    accuracies: PerModel
    low: PerModel
    high: PerModel


def angle(accuracies: Float[np.ndarray, "*any"], classes: int) -> Float[np.ndarray, "*any"]:
    """Compute arcsin sqrt((p - 1/C) / (1 - 1/C)), in [0, pi/2]; 0 at chance level and below.

    The angular transformation gives a share of n trials the same variance 1 / (4n) at every level, so errors at 0.95
    and at 0.6 are comparable. Source: Anscombe, "The transformation of Poisson, binomial and negative-binomial data",
    1948.
    """
    return np.asarray(np.arcsin(np.sqrt(np.clip((accuracies - 1 / classes) / (1 - 1 / classes), 0, 1))))


def accuracy_at(angles: Float[np.ndarray, "*any"], classes: int) -> Float[np.ndarray, "*any"]:
    """Compute the inverse of `angle`, in [1/C, 1]; angles are clipped to [0, pi/2] first."""
    return np.asarray(1 / classes + (1 - 1 / classes) * np.sin(np.clip(angles, 0, np.pi / 2)) ** 2)


def expected_accuracies(calibration: Calibration, pool: ScoredPool, level: float = 0.8) -> ExpectedAccuracies:
    """Compute the expected accuracy of each model of a pool on its dataset, with an interval.

    The interval is Student's t with the degrees of freedom of Satterthwaite ("An approximate distribution of estimates
    of variance components", 1946, eq. 17) for the sum of both variances. It covers the accuracy of a single model on a
    new dataset with probability ``level``. Errors of models on the same dataset are correlated, so most intervals of a
    dataset may miss at once.

    Args:
        calibration: Calibration for the metric of the scores, with anchors if the pool has them.
        pool: Scored pool of one model or more.
        level: Coverage of the intervals, in (0, 1).

    Raises:
        InputError: When only one of calibration and pool has anchors, or the level is out of range.
    """
    if not 0 < level < 1:
        raise InputError(f"level={level} is not a coverage: give one between 0 and 1, such as 0.8")
    centres = predicted_angles(calibration, pool)
    deviation = float(np.hypot(calibration.between, calibration.within))
    half_width = 0.0
    if deviation > 0:
        shares = [(value / deviation) ** 2 for value in (calibration.between, calibration.within)]
        df = 1 / (shares[0] ** 2 / calibration.between_df + shares[1] ** 2 / calibration.within_df)
        half_width = float(stats.t.ppf((1 + level) / 2, df)) * deviation
    return ExpectedAccuracies(*(accuracy_at(centres + shift, pool.classes) for shift in (0.0, -half_width, half_width)))


def expected_regrets(
    calibration: Calibration, pool: ScoredPool, draws: int = 2000, seed: int = 0, order: PerModel | None = None
) -> PerModel:
    """Compute the expected regret of fine-tuning only the top k models, for k = 1 to M.

    Accuracies are drawn from the calibrated distribution: one dataset effect for all models (Student's t) and one
    effect per model (normal, independent). Equal models are ordered at random in every draw.

    Args:
        calibration, pool: Arguments of `expected_accuracies`.
        draws, seed: Number of draws, and their seed.
        order: (M,), quantity that orders the models, larger first; by default their scores.

    Returns:
        (M,), in [0, 1], means over the draws. They never rise with k, and the last is 0.

    Raises:
        InputError: When `predicted_angles` raises it, or ``draws`` is below 1.
    """
    if draws < 1:
        raise InputError(f"draws={draws}: draw at least once")
    rng, order_by = np.random.default_rng(seed), pool.scores if order is None else order
    shape = draws, len(pool.scores)
    dataset_effects = calibration.between * rng.standard_t(calibration.between_df, (draws, 1))
    angles = predicted_angles(calibration, pool) + dataset_effects + calibration.within * rng.standard_normal(shape)
    # Without ties one order serves all draws, and sorting takes most of the time.
    tie_breaks = rng.random(shape if len(np.unique(order_by)) < len(order_by) else (1, len(order_by)))
    ranking = np.lexsort((tie_breaks, np.broadcast_to(-order_by, tie_breaks.shape)), axis=1)
    accuracies = np.take_along_axis(accuracy_at(angles, pool.classes), ranking, axis=1)
    best_of_top = np.maximum.accumulate(accuracies, axis=1)
    return np.asarray((best_of_top[:, -1:] - best_of_top).mean(axis=0))


def predicted_angles(calibration: Calibration, pool: ScoredPool) -> PerModel:
    """Compute the expected `angle` of each model. Raises `InputError` when only calibration or pool has anchors."""
    if (calibration.anchor_slope is None) != (pool.anchors is None):
        raise InputError("anchors need a calibration with anchors: give both, or none")
    slopes = [slope for slope in (calibration.anchor_slope, calibration.score_slope) if slope is not None]
    return np.asarray(anchor_level(pool) + calibration.shift + regression_columns(pool) @ np.array(slopes))


def anchor_level(pool: ScoredPool) -> float:
    """Return the mean angle of the anchors; 0 without anchors."""
    return 0.0 if pool.anchors is None else float(angle(pool.anchors, pool.classes).mean())


def regression_columns(pool: ScoredPool) -> Float[np.ndarray, "models slopes"]:
    """Return what the slopes multiply: angles of the anchors, if any, and scores; all columns are centred."""
    columns = [_standardised(pool.scores)]
    if pool.anchors is not None:
        columns.insert(0, angle(pool.anchors, pool.classes) - anchor_level(pool))
    return np.stack(columns, axis=1)


def _standardised(scores: np.ndarray) -> PerModel:
    """Return scores with mean 0 and standard deviation 1; zeros where they differ only by rounding."""
    unit = scores / max(float(np.abs(scores).max()), np.finfo(np.float64).tiny)
    centred = unit - unit.mean()
    deviation = float(centred.std())
    return np.asarray(centred / deviation if deviation > RESOLUTION else np.zeros_like(centred))
