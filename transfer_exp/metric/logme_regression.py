"""LogME for regression: evidence of real-valued targets under a Bayesian linear model of the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Real

from transfer_exp.errors import InputError
from transfer_exp.metric.logme import log_evidence
from transfer_exp.metric.spectrum import spectrum
from transfer_exp.statistics.feature_set import Features, check_features


def logme_regression(features: Features, targets: Real[np.ndarray, "samples targets"]) -> float:
    """Compute the maximum log evidence per sample of each column of ``targets``, averaged over the columns.

    The evidence and its fixed point are those of `logme`, with a real-valued column y instead of one-hot labels.
    Neither features nor targets are centred or scaled, as in the released code, so the unit of a target matters.

    Args:
        features: (N, D), N at least 2. A rotation leaves the score unchanged.
        targets: (N, T), T at least 1: ages, counts, coordinates.

    Returns:
        Unbounded.

    Raises:
        InputError: If every feature is zero, or ``targets`` have another shape, are not real or not finite.

    References:
        You, Liu, Wang, Long, "LogME", ICML 2021, section 4 (regression); fixed point as in `logme`.
    """
    features, targets = np.asarray(features), np.asarray(targets)
    # Targets replace the classes here, and row numbers as labels pass the check of labels.
    features = check_features(features, np.arange(len(features) if features.ndim else 0))
    if targets.ndim != 2 or len(targets) != len(features) or targets.size == 0 or targets.dtype.kind not in "fiu":
        raise InputError(
            f"targets must be real numbers (N, T), N = {len(features)}: got {targets.dtype} {targets.shape}"
        )
    if not np.isfinite(targets := targets.astype(np.float64)).all():
        raise InputError("targets hold NaN or infinity: leave those samples out")
    eigenvalues, coordinates = spectrum(features, targets)
    if len(eigenvalues) == 0:
        raise InputError("every feature is zero, so LogME is undefined: check the model's last layer")
    norms = np.einsum("nt,nt->t", targets, targets)
    return float(log_evidence(eigenvalues, coordinates**2, norms, *features.shape).mean())


@dataclass(frozen=True)
class LogMERegression:
    """`logme_regression` as a metric: the labels are the one target. Without hyperparameters.

    It is meaningful only if labels are ordered numbers (an age, a count, a severity grade). Unlike for every other
    metric, the names of the classes matter, as values.
    """

    name: ClassVar[str] = "logme_regression"
    source: ClassVar[str] = "You, Liu, Wang and Long, ICML 2021; fixed point of You et al., JMLR 2022"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("rotation",)

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `logme_regression` of features (N, D) and labels (N,) as numbers."""
        return logme_regression(check_features(features, labels), np.asarray(labels)[:, None])
