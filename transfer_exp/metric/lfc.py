"""LFC: whether inner products of features are large between samples of one class and small elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.metric.spectrum import smaller_gram
from transfer_exp.types import InputError, check_features, encode_labels
from transfer_exp.types.class_statistics import class_sums, deviations


def lfc(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return Pearson's correlation, over all N^2 entries, of XX' with the label matrix (1 same class, -1 not).

    With mean m and x_i = m + z_i, an entry of XX' minus their mean |m|^2 is a_i + a_j + z_i'z_j, where a_i = m'z_i. The
    squares of these sum to 2N |a|^2 + |Z'Z|^2, and their sum within classes is sum_c (2 n_c m's_c + |s_c|^2), s_c
    being the sum of z over class c. So nothing cancels however far the features lie from zero.

    Parameters
    ----------
    features
        X, (N, D), not centred: a rotation or a scale leaves the score alone, a shift does not.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In [-1, 1].

    Raises
    ------
    InputError
        As `check_features`, or when every feature is constant.

    References
    ----------
    Deshpande et al., "A Linearized Framework and a New Benchmark for Model Selection for Fine-Tuning", 2021, label-
    feature correlation: a cosine, hence Frobenius norms, of matrices whose mean is taken out. Some ports divide by
    spectral norms instead, which leaves no bound.
    """
    features = check_features(features, labels)
    codes, counts = encode_labels(labels)
    mean = features.mean(axis=0)
    centred = deviations(features, mean)
    # Far from zero the mean is rounded by more than the sums below can bear.
    centred -= centred.mean(axis=0)
    sums = class_sums(centred, codes, len(counts))
    offsets = centred @ mean
    norm = np.hypot(np.sqrt(2 * len(codes)) * np.linalg.norm(offsets), np.linalg.norm(smaller_gram(centred)))
    if norm == 0:
        raise InputError("every feature is constant, so lfc is undefined: check the model's last layer")
    share = ((counts / len(codes)) ** 2).sum()
    label_norm = len(codes) * np.sqrt(share * (1 - share))
    within = (2 * counts * (sums @ mean) + (sums**2).sum(axis=1)).sum()
    return float(np.clip(within / norm / label_norm, -1.0, 1.0))


@dataclass(frozen=True)
class LFC:
    """`lfc` as a metric; no hyperparameters."""

    name: ClassVar[str] = "lfc"
    source: ClassVar[str] = "Deshpande et al., arXiv 2021"
    lower: ClassVar[float] = -1.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "scaling")

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `lfc` of features (N, D) and labels (N,)."""
        return lfc(features, labels)
