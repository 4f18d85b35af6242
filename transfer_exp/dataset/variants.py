"""Options that make other tasks from one of the small datasets: a part of its classes, and noise on its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from transfer_exp.errors import InputError, suggestion

Name = TypeVar("Name", str, int)


def select_classes(names: Sequence[Name], classes: Sequence[Name] | None) -> tuple[int, ...]:
    """Return the positions in ``names`` of the chosen classes in their order; of all classes for None.

    Raises:
        InputError: If a class does not exist or is given twice.
    """
    chosen = tuple(names) if classes is None else tuple(classes)
    for i, name in enumerate(chosen):
        if name not in names:
            raise InputError(f"dataset.classes has no class '{name}': {suggestion(str(name), map(str, names))}")
        if name in chosen[:i]:
            raise InputError(f"dataset.classes names '{name}' twice: leave one out")
    return tuple(names.index(name) for name in chosen)


def check_noise(noise: float) -> None:
    """Raise `InputError` unless the standard deviation of the noise is in [0, 1]."""
    if not 0 <= noise <= 1:
        raise InputError(f"dataset.noise={noise}: need a number from 0 to 1, a fraction of the brightest value")


def add_noise(pixels: UInt8[np.ndarray, ...], noise: float, rng: np.random.Generator) -> UInt8[np.ndarray, ...]:
    """Return pixels with Gaussian noise, whose standard deviation is a fraction of the brightest value."""
    return np.clip(pixels + 255 * noise * rng.normal(size=pixels.shape), 0, 255).astype(np.uint8)
