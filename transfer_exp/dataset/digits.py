"""Handwritten digits that ship with scikit-learn: real, tiny and offline, therefore the default dataset."""

from __future__ import annotations

import numpy as np
from PIL import Image

from transfer_exp.dataset.stratification import take_per_class
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset

_LEVELS = 16


def digits(train_per_class: int = 20, scoring_set_size: int | None = None, seed: int = 0) -> TargetDataset:
    """Return 1,797 digits of 8 x 8 pixels, the test part of UCI's optical recognition of handwritten digits.

    Args:
        train_per_class: Number of training images of each digit; all others are the test split.
        scoring_set_size: Number of training images to score on, stratified; None for all.
        seed: Seed of both random selections.

    Raises:
        InputError: If ``train_per_class`` is not in [2, 174] or ``scoring_set_size`` is below ten.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    pixels = np.rint(source.images * (255 / _LEVELS)).astype(np.uint8)
    labels = source.target.astype(np.int64)
    images = LabelledImages(labels, lambda i: Image.fromarray(pixels[i]).convert("RGB"), lambda i: pixels[i].tobytes())
    selected, rest = take_per_class(labels, np.full(10, train_per_class), seed)
    train = images.subset(selected)
    names = tuple(str(digit) for digit in range(10))
    return TargetDataset("digits", names, train, images.subset(rest), train.stratified_subset(scoring_set_size, seed))
