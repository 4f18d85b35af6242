"""What every dataset of the package is: named classes, three splits kept apart, and a measure of success."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from PIL.Image import Image

from transfer_exp.types import InputError

Measure = Literal["accuracy", "mean_per_class_accuracy", "map_11point"]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images that are read one at a time, and their labels.

    Attributes
    ----------
    labels
        (N,), classes as integers in [0, C).
    read
        Gives the RGB image at a position; raises `InputError` naming the file when it cannot be read.
    fingerprint
        Gives bytes that change whenever the image at a position changes; cheaper than decoding it.
    targets
        (N, C) zeros and ones where an image may show several classes (voc2007), else None.
    """

    labels: Int[np.ndarray, " samples"]
    read: Callable[[int], Image]
    fingerprint: Callable[[int], bytes]
    targets: Int[np.ndarray, "samples classes"] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Int[np.ndarray, " chosen"]) -> LabelledImages:
        """Return the images at ``indices``, in that order."""
        targets = None if self.targets is None else self.targets[indices]
        return LabelledImages(
            self.labels[indices],
            lambda i: self.read(int(indices[i])),
            lambda i: self.fingerprint(int(indices[i])),
            targets,
        )

    def digest(self) -> str:
        """Return the sha256 of all images and labels, in order, as a key for what is computed from them."""
        total = hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        for i in range(len(self)):
            total.update(hashlib.sha256(self.fingerprint(i)).digest())
        return total.hexdigest()


@dataclass(frozen=True, eq=False)
class TargetDataset:
    """A classification task to transfer to.

    Attributes
    ----------
    name
        As shown in tables and used to look up published accuracies.
    class_names
        C names, in the order of the labels.
    train, validation, test
        Disjoint splits. ``validation`` is None where the dataset publishes none: ground truth then holds out part of
        ``train``. Nothing but the final accuracy ever sees ``test``.
    probe
        The part of ``train`` that is scored.
    measure
        What the dataset's literature reports.
    """

    name: str
    class_names: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    probe: LabelledImages
    validation: LabelledImages | None = None
    measure: Measure = "accuracy"


def stratified_indices(
    labels: Int[np.ndarray, " samples"], size: int | None, seed: int
) -> Int[np.ndarray, " chosen"]:
    """Choose ``size`` positions with the class proportions of ``labels``, in ascending order.

    Every class keeps its share of ``size``, rounded by largest remainder and never below one sample, so that
    no class disappears. ``size`` None, or at least N, takes all.

    Raises
    ------
    InputError
        When ``size`` is smaller than the number of classes.
    """
    if size is None or size >= len(labels):
        return np.arange(len(labels))
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if size < len(classes):
        raise InputError(f"probe_size={size} cannot hold one image of each of {len(classes)} classes: raise it")
    rng = np.random.default_rng(seed)
    quota = _quotas(counts, size)
    chosen = [rng.choice(np.flatnonzero(codes == c), quota[c], replace=False) for c in range(len(classes))]
    return np.sort(np.concatenate(chosen))


def _quotas(counts: Int[np.ndarray, " classes"], size: int) -> Int[np.ndarray, " classes"]:
    """Split ``size`` over classes in proportion to ``counts``, at least one each."""
    share = counts * (size / counts.sum())
    quota = np.maximum(np.floor(share).astype(np.int64), 1)
    while quota.sum() != size:
        step = 1 if quota.sum() < size else -1
        gap = np.where((quota > 1) | (step > 0), step * (share - quota), -np.inf)
        quota[int(np.argmax(gap))] += step
    return quota
