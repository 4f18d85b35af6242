"""One model's scoring set as a page shows it: its samples on a plane, and how far its classes lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.linalg import svds

from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.errors import InputError
from transfer_exp.report.html.class_separation import STRICT, Separation, separation
from transfer_exp.statistics.feature_set import encode_labels

LARGEST = 10_000_000
"""N D of a scoring set that is shown, at most: all of it is perturbed, which has to stay cheap next to scoring."""
_POINTS, _CLASSES = 1000, 500
_UNIT, _FARTHEST = 100, 10**6
_SMALL = 8
"""Below so many samples or features the whole decomposition is as quick as its first two components."""


@dataclass(frozen=True)
class Samples:
    """What the sides of all models on one scoring set share.

    Attributes
    ----------
    names
        C class names.
    counts
        (C,), samples of each in the scoring set.
    labels
        (P,), classes in [0, C) of the points, which are at most 1000 of them, drawn class by class.
    """

    __pydantic_config__: ClassVar = STRICT

    names: tuple[str, ...]
    counts: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Side:
    """A scoring set's features, as they are or perturbed.

    Attributes
    ----------
    points
        x0, y0, x1, y1, ... of P points, in hundredths of the root mean square distance to the mean before perturbation.
    separation
        Of the classes.
    """

    __pydantic_config__: ClassVar = STRICT

    points: tuple[int, ...]
    separation: Separation


@dataclass(frozen=True)
class View:
    """One model before and, where there is a perturbation, after it."""

    __pydantic_config__: ClassVar = STRICT

    before: Side
    after: Side | None = None


def check_size(features: np.ndarray, labels: np.ndarray) -> None:
    """Refuse a scoring set (N, D) that is too large for a page.

    Raises
    ------
    InputError
        When N D is above ten million, or there are more than 500 classes.
    """
    classes = len(np.unique(labels))
    if features.size > LARGEST:
        raise InputError(f"the scoring set has {len(features)} samples of {features.shape[1]} features")
    if classes > _CLASSES:
        raise InputError(f"the scoring set has {classes} classes")


def samples_of(labels: Int[np.ndarray, " samples"], names: tuple[str, ...]) -> Samples:
    """Return what the models on a scoring set share.

    Parameters
    ----------
    labels
        (N,), positions in ``names``; classes that do not occur are left out.
    names
        Of all classes of the target.
    """
    codes, counts = encode_labels(labels)
    occurring = tuple(str(names[i]) for i in np.unique(labels))
    return Samples(occurring, tuple(counts.tolist()), tuple(codes[_drawn(labels)].tolist()))


def view_of(
    features: Float[np.ndarray, "samples dim"],
    labels: Int[np.ndarray, " samples"],
    perturbed: Float[np.ndarray, "samples new_dim"] | None,
) -> View:
    """Return a model's scoring set before and after a perturbation, on the same axes.

    The axes W (D, 2) are the first two principal components of the drawn points X, centred. The perturbed points Z may
    lie in another space: there the axes are the orthonormal matrix nearest to Z'XW, the directions that covary most
    with the first ones. After a rotation, or a projection that keeps these two components, that gives the same picture.

    Parameters
    ----------
    features
        (N, D).
    labels
        (N,).
    perturbed
        (N, D'), or None.
    """
    drawn = _drawn(labels)
    points = _centred(features[drawn])
    scale = float(np.sqrt((points**2).sum(axis=1).mean())) or 1.0
    axes = _principal_axes(points / scale)
    before = Side(_rounded(points @ axes / scale), separation(features, labels, drawn))
    if perturbed is None:
        return View(before)
    moved = _centred(perturbed[drawn])
    left, _, right = np.linalg.svd((moved / scale).T @ (points / scale @ axes), full_matrices=False)
    after = Side(_rounded(moved @ (left @ right) / scale), separation(perturbed, labels, drawn))
    return View(before, after)


def _drawn(labels: np.ndarray) -> Int[np.ndarray, " points"]:
    return stratified_indices(labels, _POINTS, seed=0)


def _centred(features: np.ndarray) -> Float[np.ndarray, "points dim"]:
    wide = features.astype(np.float64)
    return np.asarray(wide - wide.mean(axis=0))


def _principal_axes(points: Float[np.ndarray, "points dim"]) -> Float[np.ndarray, "dim two"]:
    """Return the first two right singular vectors, zeros in place of one there is not."""
    if min(points.shape) <= _SMALL or not points.any():
        found = np.linalg.svd(points, full_matrices=False)[2][:2]
    else:
        start = np.random.default_rng(0).normal(size=min(points.shape))  # or every run draws another picture
        found = svds(points, k=2, v0=start)[2][::-1]
    signs = np.sign(found[np.arange(len(found)), np.abs(found).argmax(axis=1)])
    return np.concatenate([(found * signs[:, None]), np.zeros((2 - len(found), points.shape[1]))]).T


def _rounded(points: Float[np.ndarray, "points two"]) -> tuple[int, ...]:
    return tuple(np.clip(np.rint(_UNIT * points), -_FARTHEST, _FARTHEST).astype(np.int64).ravel().tolist())
