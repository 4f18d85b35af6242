"""The nonzero singular values of features, and the labels in their basis, from the smaller Gram matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def spectrum(
    features: Float[np.ndarray, "samples dim"], targets: Float[np.ndarray, "samples targets"]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, "rank targets"]]:
    """Decompose X = U diag(s) V' over its nonzero singular values, without ever forming U when N > D.

    Parameters
    ----------
    features
        X, (N, D), not centred here.
    targets
        Y, (N, T), for instance one-hot labels.

    Returns
    -------
    eigenvalues
        s^2, (k,), ascending, all positive; k is the numerical rank. An eigenvalue below max(N, D) machine
        epsilons of the largest is rounding: it also lies below what float32 features can resolve.
    coordinates
        U'Y, (k, T).
    """
    samples, dim = features.shape
    wide = samples <= dim
    eigenvalues, vectors = np.linalg.eigh(features @ features.T if wide else features.T @ features)
    kept = eigenvalues > max(samples, dim) * np.finfo(np.float64).eps * eigenvalues[-1]
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    if wide:
        return eigenvalues, vectors.T @ targets
    return eigenvalues, vectors.T @ (features.T @ targets) / np.sqrt(eigenvalues)[:, None]
