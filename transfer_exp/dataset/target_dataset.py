"""Target datasets: labelled images in disjoint splits, the scoring set, and the measure of accuracy.

The scoring set is the part of the training images on which metrics score the models.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from numbers import Real
from typing import TypeVar, get_args

import numpy as np
from jaxtyping import Int, UInt8
from PIL.Image import Image

from transfer_exp.dataset.split_names import Split
from transfer_exp.dataset.stratification import (
    few_shot_indices,
    multi_label_split,
    stratified_indices,
    stratified_split,
)
from transfer_exp.errors import InputError, show_value, suggestion
from transfer_exp.io.measures import ORDINAL, MultiLabelMeasure, OrdinalMeasure, RegressionMeasure, SingleLabelMeasure
from transfer_exp.io.text import clean_name
from transfer_exp.progress import track
from transfer_exp.statistics.feature_set import TargetKind, Targets

Measure = SingleLabelMeasure | MultiLabelMeasure | RegressionMeasure | OrdinalMeasure
MEASURES: Mapping[TargetKind, tuple[Measure, ...]] = {
    "single_label": (*get_args(SingleLabelMeasure), "map_11point", *get_args(OrdinalMeasure)),
    "multi_label": get_args(MultiLabelMeasure),
    "regression": (*get_args(RegressionMeasure), *get_args(OrdinalMeasure)),
    "unlabelled": ("accuracy",),
}
"""Measures of accuracy for each kind of dataset; the first is the default. That of unlabelled images is never used."""
_NUMBER = re.compile(r"\D*?((?:(?<!\w)[-\u2212])?\d+)\D*")
"""A text with one whole number; a minus right before it counts unless a letter, a digit or ``_`` precedes it."""
NOT_READABLE = "not readable"
"""Reason why damaged and missing images are passed over with ``on_unreadable=skip``."""


def no_label_reason(split: str) -> str:
    """Return the reason why the images of a split without labels are passed over."""
    return f"{split} images without a label"


def check_measure(measure: str, kind: TargetKind, class_names: Sequence[str]) -> None:
    """Check that a measure suits a dataset.

    Raises:
        InputError: If it is for another kind, or compares grades and the classes are not grades in ascending order.
    """
    if measure not in MEASURES[kind]:
        raise InputError(f"measure={measure} is not for a {kind} dataset: {suggestion(measure, MEASURES[kind])}")
    if measure in ORDINAL and kind == "single_label":
        matches = [_NUMBER.fullmatch(name) for name in class_names]
        grades = [int(match[1].replace("\u2212", "-")) for match in matches if match is not None]
        if None in matches or any(first >= second for first, second in pairwise(grades)):
            names = ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")
            raise InputError(
                f"measure={measure} needs classes whose names hold ascending numbers, not {names}: name them 0, 1, 2 "
                "(01, 02 with ten classes or more, because names are sorted as text), or give the grades as numbers"
            )


def check_whole_scoring_set(size: int, n_training: int) -> None:
    """Raise `InputError` if a scoring set is smaller than the training split: a number of shots would replace it."""
    if size < n_training:
        raise InputError(f"shots and dataset.scoring_set_size={size} both choose the scoring set: leave one out")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images, read one at a time, and their labels.

    Attributes:
        labels: Class of each image, in [0, C) for C classes, (N,). With targets, the group of each image in stratified
            samples: the rarest of its labels, or the range of its number.
        read: Function of an index that returns the RGB image; raises `InputError` with the file if it is unreadable.
        fingerprint: Function of an index that returns bytes that identify the image, without decoding it.
        targets: (N, C) zeros and ones if an image may have several labels, (N, 1) if it has a number, else None.
        name: Function of an index that returns the name of the image in messages.
    """

    labels: Int[np.ndarray, " samples"]
    read: Callable[[int], Image]
    fingerprint: Callable[[int], bytes]
    targets: Targets | None = None
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
        """Return the images that remain, and those held out: about ``fraction`` of every class or label.

        See `stratified_split` and `multi_label_split`.
        """
        if self.targets is not None and self.targets.dtype.kind == "i":  # several labels; numbers are floats
            remaining, held_out = multi_label_split(self.targets, fraction, seed)
        else:
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
            number_type = np.int64 if self.targets.dtype.kind in "iub" else np.float64
            total.update(np.ascontiguousarray(self.targets, dtype=number_type).tobytes())
        advance = track("hashing images", len(self))
        for i in range(len(self)):
            total.update(hashlib.sha256(self.fingerprint(i)).digest())
            advance()
        return total.hexdigest()


@dataclass(frozen=True, eq=False)
class TargetDataset:
    """A task to transfer to: images, and the class, the labels or the number of each.

    Attributes:
        name: Name in tables; published accuracies are looked up with it.
        class_names: C names, in the order of the labels: of classes, of the columns of the targets, or of ranges of
            numbers.
        train, validation, test: Disjoint splits. ``validation`` may be None; fine-tuning then holds out a part of
            ``train``. Only the final accuracy uses ``test``.
        scoring_set: The part of ``train`` on which models are scored.
        measure: Measure of accuracy, one of `MEASURES`.
        target_kind: What a model has to predict: one class, several labels or a number. A dataset that is
            ``unlabelled`` has one class and no test image, and only its measure is checked.
        passed_over: Names of the files that were not read, relative to the root of the dataset, by reason (a phrase in
            the plural such as "not images").
        kind_reason: What in the data decides the kind, such as "it has a column labels"; empty if the source has only
            one kind.

    Raises:
        InputError: If fewer than two classes have training images; if a class with images in any split has fewer than
            two training images (one has no variance, and a class without any cannot be learnt); if the test split is
            empty; if a label has no class name; or if the measure is not one for this kind of dataset.
    """

    name: str
    class_names: tuple[str, ...]
    train: LabelledImages
    test: LabelledImages
    scoring_set: LabelledImages
    validation: LabelledImages | None = None
    measure: Measure = "accuracy"
    target_kind: TargetKind = "single_label"
    passed_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kind_reason: str = ""

    @property
    def mean_and_scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the numbers of the training split; 0 and 1 without numbers.

        The deviation is not 0, because the training images have numbers in at least two ranges.
        """
        if self.target_kind != "regression" or self.train.targets is None:
            return 0.0, 1.0
        return float(self.train.targets.mean()), float(self.train.targets.std())

    def standardise_numbers(self) -> TargetDataset:
        """Return the dataset with numbers of mean 0 and variance 1 in the training split, if it has numbers."""
        if self.target_kind != "regression":
            return self
        mean, scale = self.mean_and_scale
        splits = {name: getattr(self, name) for name in ("train", "test", "scoring_set", "validation")}
        scaled = {
            name: replace(images, targets=(images.targets - mean) / scale)
            for name, images in splits.items()
            if images is not None
        }
        return replace(self, **scaled)

    def with_shots(self, shots: int, seed: int) -> TargetDataset:
        """Return the dataset with a scoring set of ``shots`` training images of each class, see `few_shot_indices`.

        Raises:
            InputError: If ``shots`` is below 1 or above the size of a class, or the scoring set is already smaller than
                the training split.
        """
        check_whole_scoring_set(len(self.scoring_set), len(self.train))
        class_names = self.class_names if self.target_kind == "single_label" else None
        chosen = few_shot_indices(self.train.labels, shots, seed, class_names)
        return replace(self, scoring_set=self.train.subset(chosen))

    @cached_property
    def identity(self) -> Mapping[str, str | None]:
        """Measure and digests of all splits but the scoring set: what the dataset adds to an accuracy's cache key."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        digests = {name: None if images is None else images.digest for name, images in splits.items()}
        return {"measure": self.measure, **digests}

    def content_digest(self, with_splits: bool) -> str:
        """Return the sha256 of the scoring set and, if ``with_splits``, of train, validation and test."""
        splits = (self.scoring_set, *((self.train, self.validation, self.test) if with_splits else ()))
        # A split without images counts as missing.
        return hashlib.sha256(" ".join(split.digest if split else "none" for split in splits).encode()).hexdigest()

    @property
    def n_outputs(self) -> int:
        """Number of outputs of a model for this dataset: one for each class or label, or one number."""
        return 1 if self.target_kind == "regression" else len(self.class_names)

    def __post_init__(self) -> None:
        check_measure(self.measure, self.target_kind, self.class_names)
        if self.target_kind == "unlabelled":
            return
        train, test = (self.count_classes(split) for split in (self.train, self.test))
        validation = 0 * train if self.validation is None else self.count_classes(self.validation)
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

    def count_classes(self, split: LabelledImages) -> Int[np.ndarray, " classes"]:
        """Return the number of images of each class in ``split``, or that have each label, (C,).

        Raises:
            InputError: If a label has no class name.
        """
        if self.target_kind == "multi_label":
            assert split.targets is not None, "images with several labels have targets"
            return np.asarray(split.targets.sum(axis=0))
        counts = np.bincount(split.labels, minlength=len(self.class_names))
        if len(counts) > len(self.class_names):
            raise InputError(f"{self.name} has label {len(counts) - 1} but names only {len(self.class_names)} classes")
        return counts


def assemble(
    name: str,
    class_names: Sequence[str],
    splits: Mapping[Split, LabelledImages],
    test_fraction: float,
    scoring_set_size: int | None,
    seed: int,
    target_kind: TargetKind = "single_label",
    passed_over: Mapping[str, Sequence[str]] | None = None,
    kind_reason: str = "",
) -> TargetDataset:
    """Return a dataset of splits by name, with the first of `MEASURES` for its kind.

    Args:
        name, class_names, target_kind, passed_over, kind_reason: Attributes of `TargetDataset`.
        splits: Images by split; ``train`` is required.
        test_fraction: Fraction of every class of train to hold out if there is no test split, in (0, 1).
        scoring_set_size, seed: Arguments of `LabelledImages.stratified_subset` for the scoring set; the seed also
            selects the images to hold out.

    Raises:
        InputError: If ``test_fraction`` is needed and out of range, the scoring set is too small, or `TargetDataset`
            rejects the splits.
    """
    train, test = splits["train"], splits.get("test")
    if test is None:
        if not isinstance(test_fraction, Real) or not 0 < test_fraction < 1:
            raise InputError(f"dataset.test_fraction={show_value(test_fraction)}: need a number between 0 and 1")
        train, test = train.split(test_fraction, seed)
    scoring_set, validation = train.stratified_subset(scoring_set_size, seed), splits.get("validation")
    reasons = {reason: tuple(names) for reason, names in (passed_over or {}).items()}
    images = (train, test, scoring_set, validation)
    return TargetDataset(
        clean_name(name),
        tuple(class_names),
        *images,
        measure=MEASURES[target_kind][0],
        target_kind=target_kind,
        passed_over=reasons,
        kind_reason=kind_reason,
    )


Name = TypeVar("Name", str, int)


def select_classes(names: Sequence[Name], classes: Sequence[Name] | None) -> tuple[int, ...]:
    """Return the positions in ``names`` of the chosen classes in their order; of all classes for None.

    Raises:
        InputError: If a class does not exist or is given twice.
    """
    chosen = tuple(names) if classes is None else tuple(classes)
    for i, name in enumerate(chosen):
        if name not in names:
            raise InputError(f"dataset.classes has no class '{name}': {suggestion(str(name), map(str, names))}")
        if name in chosen[:i]:
            raise InputError(f"dataset.classes names '{name}' twice: leave one out")
    return tuple(names.index(name) for name in chosen)


def check_noise(noise: float) -> None:
    """Raise `InputError` unless the standard deviation of the noise is in [0, 1]."""
    if not 0 <= noise <= 1:
        raise InputError(f"dataset.noise={noise}: need a number from 0 to 1, a fraction of the brightest value")


def add_noise(pixels: UInt8[np.ndarray, ...], noise: float, rng: np.random.Generator) -> UInt8[np.ndarray, ...]:
    """Return pixels with Gaussian noise, whose standard deviation is a fraction of the brightest value."""
    return np.clip(pixels + 255 * noise * rng.normal(size=pixels.shape), 0, 255).astype(np.uint8)
