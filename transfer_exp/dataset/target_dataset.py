"""What every dataset of the package is: named classes, three splits kept apart, and a measure of success."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Int
from PIL.Image import Image

from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.errors import InputError

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
    name
        What to call the image at a position when it is spoken of; its number where it has no other name.
    """

    labels: Int[np.ndarray, " samples"]
    read: Callable[[int], Image]
    fingerprint: Callable[[int], bytes]
    targets: Int[np.ndarray, "samples classes"] | None = None
    name: Callable[[int], str] = "image {}".format

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
            lambda i: self.name(int(indices[i])),
        )

    def stratified(self, size: int | None, seed: int) -> LabelledImages:
        """Return ``size`` of the images, chosen as `stratified_indices` does: how a scoring set is drawn."""
        return self.subset(stratified_indices(self.labels, size, seed))

    def joined(self, other: LabelledImages) -> LabelledImages:
        """Return these images followed by the ``other`` ones of the same dataset."""
        first = len(self)
        targets = None
        if self.targets is not None and other.targets is not None:
            targets = np.concatenate([self.targets, other.targets])
        return LabelledImages(
            np.concatenate([self.labels, other.labels]),
            lambda i: self.read(i) if i < first else other.read(i - first),
            lambda i: self.fingerprint(i) if i < first else other.fingerprint(i - first),
            targets,
            lambda i: self.name(i) if i < first else other.name(i - first),
        )

    @cached_property
    def digest(self) -> str:
        """The sha256 of all images, labels and targets, in order: a key for what derives from them."""
        total = hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        if self.targets is not None:
            total.update(np.ascontiguousarray(self.targets, dtype=np.int64).tobytes())
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
        Disjoint splits. ``validation`` is None where the dataset publishes none: ground truth then holds out
        part of ``train``. Nothing but the final accuracy ever sees ``test``.
    scoring_set
        The part of ``train`` that is scored.
    measure
        What the dataset's literature reports.

    Raises
    ------
    InputError
        When fewer than two classes can be trained on, or a class that occurs has fewer than two training
        images: a single image has no spread, and a class absent from training cannot be recognised.
    """

    name: str
    class_names: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    scoring_set: LabelledImages
    validation: LabelledImages | None = None
    measure: Measure = "accuracy"

    def __post_init__(self) -> None:
        train, test = (self._counts(split) for split in (self.train, self.test))
        for c in np.flatnonzero((train < 2) & (train + test > 0)):
            raise InputError(
                f"{self.name}: class {self.class_names[c]!r} has {train[c]} training and {test[c]} test "
                "images, and needs at least two to train on: add images or leave the class out"
            )
        if np.count_nonzero(train) < 2:
            only = [self.class_names[c] for c in np.flatnonzero(train)]
            raise InputError(f"{self.name} has no two classes to tell apart, only {only}: a ranking needs at least two")
        if len(self.test) == 0:
            raise InputError(f"{self.name} has no test image")

    def _counts(self, split: LabelledImages) -> Int[np.ndarray, " classes"]:
        """Images per class of ``split``, (C,)."""
        counts = np.bincount(split.labels, minlength=len(self.class_names))
        if len(counts) > len(self.class_names):
            raise InputError(f"{self.name} has label {len(counts) - 1} but names only {len(self.class_names)} classes")
        return counts
