"""Image preprocessing of a network: the evaluation transform, and the random transform for training.

An evaluation transform can be split into its geometry (resize and crop) and its normalisation. Models whose geometry
has the same ``repr`` then share decoded and resized images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, UInt8
from PIL.Image import Image
from torch import Tensor, nn

from transfer_exp.model_pool.loaded_model import Transform
from transfer_exp.vision import timm, torchvision

_transforms = torchvision.transforms
# The ``repr`` of these two shows every setting, and neither is random. Other transforms are excluded: the ``repr`` of
# `CenterCropOrPad` lacks its fill colour, which depends on the model's mean, and `ResizeKeepRatio` can be random.
_GEOMETRY = (_transforms.Resize, _transforms.CenterCrop)
_TO_TENSOR = (_transforms.ToTensor, timm.data.transforms.MaybeToTensor)


def create_transforms(network: nn.Module, overrides: dict[str, Any] | None = None) -> tuple[Transform, Transform]:
    """Return timm's evaluation transform of a network, and `random_crop_flip` with the same settings for training.

    The random crop is a square of the height of the input.

    Args:
        network: Network whose timm configuration, if it has one, holds the defaults.
        overrides: Settings to replace: ``input_size`` (3, H, W), ``mean``, ``std``, ``interpolation``, ``crop_pct``,
            ``crop_mode``. With any of them, ``crop_mode`` is ``center`` instead of the one that timm has for weights of
            its own (some squash the image).
    """
    chosen = {"crop_mode": "center", **overrides} if overrides else {}
    settings = timm.data.resolve_data_config(chosen, model=network)
    transform: Transform = timm.data.create_transform(**settings, is_training=False)
    mean, std = (tuple(map(float, settings[key])) for key in ("mean", "std"))  # configurations may hold integers
    return transform, random_crop_flip(settings["input_size"][1], mean, std, settings["interpolation"])


def random_crop_flip(size: int, mean: Sequence[float], std: Sequence[float], interpolation: str) -> Transform:
    """Return a random transform of an RGB image to a tensor (3, size, size); it uses torch's global generator.

    It resizes a crop of 8 to 100 % of the area with an aspect ratio of 3/4 to 4/3, and mirrors it half of the time
    (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6).
    """
    steps = [
        _transforms.RandomResizedCrop(size, interpolation=_transforms.InterpolationMode(interpolation)),
        _transforms.RandomHorizontalFlip(),
        _transforms.ToTensor(),
        _transforms.Normalize(mean, std),
    ]
    return cast("Transform", _transforms.Compose(steps))


@dataclass(frozen=True, eq=False)
class SplitTransform:
    """A transform in two parts, whose combined output equals that of the transform bit for bit.

    Attributes:
        geometry: Function of an RGB image to one of the network's input size; two with equal ``repr`` do the same.
        mean, std: Normalisation per channel, (3,), for pixels in [0, 1].
    """

    geometry: Callable[[Image], Image]
    mean: Float[Tensor, " channels"]
    std: Float[Tensor, " channels"]

    def normalise(self, pixels: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch 3 height width"]:
        """Return (x / 255 - mean) / std on the CPU, channels last in memory."""
        flat = pixels.flatten(2)
        mean, std = (values.repeat(pixels.shape[2]) for values in (self.mean, self.std))
        result = torch.empty(flat.shape, dtype=torch.float32)
        for image, out in zip(flat, result, strict=True):  # one image fits into the processor's cache, a batch does not
            out.copy_(image).div_(255).sub_(mean).div_(std)
        return result.view(pixels.shape).permute(0, 3, 1, 2)


def split_transform(transform: Transform) -> SplitTransform | None:
    """Split an evaluation transform of timm or torchvision; None if it has steps besides Resize and CenterCrop."""
    steps: Any = transform
    if type(steps) is _transforms.Compose and len(steps.transforms) > 2:
        *geometry, to_tensor, normalise = steps.transforms
        if type(to_tensor) in _TO_TENSOR and type(normalise) is _transforms.Normalize:
            return _split(geometry, normalise) if all(type(step) in _GEOMETRY for step in geometry) else None
    if type(steps) is _transforms._presets.ImageClassification:
        (resize_size,), (crop_size,) = steps.resize_size, steps.crop_size
        resize = _transforms.Resize(resize_size, steps.interpolation, antialias=steps.antialias)
        return _split([resize, _transforms.CenterCrop(crop_size)], steps)
    return None


def _split(geometry: list[Any], normalise: Any) -> SplitTransform:
    mean, std = (torch.as_tensor(values, dtype=torch.float32).expand(3) for values in (normalise.mean, normalise.std))
    return SplitTransform(_transforms.Compose(geometry), mean, std)
