"""N-LEEP: likelihood of the target classes given the clusters of a Gaussian mixture of the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.gaussian_mixture import fitted_mixture
from transfer_exp.metric.leep import expected_prediction
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import smaller_gram
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, check_features, encode_labels, sorted_rows

ENERGY = 0.8
"""Share of the features' variance that the leading principal components must exceed, as published."""


def nleep(
    features: Features, labels: Labels, components_per_class: int = 5, convention: str = "paper", seed: int = 0
) -> float:
    """Compute LEEP with the posterior of a Gaussian mixture of the features instead of source probabilities.

    1. Reduce the features to the principal components that hold 80 % of the variance, scaled to unit total variance.
    2. Fit a mixture of V = ``components_per_class`` * C Gaussians of full covariance; p_iv is its posterior.
    3. With P(y | v) = sum_{i: y_i = y} p_iv / sum_i p_iv, average ln sum_v P(y_i | v) p_iv over the samples.

    Args:
        features: (N, D), N at least V.
        labels: (N,), integers, at least two classes.
        components_per_class: Number of Gaussians per class, at least 1; 5 in the paper.
        convention: ``"paper"``: the steps above, on sorted samples, so that their order does not matter.
            ``"released"``: the average without the logarithm, in the given order, as SFDA and Khoba et al. released.
        seed: Seed of the mixture's start, which decides the local optimum. Other seeds have changed the released score
            by up to 0.2, so average several before you interpret a ranking.

    Returns:
        In nats, at most 0, for ``"paper"``; in [0, 1] for ``"released"``. Constant features form one cluster. The score
        is then minus the entropy of the labels, or the expected share of the true class.

    Raises:
        InputError: If ``convention`` is unknown, ``components_per_class`` is below 1, or V exceeds N.

    References:
        Li et al., "Ranking Neural Checkpoints", CVPR 2021. The scaling makes the regularisation of the
        covariances (1e-6) relative; it is absolute in the releases.
    """
    if convention not in ("paper", "released"):
        raise InputError(f"convention={convention} of nleep must be paper or released")
    features = check_features(features, labels)
    codes, counts = encode_labels(labels)
    components = components_per_class * len(counts)
    if not 1 <= components <= len(codes):
        raise InputError(
            f"components_per_class={components_per_class} of nleep needs 1 to {len(codes)} (samples) "
            f"mixture components for {len(counts)} classes, not {components}"
        )
    if convention == "paper":
        order, _ = sorted_rows(features)
        features, codes = features[order], codes[order]
    clusters, _ = fitted_mixture(_leading_components(centred_features(features, codes)), components, seed)
    predicted = expected_prediction(clusters, codes, len(counts))
    return float((np.log(predicted) if convention == "paper" else predicted).mean())


def _leading_components(centred: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "samples new_dim"]:
    """Return the fewest principal components that hold over 80 % of the variance, scaled to unit total variance.

    Constant features have one component, of zeros. Signs are arbitrary, because they do not affect the mixture.
    """
    eigenvalues, vectors = np.linalg.eigh(smaller_gram(centred))
    eigenvalues, vectors = np.maximum(eigenvalues[::-1], 0.0), vectors[:, ::-1]
    total = eigenvalues.sum()
    if total == 0:
        return np.zeros((len(centred), 1))
    count = min(int(np.searchsorted(eigenvalues.cumsum() / total, ENERGY, side="right")) + 1, len(eigenvalues))
    is_wide = len(centred) <= centred.shape[1]
    scores = vectors[:, :count] * np.sqrt(eigenvalues[:count]) if is_wide else centred @ vectors[:, :count]
    return np.asarray(scores * np.sqrt(len(centred) / total))


@dataclass(frozen=True)
class NLEEP(FormulaMetric):
    """`nleep` as a metric. The fields are its options."""

    name = "nleep"
    source = "Li et al., CVPR 2021"
    formula = staticmethod(nleep)
    upper = 1.0

    components_per_class: int = 5
    convention: str = "paper"
    seed: int = 0

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "components_per_class": (self.components_per_class >= 1, "at least 1"),
            "convention": (self.convention in ("paper", "released"), "paper or released"),
        }
        check_options("metric", self, checks)

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the features that leave the score unchanged; ``paper`` orders the samples by their coordinates."""
        return ("translation", "scaling", *(("rotation",) if self.convention == "released" else ()))
