"""CKA: how alike two samples' features are where their labels are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfer_exp.errors import InputError
from transfer_exp.statistics.class_statistics import ClassStatistics


def cka(statistics: ClassStatistics) -> float:
    """Return |X'Y|^2 / (|X'X| |Y'Y|), X the centred features, Y the centred one-hot labels, Frobenius norms.

    This is linear centred kernel alignment, the cosine of the centred kernels XX' and YY'. X'Y holds the class sums of
    X, and Y'Y = diag(n) - nn'/N, so the N x N kernels are never formed unless N <= D.

    Parameters
    ----------
    statistics
        Of features (N, D) and their labels.

    Returns
    -------
    float
        In [0, 1]; 1 for features that are the one-hot labels, up to rotation, shift and scale.

    Raises
    ------
    InputError
        When every feature is constant.

    References
    ----------
    Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019: CKA with a linear kernel;
    with one-hot labels the target alignment of Guo, "KITE", 2024, whose ratio to the alignment with a random network
    is not part of it.
    """
    counts = statistics.counts
    own = np.linalg.norm(statistics.smaller_gram())
    if own == 0:
        raise InputError("every feature is constant, so cka is undefined: check the model's last layer")
    label_norm = np.linalg.norm(np.diag(counts) - np.outer(counts, counts) / counts.sum())
    shared = ((counts[:, None] * statistics.offsets) ** 2).sum()
    return float(min(shared / own / label_norm, 1.0))


@dataclass(frozen=True)
class CKA:
    """`cka` as a metric; no hyperparameters."""

    name: ClassVar[str] = "cka"
    source: ClassVar[str] = "Kornblith et al., ICML 2019; with labels the target alignment of Guo, KITE, 2024"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("class_statistics",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling")

    def __call__(self, class_statistics: ClassStatistics) -> float:
        """Return `cka` of class statistics."""
        return cka(class_statistics)
