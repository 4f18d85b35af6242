"""Cache of decoded images, shared by all models that resize and crop images in the same way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import UInt8
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transfer_exp.dataset.target_dataset import LabelledImages

MAX_BYTES = 2 * 1024**3
"""Size of the cache of a process: 14,000 images of 224 x 224. Further images are decoded again for every model."""
_Key: TypeAlias = tuple[str, str, int]
"""Digest of a split, ``repr`` of its geometry, and batch size."""


class PreparedImages(Dataset[Tensor]):
    """Images of a split from position ``start`` on; ``prepare`` turns each into a tensor when it is read."""

    def __init__(self, images: LabelledImages, prepare: Callable[[Image], Tensor], start: int = 0) -> None:
        self.images, self.prepare, self.start = images, prepare, start

    def __len__(self) -> int:
        return len(self.images) - self.start

    def __getitem__(self, index: int) -> Tensor:
        return self.prepare(self.images.read(self.start + index))


class PixelCache:
    """Least-recently-used cache of decoded and cropped images by split, before normalisation.

    Attributes:
        max_bytes: Largest total size of the cached images in bytes; 0 caches nothing.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._splits: OrderedDict[_Key, list[Tensor]] = OrderedDict()
        self._lock = Lock()

    def batches(
        self, images: LabelledImages, geometry: Callable[[Image], Image], batch_size: int, workers: int
    ) -> Iterator[UInt8[Tensor, "batch height width 3"]]:
        """Yield the pixels of a split in batches, and cache as many leading batches as fit.

        Args:
            images: The split; its digest is part of the cache key.
            geometry: Resizes and crops every RGB image to one size; its ``repr`` is part of the cache key.
            batch_size: Images per batch, part of the cache key; the last batch may be smaller.
            workers: Processes that decode the images missing from the cache; 0 decodes in this process.

        Raises:
            InputError: If an image cannot be read.
        """
        key = images.digest, repr(geometry), batch_size
        with self._lock:
            cached = list(self._splits.get(key, ()))  # a copy, because another thread may read the split as well
        try:
            yield from cached
            missing = PreparedImages(images, partial(_pixels, geometry), sum(map(len, cached)))
            fits = True
            for batch in DataLoader(missing, batch_size, num_workers=workers) if len(missing) else ():
                fits = fits and self._make_room(key, _nbytes(cached) + batch.nbytes)
                if fits:
                    # Batches of worker processes lie in shared memory, which may be scarce.
                    cached.append(batch.clone() if batch.is_shared() else batch)
                yield batch
        finally:
            with self._lock:  # keeps the longer list, if another thread has read the split as well
                self._splits[key] = max(cached, self._splits.pop(key, []), key=len)

    def _make_room(self, key: _Key, nbytes: int) -> bool:
        """Remove the least recently used other splits until ``nbytes`` fit; return False if they exceed `max_bytes`."""
        with self._lock:
            removable = [split for split in self._splits if split != key]
            while removable and nbytes + sum(_nbytes(self._splits[split]) for split in removable) > self.max_bytes:
                del self._splits[removable.pop(0)]
        return nbytes <= self.max_bytes


def _pixels(geometry: Callable[[Image], Image], image: Image) -> UInt8[Tensor, "height width 3"]:
    return torch.from_numpy(np.array(geometry(image)))


def _nbytes(batches: list[Tensor]) -> int:
    return sum(batch.nbytes for batch in batches)


PIXEL_CACHE = PixelCache()
"""Cache of this process, shared by the jobs of a sweep that run in it."""
