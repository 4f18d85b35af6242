"""Rendered characters: target datasets of letters that are not Latin, and a pretraining task of Latin letters.

The built-in networks ``*_glyphs`` were pretrained on the Latin task. It has no digits, because ``digits`` is a target
dataset, and few letters that look like another one. All fonts come with matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from transfer_exp.dataset.procedural.task import SIZE, Drawing, Mask, Task, create_dataset, paint, random_affine
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import InputError, suggestion

# Different fonts, so that source and target tasks share neither letters nor fonts.
SOURCE_FONTS = ("cmr10", "cmb10", "cmss10", "cmtt10", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic")
TARGET_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSerif-BoldItalic")
_SOURCE_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYZabdefghkqrt"
_TARGET_ALPHABETS = {
    "cyrillic": "БДЖИЛФЦШЭЮ",
    "greek": "ΓΔΘΛΞΠΣΦΨΩ",
    "georgian": "აბგდევზთიკ",
    "armenian": "ԱԲԳԴԵԶԷԸԹԺ",
}
_CANVAS_SIDE, _FONT_SIZE = 64, 44


@lru_cache(maxsize=32)
def _load_font(name: str) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size=_FONT_SIZE)


def _render(letter: str, font: str, rng: np.random.Generator) -> Mask:
    """Draw a letter in the middle of a large canvas, transform it at random, and scale it down to SIZE x SIZE."""
    image = Image.new("L", (_CANVAS_SIDE, _CANVAS_SIDE))
    ImageDraw.Draw(image).text(
        (_CANVAS_SIDE / 2, _CANVAS_SIDE / 2), letter, fill=255, font=_load_font(font), anchor="mm"
    )
    pose = random_affine(rng, max_angle=0.25, min_scale=0.85, max_scale=1.25)
    # The pose maps output to input on [-1, 1]^2, so scales above 1 shrink the letter. PIL wants that map in pixels.
    half = _CANVAS_SIDE / 2
    shift = half * (pose[:, 2] - pose[:, :2].sum(axis=1)) + half
    matrix = (pose[0, 0], pose[0, 1], shift[0], pose[1, 0], pose[1, 1], shift[1])
    transformed = image.transform(
        (_CANVAS_SIDE, _CANVAS_SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(transformed.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64) / 255


def _create_task(name: str, letters: str, fonts: tuple[str, ...]) -> Task:
    """Return a task with one letter per class; font and colours of each image are random."""

    def draw(label: int, rng: np.random.Generator) -> Drawing:
        return paint(_render(letters[label], fonts[rng.integers(len(fonts))], rng), rng)

    return Task(name, tuple(letters), draw)


SOURCE = _create_task("source_glyphs", _SOURCE_LETTERS, SOURCE_FONTS)
"""Pretraining task of the built-in networks ``*_glyphs``."""
# One name for all: the alphabet is an option of the dataset ``glyphs``.
TARGETS = {alphabet: _create_task("glyphs", letters, TARGET_FONTS) for alphabet, letters in _TARGET_ALPHABETS.items()}
TARGET = TARGETS["cyrillic"]


def glyphs(
    train_per_class: int,
    test_per_class: int,
    scoring_set_size: int | None,
    seed: int,
    alphabet: str = "cyrillic",
    classes: Sequence[str] | None = None,
    noise: float = 0.0,
) -> TargetDataset:
    """Return ten letters of an alphabet, or those in ``classes``, as a target dataset.

    The alphabet is cyrillic, greek, georgian or armenian; the other arguments are those of `create_dataset`.

    Raises:
        InputError: If the alphabet does not exist, or under the conditions of `create_dataset`.
    """
    if alphabet not in TARGETS:
        raise InputError(f"dataset.alphabet={alphabet}: {suggestion(alphabet, TARGETS)}")
    task = TARGETS[alphabet]
    return create_dataset(task, train_per_class, test_per_class, scoring_set_size, seed, classes, noise)
