"""H-score: how much of the features' variation, whitened, lies between the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.metric.spectrum import spectrum
from transfer_exp.types import check_features, encode_labels
from transfer_exp.types.class_statistics import deviations


def h_score(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return tr(cov(f)^+ cov(E[f | y])), the expected squared norm of the whitened class means.

    With X = U diag(s) V' the centred features and Y the one-hot labels, each column divided by sqrt(n_c),
    this equals |U'Y|^2 (Frobenius), which needs no inverse. The pseudo-inverse drops what is rounding
    (`spectrum`).

    Parameters
    ----------
    features
        (N, D). With D >= N - 1 independent directions the score is C - 1 whatever the labels: no ranking is
        in it.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In [0, min(D, N - 1, C - 1)]; 0 for constant features. Unchanged by any invertible affine map.

    Raises
    ------
    InputError
        As `check_features`.

    References
    ----------
    Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019,
    definition 2.
    """
    features = check_features(features, labels)
    codes, counts = encode_labels(labels)
    centred = deviations(features, features.mean(axis=0))
    _, coordinates = spectrum(centred, np.diag(1 / np.sqrt(counts))[codes])
    return float((coordinates**2).sum())


@dataclass(frozen=True)
class HScore:
    """`h_score` as a metric; no hyperparameters."""

    name: ClassVar[str] = "h_score"
    source: ClassVar[str] = "Bao et al., ICIP 2019"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("features",)
    invariances: ClassVar[tuple[str, ...]] = ("rotation", "translation", "scaling", "affine")

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `h_score` of features (N, D) and labels (N,)."""
        return h_score(features, labels)
