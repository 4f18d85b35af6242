"""What training sees of a split: its images as they are, or another random view of each at every step."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.ground_truth.prepared_images import PreparedImages
from transfer_exp.ground_truth.training import Batch, BatchAt
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.types import InputError
from transfer_exp.vision import timm


def training_batches(
    images: LabelledImages, model: LoadedModel, classes: int, augmentation: str, mixup: float, device: torch.device
) -> BatchAt:
    """Return images and targets of a split by position, as `Protocol.augmentation` and `Protocol.mixup` say.

    Raises
    ------
    InputError
        When the pool has no augmented preprocessing, or images that show several classes should be mixed.
    """
    if augmentation == "none":
        batch_at: BatchAt = PreparedImages(images, model.transform, device)
    elif model.augmented is None:
        raise InputError(f"this pool has no augmentation={augmentation}: set protocol.augmentation=none")
    else:
        batch_at = PreparedImages(images, model.augmented, device, keep=False)
    if mixup == 0:
        return batch_at
    if images.targets is not None:
        raise InputError("mixup needs one class an image, and here images show several: set protocol.mixup=0")
    mixed = timm.data.Mixup(mixup_alpha=mixup, label_smoothing=0.0, num_classes=classes)

    def mixed_at(positions: Int[Tensor, " batch"]) -> Batch:
        batch, targets = batch_at(positions)
        # It mixes each image with one from the other end, so that an odd batch has one too many.
        return cast("Batch", mixed(batch, targets)) if len(batch) % 2 == 0 else (batch, targets)

    return mixed_at
