"""Handwritten digits that ship with scikit-learn: real, tiny and offline, therefore the default dataset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from transfer_exp.dataset.stratification import take_per_class
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset, add_noise, check_noise, select_classes
from transfer_exp.errors import InputError

_LEVELS, _SIDE = 16, 8
_ROTATED_SIDE = 32
"""Height and width of rotated digits in pixels: 8 x 8 pixels are too few to rotate."""


def digits(
    train_per_class: int = 20,
    scoring_set_size: int | None = None,
    seed: int = 0,
    classes: Sequence[int] | None = None,
    noise: float = 0.0,
    rotation: float = 0.0,
    inverted: bool = False,
) -> TargetDataset:
    """Return 1,797 digits of 8 x 8 pixels, the test part of UCI's optical recognition of handwritten digits.

    Args:
        train_per_class: Number of training images of each digit; all others are the test split.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of both random selections.
        classes: Digits to use; None for all ten.
        noise: Standard deviation of Gaussian noise on every pixel, as a fraction of the brightest value.
        rotation: Largest angle of the random rotation of every digit, in degrees; rotated images have 32 x 32 pixels.
        inverted: Whether digits are dark on a bright background.

    Raises:
        InputError: If ``train_per_class`` is not in [2, 174], ``scoring_set_size`` is below the number of classes,
            a class does not exist, or noise or rotation is out of range.
    """
    check_noise(noise)
    if not 0 <= rotation <= 180:
        raise InputError(f"dataset.rotation={rotation}: need an angle from 0 to 180 degrees")
    selected_digits = select_classes(tuple(range(10)), classes)
    rows = _read_rows()
    digit_of_row = rows[:, -1].astype(np.int64)
    used = np.isin(digit_of_row, selected_digits)
    published = np.rint(rows[used, :-1].reshape(-1, _SIDE, _SIDE) * (255 / _LEVELS)).astype(np.uint8)
    pixels = [_change(image, i, noise, rotation, inverted) for i, image in enumerate(published)]
    labels = np.array([selected_digits.index(digit) for digit in digit_of_row[used]], dtype=np.int64)
    images = LabelledImages(labels, lambda i: Image.fromarray(pixels[i]).convert("RGB"), lambda i: pixels[i].tobytes())
    counts = np.bincount(labels)
    rarest = int(counts.argmin())
    if train_per_class > counts[rarest]:
        raise InputError(
            f"dataset.train_per_class={train_per_class}: class {selected_digits[rarest]} has only {counts[rarest]} "
            f"images: set at most {counts[rarest]}"
        )
    if train_per_class < 2:
        raise InputError(f"dataset.train_per_class={train_per_class}: need at least 2 images of each class")
    selected, rest = take_per_class(labels, np.full(len(selected_digits), train_per_class), seed)
    train = images.subset(selected)
    names = tuple(str(digit) for digit in selected_digits)
    return TargetDataset("digits", names, train, images.subset(rest), train.stratified_subset(scoring_set_size, seed))


@cache
def _read_rows() -> Float[np.ndarray, "digits 65"]:
    """Return scikit-learn's table: 64 brightnesses and the digit in each row."""
    spec = find_spec("sklearn")  # this finds the package without importing it, which takes a second
    file = Path(str(spec and spec.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # a version that has the file elsewhere

    return np.column_stack(load_digits(return_X_y=True))


def _change(
    pixels: UInt8[np.ndarray, "8 8"], position: int, noise: float, rotation: float, inverted: bool
) -> UInt8[np.ndarray, "side side"]:
    """Return a digit after rotation, inversion and noise; all of them depend on its position in the dataset only."""
    if not (rotation or noise):  # a random generator takes longer to make than the rest
        return 255 - pixels if inverted else pixels
    rng = np.random.default_rng(position)
    if rotation:
        enlarged = Image.fromarray(pixels).resize((_ROTATED_SIDE, _ROTATED_SIDE), Image.Resampling.BILINEAR)
        angle = rng.uniform(-rotation, rotation)
        pixels = np.asarray(enlarged.rotate(angle, Image.Resampling.BILINEAR))
    if inverted:
        pixels = 255 - pixels
    return add_noise(pixels, noise, rng) if noise else pixels
