"""Preprocessed images by position, kept in memory when they fit."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.model_pool.pool import Transform

MOST_BYTES = 2 * 1024**3
"""What is larger than this is made again for every batch."""


class PreparedImages:
    """Images and targets of a split as batches on a device.

    Each image of a split of up to 2 GiB is decoded once, when first asked for, and stays in memory; a larger split is
    decoded batch by batch, and so is any split with ``keep=False``, for a transform that draws at random.
    """

    def __init__(self, images: LabelledImages, transform: Transform, device: torch.device, keep: bool = True) -> None:
        self.device = device
        self._images, self._transform = images, transform
        self._targets = torch.from_numpy(np.asarray(images.labels if images.targets is None else images.targets))
        first = transform(images.read(0))
        fits = keep and first.nbytes * len(images) <= MOST_BYTES
        self._decoded = first.new_empty(len(images), *first.shape) if fits else None
        self._known = np.zeros(len(images), dtype=bool)

    def __len__(self) -> int:
        return len(self._images)

    def __call__(self, positions: Int[Tensor, " batch"]) -> tuple[Float[Tensor, "batch 3 height width"], Tensor]:
        """Return images (B, 3, H, W) and targets, (B,) classes or (B, C) zeros and ones."""
        return self._batch(positions).to(self.device), self._targets[positions].to(self.device)

    def _batch(self, positions: Int[Tensor, " batch"]) -> Tensor:
        if self._decoded is None:
            return torch.stack([self._transform(self._images.read(int(i))) for i in positions])
        for i in positions.tolist():
            if not self._known[i]:
                self._decoded[i], self._known[i] = self._transform(self._images.read(i)), True
        return self._decoded[positions]
