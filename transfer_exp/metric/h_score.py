"""H-score: how much of the features' variation, whitened, lies between the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfer_exp.metric.spectrum import label_spectrum
from transfer_exp.types import ClassStatistics


def h_score(statistics: ClassStatistics) -> float:
    """Return tr(cov(f)^+ cov(E[f | y])), the expected squared norm of the whitened class means.

    With X = U diag(s) V' the centred features and Y the one-hot labels, each column divided by sqrt(n_c),
    this equals |U'Y|^2 (Frobenius), which needs no inverse. The pseudo-inverse drops what is rounding
    (`spectrum`).

    Parameters
    ----------
    statistics
        Of features (N, D) and their labels. With D >= N - 1 independent directions the score is C - 1 whatever the
        labels: no ranking is in it.

    Returns
    -------
    float
        In [0, min(D, N - 1, C - 1)]; 0 for constant features. Unchanged by any invertible affine map.

    References
    ----------
    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019,
    definition 2.
    """
    _, coordinates = label_spectrum(statistics, centred=True)
    return float((coordinates**2 / statistics.counts).sum())


@dataclass(frozen=True)
class HScore:
    """`h_score` as a metric; no hyperparameters."""

    name: ClassVar[str] = "h_score"
    source: ClassVar[str] = "Bao et al., ICIP 2019"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("class_statistics",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling", "affine")

    def __call__(self, class_statistics: ClassStatistics) -> float:
        """Return `h_score` of class statistics."""
        return h_score(class_statistics)
