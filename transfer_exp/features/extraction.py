"""Feature extraction: one forward pass of a network over images, cached in the store.

Features (N, D) are the input of the classifier head, or another layer of the network pooled to one vector per image.
With a head, its softmax gives source probabilities (N, S), which are stored with the input of the head.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import ceil
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError, ModelFailureError, SharedInputError, explain_model_failure, first_line
from transfer_exp.features.cost import ModelCost, count_cost
from transfer_exp.features.pixels import PIXEL_CACHE, PixelCache, PreparedImages
from transfer_exp.model_pool.layers import HEAD_INPUT, LayerSetting, Pooling, read_layers, select_layers
from transfer_exp.model_pool.loaded_model import LoadedModel, Transform
from transfer_exp.model_pool.preprocessing import split_transform
from transfer_exp.progress import Track
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics, streamed_statistics
from transfer_exp.statistics.feature_set import FeatureSet, Labels
from transfer_exp.statistics.memory import keep_freed_memory
from transfer_exp.store import Arrays, Store

FeatureReader: TypeAlias = Callable[[int], FeatureSet | None]
"""Reads features of at most so many values, or raises `InputError`; returns None if they are not cached."""
_Outputs: TypeAlias = dict[str, Tensor]
"""Vectors (B, D) of a batch by layer, and source probabilities (B, S) if the model has a head."""
_PROBABILITIES = "source_probabilities"
_log = logging.getLogger(__name__)
LARGE = 10_000_000
"""A network with at least so many parameters gains from several threads."""
_STREAMED_ROWS = 4096
"""Rows in memory at a time when only class statistics are needed: 64 MB at D = 2048."""
# Part of every cache key. Raise it when the same inputs give other values than before.
_VERSION = 1


@dataclass(frozen=True)
class Extractor:
    """Extract features, or read them from the store.

    Attributes:
        store: Cache of the features.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best available.
        batch_size: Images per forward pass.
        workers: Processes that decode images; 0 decodes in this process.
        track: Progress callback of each pass.
        pixel_cache: Cache of decoded images for models that differ only in normalisation.
        layer: Layer of the features, see `select_layers`. With several layers, choose one with `at_layer` first.
        pooling: Pooling of the layer, see `pool_output`; None pools as the network does.
        same_pass: Layers whose features the same pass extracts and stores, unless the store has them.
        speeds: Images per second of the last passes by model, without decoding; filled by passes.
    """

    store: Store
    device: str
    batch_size: int
    workers: int
    track: Track
    pixel_cache: PixelCache = field(default=PIXEL_CACHE, repr=False)
    layer: LayerSetting = HEAD_INPUT
    pooling: Pooling | None = None
    same_pass: tuple[str, ...] = ()
    speeds: dict[str, float] = field(default_factory=dict, repr=False)

    def layers(self, model: LoadedModel) -> tuple[str, ...]:
        """Return the names of the chosen layers of a model; ModelFailureError if it lacks one of them."""
        return (HEAD_INPUT,) if self.layer == HEAD_INPUT else select_layers(model.backbone.library_network, self.layer)

    def at_layer(self, layer: str, same_pass: tuple[str, ...] = ()) -> Extractor:
        """Return an extractor of one layer, which stores the layers of ``same_pass`` too when it runs the network."""
        return replace(self, layer=layer, same_pass=same_pass)

    def __call__(self, name: str, model: LoadedModel, images: LabelledImages) -> tuple[FeatureSet, bool]:
        """Return the features of the images, and whether they were read from the store; messages use the name.

        Raises:
            ModelFailureError: If the network cannot take the images, or its features are not finite numbers (N, D).
            InputError: If an image cannot be read.
        """
        arrays, is_cached = self.store.get_or_compute_arrays(
            "features", self.cache_key(model, images), lambda: self.compute(name, model, images)
        )
        probabilities = arrays.get(_PROBABILITIES)
        return FeatureSet(arrays["features"], images.labels, probabilities, images.targets), is_cached

    def statistics(self, name: str, model: LoadedModel, images: LabelledImages) -> tuple[ClassStatistics, bool]:
        """Return the class statistics of the features, and whether the features were read from the store.

        Cached features are streamed in batches, so that memory does not grow with the number of images.

        Raises:
            ModelFailureError, InputError: Under the conditions of the call; InputError also under those of
                `check_features`.
        """
        if len(images) > _STREAMED_ROWS:
            try:
                batches = self.store.iter_batches("features", self.cache_key(model, images), "features", _STREAMED_ROWS)
                return streamed_statistics(batches, images.labels), True
            except (OSError, ValueError, KeyError):
                pass  # Missing or corrupt: the call below computes the features and logs the reason.
        features, is_cached = self(name, model, images)
        return class_statistics(features.features, features.labels), is_cached

    def compute(self, name: str, model: LoadedModel, images: LabelledImages) -> Arrays:
        """Return features, and source probabilities if the model has a head, without reading the store.

        Further layers of the same pass are saved in the store. They are collected on disk, so that memory does not grow
        with the number of layers.
        """
        layer = self._single_layer(model)
        further_layers = [
            further
            for further in self.same_pass
            if further != layer and not self.at_layer(further).is_cached(model, images)
        ]
        advance = self.track(f"features of {name}", ceil(len(images) / self.batch_size))
        rows: dict[str, _Rows] = {}
        passes: list[tuple[int, float]] = []
        with explain_model_failure("its network cannot take the images", "features.batch_size"):
            for outputs, seconds in self._forward_passes(model, images, (layer, *further_layers)):
                passes.append((len(next(iter(outputs.values()))), seconds))
                for key, values in outputs.items():
                    rows.setdefault(key, _Rows(len(images), on_disk=bool(further_layers))).add(values.numpy())
                advance()
        passes = passes[1:] or passes  # Libraries warm up in the first one.
        self.speeds[name] = sum(size for size, _ in passes) / max(sum(seconds for _, seconds in passes), 1e-9)
        for further in further_layers:
            with suppress(ModelFailureError):  # It is raised where that layer is used.
                self.at_layer(further)._save(model, images, _arrays_of_layer(rows, further))
        return _arrays_of_layer(rows, layer)

    def _forward_passes(
        self, model: LoadedModel, images: LabelledImages, layers: Sequence[str]
    ) -> Iterator[tuple[_Outputs, float]]:
        """Yield the outputs of the network for each batch of images, and the seconds without decoding."""
        inner = [layer for layer in layers if layer != HEAD_INPUT]
        device = best_device(self.device)
        backbone = model.backbone.eval()
        mixed = torch.autocast(device.type, enabled=_precision(device) != "float32")
        try:
            backbone.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            reading = read_layers(backbone.library_network, inner, self.pooling)
            with torch.inference_mode(), mixed, tuned_for(backbone), reading as read:
                for batch in _explain_worker_errors(self._batches(model.transform, images)):
                    start = time.perf_counter()
                    batch = batch.to(device, memory_format=torch.channels_last, non_blocking=True)
                    if HEAD_INPUT in layers:
                        outputs = _check_head(len(batch), *backbone.features_and_logits(batch))
                    else:
                        outputs, _ = {}, backbone(batch)
                    outputs |= {layer: _check_vectors(layer, len(batch), v) for layer, v in read().items()}
                    yield outputs, time.perf_counter() - start
        finally:
            backbone.cpu()  # also after an error, so that the next model has the memory of the device

    def cost(self, name: str, model: LoadedModel) -> ModelCost | None:
        """Return what a model costs, with the fastest speed so far; None if its network cannot take a blank image.

        The costs are records of the store, which gets the speed of the last pass if that was faster.
        """
        device = best_device(self.device)
        kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        key = {"model": dict(model.identity), "transform": repr(model.transform), "device": kind}
        try:
            record, _ = self.store.get_or_compute_record("cost", key, lambda: count_cost(model))
            speed = self.speeds.get(name, 0.0)
            if speed > (record.get("images_per_second") or 0.0):
                speed_facts = {"images_per_second": speed, "batch_size": self.batch_size}
                self.store.update_record("cost", key, speed_facts)
                record |= speed_facts
            return ModelCost(**record)
        except Exception as error:  # networks of any library run here, and a store may be read-only
            _log.info("the cost of %s is unknown: %s", name, first_line(error))
            return None

    def reader(self, model: LoadedModel, images: LabelledImages) -> FeatureReader:
        """Return a function that reads the features from the store later, without the network."""
        return partial(_read_features, self.store, self.cache_key(model, images), images.labels)

    def is_cached(self, model: LoadedModel, images: LabelledImages) -> bool:
        """Return whether the store has the features."""
        return self.store.has("features", self.cache_key(model, images))

    def save(self, model: LoadedModel, images: LabelledImages, features: FeatureSet) -> None:
        """Save features that were extracted in parts, unless the store has them."""
        if self.is_cached(model, images):
            return
        arrays = {"features": features.features}
        if features.source_probabilities is not None:
            arrays[_PROBABILITIES] = features.source_probabilities
        self._save(model, images, arrays)

    def _save(self, model: LoadedModel, images: LabelledImages, arrays: Arrays) -> None:
        self.store.save_arrays("features", self.cache_key(model, images), arrays)

    def cache_key(self, model: LoadedModel, images: LabelledImages) -> dict[str, Any]:
        """Return plain data that decides the features: the key of their file in the store."""
        layer = self._single_layer(model)
        return {
            "version": _VERSION,
            "model": dict(model.identity),
            "layer": layer,
            **({} if layer == HEAD_INPUT else {"pooling": self.pooling or "of the network"}),
            "transform": repr(model.transform),
            "images": images.digest,
            "precision": self._precision,
            **({"logits": model.backbone.logits_key} if model.backbone.logits_key and layer == HEAD_INPUT else {}),
        }

    @cached_property
    def _precision(self) -> str:
        return _precision(best_device(self.device))

    def _single_layer(self, model: LoadedModel) -> str:
        (layer,) = self.layers(model)
        return layer

    def _batches(self, transform: Transform, images: LabelledImages) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        """Yield preprocessed images, from the shared pixels if the transform can be split."""
        _check_shared_memory(self.workers)
        parts = split_transform(transform)
        if parts is None:
            yield from DataLoader(PreparedImages(images, transform), self.batch_size, num_workers=self.workers)
            return
        for pixels in self.pixel_cache.batches(images, parts.geometry, self.batch_size, self.workers):
            yield parts.normalise(pixels)


def _read_features(store: Store, key: Mapping[str, Any], labels: Labels, max_values: int) -> FeatureSet | None:
    """Read features from the store: a `FeatureReader` once the first three arguments are bound."""
    batches = []
    try:
        for batch in store.iter_batches("features", key, "features", _STREAMED_ROWS):
            batches.append(batch)
            if batch.shape[1] * len(labels) > max_values:
                raise InputError(f"{len(labels)} samples of {batch.shape[1]} features are too many to read at once")
    except InputError:
        raise
    except (OSError, KeyError, ValueError):
        return None  # missing or damaged
    return FeatureSet(np.concatenate(batches), labels)


def _check_shared_memory(workers: int) -> None:
    """Raise SharedInputError if the system has no room for the locks of so many worker processes.

    torch would print a traceback in addition to its error.
    """
    try:
        _ = [multiprocessing.Lock() for _ in range(4 * workers)]  # as many as torch makes, at the same time
    except OSError as error:
        message = f"cannot start processes that decode images ({error.strerror}, for locks): set features.workers=0"
        raise SharedInputError(message) from error


def _explain_worker_errors(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """Yield the batches; reduce errors of worker processes, which carry a traceback as text, to one line."""
    try:
        yield from batches
    except InputError as error:
        raise SharedInputError(str(error).rpartition("InputError: ")[2]) from error
    except RuntimeError as error:
        if any(text in str(error) for text in ("DataLoader worker", "shared memory", "/torch_", "Bus error")):
            # Also where /dev/shm, through which the processes hand images over, is too small.
            message = f"a process that decodes images has died ({first_line(error)}): set features.workers=0"
            raise SharedInputError(message) from error
        raise


def _check_head(n_images: int, features: Tensor, logits: Tensor | None) -> _Outputs:
    """Return features and source probabilities of a batch on the CPU, after a check of their shapes."""
    if features.ndim > 2 and features[0, 0].numel() == 1:
        features = features.flatten(1)  # a map of one pixel
    outputs = {HEAD_INPUT: _check_vectors("features", n_images, features)}
    if logits is not None:
        _check_vectors("logits", n_images, logits)
        outputs[_PROBABILITIES] = torch.softmax(logits.float(), dim=1).cpu()
    return outputs


def _check_vectors(name: str, n_images: int, values: Tensor) -> Tensor:
    """Return one vector per image on the CPU."""
    if values.ndim != 2 or len(values) != n_images or not values.is_floating_point():
        raise ModelFailureError(
            f"its {name} have the shape {tuple(values.shape)} for {n_images} images, not one vector per image: "
            "if they are maps, give the network a pooling"
        )
    return values.float().cpu()


class _Rows:
    """Array that grows batch by batch to a known number of rows.

    Args:
        n_rows: Number of rows of all batches.
        on_disk: Whether a temporary file holds the array instead of memory.
    """

    def __init__(self, n_rows: int, on_disk: bool) -> None:
        self._n_rows, self._on_disk, self._filled = n_rows, on_disk, 0
        self._array: np.ndarray | None = None

    def add(self, batch: np.ndarray) -> None:
        """Append a batch (B, D)."""
        if self._array is None:
            shape = self._n_rows, batch.shape[1]
            if self._on_disk:
                with tempfile.TemporaryFile() as file:  # The mapping keeps the file alive.
                    self._array = np.memmap(file, batch.dtype, "w+", shape=shape)
            else:
                self._array = np.empty(shape, batch.dtype)
        self._array[self._filled : self._filled + len(batch)] = batch
        self._filled += len(batch)

    def array(self) -> np.ndarray:
        """Return all rows."""
        assert self._array is not None, "there is at least one batch"
        return self._array[: self._filled]


def _arrays_of_layer(rows: Mapping[str, _Rows], layer: str) -> Arrays:
    """Return the arrays of a layer by their names in the store; refuse values that are not finite."""
    names = {"features": layer} | ({_PROBABILITIES: _PROBABILITIES} if layer == HEAD_INPUT else {})
    arrays = {name: np.asarray(rows[key].array()) for name, key in names.items() if key in rows}
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise ModelFailureError(f"its {name.replace('_', ' ')} are NaN or infinite, first for image {row}")
    return arrays


@contextmanager
def tuned_for(network: nn.Module) -> Iterator[None]:
    """Tune torch for a network inside the context: one thread unless the network is large, and reuse of freed memory.

    The threads of a small layer wait for each other: on a machine with other work, two of them take five to ten times
    as long as one. Inside a process of `map_models` there is one thread for any network. The number of threads never
    depends on the load of the machine, because it can change the last digits of a result.
    """
    keep_freed_memory()
    limit = torch.get_num_threads()
    is_large = sum(parameter.numel() for parameter in network.parameters()) >= LARGE
    torch.set_num_threads(limit if is_large else 1)
    try:
        yield
    finally:
        torch.set_num_threads(limit)


def best_device(name: str) -> torch.device:
    """Return the device with this name; ``auto`` prefers CUDA, then MPS, then the CPU.

    Raises:
        InputError: If torch does not know the name, or the machine has no such device.
    """
    if name == "auto":
        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        return torch.device(next(kind for kind, is_available in available.items() if is_available))
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        message = f"device '{name}' is not available: use device=cpu, cuda, mps, or auto for the best available one"
        raise InputError(message) from error
    return device


def _precision(device: torch.device) -> str:
    """Return the arithmetic of a forward pass: mixed precision on CUDA, float32 elsewhere."""
    return "mixed" if device.type == "cuda" else "float32"
