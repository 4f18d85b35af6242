"""Textures without objects: stripes, plaids and filtered noise as source; checkers, bricks, dots as target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from transfer_exp.dataset.procedural.task import SIZE, Drawing, Mask, Task, create_dataset, paint
from transfer_exp.dataset.target_dataset import TargetDataset

Texture = Callable[[np.random.Generator], Mask]

_Y, _X = np.mgrid[0:SIZE, 0:SIZE] / SIZE


def _plane(rng: np.random.Generator, cycles: float) -> tuple[Float[np.ndarray, "32 32"], Float[np.ndarray, "32 32"]]:
    """Return each pixel's phases, in periods, along two random orthogonal axes; about ``cycles`` cross the canvas."""
    angle, cycles = rng.uniform(0, np.pi), cycles * rng.uniform(0.85, 1.15)
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = cos * _X + sin * _Y, cos * _Y - sin * _X
    return cycles * u + rng.uniform(), cycles * v + rng.uniform()


def _grating(rng: np.random.Generator, cycles: float, sharp: float) -> Mask:
    """Parallel stripes; ``sharp`` 1 is nearly a sine, larger values approach bars."""
    u, _ = _plane(rng, cycles)
    return 0.5 + 0.5 * np.tanh(sharp * np.sin(2 * np.pi * u)) / np.tanh(sharp)


def _plaid(rng: np.random.Generator, cycles: float) -> Mask:
    """Sum of two gratings at right angles."""
    u, v = _plane(rng, cycles)
    return 0.5 + 0.25 * (np.sin(2 * np.pi * u) + np.sin(2 * np.pi * v))


def _noise(rng: np.random.Generator, exponent: float, threshold: bool = False) -> Mask:
    """Noise with an amplitude of frequency to the power -``exponent``; ``threshold`` turns it into blobs of 0 and 1."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.normal(size=(SIZE, SIZE))) / frequency**exponent
    field = np.fft.ifft2(spectrum).real
    field = (field - field.mean()) / field.std()
    return (field > 0).astype(np.float64) if threshold else np.clip(0.5 + field / 5, 0, 1)


def _wavy(rng: np.random.Generator, cycles: float) -> Mask:
    """Wavy stripes."""
    u, v = _plane(rng, cycles)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (u + 0.3 * np.sin(2 * np.pi * v)))


def _checker(rng: np.random.Generator, cycles: float) -> Mask:
    """Alternating squares."""
    u, v = _plane(rng, cycles)
    return ((np.floor(2 * u) + np.floor(2 * v)) % 2).astype(np.float64)


def _bricks(rng: np.random.Generator, cycles: float) -> Mask:
    """Courses of bricks, every other one shifted by half a brick, with joints of value 0."""
    u, v = _plane(rng, cycles)
    along = (u / 2 + 0.5 * (np.floor(v) % 2)) % 1
    return ((along > 0.12) & (v % 1 > 0.22)).astype(np.float64)


def _dots(rng: np.random.Generator, cycles: float, radius: float) -> Mask:
    """Discs on a square grid; ``radius`` is in periods."""
    u, v = _plane(rng, cycles)
    return (np.hypot(u % 1 - 0.5, v % 1 - 0.5) < radius).astype(np.float64)


def _cells(rng: np.random.Generator, n_points: int, walls: bool) -> Mask:
    """A Voronoi diagram of random points: its walls, or the distance to the nearest point."""
    points = rng.uniform(-0.1, 1.1, (n_points, 2))
    distance = np.sort(np.hypot(_Y[..., None] - points[:, 0], _X[..., None] - points[:, 1]), axis=-1)
    gap = distance[..., 1] - distance[..., 0]
    return (gap < 0.05).astype(np.float64) if walls else np.clip(distance[..., 0] * np.sqrt(n_points), 0, 1)


def _rings(rng: np.random.Generator, cycles: float) -> Mask:
    """Concentric circles around a random point of the canvas."""
    y, x = rng.uniform(0, 1, 2)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (cycles * np.hypot(_Y - y, _X - x) + rng.uniform()))


def _create_task(name: str, textures: dict[str, Texture]) -> Task:
    """Return a task with one texture per class, in random colours and phases."""
    draws = list(textures.values())

    def draw(label: int, rng: np.random.Generator) -> Drawing:
        return paint(draws[label](rng), rng)

    return Task(name, tuple(textures), draw)


SOURCE = _create_task(
    "source_textures",
    {
        **{f"sine_{c:g}": partial(_grating, cycles=c, sharp=1.0) for c in (2.0, 4.0, 7.0)},
        **{f"bars_{c:g}": partial(_grating, cycles=c, sharp=8.0) for c in (2.0, 4.0, 7.0)},
        **{f"plaid_{c:g}": partial(_plaid, cycles=c) for c in (2.0, 4.0, 7.0)},
        **{f"noise_{e}": partial(_noise, exponent=e) for e in (0.3, 1.0, 1.8)},
        **{f"blobs_{e}": partial(_noise, exponent=e, threshold=True) for e in (0.8, 1.4, 2.2)},
        **{f"wavy_{c:g}": partial(_wavy, cycles=c) for c in (2.0, 4.0)},
    },
)
TARGET = _create_task(
    "textures",
    {
        **{f"checker_{c:g}": partial(_checker, cycles=c) for c in (2.0, 5.0)},
        "bricks": partial(_bricks, cycles=4.0),
        **{f"dots_{c:g}": partial(_dots, cycles=c, radius=0.3) for c in (3.0, 6.0)},
        **{f"cells_{n}": partial(_cells, n_points=n, walls=False) for n in (8, 30)},
        "cell_walls": partial(_cells, n_points=12, walls=True),
        **{f"rings_{c:g}": partial(_rings, cycles=c) for c in (3.0, 6.0)},
    },
)


def textures(
    train_per_class: int,
    test_per_class: int,
    scoring_set_size: int | None,
    seed: int,
    classes: Sequence[str] | None = None,
    noise: float = 0.0,
) -> TargetDataset:
    """Return ten tilings as a target dataset; the source task has gratings and noise only.

    The arguments are those of `create_dataset`.
    """
    return create_dataset(TARGET, train_per_class, test_per_class, scoring_set_size, seed, classes, noise)
