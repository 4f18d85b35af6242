"""Preprocessing in two parts: what is done to an image, alike for many models, and to its pixels, each model's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL.Image import Image
from torch import Tensor

from transfer_exp.model_pool.pool import Transform
from transfer_exp.vision import timm, torchvision

_library = torchvision.transforms
# These two print all that they go by, and draw nothing. Of others, `CenterCropOrPad` keeps its fill to itself, which
# follows the mean of one model, and `ResizeKeepRatio` may draw.
_GEOMETRY = (_library.Resize, _library.CenterCrop)
_TO_TENSOR = (_library.ToTensor, timm.data.transforms.MaybeToTensor)


@dataclass(frozen=True, eq=False)
class Parted:
    """A transform in two parts, which give together, bit for bit, what it gives.

    Attributes
    ----------
    geometry
        An RGB image to one of the network's input size; equal where its ``repr`` is equal.
    mean, std
        Per channel, (3,), on [0, 1].
    """

    geometry: Callable[[Image], Image]
    mean: Float[Tensor, " channels"]
    std: Float[Tensor, " channels"]

    def normalised(self, pixels: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
        """Return (x / 255 - mean) / std, channels last in memory."""
        rows = pixels.flatten(2)
        mean, std = (values.repeat(pixels.shape[2]) for values in (self.mean, self.std))
        result = torch.empty(rows.shape, dtype=torch.float32)
        for image, out in zip(rows, result, strict=True):  # each stays in the processor's cache, a batch would not
            out.copy_(image).div_(255).sub_(mean).div_(std)
        return result.view(pixels.shape).permute(0, 3, 1, 2)


def parted(transform: Transform) -> Parted | None:
    """Return the parts of timm's and torchvision's evaluation transforms; None for any other."""
    known: Any = transform
    if type(known) is _library.Compose and len(known.transforms) > 2:
        *geometry, to_tensor, normalise = known.transforms
        if type(to_tensor) in _TO_TENSOR and type(normalise) is _library.Normalize:
            return _of(geometry, normalise) if all(type(step) in _GEOMETRY for step in geometry) else None
    if type(known) is _library._presets.ImageClassification:
        (resized,), (cropped,) = known.resize_size, known.crop_size
        resize = _library.Resize(resized, known.interpolation, antialias=known.antialias)
        return _of([resize, _library.CenterCrop(cropped)], known)
    return None


def _of(geometry: list[Any], normalise: Any) -> Parted:
    mean, std = (torch.as_tensor(values, dtype=torch.float32).expand(3) for values in (normalise.mean, normalise.std))
    return Parted(_library.Compose(geometry), mean, std)
