"""Measures of ground-truth accuracies that need no scores: how far apart models are, and how well datasets agree.

The static ranking is the baseline of every metric: it ranks models by their accuracies on other datasets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel, weighted_tau
from transfer_exp.metric.static_rank import StaticRank


@dataclass(frozen=True)
class AccuracySpread:
    """Spread of the accuracies of one pool on one dataset, in percentage points.

    Attributes:
        range: Best minus worst.
        lead: Best minus second best: the cost of swapping the top two.
    """

    range: float
    lead: float


def accuracy_spread(accuracies: PerModel) -> AccuracySpread:
    """Compute the spread of accuracies in [0, 1]; below the noise of fine-tuning, their order means little.

    Raises `InputError` when there are fewer than two accuracies, or one is NaN or outside [0, 1].
    """
    if len(accuracies) < 2 or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise InputError(
            "spread needs two or more accuracies in [0, 1]: divide percent by 100, leave out missing values"
        )
    points = 100 * np.sort(accuracies)
    return AccuracySpread(float(points[-1] - points[0]), float(points[-1] - points[-2]))


def kendalls_w(accuracies: Float[np.ndarray, "datasets models"]) -> float:
    """Compute Kendall's coefficient of concordance of the rankings of the datasets, in [0, 1].

    There are m datasets, n models and ranks r; equal accuracies share their mean rank. T_d is the sum of t^3 - t over
    the groups of t equal accuracies on dataset d. Then

        W = 12 sum_i (R_i - mean R)^2 / (m^2 (n^3 - n) - m sum_d T_d),   R_i = sum_d r_di.

    W is 1 when all datasets order the models alike, which makes a static ranking hard to beat, and 1/m on average for
    random orders. Without ties (m W - 1)/(m - 1) is the mean Spearman's rho over pairs of datasets. W is 0 when every
    dataset ties all models. Source: Kendall and Babington Smith, "The Problem of m Rankings", Annals of Mathematical
    Statistics 1939; ties as in Kendall, "Rank Correlation Methods".

    Raises `InputError` when there are fewer than two datasets or models, or an accuracy is NaN or infinite.
    """
    if min(accuracies.shape) < 2:
        raise InputError(f"need two or more datasets and models to compare rankings: got shape {accuracies.shape}")
    if not np.isfinite(accuracies).all():
        dataset, model = np.argwhere(~np.isfinite(accuracies))[0]
        raise InputError(
            f"accuracy of model {model} on dataset {dataset} is not finite: leave the model or dataset out"
        )
    ranks = scipy.stats.rankdata(accuracies, axis=1)
    datasets, models = ranks.shape
    sums = ranks.sum(axis=0)
    ties = sum(float((np.unique(row, return_counts=True)[1] ** 3.0).sum()) - models for row in ranks)
    maximum = datasets**2 * (models**3 - models) - datasets * ties
    return float(12 * ((sums - sums.mean()) ** 2).sum() / maximum) if maximum > 0 else 0.0


def static_rank_tau(accuracies: PerModel, other_accuracies: Float[np.ndarray, "targets models"]) -> float:
    """Compute the weighted tau between the static ranking (mean rank on other targets) and the accuracies on a target.

    Args:
        accuracies: (M,), accuracies on the target.
        other_accuracies: (T, M), accuracies on the other targets, NaN where missing. Targets that lack a model are
            ignored.

    Raises:
        NotApplicableError: When a model has no accuracy on another target, so that it cannot be ranked.
        InputError: When no other target has accuracies of all models, or `weighted_tau` fails.
    """
    metric = StaticRank()
    by_model = [
        {str(target): float(column[target]) for target in np.flatnonzero(np.isfinite(column))}
        for column in other_accuracies.T
    ]
    return weighted_tau(metric.combine([metric.parts(values) for values in by_model]), accuracies)
