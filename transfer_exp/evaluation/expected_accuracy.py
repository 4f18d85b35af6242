"""From scores to accuracies: what each model is expected to reach on a new dataset, and how surely.

A score says little about the level of the accuracies, which differs from dataset to dataset by more than from model to
model. The level is therefore taken from anchors where there are any: an accuracy that costs no fine-tuning, such as the
cross-validated one of a linear classifier on the features. With theta = `angle`, a = theta(anchor) and z the score
standardised within the dataset, model m on dataset d has

    theta(accuracy_dm) = mean_m a_dm + shift + anchor_slope (a_dm - mean_m a_dm) + score_slope z_dm + u_d + e_dm

and without anchors ``shift + score_slope z_dm + u_d + e_dm``; u_d has the standard deviation ``between`` and e_dm
``within``. The slopes are fitted within datasets and are not negative, so a better score never lowers what is expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.optimize import nnls

from transfer_exp.errors import InputError
from transfer_exp.statistics.rounding import RESOLUTION


@dataclass(frozen=True, eq=False)
class Scored:
    """A pool of models scored on one dataset.

    Attributes
    ----------
    scores
        (M,), finite, larger is better.
    classes
        C of the dataset, at least 2.
    anchors
        (M,), in [0, 1]: an accuracy of each model on the dataset that costs no fine-tuning. None without them.

    Raises
    ------
    InputError
        For no model, values that are not as above, or as many anchors as there are not scores.
    """

    scores: Float[np.ndarray, " models"]
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
    """The fitted numbers of the model above, in radians.

    Attributes
    ----------
    shift
        Added to the level.
    anchor_slope
        Not negative; None for a calibration without anchors.
    score_slope
        Not negative.
    between, between_df
        Standard deviation of what a new dataset adds to all its models, the error of ``shift`` included, and its
        degrees of freedom.
    within, within_df
        The same of what a new model adds.
    """

    shift: float
    anchor_slope: float | None
    score_slope: float
    between: float
    between_df: int
    within: float
    within_df: int


@dataclass(frozen=True, eq=False)
class Expected:
    """What models are expected to reach, in [1/C, 1].

    Attributes
    ----------
    accuracies
        (M,), the median of the predictive distribution.
    low, high
        (M,), ends of its central interval.
    """

    accuracies: Float[np.ndarray, " models"]
    low: Float[np.ndarray, " models"]
    high: Float[np.ndarray, " models"]


def angle(accuracies: Float[np.ndarray, "*any"], classes: int) -> Float[np.ndarray, "*any"]:
    """Return arcsin sqrt((p - 1/C) / (1 - 1/C)), in [0, pi/2]; 0 at chance and below it.

    The angular transformation gives a share of n trials the same variance 1 / (4n) wherever it lies (Anscombe, "The
    transformation of Poisson, binomial and negative-binomial data", 1948), so that errors at 0.95 and at 0.6 compare.
    """
    return np.asarray(np.arcsin(np.sqrt(np.clip((accuracies - 1 / classes) / (1 - 1 / classes), 0, 1))))


def accuracy_at(angles: Float[np.ndarray, "*any"], classes: int) -> Float[np.ndarray, "*any"]:
    """Return the accuracies of angles, which are brought to [0, pi/2] first: the inverse of `angle`, in [1/C, 1]."""
    return np.asarray(1 / classes + (1 - 1 / classes) * np.sin(np.clip(angles, 0, np.pi / 2)) ** 2)


def fit(pools: Sequence[Scored], accuracies: Sequence[Float[np.ndarray, " _"]]) -> Calibration:
    """Fit a calibration to pools whose accuracies are known.

    Datasets weigh the same in ``shift``, models the same in the slopes, which non-negative least squares finds.

    Parameters
    ----------
    pools
        One for each of K datasets; all with anchors, or none.
    accuracies
        Of their models, each (M,), in [0, 1].

    Raises
    ------
    InputError
        For fewer than two datasets, accuracies that are none or not of the pool, anchors of some datasets only, or so
        few models that nothing is left to estimate their spread from.
    """
    if len(pools) < 2 or len(pools) != len(accuracies):
        raise InputError(f"cannot calibrate on {len(pools)} datasets with {len(accuracies)} accuracies: give two each")
    if len({pool.anchors is None for pool in pools}) > 1:
        raise InputError("some datasets have anchors and some have none: give anchors of all, or of none")
    angles = [_truth(pool, truth) for pool, truth in zip(pools, accuracies, strict=True)]
    designs = [_columns(pool) for pool in pools]
    # The columns are centred within datasets, so the level of a dataset has no say in the slopes.
    slopes, _ = nnls(np.concatenate(designs), np.concatenate(angles))
    left = [y - _level(pool) - x @ slopes for y, pool, x in zip(angles, pools, designs, strict=True)]
    means = np.array([own.mean() for own in left])
    within_df = sum(len(own) - 1 for own in left) - len(slopes)
    if within_df < 1:
        raise InputError("too few models to tell how far they scatter: calibrate on more models or datasets")
    return Calibration(
        shift=float(means.mean()),
        anchor_slope=None if pools[0].anchors is None else float(slopes[0]),
        score_slope=float(slopes[-1]),
        between=float(means.std(ddof=1) * np.sqrt(1 + 1 / len(means))),
        between_df=len(means) - 1,
        within=float(np.sqrt(sum(((own - own.mean()) ** 2).sum() for own in left) / within_df)),
        within_df=within_df,
    )


def expected_accuracies(calibration: Calibration, pool: Scored, level: float = 0.8) -> Expected:
    """Return what the models of a pool are expected to reach on its dataset, with an interval for each.

    The interval is Student's t with the degrees of freedom of Satterthwaite ("An approximate distribution of estimates
    of variance components", 1946, eq. 17) for the sum of both variances. It is about one model on a new dataset: the
    errors of the models of one dataset are not independent, and most intervals of a dataset may miss together.

    Parameters
    ----------
    calibration
        Of the metric that scored, with anchors where the pool has them.
    pool
        Of one model or more.
    level
        Share of accuracies that intervals are meant to hold, in (0, 1).

    Raises
    ------
    InputError
        For anchors where the calibration has none, or the other way round, or another level.
    """
    if not 0 < level < 1:
        raise InputError(f"level={level} is no share of intervals: give one between 0 and 1, such as 0.8")
    centres = predicted_angles(calibration, pool)
    deviation = float(np.hypot(calibration.between, calibration.within))
    half = 0.0
    if deviation > 0:
        of_dataset, of_model = ((part / deviation) ** 2 for part in (calibration.between, calibration.within))
        freedom = 1 / (of_dataset**2 / calibration.between_df + of_model**2 / calibration.within_df)
        half = float(stats.t.ppf((1 + level) / 2, freedom)) * deviation
    return Expected(*(accuracy_at(centres + shift, pool.classes) for shift in (0.0, -half, half)))


def predicted_angles(calibration: Calibration, pool: Scored) -> Float[np.ndarray, " models"]:
    """Return the angle of each model that a calibration predicts. Raises `InputError` as `expected_accuracies`."""
    if (calibration.anchor_slope is None) != (pool.anchors is None):
        raise InputError("anchors belong to a calibration with anchors: give both, or none")
    slopes = [slope for slope in (calibration.anchor_slope, calibration.score_slope) if slope is not None]
    return np.asarray(_level(pool) + calibration.shift + _columns(pool) @ np.array(slopes))


def _truth(pool: Scored, accuracies: np.ndarray) -> Float[np.ndarray, " models"]:
    """Return the angles of accuracies, which must be such and of the pool."""
    if accuracies.shape != pool.scores.shape or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise InputError(f"need accuracies in [0, 1] of the {len(pool.scores)} models of each pool: correct them")
    return angle(accuracies, pool.classes)


def _level(pool: Scored) -> float:
    return 0.0 if pool.anchors is None else float(angle(pool.anchors, pool.classes).mean())


def _columns(pool: Scored) -> Float[np.ndarray, "models slopes"]:
    """Return what the slopes belong to: the anchors' angles where there are any, then the scores, all centred."""
    columns = [_standardised(pool.scores)]
    if pool.anchors is not None:
        columns.insert(0, angle(pool.anchors, pool.classes) - _level(pool))
    return np.stack(columns, axis=1)


def _standardised(scores: np.ndarray) -> Float[np.ndarray, " models"]:
    """Return scores with mean 0 and standard deviation 1; zeros where they differ by rounding alone."""
    unit = scores / max(float(np.abs(scores).max()), np.finfo(np.float64).tiny)
    centred = unit - unit.mean()
    deviation = float(centred.std())
    return np.asarray(centred / deviation if deviation > RESOLUTION else np.zeros_like(centred))
