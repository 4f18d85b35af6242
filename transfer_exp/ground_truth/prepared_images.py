"""Preprocessed images by position, kept in memory when they fit."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.model_pool.pool import Transform

_MOST_BYTES = 2 * 1024**3


class PreparedImages:
    """Images and targets of a split as batches on a device.

    A split of up to 2 GiB is decoded once and stays in memory; a larger one is decoded batch by batch, and so is any
    split with ``keep=False``, for a transform that draws at random.
    """

    def __init__(self, images: LabelledImages, transform: Transform, device: torch.device, keep: bool = True) -> None:
        self._images, self._transform, self._device = images, transform, device
        self._targets = torch.from_numpy(np.asarray(images.labels if images.targets is None else images.targets))
        fits = keep and transform(images.read(0)).nbytes * len(images) <= _MOST_BYTES
        self._decoded = torch.stack([transform(images.read(i)) for i in range(len(images))]) if fits else None

    def __len__(self) -> int:
        return len(self._images)

    def __call__(self, positions: Int[Tensor, " batch"]) -> tuple[Float[Tensor, "batch 3 height width"], Tensor]:
        """Return images (B, 3, H, W) and targets, (B,) classes or (B, C) zeros and ones."""
        if self._decoded is None:
            batch = torch.stack([self._transform(self._images.read(int(i))) for i in positions])
        else:
            batch = self._decoded[positions]
        return batch.to(self._device), self._targets[positions].to(self._device)
