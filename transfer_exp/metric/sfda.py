"""SFDA: how surely a Fisher discriminant tells the true class once unsure samples move to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import softmax

from transfer_exp.metric.discriminant_over_moves import sfda_over_moves
from transfer_exp.types import MovingClasses, check_features, encode_labels
from transfer_exp.types.class_blocks import block_rows, block_statistics, centre_block, class_blocks
from transfer_exp.types.discriminant import adaptive_shrinkage, block_posterior, mean_true_posterior


def sfda(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the mean posterior of the true class under a Fisher discriminant of self-challenged features.

    1. Fit Gaussian classes that share the covariance (1 - l) W + l tr(W)/D I, with W the pooled within-class
       covariance and l = max(exp(-5 lambda_max(W)), 1e-10). Let p(x) be the softmax of its posterior, true
       class.
    2. Self-challenge (ConfMix): x' = p(x) x + (1 - p(x)) m_c, where m_c averages the means of the other
       classes.
    3. Fit again on x' with the same l, and average the posterior of the true class over x'.

    Parameters
    ----------
    features
        (N, D). With N < D the score often is exactly 1: nothing is left to rank by.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In [0, 1]. Depends on the scale of the features through l, and slightly on their basis through
        lambda_max.

    Raises
    ------
    InputError
        As `check_features`; when no sample differs from its class mean, or W is too ill-conditioned to
        invert.

    References
    ----------
    Shao et al., "Not All Models Are Equal", ECCV 2022, section 3, as released: no dimension of the
    Fisher space is dropped, nor is the log of the posterior taken, and lambda_max comes from six power steps
    started at the row sums of W.
    """
    features = check_features(features, labels)
    codes, counts = encode_labels(labels)
    order, means, deviations = class_blocks(features, codes, counts)
    codes = codes[order]
    statistics = block_statistics(counts, means, deviations)
    shrinkage = adaptive_shrinkage(statistics)
    confidence = softmax(block_posterior(deviations, codes, statistics, shrinkage), axis=1)[
        np.arange(len(codes)), codes
    ]
    # ConfMix, then the second fit: both in place, one class after the other.
    others = (means.sum(axis=0) - means) / (len(counts) - 1)
    for c, rows in enumerate(block_rows(counts)):
        block, certain = deviations[rows], confidence[rows, None]
        block *= certain
        block += certain * (means[c] - others[c])
        others[c] += centre_block(block)
    challenged = block_statistics(counts, others, deviations)
    return mean_true_posterior(block_posterior(deviations, codes, challenged, shrinkage), codes)


@dataclass(frozen=True)
class SFDA:
    """`sfda` as a metric; deterministic, with the release's constants and no hyperparameters."""

    name: ClassVar[str] = "sfda"
    source: ClassVar[str] = "Shao et al., ECCV 2022"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("translation",)

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `sfda` of features (N, D) and labels (N,)."""
        return sfda(features, labels)

    def over_moves(
        self, classes: MovingClasses, mixings: Float[np.ndarray, "moves classes classes"]
    ) -> Float[np.ndarray, " moves"]:
        """Return `sfda` after each move of the classes, (moves,)."""
        return sfda_over_moves(classes, mixings)
