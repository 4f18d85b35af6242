"""Attractors of random iterated function systems, after Kataoka et al., ACCV 2020."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from transfer_exp.dataset.procedural.task import SIZE, Drawing, Mask, Task, create_dataset, paint, random_affine
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError

Maps = Float[np.ndarray, "maps 2 3"]

_WALKERS, _STEPS, _BURN_IN = 128, 24, 6
_MIN_FILLED, _MAX_FILLED = 0.12, 0.7


def _draw_contraction(rng: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    """Draw an affine map with singular values in [0.25, 0.85]."""
    left, right = (np.linalg.qr(rng.normal(size=(2, 2)))[0] for _ in range(2))
    linear = left @ np.diag(rng.uniform(0.25, 0.85, 2)) @ right
    return np.hstack([linear, rng.uniform(-1, 1, (2, 1))])


def _walk(maps: Maps, rng: np.random.Generator) -> Float[np.ndarray, "points 2"]:
    """Return the points of the chaos game: many walkers, each step by a random map."""
    points, visited = np.zeros((_WALKERS, 2)), []
    for step in range(_STEPS):
        step_maps = maps[rng.integers(len(maps), size=_WALKERS)]
        points = np.einsum("wij,wj->wi", step_maps[:, :, :2], points) + step_maps[:, :, 2]
        if step >= _BURN_IN:
            visited.append(points)
    return np.concatenate(visited)


def _render(maps: Maps, rng: np.random.Generator) -> Mask:
    """Draw an attractor, scaled to the canvas in a random pose, as a density in [0, 1]."""
    points = _walk(maps, rng)
    low, high = np.quantile(points, [0.01, 0.99], axis=0)
    pose = random_affine(rng, max_angle=0.4, min_scale=0.75, max_scale=1.0)
    points = (2 * (points - low) / np.maximum(high - low, 1e-6) - 1) @ pose[:, :2].T + pose[:, 2]
    counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=SIZE, range=[[-1.1, 1.1]] * 2)
    return np.minimum(counts / 4, 1.0)


@lru_cache(maxsize=256)
def _find_system(family: int, label: int) -> Maps:
    """Return the maps of a class: the first system of its seed that neither collapses nor fills the canvas."""
    rng = np.random.default_rng([family, label])
    while True:
        maps = np.stack([_draw_contraction(rng) for _ in range(rng.integers(2, 5))])
        if _MIN_FILLED < (_render(maps, rng) > 0).mean() < _MAX_FILLED:
            return maps


@lru_cache(maxsize=16)
def _create_task(name: str, family: int, classes: int) -> Task:
    """Return a task with one system per class; every image has slightly different coefficients."""

    def draw(label: int, rng: np.random.Generator) -> Drawing:
        maps = _find_system(family, label)
        return paint(_render(maps + rng.normal(0, 0.03, maps.shape), rng), rng)

    return Task(name, tuple(f"ifs_{family}_{label}" for label in range(classes)), draw)


_SOURCE_FAMILY, _TARGET_FAMILY = 2020, 7001
_MOST_CLASSES = 100
SOURCE = _create_task("source_fractals", _SOURCE_FAMILY, classes=30)
TARGET = _create_task("fractals", _TARGET_FAMILY, classes=10)


def fractals(
    train_per_class: int,
    test_per_class: int,
    scoring_set_size: int | None,
    seed: int,
    family: int = _TARGET_FAMILY,
    n_classes: int = 10,
    noise: float = 0.0,
) -> TargetDataset:
    """Return fractals as a target dataset; the source task has other systems.

    Args:
        train_per_class, test_per_class, scoring_set_size, seed, noise: Arguments of `create_dataset`.
        family: Number that decides the systems; the source task has family 2020.
        n_classes: Number of systems.

    Raises:
        InputError: If the family is that of the source task or negative, the number of systems is out of range, or
            under the conditions of `create_dataset`.
    """
    if family < 0 or family == _SOURCE_FAMILY:
        raise InputError(f"dataset.family={family}: need a number other than {_SOURCE_FAMILY}, of the source task")
    if not 2 <= n_classes <= _MOST_CLASSES:
        raise InputError(f"dataset.n_classes={n_classes}: need a number from 2 to {_MOST_CLASSES}")
    task = _create_task("fractals", family, n_classes)
    return create_dataset(task, train_per_class, test_per_class, scoring_set_size, seed, noise=noise)
