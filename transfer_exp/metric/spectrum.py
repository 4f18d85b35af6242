"""The nonzero singular values of features, and the labels in their basis, from the smaller Gram matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


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
    eigenvalues, vectors = np.linalg.eigh(smaller_gram(features))
    kept = _nonzero(eigenvalues, features)
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    if len(features) <= features.shape[1]:
        return eigenvalues, vectors.T @ targets
    return eigenvalues, vectors.T @ (features.T @ targets) / np.sqrt(eigenvalues)[:, None]


def squared_singular_values(features: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, " rank"]:
    """Return the nonzero s^2 of `spectrum` alone, ascending, (k,), in a quarter of its time."""
    eigenvalues = np.linalg.eigvalsh(smaller_gram(features))
    return np.asarray(eigenvalues[_nonzero(eigenvalues, features)])


def smaller_gram(features: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "size size"]:
    """Return XX' (N, N) or X'X (D, D), whichever is smaller: they share nonzero eigenvalues, trace and norm."""
    samples, dim = features.shape
    return features @ features.T if samples <= dim else features.T @ features


def _nonzero(
    eigenvalues: Float[np.ndarray, " size"], features: Float[np.ndarray, "samples dim"]
) -> Bool[np.ndarray, " size"]:
    """Tell which ascending eigenvalues of a Gram matrix of ``features`` are more than rounding, (size,)."""
    return eigenvalues > max(features.shape) * np.finfo(np.float64).eps * eigenvalues[-1]
