"""Images decoded once for all models that see them alike: their pixels, before each model's own normalisation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import UInt8
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transfer_exp.dataset.target_dataset import LabelledImages

MOST_BYTES = 2 * 1024**3
"""Of pixels kept by a process: 14,000 images of 224 x 224. What does not fit is decoded again for every model."""
_Key: TypeAlias = tuple[str, str, int]


class _Decoded(Dataset[UInt8[Tensor, "height width 3"]]):
    """Images of a split from a position on, each read and brought to size."""

    def __init__(self, images: LabelledImages, geometry: Callable[[Image], Image], start: int) -> None:
        self.images, self.geometry, self.start = images, geometry, start

    def __len__(self) -> int:
        return len(self.images) - self.start

    def __getitem__(self, index: int) -> UInt8[Tensor, "height width 3"]:
        return torch.from_numpy(np.array(self.geometry(self.images.read(self.start + index))))


class Pixels:
    """Pixels of the splits that were asked for last, as many as there is room for."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[_Key, list[Tensor]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return sum(map(_bytes, self._kept.values()))

    def batches(
        self, images: LabelledImages, geometry: Callable[[Image], Image], size: int, workers: int
    ) -> Iterator[UInt8[Tensor, "batch height width 3"]]:
        """Yield a split in batches, in order, and keep the first of them for the next who asks.

        Parameters
        ----------
        images
            The split; its digest says whether it was met before.
        geometry
            Brings an RGB image to size; its ``repr`` says what it does.
        size
            Images in a batch; the last may have fewer.
        workers
            Processes that decode what is not kept; 0 decodes in this one.

        Raises
        ------
        InputError
            For an image that cannot be read.
        """
        key = images.digest, repr(geometry), size
        kept = self._kept.pop(key, [])  # out of reach of another thread, whose batches would mix with these
        try:
            yield from kept
            rest = _Decoded(images, geometry, sum(map(len, kept)))
            fits = True
            for batch in DataLoader(rest, size, num_workers=workers) if len(rest) else ():
                fits = fits and self._has_room(_bytes(kept) + batch.nbytes)
                if fits:
                    # What comes from another process lies in shared memory, of which there may be little.
                    kept.append(batch.clone() if batch.is_shared() else batch)
                yield batch
        finally:
            self._kept[key] = kept

    def _has_room(self, needed: int) -> bool:
        """Forget other splits, longest unasked first, until there is room; False where there is none even so."""
        while self._kept and needed + self.nbytes > self._most:
            self._kept.popitem(last=False)
        return needed <= self._most


def _bytes(batches: list[Tensor]) -> int:
    return sum(batch.nbytes for batch in batches)


PIXELS = Pixels()
"""Of this process: the jobs of a sweep share them too."""
