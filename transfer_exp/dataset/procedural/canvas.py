"""Paint shared by the drawings: two contrasting colours, a pose, and the noise of an imperfect camera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from transfer_exp.dataset.procedural.task import SIZE, Drawing

Mask = Float[np.ndarray, "32 32"]
"""Coverage of each pixel by the figure, in [0, 1]."""

_LEAST_CONTRAST = 0.35
_OVERSAMPLING = 4


def two_colours(rng: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    """Draw a background and a foreground colour in [0, 1] whose mean brightness differs by at least 0.35."""
    while True:
        colours = rng.uniform(0, 1, (2, 3))
        if abs(colours[0].mean() - colours[1].mean()) >= _LEAST_CONTRAST:
            return colours


def paint(mask: Mask, rng: np.random.Generator) -> Drawing:
    """Colour a mask, with a slight noise, as an RGB drawing."""
    back, front = two_colours(rng)
    image = back + mask[..., None] * (front - back) + rng.normal(0, 0.04, (SIZE, SIZE, 3))
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def random_affine(
    rng: np.random.Generator, turn: float, least: float = 0.7, most: float = 1.1, shift: float = 0.12
) -> Float[np.ndarray, "2 3"]:
    """Draw a rotation within ``turn`` radians, a scale in [least, most] and a shift, as a matrix on [-1, 1]^2."""
    angle, scale = rng.uniform(-turn, turn), rng.uniform(least, most)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    dx, dy = rng.uniform(-shift, shift, 2)
    return np.array([[cos, -sin, dx], [sin, cos, dy]])


def fill(points: Float[np.ndarray, "points 2"]) -> Mask:
    """Rasterise a polygon given on [-1, 1]^2, antialiased by drawing it at four times the size."""
    side = _OVERSAMPLING * SIZE
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in (points + 1) * (side / 2)], fill=255)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64) / 255
