"""ETran: energy of the features and a classification score, both relative to the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.lda import lda
from transfer_exp.metric.metric import PoolMetric
from transfer_exp.metric.ncm import ncm
from transfer_exp.metric.pool_scaling import min_max_scaled
from transfer_exp.metric.spectrum import spectrum_and_coordinates
from transfer_exp.statistics.feature_set import (
    Features,
    Labels,
    TargetKind,
    Targets,
    check_features,
    check_targets,
    encode_labels,
)
from transfer_exp.statistics.rounding import RESOLUTION, scale_by_power_of_two


def energy(features: Features, labels: Labels, share: float = 0.005) -> float:
    """Compute the mean of ln sum_k exp(x_k), minus the free energy of the features, over its smallest values.

    Args:
        features: (N, D), neither centred nor scaled.
        labels: (N,), only checked.
        share: Share of the samples, those of the smallest values, in (0, 1]. At least one sample counts.

    Returns:
        Unbounded; at least ln D plus the smallest feature.

    Raises:
        InputError: If ``share`` is out of range.

    References:
        Gholami et al., "ETran", ICCV 2023, energy score, with features instead of logits and the share of the
        authors' code.
    """
    if not 0 < share <= 1:
        raise InputError(f"energy_share={share} of etran must lie in (0, 1]")
    scores = np.sort(logsumexp(check_features(features, labels), axis=1))
    # The addend is needed because 0.29 of 100 samples are 28.99... in floating point.
    return float(scores[: max(int(share * len(scores) + 1e-6), 1)].mean())


def linear_fit(features: Features, targets: Targets) -> float:
    """Compute minus the mean squared error, over samples and columns, of the least-squares fit to the targets.

    The fit has no intercept and uses the singular vectors of the features. The published score fits the bounding boxes
    of objects; here the targets are one-hot labels, or numbers.

    Args:
        features: (N, D), not centred: an invertible linear map leaves the score unchanged, a shift does not.
        targets: (N, T).

    Returns:
        Value in [-mean of the squared targets, 0], which is [-1 / C, 0] for one-hot labels of C classes.

    Raises:
        InputError: If features or targets are not finite or do not fit.

    References:
        Gholami et al., "ETran", ICCV 2023, SVD-based regression score, as in the authors' code.
    """
    x, y = check_targets(features, targets)
    _, coordinates = spectrum_and_coordinates(x, y)
    squares = (y**2).sum(axis=0)
    residuals = squares - (coordinates**2).sum(axis=0)
    return float(0.0 - residuals[residuals > RESOLUTION * squares].sum() / y.size)


@dataclass(frozen=True)
class ETran(PoolMetric):
    """Weighted mean of the energy, classification and regression scores, each scaled to [0, 1] over the pool.

    The classification score has the weight 1 - energy_weight - regression_weight. Numbers as labels have no
    classification score, and the regression score has all of the weight 1 - energy_weight.

    Attributes:
        classifier: ``"lda"`` (shrinkage one half) as in the paper, or ``"ncm"``, which the authors' code calls LDA.
        energy_weight: Weight of `energy`, in [0, 1].
        energy_share: Option ``share`` of `energy`, in (0, 1]; 1 takes the mean over all samples.
        regression_weight: Weight of `linear_fit`, in [0, 1 - energy_weight]; at 0 it is not computed.
    """

    name = "etran"
    source = "Gholami et al., ICCV 2023"
    lower = 0.0
    upper = 1.0
    target_kinds: ClassVar[tuple[TargetKind, ...]] = ("regression",)

    classifier: str = "lda"
    energy_weight: float = 0.15
    energy_share: float = 0.005
    regression_weight: float = 0.0

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "classifier": (self.classifier in ("lda", "ncm"), "lda or ncm"),
            "energy_weight": (0 <= self.energy_weight <= 1, "a number from 0 to 1"),
            "energy_share": (0 < self.energy_share <= 1, "a share above 0, up to 1"),
            "regression_weight": (
                self.regression_weight >= 0 and self.energy_weight + self.regression_weight <= 1,
                "a number from 0 to 1 - metric.energy_weight",
            ),
        }
        check_options("metric", self, checks)

    def parts(self, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return "energy", "classification" and, if it has a weight, "regression" of one model."""
        classifier = lda if self.classifier == "lda" else ncm
        parts = {"energy": energy(features, labels, self.energy_share), "classification": classifier(features, labels)}
        if self.regression_weight == 0:
            return parts
        codes, counts = encode_labels(labels)
        return parts | {"regression": linear_fit(features, np.eye(len(counts))[codes])}

    def target_parts(self, features: np.ndarray, targets: np.ndarray, kind: TargetKind) -> dict[str, float]:
        """Return "energy" and "regression" of one model for numbers (N, 1).

        The numbers are divided by the largest one, which changes no score of a pool.
        """
        regression = linear_fit(features, scale_by_power_of_two(np.asarray(targets, dtype=np.float64)))
        return {"energy": energy(features, np.arange(len(features)), self.energy_share), "regression": regression}

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the score of every model of the pool, (M,), in [0, 1]."""
        score = self.energy_weight * min_max_scaled(parts, "energy")
        if "classification" not in parts[0]:
            return np.clip(score + (1.0 - self.energy_weight) * min_max_scaled(parts, "regression"), 0.0, 1.0)
        rest = max(1.0 - self.energy_weight - self.regression_weight, 0.0)
        score += rest * min_max_scaled(parts, "classification")
        if self.regression_weight > 0:
            score += self.regression_weight * min_max_scaled(parts, "regression")
        return np.clip(score, 0.0, 1.0)
