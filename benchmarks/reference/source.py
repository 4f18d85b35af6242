"""LEEP, NCE and N-LEEP, literally: joint probabilities class by class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture


def leep(theta: Float[np.ndarray, "samples source_classes"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the mean log of the expected prediction (Nguyen et al., ICML 2020)."""
    joint = np.array([theta[labels == c].sum(axis=0) / len(labels) for c in range(labels.max() + 1)])
    predicted = theta @ (joint / joint.sum(axis=0)).T
    return float(np.mean(np.log(predicted[np.arange(len(labels)), labels])))


def nce(theta: Float[np.ndarray, "samples source_classes"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return -H(Y | Z) by a double loop over target and source classes (Tran et al., ICCV 2019)."""
    source, total = theta.argmax(axis=1), 0.0
    for z in range(theta.shape[1]):
        for c in range(labels.max() + 1):
            both = np.mean((labels == c) & (source == z))
            if both > 0:
                total += both * np.log(both / np.mean(source == z))
    return float(total)


def reduced(features: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "samples new_dim"]:
    """Return the principal components that hold 80 % of the variance, scaled to unit total variance as ours are."""
    fitted = PCA(n_components=0.8).fit(features)
    total = fitted.explained_variance_.sum() / fitted.explained_variance_ratio_.sum()
    return np.asarray(fitted.transform(features) / np.sqrt(total * (len(features) - 1) / len(features)))


def mixture(points: Float[np.ndarray, "samples dim"], components: int) -> GaussianMixture:
    """Return scikit-learn's Gaussian mixture of full covariances with its defaults and a seed."""
    return GaussianMixture(components, random_state=0).fit(points)


def nleep(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], per_class: int) -> float:
    """Return LEEP of the mixture's posterior (Li et al., CVPR 2021).

    Samples are sorted first, as ours does: another order starts k-means elsewhere and ends in another local optimum.
    """
    order = np.lexsort(features.T[::-1])
    points, labels = reduced(features[order]), labels[order]
    return leep(mixture(points, per_class * int(labels.max() + 1)).predict_proba(points), labels)
