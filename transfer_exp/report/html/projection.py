"""Features of one model as a page shows them: samples projected onto a plane, and separation of the classes.

The samples are those of the scoring set: the N images that scores are computed on. Features are (N, D).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.errors import InputError
from transfer_exp.statistics.feature_set import encode_labels

MAX_VALUES = 10_000_000
"""Largest N D of a scoring set that is drawn. The page perturbs the features once more, which must cost little."""
_MAX_POINTS, _MAX_CLASSES = 1000, 500
_MAX_COLOURS = 10
"""Most classes that a map (the picture of the projected samples) shows; more colours look alike."""
_MAX_CONFUSIONS = 20
_MAX_COORDINATE = 10**6


@dataclass(frozen=True)
class PlottedSamples:
    """Classes and labels that the projections of all models on one scoring set share.

    Attributes:
        names: C class names.
        counts: (C,), number of samples per class in the scoring set.
        labels: (P,), classes in [0, C) of the points of a map: at most 1000 samples, stratified by class; none for more
            than ten classes.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class ClassSeparation:
    """Distances between C classes, in the order of their labels.

    Attributes:
        recall: (C,), in [0, 1]: share of the drawn samples of a class that lie nearer to the mean of its other samples
            than to the mean of any other class. None for a class of one sample.
        within: (C,), root mean square distance of a class's samples to their mean, in feature units.
        closest: (C,), index of the class with the nearest mean.
        gap: (C,), distance to that mean, in feature units.
        confused: At most 20 triples (class, other class, share), the largest shares first. The share is that of the
            drawn samples of the class that lie nearest to the mean of the other class. Empty in files of version 0.1.0.
    """

    recall: tuple[float | None, ...]
    within: tuple[float, ...]
    closest: tuple[int, ...]
    gap: tuple[float, ...]
    confused: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True)
class Projection:
    """Features of a scoring set on a plane, before or after the perturbation.

    Attributes:
        points: x0, y0, x1, y1, ... of P samples. 100 is the root mean square distance of the drawn samples to their
            mean before the perturbation. Empty for more than ten classes.
        separation: Separation of the classes in the full feature space.
        variance: Shares of the variance of the drawn samples along the two axes; None in files of version 0.1.0.
    """

    points: tuple[int, ...]
    separation: ClassSeparation
    variance: tuple[float, float] | None = None


@dataclass(frozen=True)
class ProjectionPair:
    """Projections of one model before and, if there is a perturbation, after it."""

    before: Projection
    after: Projection | None = None


def check_size(features: np.ndarray, labels: np.ndarray) -> None:
    """Raise `InputError` if N D is above ten million, or there are more than 500 classes or only one."""
    classes = len(np.unique(labels))
    if features.size > MAX_VALUES:
        raise InputError(f"{len(features)} samples of {features.shape[1]} features are too many for a picture")
    if classes > _MAX_CLASSES:
        raise InputError(f"{classes} classes are too many for a picture")
    if classes == 1:
        raise InputError("the images have no labels")


def plotted_samples(labels: Int[np.ndarray, " samples"], names: tuple[str, ...]) -> PlottedSamples:
    """Return the class names, counts and drawn labels of a scoring set.

    Args:
        labels: (N,), indices into ``names``. Classes that do not occur are left out.
        names: All classes of the target.
    """
    codes, counts = encode_labels(labels)
    occurring = tuple(str(names[i]) for i in np.unique(labels))
    points = codes[_drawn_indices(labels)] if len(counts) <= _MAX_COLOURS else codes[:0]
    return PlottedSamples(occurring, tuple(counts.tolist()), tuple(points.tolist()))


def project_features(
    features: Float[np.ndarray, "samples dim"],
    labels: Int[np.ndarray, " samples"],
    perturbed: Float[np.ndarray, "samples new_dim"] | None,
) -> ProjectionPair:
    """Project a model's features before and after a perturbation onto the same axes.

    The axes W (D, 2) are the first two principal components of the drawn points X, centred. The perturbed points Z may
    lie in another space: there the axes are the matrix with orthonormal columns nearest to Z'XW (Procrustes), which
    aligns the map of Z with that of X. After a rotation, or a projection that keeps these two components, that gives
    the same map.
    """
    drawn = _drawn_indices(labels)
    has_map = len(np.unique(labels)) <= _MAX_COLOURS
    points = _centre(features[drawn])
    scale = float(np.sqrt((points**2).sum(axis=1).mean())) or 1.0
    axes = _principal_axes(points / scale) if has_map else np.zeros((points.shape[1], 0))
    before = _projection(points / scale, axes, class_separation(features, labels, drawn))
    if perturbed is None:
        return ProjectionPair(before)
    moved = _centre(perturbed[drawn])
    left, _, right = np.linalg.svd((moved / scale).T @ (points / scale @ axes), full_matrices=False)
    return ProjectionPair(before, _projection(moved / scale, left @ right, class_separation(perturbed, labels, drawn)))


def _projection(points: np.ndarray, axes: np.ndarray, separation: ClassSeparation) -> Projection:
    """Return centred points (P, D) on axes (D, 2), or no map on axes (D, 0)."""
    if axes.shape[1] == 0:
        return Projection((), separation)
    planar = points @ axes
    total = float((points**2).sum()) or 1.0
    first, second = ((planar**2).sum(axis=0) / total).tolist()
    hundredths = np.clip(np.rint(100 * planar), -_MAX_COORDINATE, _MAX_COORDINATE).astype(np.int64)
    return Projection(tuple(hundredths.ravel().tolist()), separation, (round(first, 4), round(second, 4)))


def class_separation(
    features: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"], drawn: Int[np.ndarray, " drawn"]
) -> ClassSeparation:
    """Measure how far the means of two or more classes lie apart, with recall over the ``drawn`` sample indices only.

    Leaving a sample x out of the mean mu of its n samples moves that mean to mu + (mu - x) / (n - 1). Its distance to x
    grows by the factor n / (n - 1), so leaving a sample out needs no further mean.
    """
    codes, counts = encode_labels(labels)
    centred = _centre(features)
    scale = float(np.abs(centred).max()) or 1.0  # without it, squares of features may overflow or vanish
    centred /= scale
    members = csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))))
    means = members @ centred / counts[:, None]
    variances = members @ ((centred - means[codes]) ** 2).sum(axis=1) / counts
    between = np.sqrt(_squared_distances(means, means))
    np.fill_diagonal(between, np.inf)
    nearest = _nearest_classes(centred[drawn], codes[drawn], means, counts)
    confusion = np.zeros((len(counts), len(counts)))
    np.add.at(confusion, (codes[drawn], nearest), 1)
    drawn_counts = confusion.sum(axis=1)
    shares = confusion / np.maximum(drawn_counts, 1)[:, None]
    recall = [round(float(shares[c, c]), 4) if n > 1 and drawn_counts[c] else None for c, n in enumerate(counts)]
    return ClassSeparation(
        tuple(recall),
        tuple(_four_digits(scale * radius) for radius in np.sqrt(variances)),
        tuple(between.argmin(axis=1).tolist()),
        tuple(_four_digits(scale * gap) for gap in between.min(axis=1)),
        _largest_confusions(np.where(counts[:, None] > 1, shares, 0.0)),
    )


def _nearest_classes(samples: np.ndarray, codes: np.ndarray, means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the class of the nearest mean for each sample; the mean of its class leaves it out, and loses ties."""
    squares = _squared_distances(samples, means)
    rows = np.arange(len(samples))
    to_own_class = squares[rows, codes] * (counts[codes] / np.maximum(counts[codes] - 1, 1)) ** 2
    squares[rows, codes] = np.inf
    return np.where(to_own_class < squares.min(axis=1), codes, squares.argmin(axis=1))


def _largest_confusions(shares: np.ndarray) -> tuple[tuple[int, int, float], ...]:
    """Return the largest entries off the diagonal of shares (C, C), as class, other class, share."""
    off_diagonal = shares * (1 - np.eye(len(shares)))
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:_MAX_CONFUSIONS]
    pairs = zip(*np.unravel_index(order, shares.shape), strict=True)
    return tuple((int(c), int(k), round(float(shares[c, k]), 4)) for c, k in pairs if off_diagonal[c, k] > 0)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared distances (P, C)."""
    products = -2 * points @ centres.T
    return np.maximum(products + (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1), 0.0)


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def _drawn_indices(labels: np.ndarray) -> Int[np.ndarray, " drawn"]:
    return stratified_indices(labels, _MAX_POINTS, seed=0)


def _centre(features: np.ndarray) -> Float[np.ndarray, "samples dim"]:
    wide = features.astype(np.float64)
    return np.asarray(wide - wide.mean(axis=0))


def _principal_axes(points: Float[np.ndarray, "drawn dim"]) -> Float[np.ndarray, "dim two"]:
    """Return the first two right singular vectors; zeros replace those that do not exist."""
    if min(points.shape) <= 8 or not points.any():  # for so few, the full decomposition is as fast
        axes = np.linalg.svd(points, full_matrices=False)[2][:2]
    else:
        start = np.random.default_rng(0).normal(size=min(points.shape))  # a fixed start gives a fixed picture
        axes = svds(points, k=2, v0=start)[2][::-1]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    return np.concatenate([(axes * signs[:, None]), np.zeros((2 - len(axes), points.shape[1]))]).T
