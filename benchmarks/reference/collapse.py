"""NCTI, literally: principal components and nuclear norms by full singular value decompositions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def ncti(features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Return the sum of NCTI's three parts (Wang et al., ICCV 2023), which only a pool of models tells how to scale.

    Principal components are exact here. The release leaves the choice to scikit-learn, which approximates them from a
    random start where N and D are large.
    """
    reducer = PCA(n_components=min(64, *features.shape), svd_solver="full")
    reduced = reducer.fit_transform(features)
    shrinkage = max(float(np.exp(-reducer.explained_variance_[:32].sum())), 1e-10)
    if shrinkage == 1e-10:
        model = LinearDiscriminantAnalysis(solver="svd")
    else:
        model = LinearDiscriminantAnalysis(solver="eigen", shrinkage=shrinkage)
    projected = model.fit_transform(reduced, labels)
    spread = np.linalg.norm(projected - projected.mean(axis=0), ord="nuc")
    posterior = model.predict_proba(reduced)
    collapse = sum(np.linalg.norm(posterior[labels == c], ord="nuc") for c in range(labels.max() + 1))
    return float(spread + np.mean(posterior[np.arange(len(labels)), labels]) + np.log(collapse))
