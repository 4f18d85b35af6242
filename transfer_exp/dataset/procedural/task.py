"""Procedural tasks: classification tasks whose images are drawn by a program, and the functions that draw them.

A point of the canvas has coordinates in [-1, 1]^2, x to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset, add_noise, check_noise, select_classes
from transfer_exp.errors import InputError

SIZE = 32
"""Height and width of every drawing, in pixels."""

Drawing = UInt8[np.ndarray, "32 32 3"]
"""Pixels of an RGB image."""
Mask = Float[np.ndarray, "32 32"]
"""Fraction of each pixel covered by the figure, in [0, 1]."""

_MIN_CONTRAST = 0.35
_OVERSAMPLING = 4
_MOST_PER_CLASS = 100_000
"""Largest number of images of a class: all are kept in memory, 3 kB each."""


@dataclass(frozen=True)
class Task:
    """A classification task whose images are drawn by a program, so there can be as many as needed.

    Attributes:
        name: The name in tables.
        class_names: C names.
        draw: Function of a class in [0, C) and a random generator that draws one image, (32, 32, 3).
    """

    name: str
    class_names: tuple[str, ...]
    draw: Callable[[int, np.random.Generator], Drawing]


@lru_cache(maxsize=16)
def draw_images(task: Task, per_class: int, seed: int) -> LabelledImages:
    """Return ``per_class`` drawings of every class, with the labels 0, 1, ..., C-1, 0, 1, ...

    Every image has its own random generator, so more images per class keep the first ones. All are drawn at once and
    cached, because the runs of a sweep use the same drawings.
    """
    labels = np.tile(np.arange(len(task.class_names)), per_class)
    drawings = [task.draw(int(label), np.random.default_rng([seed, i])) for i, label in enumerate(labels)]
    return LabelledImages(labels, lambda i: Image.fromarray(drawings[i]), lambda i: drawings[i].tobytes())


def create_dataset(
    task: Task,
    train_per_class: int,
    test_per_class: int,
    scoring_set_size: int | None,
    seed: int,
    classes: Sequence[str] | None = None,
    noise: float = 0.0,
) -> TargetDataset:
    """Return a task as a target dataset; train and test are drawn with different seeds.

    Args:
        task: The task.
        train_per_class, test_per_class: Number of images of each class.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of the drawings and of the scoring set.
        classes: Names of the classes to use; None for all.
        noise: Standard deviation of Gaussian noise on every pixel, as a fraction of the brightest value.

    Raises:
        InputError: If the number of images of a class or the noise is out of range, or a class does not exist.
    """
    task = _variant(task, None if classes is None else tuple(classes), noise)
    for key, count in (("train_per_class", train_per_class), ("test_per_class", test_per_class)):
        if not 1 <= count <= _MOST_PER_CLASS:
            raise InputError(f"dataset.{key}={count}: need a number from 1 to {_MOST_PER_CLASS}")
    train = draw_images(task, train_per_class, seed=2 * seed)
    test = draw_images(task, test_per_class, seed=2 * seed + 1)
    return TargetDataset(task.name, task.class_names, train, test, train.stratified_subset(scoring_set_size, seed))


@lru_cache(maxsize=64)
def _variant(task: Task, classes: tuple[str, ...] | None, noise: float) -> Task:
    """Return a task with a part of the classes, or noise; cached, because drawings are cached by their task."""
    check_noise(noise)
    selected = select_classes(task.class_names, classes)
    if classes is None and noise == 0:
        return task

    def draw(label: int, rng: np.random.Generator) -> Drawing:
        return add_noise(task.draw(selected[label], rng), noise, rng)

    return Task(task.name, tuple(task.class_names[i] for i in selected), draw)


def random_colours(rng: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    """Return a background and a foreground colour in [0, 1] of clearly different mean brightness."""
    while True:
        colours = rng.uniform(0, 1, (2, 3))
        if abs(colours[0].mean() - colours[1].mean()) >= _MIN_CONTRAST:
            return colours


def paint(mask: Mask, rng: np.random.Generator) -> Drawing:
    """Return a mask as an RGB drawing in random colours with slight noise."""
    back, front = random_colours(rng)
    image = back + mask[..., None] * (front - back) + rng.normal(0, 0.04, (SIZE, SIZE, 3))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def random_affine(
    rng: np.random.Generator, max_angle: float, min_scale: float = 0.7, max_scale: float = 1.1, max_shift: float = 0.12
) -> Float[np.ndarray, "2 3"]:
    """Return a random rotation (radians), scaling and shift as a matrix [A b], which maps a point x to A x + b."""
    angle, scale = rng.uniform(-max_angle, max_angle), rng.uniform(min_scale, max_scale)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    dx, dy = rng.uniform(-max_shift, max_shift, 2)
    return np.array([[cos, -sin, dx], [sin, cos, dy]])


def rasterise(points: Float[np.ndarray, "points 2"]) -> Mask:
    """Return the mask of a polygon with these corners, antialiased by drawing it larger first."""
    side = _OVERSAMPLING * SIZE
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in (points + 1) * (side / 2)], fill=255)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64) / 255
