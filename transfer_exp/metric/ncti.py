"""NCTI: how close the features are to neural collapse, compared with the other models of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from transfer_exp.errors import InputError
from transfer_exp.metric.metric import PoolMetric
from transfer_exp.metric.pool_scaling import min_max_scaled
from transfer_exp.metric.spectrum import smaller_gram, squared_singular_values
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.discriminant import centred_features, mean_true_posterior, posterior
from transfer_exp.statistics.feature_set import Features, Labels, encode_labels
from transfer_exp.statistics.rounding import RESOLUTION

N_COMPONENTS = 64
"""Number of principal components. This constant and the next two are those of the authors' code."""
N_SHRINKAGE_COMPONENTS = 32
"""Number of principal components whose variance sets the shrinkage."""
MIN_SHRINKAGE = 1e-10
"""Smallest shrinkage that is not rounded to 0."""
THRESHOLD = 1e-8
"""Smallest eigenvalue that counts as nonzero if the shrinkage is 0.

The eigenvalues are those of the correlations within classes, and those of the scatter between classes divided by the
largest of them.
"""


def ncti_parts(features: Features, labels: Labels) -> dict[str, float]:
    """Compute the three ingredients of NCTI for one model.

    Let Z be the first d = 64 principal components and v the total variance (divided by N - 1) of the first 32. Z is
    whitened by S = (1 - t) W + t tr(W)/d I, where W is the covariance within classes (divided by N), and the shrinkage
    t = exp(-v) depends on the scale of the features. A shrinkage below 1e-10 is 0.

    - ``"seli"``, after "simplex-encoded labels interpolation": the nuclear norm of the whitened Z in the C - 1 or fewer
      leading eigenvectors of the whitened scatter between classes. It is large if the class means span many directions,
      which is close to neural collapse.
    - ``"ncc"``, after "nearest class centre": the mean posterior of the true class under Gaussian classes with means
      mu_c, covariance S and priors n_c / N, in [0, 1].
    - ``"vc"``, after "variability collapse": ln of the sum over classes c of the nuclear norm of the (n_c, C) matrix of
      posteriors of the samples of c. Low means collapsed.

    Args:
        features, labels: (N, D); (N,) integers, at least two classes.

    Returns:
        Finite floats by the names above.

    Raises:
        InputError: If `check_features` rejects the input, or no sample differs from its class mean.

    References:
        Wang, Luo, Zheng, Huang, Baktashmotlagh, "How Far Pre-trained Models Are from Neural Collapse on the Target
        Dataset Informs their Transferability", ICCV 2023: the three scores; the number of components, shrinkage and
        logarithm are those of the authors' code. Its principal components are approximate if N or D exceeds 500; these
        are exact.
    """
    reduced, variances = _principal_components(centred_features(features, labels))
    codes, counts = encode_labels(labels)
    statistics = class_statistics(reduced, labels)
    shrinkage = float(np.exp(-variances.sum()))
    whitening, directions = _discriminant_directions(statistics, shrinkage if shrinkage > MIN_SHRINKAGE else 0.0)
    white = reduced @ whitening
    means = statistics.means @ whitening
    # The whitened covariance is I, so the coefficients of the discriminant are the means.
    probabilities = posterior(white, means, counts, coefficients=means)
    groups = np.split(probabilities[np.argsort(codes, kind="stable")], np.cumsum(counts)[:-1])
    # Posteriors of separated classes have tiny singular values, which the squares in a Gram matrix would round away.
    nuclear_norms = sum(np.linalg.svd(group, compute_uv=False).sum() for group in groups)
    return {
        "seli": float(np.sqrt(squared_singular_values(white @ directions)).sum()) if directions.size else 0.0,
        "ncc": mean_true_posterior(probabilities, codes),
        "vc": float(np.log(nuclear_norms)),
    }


def _principal_components(
    centred: Float[np.ndarray, "samples dim"],
) -> tuple[Float[np.ndarray, "samples components"], Float[np.ndarray, " leading"]]:
    """Return the coordinates in the first min(64, N, D) principal components and the variances of the first 32.

    Components without variance are exactly zero but included, because the shrinkage of the authors' code counts them.
    """
    samples, dim = centred.shape
    size = min(samples, dim)
    values, vectors = eigh(smaller_gram(centred), subset_by_index=[max(size - N_COMPONENTS, 0), size - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    values = np.where(values > max(samples, dim) * np.finfo(np.float64).eps * values[0], values, 0.0)
    reduced = vectors * np.sqrt(values) if samples <= dim else centred @ (vectors * (values > 0))
    return reduced, values[:N_SHRINKAGE_COMPONENTS] / (samples - 1)


def _discriminant_directions(
    statistics: ClassStatistics, shrinkage: float
) -> tuple[Float[np.ndarray, "components rank"], Float[np.ndarray, "rank directions"]]:
    """Return a map that makes the covariance within classes I, and at most C - 1 leading directions between classes."""
    if not (trace := float(np.trace(statistics.within))) > 0:
        raise InputError("every sample equals its class mean: ncti needs classes that vary")
    samples, classes = statistics.samples, len(statistics.counts)
    if shrinkage > 0:
        within = (1 - shrinkage) * statistics.within
        within.flat[:: len(within) + 1] += shrinkage * trace / len(within)
        values, vectors = np.linalg.eigh(within)
        whitening = vectors * np.sqrt(samples / values)
        # The authors' code takes B' = (1 - t) B + t tr(B)/d I as the scatter between classes, with the within scatter
        # W' = (1 - t) W + t tr(W)/d I. Whitening makes W' a multiple of I, so B' minus a multiple of W' has the same
        # eigenvectors. B' - tr(B)/tr(W) W' = (1 - t) (B - tr(B)/tr(W) W) has no term t, which would dominate rounding.
        target = statistics.between - np.trace(statistics.between) / trace * statistics.within
        spread = whitening.T @ target @ whitening
    else:
        deviation = np.sqrt(np.diag(statistics.within) / samples)
        deviation[deviation == 0] = 1.0
        values, vectors = np.linalg.eigh(statistics.within / (samples * np.outer(deviation, deviation)))
        has_variance = values > THRESHOLD
        whitening = vectors[:, has_variance] / np.sqrt(values[has_variance]) / deviation[:, None]
        spread = whitening.T @ statistics.between @ whitening
    values, directions = np.linalg.eigh(spread)
    is_chosen = np.arange(len(values)) > len(values) - classes  # the largest C - 1, because values ascend
    if shrinkage == 0:  # the authors' code drops directions without scatter in this case only
        is_chosen &= values > max(THRESHOLD * values[-1], samples * RESOLUTION**2)
    return whitening, directions[:, is_chosen]


@dataclass(frozen=True)
class NCTI(PoolMetric):
    """Compute "ncc" + "seli" - "vc" of `ncti_parts`, each scaled to [0, 1] over the pool."""

    name = "ncti"
    source = "Wang et al., ICCV 2023"
    lower = -1.0
    upper = 2.0
    invariances = ("rotation", "translation")

    def parts(self, features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Return `ncti_parts` of features (N, D) and labels (N,)."""
        return ncti_parts(features, labels)

    def combine(self, parts: Sequence[Mapping[str, float]]) -> Float[np.ndarray, " models"]:
        """Return the score of every model of the pool, (M,), in [-1, 2]."""
        return min_max_scaled(parts, "ncc") + min_max_scaled(parts, "seli") - min_max_scaled(parts, "vc")
