"""Wilcoxon's signed-rank test of a paired comparison over datasets."""

from __future__ import annotations

import numpy as np
from scipy import stats

from transfer_exp.evaluation.paired import PairedComparison


def wilcoxon_p(paired: PairedComparison) -> float:
    """Compute the two-sided p-value of Wilcoxon's signed-rank test, exact for any number of pairs and with ties.

    Demšar ("Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006) recommends it over datasets.
    Zeros are dropped before ranking, as in Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin
    1945. Equal magnitudes share their mean rank. The sum of positive ranks is compared with its distribution over all
    equally likely signs of these ranks; ``scipy.stats.wilcoxon(method="exact")`` assumes that no magnitudes are equal.
    The p-value is 1 when all differences are zero.
    """
    nonzero = np.array([value for value in paired.differences if value != 0])
    ranks = (2 * stats.rankdata(np.abs(nonzero))).astype(np.int64)  # doubled, because mean ranks of ties end in .5
    total = int(ranks.sum())
    probabilities = np.zeros(total + 1)  # of each sum of positive ranks
    probabilities[0] = 1.0
    for rank in ranks:
        probabilities = (probabilities + np.concatenate([np.zeros(rank), probabilities[:-rank]])) / 2
    distances = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(probabilities[distances >= distances[ranks[nonzero > 0].sum()]].sum()))
