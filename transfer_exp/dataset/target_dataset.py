"""Target datasets: labelled images in disjoint splits, the scoring set, and the measure of accuracy.

The scoring set is the part of the training images on which metrics score the models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Int
from PIL.Image import Image

from transfer_exp.dataset.stratification import stratified_indices, stratified_split
from transfer_exp.errors import InputError
from transfer_exp.progress import track

Measure = Literal["accuracy", "mean_per_class_accuracy", "map_11point"]
NOT_READABLE = "not readable"
"""Reason why damaged and missing images are passed over with ``on_unreadable=skip``."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images, read one at a time, and their labels.

    Attributes:
        labels: Class of each image, in [0, C) for C classes, (N,); one of its classes if it shows several.
        read: Function of an index that returns the RGB image; raises `InputError` with the file if it is unreadable.
        fingerprint: Function of an index that returns bytes that identify the image, without decoding it.
        targets: (N, C) zeros and ones if an image may show several classes (voc2007), else None.
        name: Function of an index that returns the name of the image in messages.
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

    def stratified_subset(self, size: int | None, seed: int) -> LabelledImages:
        """Return a random sample with the class proportions of all images, see `stratified_indices`."""
        return self.subset(stratified_indices(self.labels, size, seed))

    def split(self, fraction: float, seed: int) -> tuple[LabelledImages, LabelledImages]:
        """Return the images that remain, and those held out: ``fraction`` of every class (see `stratified_split`)."""
        remaining, held_out = stratified_split(self.labels, fraction, seed)
        return self.subset(remaining), self.subset(held_out)

    def concatenate(self, following: LabelledImages) -> LabelledImages:
        """Return these images followed by other images of the same dataset."""
        first = len(self)
        targets = None
        if self.targets is not None and following.targets is not None:
            targets = np.concatenate([self.targets, following.targets])
        return LabelledImages(
            np.concatenate([self.labels, following.labels]),
            lambda i: self.read(i) if i < first else following.read(i - first),
            lambda i: self.fingerprint(i) if i < first else following.fingerprint(i - first),
            targets,
            lambda i: self.name(i) if i < first else following.name(i - first),
        )

    @cached_property
    def digest(self) -> str:
        """The sha256 of the fingerprints, labels and targets of all images in order, for cache keys."""
        total = hashlib.sha256(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        if self.targets is not None:
            total.update(np.ascontiguousarray(self.targets, dtype=np.int64).tobytes())
        advance = track("hashing images", len(self))
        for i in range(len(self)):
            total.update(hashlib.sha256(self.fingerprint(i)).digest())
            advance()
        return total.hexdigest()


@dataclass(frozen=True, eq=False)
class TargetDataset:
    """A classification task to transfer to.

    Attributes:
        name: Name in tables; published accuracies are looked up with it.
        class_names: C names, in the order of the labels.
        train, validation, test: Disjoint splits. ``validation`` may be None; fine-tuning then holds out a part of
            ``train``. Only the final accuracy uses ``test``.
        scoring_set: The part of ``train`` on which models are scored.
        measure: Measure of accuracy that papers report for this dataset.
        passed_over: Names of the files that were not read, relative to the root of the dataset, by reason (a phrase in
            the plural such as "not images").

    Raises:
        InputError: If fewer than two classes have training images; if a class with images in any split has fewer than
            two training images (one has no variance, and none cannot be recognised); if the test split is
            empty; or if a label has no class name.
    """

    name: str
    class_names: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    scoring_set: LabelledImages
    validation: LabelledImages | None = None
    measure: Measure = "accuracy"
    passed_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def content_digest(self, trains: bool) -> str:
        """Return the sha256 of the scoring set, and of all splits if a regime trains and tests on them."""
        splits = (self.scoring_set, *((self.train, self.validation, self.test) if trains else ()))
        return hashlib.sha256(" ".join(split.digest if split else "none" for split in splits).encode()).hexdigest()

    def __post_init__(self) -> None:
        train, test = (self._count_classes(split) for split in (self.train, self.test))
        validation = 0 * train if self.validation is None else self._count_classes(self.validation)
        for c in np.flatnonzero((train < 2) & (train + validation + test > 0)):
            validation_text = f", {validation[c]} validation" if validation[c] else ""
            raise InputError(
                f"{self.name}: class {self.class_names[c]!r} has {train[c]} training{validation_text} and {test[c]} "
                "test images, and needs at least two to train on: add images or leave the class out"
            )
        if np.count_nonzero(train) < 2:
            names = [self.class_names[c] for c in np.flatnonzero(train)]
            raise InputError(f"{self.name} has training images of {names} only: a ranking needs at least two classes")
        if len(self.test) == 0:
            raise InputError(f"{self.name} has no test image: add some")

    def _count_classes(self, split: LabelledImages) -> Int[np.ndarray, " classes"]:
        """Return the images per class of ``split``, (C,)."""
        counts = np.bincount(split.labels, minlength=len(self.class_names))
        if len(counts) > len(self.class_names):
            raise InputError(f"{self.name} has label {len(counts) - 1} but names only {len(self.class_names)} classes")
        return counts
