"""The same metrics by the estimators of transformer-ranker, if it is installed: ``pip install -e '.[bench]'``.

Its H-score is the regularised one. Three nearest neighbours vote by default; here one decides, as in `knn`.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

import numpy as np


@cache
def load_estimators() -> ModuleType | None:
    """Import the estimators, which takes seconds; return None if the package is not installed."""
    importlib.import_module("transfer_exp.vision")  # its workaround for torchvision, which torchmetrics imports
    try:
        return importlib.import_module("transformer_ranker.estimators")
    except ModuleNotFoundError:
        return None


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Return LogME of features (N, D) and labels (N,)."""
    return _score("LogME", features, labels)


def regularised_h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the regularised H-score of features (N, D) and labels (N,)."""
    return _score("HScore", features, labels)


def knn(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of samples (N, D) whose nearest neighbour has their label (N,)."""
    return _score("NearestNeighbors", features, labels, k=1)


def _score(estimator: str, features: np.ndarray, labels: np.ndarray, **settings: int) -> float:
    """Return the score of an estimator of transformer-ranker, which must be installed."""
    import torch

    fit = getattr(load_estimators(), estimator)(**settings).fit
    return float(fit(torch.from_numpy(features), torch.from_numpy(labels)))
