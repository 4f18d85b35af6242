"""How well class means alone tell the classes of a scoring set apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from transfer_exp.statistics.feature_set import encode_labels

STRICT: dict[str, Any] = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
"""How pydantic reads what a page keeps: nothing converted, nothing besides, numbers finite."""


@dataclass(frozen=True)
class Separation:
    """C classes, in the order of their labels.

    Attributes
    ----------
    recall
        (C,), in [0, 1]: the share of the judged samples of a class that lie nearer to the mean of its other samples
        than to the mean of any other class. None for a class of one sample.
    within
        (C,), root mean square distance of a class's samples to their mean, in feature units.
    closest
        (C,), the class whose mean is nearest to this one's.
    gap
        (C,), the distance between these two means, in feature units.
    """

    __pydantic_config__: ClassVar = STRICT

    recall: tuple[float | None, ...]
    within: tuple[float, ...]
    closest: tuple[int, ...]
    gap: tuple[float, ...]


def separation(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], judged: Int[np.ndarray, " judged"]
) -> Separation:
    """Return how far classes lie apart.

    Leaving a sample x out of the mean mu of its n samples moves that mean to mu + (mu - x) / (n - 1), so that its
    distance to x grows by n / (n - 1), and no mean is computed twice.

    Parameters
    ----------
    features
        (N, D), finite, of at least two classes.
    labels
        (N,).
    judged
        (J,), positions of the samples that recall is counted over; means are of all.
    """
    codes, counts = encode_labels(labels)
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0)
    scale = float(np.abs(centred).max()) or 1.0  # squares of large features overflow, and of small ones vanish
    centred /= scale
    members = csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    means = members @ centred / counts[:, None]
    radii = members @ ((centred - means[codes]) ** 2).sum(axis=1) / counts
    between = np.sqrt(_squares(means, means))
    np.fill_diagonal(between, np.inf)
    closest = between.argmin(axis=1)
    right = _right(centred[judged], codes[judged], means, counts)
    recall = [
        float(right[codes[judged] == c].mean()) if n > 1 and (codes[judged] == c).any() else None
        for c, n in enumerate(counts)
    ]
    return Separation(
        tuple(None if value is None else round(value, 4) for value in recall),
        tuple(_short(scale * r) for r in np.sqrt(radii)),
        tuple(closest.tolist()),
        tuple(_short(scale * g) for g in between.min(axis=1)),
    )


def _right(samples: np.ndarray, codes: np.ndarray, means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Say of each sample whether its own class, without it, is the nearest; a draw is no."""
    squares = _squares(samples, means)
    rows = np.arange(len(samples))
    own = squares[rows, codes] * (counts[codes] / np.maximum(counts[codes] - 1, 1)) ** 2
    squares[rows, codes] = np.inf
    return np.asarray(own < squares.min(axis=1))


def _squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared distances (P, C)."""
    products = -2 * points @ centres.T
    return np.maximum(products + (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1), 0.0)


def _short(value: float) -> float:
    """Return a number to the four digits that a page shows at most."""
    return float(f"{value:.4g}")
