"""SFDA: how surely a Fisher discriminant tells the true class once unsure samples move to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.metric.sfda_released import challenged_log_posterior


def sfda(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the mean log posterior of the true class under a Fisher discriminant of self-challenged features.

    As `sfda_released`, whose steps 1 to 3 it shares, but for the logarithm. Where most posteriors are near 1, the mean
    of these is 1 for every model and ranks none; their logarithms still differ.

    The paper states the shrinkage in three ways that exclude each other (equation 3, the text after it, algorithm 1),
    so that of the release is taken, which is equation 3 with the covariance for the scatter.

    Parameters
    ----------
    features
        (N, D). With N < D the score often is 0 but for rounding: nothing is left to rank by.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In nats, at most 0. Depends on the scale of the features through the shrinkage.

    Raises
    ------
    InputError
        As `sfda_released`.

    References
    ----------
    Shao et al., "Not All Models Are Equal", ECCV 2022, equations 1, 2 and 5 to 7.
    """
    return float(challenged_log_posterior(features, labels).mean())


@dataclass(frozen=True)
class SFDA:
    """`sfda` as a metric; deterministic, with the release's constants and no hyperparameters."""

    name: ClassVar[str] = "sfda"
    source: ClassVar[str] = "Shao et al., ECCV 2022"
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = 0.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ("translation",)

    def __call__(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Return `sfda` of features (N, D) and labels (N,)."""
        return sfda(features, labels)
