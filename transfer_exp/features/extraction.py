"""One pass of a network over images: features, and source probabilities where there is a head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.features.pixels import PIXELS, Pixels
from transfer_exp.model_pool.pool import LoadedModel, Transform
from transfer_exp.model_pool.preprocessing import split_transform
from transfer_exp.progress import Track
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics, streamed_statistics
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Arrays, Store

FeatureReader: TypeAlias = Callable[[int], FeatureSet | None]
"""Reads features again, of up to so many numbers (more raise `InputError`); None where nobody has computed them."""
_ROWS = 4096
"""Features in memory at a time where class statistics are all that is asked for: 64 MB at D = 2048."""
# Part of every key: raise it whenever the same inputs would give other values than before.
_VERSION = 1


class _Tensors(Dataset[Tensor]):
    """Images of a split, preprocessed one at a time."""

    def __init__(self, images: LabelledImages, transform: Transform) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images.read(index))


@dataclass(frozen=True)
class Extractor:
    """Extracts features, or reads them where the store already has them.

    Attributes
    ----------
    store
        Where features are kept.
    device
        ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best there is.
    batch_size
        Images in one forward pass.
    workers
        Processes that decode images; 0 decodes in this one.
    track
        Told how far each pass is.
    pixels
        Of images that were decoded before, for models whose preprocessing differs in normalisation alone.
    """

    store: Store
    device: str
    batch_size: int
    workers: int
    track: Track
    pixels: Pixels = field(default=PIXELS, repr=False)

    def __call__(self, name: str, model: LoadedModel, images: LabelledImages) -> tuple[FeatureSet, bool]:
        """Return the features of ``images`` and whether they were found in the store.

        Raises
        ------
        NotApplicableError
            When the network gives NaN or infinity.
        InputError
            For an image that cannot be read.
        """
        key = self._key(model, images, best_device(self.device))
        arrays, found = self.store.arrays("features", key, lambda: self.compute(name, model, images))
        return FeatureSet(arrays["features"], images.labels, arrays.get("source_probabilities")), found

    def statistics(self, name: str, model: LoadedModel, images: LabelledImages) -> tuple[ClassStatistics, bool]:
        """Return the class statistics of the features of ``images``, and whether the features were in the store.

        Features that are there already are read in batches, so that memory does not grow with their number.

        Raises
        ------
        NotApplicableError, InputError
            As the call; InputError also as `check_features`.
        """
        if len(images) > _ROWS:
            try:
                return self._streamed(model, images), True
            except (OSError, ValueError, KeyError):
                pass  # absent or damaged: below they are computed, and what is wrong with the file is said
        features, found = self(name, model, images)
        return class_statistics(features.features, features.labels), found

    def reader(self, model: LoadedModel, images: LabelledImages) -> FeatureReader:
        """Return what reads the features of ``images`` from the store later, when the network is long gone."""
        key = self._key(model, images, best_device(self.device))

        def read(largest: int) -> FeatureSet | None:
            batches = []
            try:
                for batch in self.store.batches("features", key, "features", _ROWS):
                    batches.append(batch)
                    if batch.shape[1] * len(images) > largest:
                        raise InputError(f"the scoring set has {len(images)} samples of {batch.shape[1]} features")
            except (OSError, KeyError):
                return None
            return FeatureSet(np.concatenate(batches), images.labels)

        return read

    def cache_reference(self, model: LoadedModel, images: LabelledImages) -> tuple[Mapping[str, Any], str]:
        """Return the key of the features of ``images``, and the URL of their file in the store."""
        key = self._key(model, images, best_device(self.device))
        return key, self.store.address("features", key)

    def is_cached(self, model: LoadedModel, images: LabelledImages) -> bool:
        """Tell whether the store has the features of ``images``."""
        return self.store.has("features", self._key(model, images, best_device(self.device)))

    def save(self, model: LoadedModel, images: LabelledImages, features: FeatureSet) -> None:
        """Give the store the features of ``images``, which were extracted part by part, unless it has them."""
        if self.is_cached(model, images):
            return
        arrays = {"features": features.features}
        if features.source_probabilities is not None:
            arrays["source_probabilities"] = features.source_probabilities
        self.store.arrays("features", self._key(model, images, best_device(self.device)), lambda: arrays)

    def _streamed(self, model: LoadedModel, images: LabelledImages) -> ClassStatistics:
        key = self._key(model, images, best_device(self.device))
        return streamed_statistics(self.store.batches("features", key, "features", _ROWS), images.labels)

    def _key(self, model: LoadedModel, images: LabelledImages, device: torch.device) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "model": dict(model.identity),
            "layer": "head_input",
            "transform": repr(model.transform),
            "images": images.digest,
            "precision": _precision(device),
        }

    def compute(self, name: str, model: LoadedModel, images: LabelledImages) -> Arrays:
        """Return features, and source probabilities where there is a head, whether the store has them or not.

        Raises
        ------
        NotApplicableError, InputError
            As the call.
        """
        device = best_device(self.device)
        backbone = model.backbone.eval().to(device)
        backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        advance = self.track(f"{name}: features", ceil(len(images) / self.batch_size))
        parts: list[tuple[Tensor, Tensor | None]] = []
        mixed = torch.autocast(device.type, enabled=_precision(device) != "float32")
        with torch.inference_mode(), mixed:
            for batch in _told(self._batches(model.transform, images)):
                batch = batch.to(device, memory_format=torch.channels_last, non_blocking=True)
                features, logits = backbone.features_and_logits(batch)
                parts.append((features.float().cpu(), None if logits is None else _softmax(logits)))
                advance()
        backbone.cpu()
        return _joined(name, parts)

    def _batches(self, transform: Transform, images: LabelledImages) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        """Yield preprocessed images, from pixels that models share where the transform has parts."""
        parts = split_transform(transform)
        if parts is None:
            yield from DataLoader(_Tensors(images, transform), self.batch_size, num_workers=self.workers)
            return
        for pixels in self.pixels.batches(images, parts.geometry, self.batch_size, self.workers):
            yield parts.normalise(pixels)


def _told(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """Yield the batches; of what went wrong in a process of its own, only what was said there, without the way there.

    Raises
    ------
    InputError
        For an image that cannot be read.
    """
    try:
        yield from batches
    except InputError as error:
        raise InputError(str(error).rpartition("InputError: ")[2]) from error


def _softmax(logits: Float[Tensor, "batch source_classes"]) -> Float[Tensor, "batch source_classes"]:
    """Return source probabilities in float32 on the CPU."""
    return torch.softmax(logits.float(), dim=1).cpu()


def _joined(name: str, parts: list[tuple[Tensor, Tensor | None]]) -> Arrays:
    """Concatenate batches, refusing features that are not finite."""
    features = np.concatenate([part[0].numpy() for part in parts])
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise NotApplicableError(f"{name} gives NaN or infinity, first for image {row}")
    arrays = {"features": features}
    if parts[0][1] is not None:
        arrays["source_probabilities"] = np.concatenate([part[1].numpy() for part in parts if part[1] is not None])
    return arrays


def best_device(asked: str) -> torch.device:
    """Return the device by name; ``auto`` prefers CUDA, then Apple's, then the CPU.

    Raises
    ------
    InputError
        For a name torch does not know, or a device that is not here.
    """
    if asked == "auto":
        here = ("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()), ("cpu", True)
        return torch.device(next(name for name, available in here if available))
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"no device '{asked}' here: use device=cpu, cuda, mps, or auto for the best there is"
        ) from error
    return device


def _precision(device: torch.device) -> str:
    """Name the arithmetic of a forward pass: mixed on CUDA, where it is fast and harmless, else single."""
    return "mixed" if device.type == "cuda" else "float32"
