"""TransRate: coding rate of the features minus their coding rate within classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.metric.metric import FormulaMetric
from transfer_exp.metric.spectrum import squared_singular_values
from transfer_exp.statistics.discriminant import centred_features
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels


def transrate(features: Features, labels: Labels, convention: str = "paper", epsilon: float = 1e-4) -> float:
    """Compute R(Z) - sum_c w_c R(Z_c), with R(Z) = ln det(I + Z'Z / (n epsilon)) / 2 for n rows Z.

    Z are the features minus their overall mean, Z_c the rows of class c.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes. Directions with less than 1e-7 of the largest
            spread, the resolution of float32, count as empty.
        convention: ``"paper"``: w_c = n_c / N, and Z is scaled to tr(Z'Z) = N, as in the authors' released analysis.
            Otherwise epsilon, hence the ranking, depends on the scale of the features. ``"tllib"``: w_c = 1/C without
            scaling, as in the listing of the paper and its copy in TLLIB.
        epsilon: Distortion that the code allows, positive.

    Returns:
        Value in nats. At least 0 for ``"paper"`` (ln det is concave); unbounded on either side for ``"tllib"``.

    Raises:
        InputError: If an option is unknown or not positive, or, for ``"paper"``, every feature is constant.

    References:
        Huang, Huang, Rong, Yang, Wei, "Frustratingly Easy Transferability Estimation", ICML 2022: definition of
        TransRate; released code of the authors (weights, scaling) and of TLLIB.
    """
    if convention not in ("paper", "tllib"):
        raise InputError(f"convention={convention} of transrate must be paper or tllib")
    if not 0 < epsilon < np.inf:
        raise InputError(f"epsilon={epsilon} of transrate must be positive (1e-4 is the published choice)")
    centred = centred_features(features, labels)
    codes, counts = encode_labels(labels)
    weights = np.full(len(counts), 1 / len(counts))
    if convention == "paper":
        spread = np.sqrt((centred**2).sum() / len(centred))
        if spread == 0:
            raise InputError(
                "every feature is constant, so transrate cannot scale them: check the layer that the features come from"
            )
        centred, weights = centred / spread, counts / counts.sum()
    groups = np.split(centred[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])
    within = [_coding_rate(group, epsilon) for group in groups]
    return float(_coding_rate(centred, epsilon) - weights @ within)


def _coding_rate(rows: Float[np.ndarray, "samples dim"], epsilon: float) -> float:
    """Return ln det(I + Z'Z / (n epsilon)) / 2 in nats, from the nonzero singular values of the rows Z, (n, D)."""
    return float(np.log1p(squared_singular_values(rows) / (len(rows) * epsilon)).sum() / 2)


@dataclass(frozen=True)
class TransRate(FormulaMetric):
    """`transrate` as a metric. The fields are its options."""

    name = "transrate"
    source = "Huang et al., ICML 2022"
    formula = staticmethod(transrate)

    convention: str = "paper"
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        check_types("metric", self)
        checks = {
            "convention": (self.convention in ("paper", "tllib"), "paper or tllib"),
            "epsilon": (0 < self.epsilon < np.inf, "a positive number (1e-4 is the published choice)"),
        }
        check_options("metric", self, checks)

    @property
    def invariances(self) -> tuple[str, ...]:
        """Maps of the features that leave the score unchanged; only the convention ``paper`` scales the features."""
        return ("rotation", "translation", *(("scaling",) if self.convention == "paper" else ()))
