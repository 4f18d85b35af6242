"""Silhouettes in random pose and colour: regular polygons and stars as source, everyday signs as target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from transfer_exp.dataset.procedural.task import Drawing, Task, create_dataset, paint, random_affine, rasterise
from transfer_exp.dataset.target_dataset import TargetDataset

Outline = Float[np.ndarray, "points 2"]

_SIGNS = {
    "arrow": "-.8,-.2 .1,-.2 .1,-.6 .8,0 .1,.6 .1,.2 -.8,.2",
    "chevron": "-.7,-.7 .1,-.7 .8,0 .1,.7 -.7,.7 0,0",
    "cross": "-.25,-.8 .25,-.8 .25,-.25 .8,-.25 .8,.25 .25,.25 .25,.8 -.25,.8 -.25,.25 -.8,.25 -.8,-.25 -.25,-.25",
    "hourglass": "-.7,-.8 .7,-.8 .1,0 .7,.8 -.7,.8 -.1,0",
    "house": "-.7,.8 -.7,-.1 0,-.8 .7,-.1 .7,.8 .25,.8 .25,.3 -.25,.3 -.25,.8",
    "bolt": "-.1,-.9 .5,-.9 .15,-.2 .6,-.2 -.4,.9 -.05,.1 -.5,.1",
    "crown": "-.8,.6 -.8,-.5 -.4,.1 0,-.7 .4,.1 .8,-.5 .8,.6",
    "fish": "-.9,-.4 -.5,0 0,-.45 .5,-.35 .9,0 .5,.35 0,.45 -.5,0 -.9,.4",
    "fir": "-.2,.9 -.2,.5 -.7,.5 -.3,.1 -.5,.1 -.2,-.3 -.4,-.3 0,-.9 .4,-.3 .2,-.3 .5,.1 .3,.1 .7,.5 .2,.5 .2,.9",
    "wave": "-.9,-.1 -.5,-.6 0,-.1 .5,-.6 .9,-.1 .9,.4 .5,-.1 0,.4 -.5,-.1 -.9,.4",
}


def _create_star(tips: int, depth: float) -> Outline:
    """Return an outline whose radius alternates between 0.85 and 0.85 depth: cos(pi / tips) gives a regular polygon."""
    angles = np.linspace(0, 2 * np.pi, 2 * tips, endpoint=False)
    radius = 0.85 * np.where(np.arange(2 * tips) % 2, depth, 1.0)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _create_task(name: str, outlines: dict[str, Outline]) -> Task:
    """Return a task with one outline per class, randomly rotated, scaled, shifted, and squeezed along one axis."""
    shapes = list(outlines.values())

    def draw(label: int, rng: np.random.Generator) -> Drawing:
        pose = random_affine(rng, max_angle=0.6)
        pose[:, rng.integers(2)] *= rng.uniform(0.75, 1.0)
        jitter = rng.normal(0, 0.025, shapes[label].shape)
        return paint(rasterise((shapes[label] + jitter) @ pose[:, :2].T + pose[:, 2]), rng)

    return Task(name, tuple(outlines), draw)


SOURCE = _create_task(
    "source_shapes",
    {
        **{f"polygon_{n}": _create_star(n, np.cos(np.pi / n)) for n in (3, 4, 5, 6, 8)},
        "disc": _create_star(24, np.cos(np.pi / 24)),
        **{f"star_{n}": _create_star(n, 0.45) for n in (3, 4, 5, 6, 8)},
        **{f"flower_{n}": _create_star(n, 0.75) for n in (4, 5, 6, 9)},
    },
)
_OUTLINES = {name: np.array([corner.split(",") for corner in text.split()], float) for name, text in _SIGNS.items()}
TARGET = _create_task("shapes", _OUTLINES)


def shapes(
    train_per_class: int,
    test_per_class: int,
    scoring_set_size: int | None,
    seed: int,
    classes: Sequence[str] | None = None,
    noise: float = 0.0,
) -> TargetDataset:
    """Return ten everyday signs as a target dataset; no source task of the built-in pool contains them.

    The arguments are those of `create_dataset`.
    """
    return create_dataset(TARGET, train_per_class, test_per_class, scoring_set_size, seed, classes, noise)
