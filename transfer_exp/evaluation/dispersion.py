"""What a pool leaves to be ranked: how far apart its models are, and how much their order depends on the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import check_pair, weighted_tau


@dataclass(frozen=True)
class AccuracySpread:
    """How far the accuracies of one pool on one dataset lie apart, in points (hundredths).

    Attributes
    ----------
    whole
        Best minus worst.
    deviation
        Standard deviation over models (divisor M).
    lead
        Best minus second best: what a swap of the top two would cost.
    """

    whole: float
    deviation: float
    lead: float


def accuracy_spread(accuracies: Float[np.ndarray, " models"]) -> AccuracySpread:
    """Describe accuracies in [0, 1]; below the noise of one fine-tuning run, their order means little.

    Raises
    ------
    InputError
        When there are fewer than two, or one is NaN or outside [0, 1] (percent, perhaps).
    """
    if len(accuracies) < 2 or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise InputError(
            "spread needs two or more accuracies in [0, 1]: divide percent by 100, leave out what is missing"
        )
    ascending = 100 * np.sort(accuracies)
    whole, lead = ascending[-1] - ascending[0], ascending[-1] - ascending[-2]
    return AccuracySpread(float(whole), float(ascending.std()), float(lead))


def kendalls_w(accuracies: Float[np.ndarray, "datasets models"]) -> float:
    """Kendall's coefficient of concordance of the datasets' rankings, in [0, 1]; high where a static ranking wins.

    With m datasets, n models, ranks r (equal accuracies share their mean rank) and T_d the sum of t^3 - t over the
    groups of t equal accuracies on dataset d,

        W = 12 sum_i (R_i - mean R)^2 / (m^2 (n^3 - n) - m sum_d T_d),   R_i = sum_d r_di.

    1 when all datasets order the models alike, 1/m on average when orders are random. Without ties (m W - 1)/(m - 1)
    is the mean Spearman's rho over pairs of datasets. 0 when every dataset ties all models.

    Parameters
    ----------
    accuracies
        (m, n), two or more of each; every model measured on every dataset.

    Raises
    ------
    InputError
        When there are fewer, or an accuracy is NaN or infinite.

    References
    ----------
    Kendall and Babington Smith, "The Problem of m Rankings", Annals of Mathematical Statistics 1939; ties as in
    Kendall, "Rank Correlation Methods".
    """
    ranks = _ranks(accuracies)
    datasets, models = ranks.shape
    sums = ranks.sum(axis=0)
    ties = sum(float((np.unique(row, return_counts=True)[1] ** 3.0).sum()) - models for row in ranks)
    most = datasets**2 * (models**3 - models) - datasets * ties
    return float(12 * ((sums - sums.mean()) ** 2).sum() / most) if most > 0 else 0.0


def rank_deviation(accuracies: Float[np.ndarray, "datasets models"]) -> Float[np.ndarray, " models"]:
    """Standard deviation of each model's rank over datasets (divisor m), 0 for one that always holds the same place.

    `kendalls_w` seen model by model: without ties the mean of its square over the n models is (1 - W)(n^2 - 1)/12. A
    definition of our own. Shapes and errors as `kendalls_w`.
    """
    return np.asarray(_ranks(accuracies).std(axis=0))


def grouped_tau(
    scores: Float[np.ndarray, " models"], accuracies: Float[np.ndarray, " models"], groups: Sequence[str]
) -> float:
    """Weighted tau within groups of models, averaged with the number of pairs of each group as weight; in [-1, 1].

    What is left of a correlation once the order of the groups (families, say) is taken as known. So weighted, Kendall's
    tau would give concordant minus discordant pairs within groups over all such pairs, as in Torgerson, "A
    Nonparametric Test of Correlation Using Rank Orders within Subgroups", Psychometrika 1956; the weighted tau in its
    place is ours. A group of one model has no pair and no say; one that is constant on either side counts 0.

    Parameters
    ----------
    scores, accuracies
        (M,), larger is better.
    groups
        Name of each model's group, M of them.

    Raises
    ------
    InputError
        As `check_pair`; when there are not M group names, or no group has two models.
    """
    check_pair(scores, accuracies)
    if len(groups) != len(scores):
        raise InputError(f"need a group for each of {len(scores)} models: got {len(groups)}")
    names = np.array(groups)
    members = [np.flatnonzero(names == name) for name in dict.fromkeys(groups)]
    members = [group for group in members if len(group) > 1]
    if not members:
        raise InputError("no group has two models, so nothing is ranked within groups: give coarser groups")
    taus = [weighted_tau(scores[group], accuracies[group]) for group in members]
    return float(np.average(taus, weights=[len(group) * (len(group) - 1) / 2 for group in members]))


def _ranks(accuracies: np.ndarray) -> np.ndarray:
    """Return ranks from 1 within each dataset, worst first; equal accuracies share their mean rank."""
    if min(accuracies.shape) < 2:
        raise InputError(f"need two or more datasets and models to compare rankings: got shape {accuracies.shape}")
    if not np.isfinite(accuracies).all():
        dataset, model = np.argwhere(~np.isfinite(accuracies))[0]
        raise InputError(
            f"accuracy of model {model} on dataset {dataset} is not finite: leave the model or dataset out"
        )
    return np.asarray(stats.rankdata(accuracies, axis=1))
