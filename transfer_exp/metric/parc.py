"""PARC: correlation of dissimilarity in features with dissimilarity in labels, over pairs of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, Targets, check_targets, encode_labels
from transfer_exp.statistics.memory import check_memory
from transfer_exp.statistics.rounding import deviations

DECIMALS = 12
"""Decimals to which correlations of samples and distances of labels are rounded, so that ranks are exact."""
_BLOCK = 64
"""Rows that are standardised at a time."""


def parc(features: Features, labels: Labels) -> float:
    """Compute Spearman's correlation, over pairs of samples, of 1 - r_ij with the difference of their labels.

    r_ij is Pearson's correlation of the features of i and j, after each dimension is standardised over the samples (a
    constant one becomes 0). The one-hot labels of any two classes have the same correlation, so the side of the labels
    has only two values. The published score is a hundred times this one.

    In the authors' code, rounding errors of the labels' correlations (1 or 1 - 2e-16 within a class) get different
    ranks. That divides the score by up to three (at 37 classes), and differs between machines. Here they tie. Of 2 to
    40 classes, they tie in that code only for 2, 4, 8, 13, 15, 16, 18, 23 and 32, on the machine of the measurement.

    Args:
        features: (N, D), D at least 2. Time and memory grow with N^2 (2 GB at N = 10,000), and the paper uses scoring
            sets of 500 samples. It reduces features to 32 dimensions first, like ``perturbation=pca`` with ``dim`` 32.
        labels: (N,), integers, at least two classes, one with at least two samples.

    Returns:
        Correlation in [-1, 1]; the ends need features whose dissimilarities have just two values, too.

    Raises:
        InputError: If all standardised features of a sample are equal (no correlation; D = 1 for example), all
            pairs are equally dissimilar, or no two samples share a class.

    References:
        Bolya, Mittapalli, Hoffman, "Scalable Diverse Model Selection for Accessible Transfer Learning", NeurIPS 2021,
        and their released code.
    """
    check_memory("parc", 2.5 * len(labels) ** 2)
    similarity = _sample_correlations(centred_features(features, labels))
    codes, counts = encode_labels(labels)
    if counts.max() == 1:
        raise InputError("no two samples share a class, so parc has nothing to compare: use larger classes")
    ordered, same_class = _pair_values(similarity, codes)
    pairs, same_class_pairs = len(ordered), len(same_class)
    # The sum of squares of the centred ranks is that of 1 .. P minus a term of the ties, so only pairs of one class
    # need their ranks.
    equal = np.flatnonzero(ordered[1:] == ordered[:-1])
    first = np.flatnonzero(np.diff(equal, prepend=-2) > 1)
    tie_sizes = np.diff(first, append=len(equal)) + 1.0
    rank_squares = (float(pairs) ** 3 - pairs - (tie_sizes**3 - tie_sizes).sum()) / 12
    if rank_squares == 0:
        raise InputError(
            "all pairs of samples are equally dissimilar, so parc is undefined: check the layer that the features "
            "come from"
        )
    ranks = (np.searchsorted(ordered, same_class) + np.searchsorted(ordered, same_class, side="right") - pairs) / 2
    norm = np.sqrt(rank_squares * same_class_pairs * (1 - same_class_pairs / pairs))
    return float(np.clip(ranks.sum() / norm, -1.0, 1.0))


def parc_labels(features: Features, targets: Targets) -> float:
    """Compute Spearman's correlation, over pairs of images, of 1 - r_ij with the Jaccard distance of their labels.

    r_ij is Pearson's correlation of the features of i and j, each dimension standardised over the images. The Jaccard
    distance is one minus the number of labels that both have over the number that either has: 0 or 1 if
    every image has one label.

    Args:
        features: (N, D), D at least 2. Time and memory grow with N^2.
        targets: (N, C), zeros and ones, at least a 1 in every row.

    Returns:
        Correlation in [-1, 1].

    Raises:
        InputError: If all standardised features of an image are equal, or all pairs are equally far apart.
    """
    x, y = check_targets(features, targets)
    check_memory("parc", 6.0 * len(x) ** 2)
    similarity = _sample_correlations(deviations(x, x.mean(axis=0)))
    pairs = np.triu_indices(len(x), 1)
    both, sizes = y @ y.T, y.sum(axis=1)
    distance = np.round(1 - both / (sizes[:, None] + sizes - both), DECIMALS)[pairs]
    ranks = [scipy.stats.rankdata(values) for values in (np.round(1 - similarity, DECIMALS)[pairs], distance)]
    if any((rank == rank[0]).all() for rank in ranks):
        raise InputError("all pairs of samples are equally far apart, so parc is undefined")
    return float(np.clip(np.corrcoef(ranks)[0, 1], -1.0, 1.0))


def _pair_values(
    similarity: Float[np.ndarray, "samples samples"], codes: Labels
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " same_class_pairs"]]:
    """Return similarities of all unordered pairs of samples, and of those of one class, both ascending.

    They are whole numbers of the unit ``10**-DECIMALS``.
    """
    starts = np.concatenate([[0], np.arange(len(codes) - 1, 0, -1).cumsum()])
    values, same_class = np.empty(starts[-1]), []
    for i in range(len(codes) - 1):
        row = np.multiply(similarity[i, i + 1 :], 10.0**DECIMALS, out=values[starts[i] : starts[i + 1]])
        same_class.append(np.rint(row, out=row)[codes[i + 1 :] == codes[i]])
    values.sort()
    return values, np.sort(np.concatenate(same_class))


def _sample_correlations(centred: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "samples samples"]:
    """Return Pearson's correlation of samples, (N, N), over dimensions scaled to unit variance; overwrites the samples.

    A block of rows at a time stays in the cache of the processor.
    """
    scale = np.sqrt(np.einsum("nd,nd->d", centred, centred) / len(centred))
    scale[scale == 0] = np.inf
    for start in range(0, len(centred), _BLOCK):
        block = centred[start : start + _BLOCK]
        block /= scale
        block[:] = deviations(block, np.broadcast_to(block.mean(axis=1, keepdims=True), block.shape))
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        if not norms.all():
            flat = start + int(np.flatnonzero(norms == 0)[0])
            raise InputError(
                f"all standardised features of sample {flat} are equal, so parc cannot correlate it"
                + (": it needs two or more features" if centred.shape[1] == 1 else ": leave the sample out")
            )
        block /= norms[:, None]
    return centred @ centred.T


@dataclass(frozen=True)
class PARC(FormulaMetric):
    """`parc`, or `parc_labels` for several labels per image, as a metric without hyperparameters."""

    name = "parc"
    source = "Bolya, Mittapalli and Hoffman, NeurIPS 2021"
    formula = staticmethod(parc)
    lower = -1.0
    upper = 1.0
    invariances = ("translation", "scaling")
    multi_label_formula = staticmethod(parc_labels)
