"""Mixture of Gaussians of full covariance, fitted by expectation maximisation without negligible components."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

REGULARISATION, TOLERANCE, ITERATIONS = 1e-6, 1e-3, 100
"""Addend of variances, change of the mean log density to stop at, most rounds: scikit-learn's defaults."""
NEGLIGIBLE = 40.0
"""Nats below a point's likeliest component at which a component is ignored: exp(-40) = 4e-18 is below rounding."""
LEADING = 4
"""The first 1/4 of the coordinates identify most components that are too far from a point."""


def fitted_mixture(
    points: Float[np.ndarray, "samples dim"], components: int, seed: int
) -> tuple[Float[np.ndarray, "samples {components}"], float]:
    """Fit the mixture that scikit-learn's ``GaussianMixture`` fits by default, in a fraction of its time.

    Start and updates are the same. However, a point's density is computed only under components that may hold more than
    exp(-40) of it, and a component is updated only from points that it holds.

    Args:
        points: (N, D), coordinates of large variance first, so that most components are excluded early.
        components: Number of components V, from 1 to N.
        seed: Seed of the k-means that starts it.

    Returns:
        posterior: (N, V), rows sum to 1.
        likelihood: Mean log density of ``points`` before the final update, in nats: scikit-learn's ``lower_bound_``.

    References:
        Dempster, Laird, Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", JRSS B 1977.
    """
    shares, likelihood = _start(points, components, seed), -np.inf
    for _ in range(ITERATIONS):
        previous = likelihood
        shares, likelihood = _updated(points, shares)
        if abs(likelihood - previous) < TOLERANCE:
            break
    return _updated(points, shares)[0].T, likelihood


def _start(
    points: Float[np.ndarray, "samples dim"], components: int, seed: int
) -> Float[np.ndarray, "{components} samples"]:
    """Return the clusters of one run of k-means as shares of 0 and 1, (V, N)."""
    # Imported here because scikit-learn takes a second to load and most runs do not need it.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer distinct points than components are valid and affect only the score.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # A generator, because scikit-learn's mixture passes one on and a seed starts k-means differently.
        generator = np.random.RandomState(seed)
        clusters = KMeans(components, n_init=1, random_state=generator).fit(points).labels_
    return np.asarray(np.arange(components)[:, None] == clusters, dtype=np.float64)


def _updated(
    points: Float[np.ndarray, "samples dim"], shares: Float[np.ndarray, "components samples"]
) -> tuple[Float[np.ndarray, "components samples"], float]:
    """Return the shares of points in components refitted to ``shares``, (V, N), and the points' mean log density."""
    components = [_component(points, row) for row in shares]
    floor, likeliest = np.empty(len(points)), shares.argmax(axis=0)
    for v, component in enumerate(components):
        members = np.flatnonzero(likeliest == v)
        floor[members] = _log_density(points[members], component, np.full(len(members), -np.inf)) - NEGLIGIBLE
    density = np.stack([_log_density(points, component, floor) for component in components])
    # Ignored components become zero. The likeliest component remains, so that no point underflows.
    top = density.max(axis=0)
    np.exp(np.subtract(density, top, out=density), out=density)
    total = density.sum(axis=0)
    density /= total
    return density, float((top + np.log(total)).mean())


def _component(
    points: Float[np.ndarray, "samples dim"], share: Float[np.ndarray, " samples"]
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"], float]:
    """Return a component's mean, the inverse Cholesky factor of its covariance, and its log density at the mean."""
    rows = np.flatnonzero(share)
    weights, members = share[rows], points[rows]
    mass = weights.sum() + 10 * np.finfo(np.float64).eps
    mean = weights @ members / mass
    offsets = np.sqrt(weights)[:, None] * (members - mean)
    covariance = offsets.T @ offsets / mass
    covariance.flat[:: len(mean) + 1] += REGULARISATION
    factor = cholesky(covariance, lower=True, overwrite_a=True, check_finite=False)
    whitening = solve_triangular(factor, np.eye(len(mean)), lower=True, overwrite_b=True, check_finite=False)
    height = np.log(mass / len(points)) - np.log(np.diag(factor)).sum() - len(mean) / 2 * np.log(2 * np.pi)
    return mean, np.asarray(whitening), float(height)


def _log_density(
    points: Float[np.ndarray, "samples dim"],
    component: tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim dim"], float],
    floor: Float[np.ndarray, " samples"],
) -> Float[np.ndarray, " samples"]:
    """Return the log of weight times density at every point, (N,), or minus infinity where it is below ``floor``."""
    mean, whitening, height = component
    dim = len(mean)
    # The factor is triangular, so leading whitened coordinates need only leading coordinates.
    leading = -(-dim // LEADING)
    distances = _squared_norms((points[:, :leading] - mean[:leading]) @ whitening[:leading, :leading].T)
    log_density = height - distances / 2
    near = np.flatnonzero(log_density >= floor)
    log_density[log_density < floor] = -np.inf
    rest = (points[near] - mean) @ whitening[leading:].T
    log_density[near] -= _squared_norms(rest) / 2
    return log_density


def _squared_norms(rows: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, " samples"]:
    """Return the sum of squares of every row, (N,)."""
    return np.einsum("nd,nd->n", rows, rows)
