"""CKA: how alike two samples' features are where their labels are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.metric.spectrum import smaller_gram
from transfer_exp.types import InputError, encode_labels
from transfer_exp.types.class_statistics import class_sums
from transfer_exp.types.discriminant import centred_features


def cka(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return |X'Y|^2 / (|X'X| |Y'Y|), X the centred features, Y the centred one-hot labels, Frobenius norms.

    This is linear centred kernel alignment, the cosine of the centred kernels XX' and YY'. X'Y holds the class sums of
    X, and Y'Y = diag(n) - nn'/N, so the N x N kernels are never formed unless N <= D.

    Parameters
    ----------
    features
        (N, D).
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In [0, 1]; 1 for features that are the one-hot labels, up to rotation, shift and scale.

    Raises
    ------
    InputError
        As `check_features`, or when every feature is constant.

    References
    ----------
    Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019: CKA with a linear kernel;
    with one-hot labels the target alignment of Guo, "KITE", 2024, whose ratio to the alignment with a random network
    is not part of it.
    """
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    own = np.linalg.norm(smaller_gram(centred))
    if own == 0:
        raise InputError("every feature is constant, so cka is undefined: check the model's last layer")
    label_norm = np.linalg.norm(np.diag(counts) - np.outer(counts, counts) / counts.sum())
    shared = (class_sums(centred, codes, len(counts)) ** 2).sum()
    return float(min(shared / own / label_norm, 1.0))


@dataclass(frozen=True)
class CKA:
    """`cka` as a metric; no hyperparameters."""

    name: ClassVar[str] = "cka"
    source: ClassVar[str] = "Kornblith et al., ICML 2019; with labels the target alignment of Guo, KITE, 2024"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling")

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `cka` of features (N, D) and labels (N,)."""
        return cka(features, labels)
