"""Expected accuracies: how accurate each model of a pool would be after fine-tuning, predicted from its score.

`expected_accuracies` is the entry point. It uses these terms:

- A *regime* is how a chosen model is adapted, such as full fine-tuning.
- An *anchor* is an accuracy on the dataset that needs no fine-tuning, such as the cross-validated accuracy of a linear
  classifier on the features. The mean accuracy of a dataset comes from anchors where there are any, because a score
  says little about it.
- A *regret* is the best accuracy of the pool minus the best one of the models that are fine-tuned.
- A *calibration* has the parameters of a regression of accuracies on scores, fitted on other datasets. The calibrations
  that ship with the package are chosen by regime, anchor, perturbation and metric.

With theta = `angle`, a = theta(anchor) and z the score standardised within the dataset, model m on dataset d has

    theta(accuracy_dm) = mean_m a_dm + shift + anchor_slope (a_dm - mean_m a_dm) + score_slope z_dm + u_d + e_dm

and without anchors ``shift + score_slope z_dm + u_d + e_dm``; u_d has the standard deviation ``dataset_std`` and e_dm
``model_std``. The slopes are fitted within datasets and are not negative, so a better score never lowers the expected
accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError, suggestion
from transfer_exp.evaluation.correlation import PerModel
from transfer_exp.io.text import read_json
from transfer_exp.metric.linear_classifier import Recommended
from transfer_exp.statistics.rounding import RESOLUTION

SHIPPED_CALIBRATIONS = Path(__file__).with_name("calibrations.json")
"""Written by ``python -m studies.calibration docs/results/calibration.md``; that page reports the errors."""


@dataclass(frozen=True, eq=False)
class ExpectedAccuracies:
    """Expected accuracies of the models of a pool, in [1/C, 1]; NaN for a model without a score or anchor.

    Attributes:
        accuracies: (M,), *medians* of the predictive distributions, not means.
        low, high: (M,), ends of their central intervals.
        regrets: (K,), over the K models with all values: the expected regret of fine-tuning only the k models with the
            best scores, in accuracy, for k = 1 to K. None from `predict_accuracies`.
    """

    accuracies: PerModel
    low: PerModel
    high: PerModel
    regrets: Float[np.ndarray, " complete"] | None = None


def expected_accuracies(
    metric: str,
    scores: PerModel,
    classes: int,
    anchors: Float[np.ndarray, " anchored"] | None = None,
    *,
    anchor: str = "linear_classifier",
    regime: str = "full",
    perturbation: str = "none",
    level: float = 0.8,
    path: Path = SHIPPED_CALIBRATIONS,
) -> ExpectedAccuracies:
    """Compute the expected accuracy of every model, and the expected regret of choosing models by these scores.

    Args:
        metric: Name of the metric that computed the scores.
        scores: (M,), scores on all training images of the dataset; NaN where the metric does not apply.
        classes: Number of classes of the dataset, C.
        anchors: (M,), scores of the metric ``anchor`` for the same models without a perturbation; NaN where missing.
            Without anchors the mean of the expected accuracies is little more than a guess.
        anchor: Name of the metric that computed ``anchors``: ``linear_classifier`` or ``knn``; ignored without them.
        regime: Adaptation of the chosen model: ``full``, ``last_block`` or ``linear_probe``.
        perturbation: Perturbation of the features before scoring.
        level: Coverage of the intervals, in (0, 1).
        path: File of calibrations, see `read_calibrations`.

    Raises:
        InputError: When the file is invalid or has no such calibration, no model has all values, or `ScoredPool` or
            `predict_accuracies` refuses a value.
    """
    key = CalibrationKey(regime, NO_ANCHOR if anchors is None else anchor, perturbation, metric)
    calibration = find_calibration(key, path)
    if anchors is not None and anchors.shape != scores.shape:
        raise InputError(f"{len(anchors)} anchors for {len(scores)} scores: give one of each model, NaN for none")
    is_complete = ~np.isnan(scores) if anchors is None else ~(np.isnan(scores) | np.isnan(anchors))
    if not is_complete.any():
        raise InputError(f"no model has a score of {metric}" + ("" if anchors is None else f" and one of {anchor}"))
    pool = ScoredPool(scores[is_complete], classes, None if anchors is None else anchors[is_complete])
    predicted = predict_accuracies(calibration, pool, level)
    accuracies, low, high = np.full((3, len(scores)), np.nan)
    accuracies[is_complete] = predicted.accuracies
    low[is_complete] = predicted.low
    high[is_complete] = predicted.high
    return ExpectedAccuracies(accuracies, low, high, predict_regrets(calibration, pool))


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
        shift: Constant term.
        anchor_slope: Slope of the anchors, not negative; None for a calibration without anchors.
        score_slope: Slope of the standardised scores, not negative.
        dataset_std, dataset_df: Standard deviation of the effect of a new dataset on all its models, including the
            error of ``shift``, and its degrees of freedom.
        model_std, model_df: Standard deviation of the effect of a single model, and its degrees of freedom.
    """

    shift: float
    anchor_slope: float | None
    score_slope: float
    dataset_std: float
    dataset_df: int
    model_std: float
    model_df: int


def predict_accuracies(calibration: Calibration, pool: ScoredPool, level: float = 0.8) -> ExpectedAccuracies:
    """Compute the median accuracy of each model under a calibration, with an interval.

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
    deviation = float(np.hypot(calibration.dataset_std, calibration.model_std))
    half_width = 0.0
    if deviation > 0:
        shares = [(value / deviation) ** 2 for value in (calibration.dataset_std, calibration.model_std)]
        df = 1 / (shares[0] ** 2 / calibration.dataset_df + shares[1] ** 2 / calibration.model_df)
        half_width = float(scipy.stats.t.ppf((1 + level) / 2, df)) * deviation
    angles = centres, centres - half_width, centres + half_width
    return ExpectedAccuracies(*(accuracy_at(values, pool.classes) for values in angles))


def predict_regrets(
    calibration: Calibration, pool: ScoredPool, draws: int = 2000, seed: int = 0, rank_by: PerModel | None = None
) -> PerModel:
    """Compute the expected regret of fine-tuning only the top k models under a calibration, for k = 1 to M.

    Accuracies are drawn from the calibrated distribution: one dataset effect for all models (Student's t) and one
    effect per model (normal, independent). Equal models are ordered at random in every draw.

    Args:
        calibration, pool: Arguments of `predict_accuracies`.
        draws, seed: Number of draws, and their seed.
        rank_by: (M,), quantity that ranks the models, larger first; by default their scores.

    Returns:
        (M,), in [0, 1], means over the draws. They never rise with k, and the last is 0.

    Raises:
        InputError: When `predicted_angles` raises it, or ``draws`` is below 1.
    """
    if draws < 1:
        raise InputError(f"draws={draws}: draw at least once")
    rng = np.random.default_rng(seed)
    rank_by = pool.scores if rank_by is None else rank_by
    shape = draws, len(pool.scores)
    dataset_effects = calibration.dataset_std * rng.standard_t(calibration.dataset_df, (draws, 1))
    angles = predicted_angles(calibration, pool) + dataset_effects + calibration.model_std * rng.standard_normal(shape)
    # Without ties one ranking serves all draws, and sorting takes most of the time.
    tie_breaks = rng.random(shape if len(np.unique(rank_by)) < len(rank_by) else (1, len(rank_by)))
    ranking = np.lexsort((tie_breaks, np.broadcast_to(-rank_by, tie_breaks.shape)), axis=1)
    accuracies = np.take_along_axis(accuracy_at(angles, pool.classes), ranking, axis=1)
    best_of_top = np.maximum.accumulate(accuracies, axis=1)
    return np.asarray((best_of_top[:, -1:] - best_of_top).mean(axis=0))


def predicted_angles(calibration: Calibration, pool: ScoredPool) -> PerModel:
    """Compute the expected `angle` of each model. Raises `InputError` when only calibration or pool has anchors."""
    if (calibration.anchor_slope is None) != (pool.anchors is None):
        raise InputError("anchors need a calibration with anchors: give both, or none")
    slopes = [slope for slope in (calibration.anchor_slope, calibration.score_slope) if slope is not None]
    return np.asarray(mean_anchor_angle(pool) + calibration.shift + regression_columns(pool) @ np.array(slopes))


def mean_anchor_angle(pool: ScoredPool) -> float:
    """Return the mean angle of the anchors; 0 without anchors."""
    return 0.0 if pool.anchors is None else float(angle(pool.anchors, pool.classes).mean())


def regression_columns(pool: ScoredPool) -> Float[np.ndarray, "models slopes"]:
    """Return what the slopes multiply: angles of the anchors, if any, and scores; all columns are centred."""
    columns = [_standardised(pool.scores)]
    if pool.anchors is not None:
        columns.insert(0, angle(pool.anchors, pool.classes) - mean_anchor_angle(pool))
    return np.stack(columns, axis=1)


def _standardised(scores: np.ndarray) -> PerModel:
    """Return scores with mean 0 and standard deviation 1; zeros where they differ only by rounding."""
    unit = scores / max(float(np.abs(scores).max()), np.finfo(np.float64).tiny)
    centred = unit - unit.mean()
    deviation = float(centred.std())
    return np.asarray(centred / deviation if deviation > RESOLUTION else np.zeros_like(centred))


def angle(accuracies: Float[np.ndarray, "*any"], classes: int) -> Float[np.ndarray, "*any"]:
    """Compute arcsin sqrt((p - 1/C) / (1 - 1/C)), in [0, pi/2]; 0 at chance level and below.

    A share p of n trials has an angle of variance about p / (p - 1/C) / (4n), which is close to 1 / (4n) well above
    chance. So errors at 0.95 and at 0.6 are comparable. Source of the angular transformation, which has no 1/C:
    Anscombe, "The transformation of Poisson, binomial and negative-binomial data", 1948.
    """
    return np.asarray(np.arcsin(np.sqrt(np.clip((accuracies - 1 / classes) / (1 - 1 / classes), 0, 1))))


def accuracy_at(angles: Float[np.ndarray, "*any"], classes: int) -> Float[np.ndarray, "*any"]:
    """Compute the inverse of `angle`, in [1/C, 1]; angles are clipped to [0, pi/2] first."""
    return np.asarray(1 / classes + (1 - 1 / classes) * np.sin(np.clip(angles, 0, np.pi / 2)) ** 2)


NO_ANCHOR = "none"
"""Value of the column ``anchor`` for a calibration without anchors."""


class CalibrationKey(NamedTuple):
    """First columns of a row of a file of calibrations; together they identify a calibration."""

    regime: str
    anchor: str
    perturbation: str
    metric: str


_PARAMETERS = ("shift", "anchor_slope", "score_slope", "between", "between_df", "within", "within_df")
"""Columns with the fields of `Calibration`, in their order."""
COLUMNS = (*CalibrationKey._fields, *_PARAMETERS)


@lru_cache(maxsize=4)
def read_calibrations(path: Path) -> Mapping[CalibrationKey, Calibration]:
    """Read a file of calibrations, a JSON object with `COLUMNS` and rows. A process reads each file only once.

    Raises:
        InputError: When it is not a table of calibrations.
    """
    content = read_json(path)
    try:
        if content["columns"] != list(COLUMNS):
            raise ValueError("other columns")
        return dict(_parse(row) for row in content["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is not a file of calibrations ({error}): write it again with python -m studies.calibration"
        ) from error


def _parse(row: list[Any]) -> tuple[CalibrationKey, Calibration]:
    """Return the key and calibration of a row of the file."""
    names, numbers = row[: len(CalibrationKey._fields)], row[len(CalibrationKey._fields) :]
    for name, value in zip(_PARAMETERS, numbers, strict=True):
        if value is None and name == "anchor_slope":
            continue
        is_count = name.endswith("_df")
        minimum = -np.pi if name == "shift" else int(is_count)
        # type() instead of isinstance(), which takes True for an int.
        if type(value) not in ((int,) if is_count else (int, float)) or not minimum <= value < np.inf:
            raise ValueError(f"{name} {value}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"names {names}")
    return CalibrationKey(*names), Calibration(*numbers)


def find_calibration(key: CalibrationKey, path: Path = SHIPPED_CALIBRATIONS) -> Calibration:
    """Return the calibration of a key in a file; ``recommended`` has that of the metric behind this name.

    Raises:
        InputError: When the file is invalid or has no such calibration; the message names the first part of the key
            that does not match.
    """
    calibrations = read_calibrations(path)
    keys = list(calibrations)
    if key.metric == Recommended.name:
        key = key._replace(metric=Recommended.chosen)
    for name, value in key._asdict().items():
        available = {getattr(key_, name) for key_ in keys}
        keys = [key_ for key_ in keys if getattr(key_, name) == value]
        if not keys:
            raise InputError(f"{path.name} has no calibration for {name} '{value}': {suggestion(value, available)}")
    return calibrations[key]
