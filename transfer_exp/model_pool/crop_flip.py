"""Random crops and mirror images, with the normalisation that a network was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from transfer_exp.model_pool.pool import Transform
from transfer_exp.vision import torchvision


def crop_flip(size: int, mean: Sequence[float], std: Sequence[float], interpolation: str) -> Transform:
    """Return a transform of an RGB image to a tensor (3, size, size) that draws from torch's global generator.

    A crop of 8 to 100 % of the area and an aspect ratio of 3/4 to 4/3, resized; its mirror image half of the time
    (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6).
    """
    transforms = torchvision.transforms
    mode = transforms.InterpolationMode(interpolation)
    steps = [
        transforms.RandomResizedCrop(size, interpolation=mode),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    return cast("Transform", transforms.Compose(steps))
