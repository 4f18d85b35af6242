"""A procedural task: classes that can be drawn without end, and the dataset of a fixed number of drawings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset

SIZE = 32
"""Height and width of every drawing, in pixels."""

Drawing = UInt8[np.ndarray, "32 32 3"]


@dataclass(frozen=True)
class Task:
    """A named list of classes and the way to draw one sample of each.

    Attributes
    ----------
    name
        As shown in tables.
    class_names
        C names; classes of a source task and of a target task never coincide.
    draw
        Draws one sample of a class: (32, 32, 3), from the generator alone.
    """

    name: str
    class_names: tuple[str, ...]
    draw: Callable[[int, np.random.Generator], Drawing]


@lru_cache(maxsize=16)
def drawings(task: Task, per_class: int, seed: int) -> LabelledImages:
    """Return ``per_class`` drawings of every class, classes in turn; the same for the same seed.

    They are drawn at once and kept: a sweep asks for the same ones again and again.
    """
    labels = np.tile(np.arange(len(task.class_names)), per_class)
    drawn = [task.draw(int(label), np.random.default_rng([seed, i])) for i, label in enumerate(labels)]
    return LabelledImages(labels, lambda i: Image.fromarray(drawn[i]), lambda i: drawn[i].tobytes())


def as_dataset(
    task: Task, train_per_class: int, test_per_class: int, scoring_set_size: int | None, seed: int
) -> TargetDataset:
    """Return a task as a target dataset; train and test are drawn from streams that never meet."""
    train = drawings(task, train_per_class, seed=2 * seed)
    test = drawings(task, test_per_class, seed=2 * seed + 1)
    scoring_set = train.subset(stratified_indices(train.labels, scoring_set_size, seed))
    return TargetDataset(task.name, task.class_names, train=train, test=test, scoring_set=scoring_set)
