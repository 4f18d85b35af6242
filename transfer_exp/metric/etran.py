"""ETran: how familiar the target looks to a model and how well it tells the classes, compared with the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Real
from scipy.special import logsumexp

from transfer_exp.errors import InputError
from transfer_exp.metric.lda import lda
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.pool_range import pool_range
from transfer_exp.metric.spectrum import spectrum
from transfer_exp.statistics.feature_set import check_features, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION


def energy(
    features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], share: float = 0.005
) -> float:
    """Return the mean of ln sum_k exp(x_k) over the samples where it is smallest: minus the free energy of features.

    Parameters
    ----------
    features
        (N, D), neither centred nor scaled.
    labels
        (N,), only checked.
    share
        Of the samples that count, in (0, 1]; at least one sample does.

    Returns
    -------
    float
        Unbounded; at least ln D plus the smallest feature.

    Raises
    ------
    InputError
        As `check_features`; when ``share`` is out of range.

    References
    ----------
    Gholami et al., "ETran", ICCV 2023, energy score; features in the place of logits and the share of the release.
    """
    if not 0 < share <= 1:
        raise InputError(f"energy_share={share} of etran must lie in (0, 1]")
    scores = np.sort(logsumexp(check_features(features, labels), axis=1))
    # 0.29 of 100 samples are 28.99... in floating point.
    return float(scores[: max(int(share * len(scores) + 1e-6), 1)].mean())


def linear_fit(features: Real[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return minus the mean squared error, over samples and classes, of the least-squares fit to one-hot labels.

    The fit has no intercept and comes from the singular vectors of the features, as that of ETran's regression score to
    the boxes of objects; here the labels are classes.

    Parameters
    ----------
    features
        (N, D), not centred: an invertible linear map leaves the score alone, a shift does not.
    labels
        (N,), integers, at least two classes.

    Returns
    -------
    float
        In [-1 / C, 0].

    Raises
    ------
    InputError
        As `check_features`.

    References
    ----------
    Gholami et al., "ETran", ICCV 2023, SVD-based regression score, as released.
    """
    features = check_features(features, labels)
    codes, counts = encode_labels(labels)
    if not features.any():
        return -1.0 / len(counts)
    _, coordinates = spectrum(features, np.eye(len(counts))[codes])
    left = counts - (coordinates**2).sum(axis=0)
    return float(0.0 - left[left > RESOLUTION * counts].sum() / (len(codes) * len(counts)))


@dataclass(frozen=True)
class ETran:
    """ETran as a pool-relative metric: a weighted mean of its scores, each scaled to [0, 1] over the pool.

    The classification score has what the two weights leave of 1.

    Attributes
    ----------
    classifier
        ``"lda"`` as the paper says, shrunk by one half, or ``"ncm"``, what the release computes under that name.
    energy_weight
        Of `energy`, in [0, 1].
    energy_share
        Of the samples that count for `energy`, in (0, 1]; 1 takes the mean over all.
    regression_weight
        Of `linear_fit`, in [0, 1 - energy_weight]; at 0 it is not computed.
    """

    name: ClassVar[str] = "etran"
    source: ClassVar[str] = "Gholami et al., ICCV 2023"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ()

    classifier: str = "lda"
    energy_weight: float = 0.15
    energy_share: float = 0.005
    regression_weight: float = 0.0

    def parts(self, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return "energy", "classification" and, where it has weight, "regression" of one model.

        Raises
        ------
        InputError
            As `energy`, `lda` and `ncm`; when an option is out of range.
        """
        self._check()
        classifier = lda if self.classifier == "lda" else ncm
        parts = {
            "energy": energy(features, labels, self.energy_share),
            "classification": classifier(features, labels),
        }
        return parts | ({"regression": linear_fit(features, labels)} if self.regression_weight > 0 else {})

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the score of every model of the pool, (M,), in [0, 1]; raises as `parts` and `pool_range`."""
        self._check()
        rest = max(1.0 - self.energy_weight - self.regression_weight, 0.0)
        score = self.energy_weight * pool_range(parts, "energy") + rest * pool_range(parts, "classification")
        if self.regression_weight > 0:
            score += self.regression_weight * pool_range(parts, "regression")
        return np.clip(score, 0.0, 1.0)

    def _check(self) -> None:
        """Refuse options that make no weighted mean, or name no classifier."""
        if self.classifier not in ("lda", "ncm"):
            raise InputError(f"classifier={self.classifier} of etran must be lda or ncm")
        weights = (self.energy_weight, self.regression_weight)
        if not (min(weights) >= 0 and sum(weights) <= 1):
            raise InputError(
                f"energy_weight and regression_weight of etran must be at least 0 and sum to 1 at most: {weights}"
            )
