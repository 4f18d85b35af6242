"""What training sees instead of the images as they are: another random view of each, or mixtures of two."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError
from transfer_exp.ground_truth.prepared_images import PreparedImages
from transfer_exp.ground_truth.training import Batch, BatchAt
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.vision import timm


def crop_flip_views(images: LabelledImages, model: LoadedModel, device: torch.device) -> PreparedImages:
    """Return random crops and mirror images of a split by position, new ones each time.

    Raises
    ------
    InputError
        When the pool has no augmented preprocessing.
    """
    if model.augmented is None:
        raise InputError("this pool has no augmentation=crop_flip: set protocol.augmentation=none")
    return PreparedImages(images, model.augmented, device, keep=False)


def mixed(batch_at: BatchAt, images: LabelledImages, classes: int, alpha: float) -> BatchAt:
    """Return batches in which each image is mixed with another, and the targets alike (C classes).

    Raises
    ------
    InputError
        For images that show several classes.
    """
    if images.targets is not None:
        raise InputError("mixup needs one class an image, and here images show several: set protocol.mixup=0")
    mixup = timm.data.Mixup(mixup_alpha=alpha, label_smoothing=0.0, num_classes=classes)

    def mixed_at(positions: Int[Tensor, " batch"]) -> Batch:
        batch, targets = batch_at(positions)
        # It mixes each image with one from the other end, so that an odd batch has one too many.
        return cast("Batch", mixup(batch, targets)) if len(batch) % 2 == 0 else (batch, targets)

    return mixed_at
