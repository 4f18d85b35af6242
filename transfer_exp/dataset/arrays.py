"""Precomputed features: one npz file of features and labels for each model, or arrays in memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int, Real

from transfer_exp.dataset.array_conversion import NUMBERS_ADVICE, flatten_labels, flatten_numbers, refuse_missing_text
from transfer_exp.dataset.stratification import few_shot_indices, stratified_indices
from transfer_exp.dataset.target_dataset import MEASURES, Measure, check_measure, check_whole_scoring_set
from transfer_exp.dataset.targets import group_numbers, number_groups, rarest_labels
from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.npz import list_arrays, list_files, read_array, read_shape
from transfer_exp.io.text import clean_name, expand_user
from transfer_exp.statistics.feature_set import (
    FeatureSet,
    FeaturesInMemory,
    TargetKind,
    Targets,
    check_features,
    check_source_probabilities,
)

ArraysPart = Literal["scoring_set", "train", "test"]
_ARRAY_OF_INPUT = {"source_probabilities": "source_probabilities", "source_set": "source_features"}
"""Optional array that an input of a metric is read from."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)
"""A number as a text, with a point or a comma before its decimals."""


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Arrays of one model by key: an npz file, or arrays in memory.

    Attributes:
        label: Name of the arrays in messages.
        content: The file or the arrays.
    """

    label: str
    content: Path | Mapping[str, np.ndarray]

    def read(self, key: str) -> np.ndarray:
        """Return one array; raises `InputError` if it does not exist or cannot be read."""
        array = self.read_optional(key)
        if array is None:
            names = ", ".join(self._names) or "nothing"
            raise InputError(f"{self.label} has no array {key!r}, only {names}: save it with np.savez")
        return array

    def read_optional(self, key: str) -> np.ndarray | None:
        """Return one array, or None if it does not exist."""
        if key not in self._names:
            return None
        return read_array(self.content, key) if isinstance(self.content, Path) else self.content[key]

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of one array without reading its data; empty if it does not exist."""
        if key not in self._names:
            return ()
        return read_shape(self.content, key) if isinstance(self.content, Path) else self.content[key].shape

    def may_have(self, key: str) -> bool:
        """Return False only if an array is surely missing; an unreadable file is True, and fails when it is read."""
        try:
            return key in self._names
        except InputError:
            return True

    def digest(self) -> str:
        """Return the sha256 of the file, or of the arrays."""
        if isinstance(self.content, Path):
            return hashlib.sha256(self.content.read_bytes()).hexdigest()
        total = hashlib.sha256()
        for key, array in self.content.items():
            total.update(f"{key}\0{array.dtype}\0{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return total.hexdigest()

    @cached_property
    def _names(self) -> list[str]:
        return list_arrays(self.content) if isinstance(self.content, Path) else list(self.content)


@dataclass(frozen=True, eq=False)
class FeatureArrays:
    """A target dataset given by the features of M models instead of images.

    Attributes:
        name: The name in tables.
        class_names: C names, indexed by `labels`: classes, columns of several labels, or ranges of numbers.
        sources: The arrays of each model, by model name.
        labels: Training labels in [0, C), (N,), equal for all models. With `targets`, they serve only to draw samples
            evenly: the rarest label of each sample, or the range that its number falls in.
        scoring_set: Positions of the samples to score on, among the N.
        test_labels: Test labels, (T,), or None if the files have no test part.
        target_kind: What a model has to predict: one class, several labels or a number.
        targets, test_targets: Several labels or numbers of the N and the T samples; None for one class.
        measure: Measure of accuracy.
        kind_reason: What in the arrays decides the kind.
    """

    name: str
    class_names: tuple[str, ...]
    sources: Mapping[str, ArraySource]
    labels: Int[np.ndarray, " samples"]
    scoring_set: Int[np.ndarray, " selected"]
    test_labels: Int[np.ndarray, " test_samples"] | None = None
    target_kind: TargetKind = "single_label"
    targets: Targets | None = None
    test_targets: Real[np.ndarray, "test_samples targets"] | None = None
    measure: Measure = "accuracy"
    kind_reason: str = ""

    def __post_init__(self) -> None:
        check_measure(self.measure, self.target_kind, self.class_names)

    def with_shots(self, shots: int, seed: int) -> FeatureArrays:
        """Return the dataset with a scoring set of ``shots`` samples of each class, see `TargetDataset.with_shots`."""
        check_whole_scoring_set(len(self.scoring_set), len(self.labels))
        class_names = self.class_names if self.target_kind == "single_label" else None
        return replace(self, scoring_set=few_shot_indices(self.labels, shots, seed, class_names))

    @property
    def n_outputs(self) -> int:
        """Number of outputs of a model, see `TargetDataset`."""
        return 1 if self.target_kind == "regression" else len(self.class_names)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the M models, in the order of `sources`."""
        return tuple(self.sources)

    def check_metric(self, metric: str, inputs: Sequence[str]) -> None:
        """Raise InputError if a metric has an input that no model has; no data is read.

        Args:
            metric: Name of the metric.
            inputs: Names of its inputs, see `Facts`.
        """
        advice = "choose a metric of features, such as metric=logme"
        if "weights" in inputs:
            raise InputError(f"metric={metric} reads the weights of networks, and arrays have none: {advice}")
        for key in (_ARRAY_OF_INPUT[name] for name in inputs if name in _ARRAY_OF_INPUT):
            if not any(source.may_have(key) for source in self.sources.values()):
                is_file = any(isinstance(source.content, Path) for source in self.sources.values())
                fix = f"add it to the npz files, or {advice}" if is_file else advice
                raise InputError(f"metric={metric} needs {key}, an array that no model of {self.name} has: {fix}")

    def content_digest(self, with_splits: bool) -> str:
        """Return the sha256 of all files or arrays and of the scoring set; ``with_splits`` makes no difference here."""
        total = hashlib.sha256(np.ascontiguousarray(self.scoring_set, dtype=np.int64).tobytes())
        for name, source in self.sources.items():
            total.update(f"{name}\0{source.digest()}".encode())
        return total.hexdigest()

    def feature_set(self, model: str, split: ArraysPart) -> FeatureSet:
        """Read the features of one model: all training samples, its scoring set, or the test part.

        Source probabilities are available for training samples only.

        Raises:
            InputError: If the model or the test part does not exist, or the arrays are refused by `check_features` or
                `check_source_probabilities`.
        """
        if model not in self.sources:
            raise InputError(f"dataset {self.name} has no model {model!r}: {suggestion(model, self.sources)}")
        source = self.sources[model]
        if split == "test":
            if self.test_labels is None:
                labels = "test_target" if source.may_have("target") else "test_labels"
                raise InputError(f"{source.label} has no test_features and {labels}: add them or set ground_truth=none")
            test = _read_features(source, "test_features", self.test_labels)
            if test.shape[1:] != _read_features(source, "features", self.labels).shape[1:]:
                raise InputError(
                    f"features and test_features of {source.label} differ in width: save both of one model"
                )
            return FeatureSet(test, self.test_labels, targets=self.test_targets)
        rows = np.arange(len(self.labels)) if split == "train" else self.scoring_set
        features = _read_features(source, "features", self.labels)[rows]
        probabilities = _read_probabilities(source, self.labels)
        targets = None if self.targets is None else self.targets[rows]
        return FeatureSet(features, self.labels[rows], None if probabilities is None else probabilities[rows], targets)

    def source_set(self, model: str) -> FeatureSet | None:
        """Read features, labels and source probabilities of a model's source images; None if the file has none.

        Raises:
            InputError: If the file has source features without labels, or the arrays do not fit.
        """
        source = self.sources[model]
        if source.read_optional("source_features") is None:
            return None
        labels = source.read("source_labels")
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise InputError(
                f"source_labels of {source.label} must be (n,) integers, not {labels.shape} {labels.dtype}"
            )
        probabilities = _read_probabilities(source, labels, "source_set_probabilities")
        if probabilities is not None and not 0 <= labels.min() <= labels.max() < probabilities.shape[1]:
            raise InputError(
                f"source_labels of {source.label} run from {labels.min()} to {labels.max()}, and "
                f"source_set_probabilities have {probabilities.shape[1]} columns: number the source classes by column"
            )
        return FeatureSet(_read_features(source, "source_features", labels), labels, probabilities)


def arrays(root: str | FeaturesInMemory, scoring_set_size: int | None = None, seed: int = 0) -> FeatureArrays:
    """Return the models of one npz file, or of a folder with one npz file per model; file names name the models.

    The keys are ``features`` (N, D) and ``labels``; optionally ``source_probabilities`` (N, S), and ``test_features``
    (T, D) with ``test_labels``. ``source_features`` (n, D), ``source_labels`` (n,) and ``source_set_probabilities``
    (n, S) can describe images of the dataset that the model was pretrained on. All files must have the same labels.
    Pickled objects are refused. Features are read later, one model at a time.

    Labels are one class per sample, (N,) integers, strings or truth values, or one-hot, (N, C); several labels, (N, C)
    zeros and ones; or numbers to predict, (N,) floats that are not all whole. The keys ``target`` and ``test_target``
    instead of ``labels`` and ``test_labels`` hold numbers to predict that may be whole, such as ages.

    Args:
        root: The file or folder, where ``~`` is expanded; or arrays in memory.
        scoring_set_size: Number of samples to score on, stratified; None for all N.
        seed: Seed of the scoring set.

    Raises:
        InputError: If a file or key is missing, shapes or labels do not fit, there is only one class, or a class or a
            label has fewer than two training samples.
    """
    name, sources = _list_sources(root)
    first, *following = sources.values()
    raw, raw_test = _read_labels(first)
    for source in following:
        for part, expected, values in zip(
            ("labels", "test_labels"), (raw, raw_test), _read_labels(source), strict=True
        ):
            if values is not expected and (values is None or expected is None or not np.array_equal(values, expected)):
                raise InputError(
                    f"{part} of {source.label} differ from those of {first.label}: all models need the same samples"
                )
    for source in sources.values():
        _check_length(source, len(raw))
    kind: TargetKind = "multi_label" if raw.ndim == 2 else "regression" if raw.dtype.kind == "f" else "single_label"
    test_labels = targets = test_targets = None
    if kind == "multi_label":
        class_names, targets, test_targets = tuple(str(c) for c in range(raw.shape[1])), raw, raw_test
        _check_class_sizes(raw.sum(axis=0), class_names, first, kind="label")
        labels = rarest_labels(raw, raw)
        test_labels = None if raw_test is None else rarest_labels(raw_test, raw)
    elif kind == "regression":
        bounds, class_names = number_groups(raw)
        labels, targets = group_numbers(raw, bounds), raw[:, None]
        if raw_test is not None:
            test_labels, test_targets = group_numbers(raw_test, bounds), raw_test[:, None]
    else:
        classes, labels = np.unique(raw, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"labels of {first.label} hold one class only: a ranking of models needs at least two")
        test_labels = None if raw_test is None else _encode_test_labels(raw_test, classes, first)
        class_names = tuple(str(label) for label in classes)
        _check_class_sizes(np.bincount(labels), class_names, first, may_be_numbers=raw.dtype.kind != "b")
    return FeatureArrays(
        name,
        class_names,
        sources,
        labels,
        stratified_indices(labels, scoring_set_size, seed),
        test_labels,
        kind,
        targets,
        test_targets,
        MEASURES[kind][0],
        _kind_reason(kind, first),
    )


def _kind_reason(kind: TargetKind, source: ArraySource) -> str:
    """Return what in the arrays decides the kind of dataset."""
    if kind == "regression":
        has_target = source.read_optional("target") is not None
        return "the array target holds numbers" if has_target else "the labels are floats that are not all whole"
    content = "a matrix of zeros and ones" if kind == "multi_label" else "one class a sample"
    return f"the labels are {content}"


def _list_sources(root: str | FeaturesInMemory) -> tuple[str, dict[str, ArraySource]]:
    """Return the name of the dataset, and the arrays by model name."""
    if isinstance(root, FeaturesInMemory):
        sources = {
            name: ArraySource(f"model {name}", {"features": features, root.key: root.labels})
            for name, features in root.features.items()
        }
        return "features", sources
    path = expand_user(root)
    files = list_files(root)
    return clean_name(path.resolve().stem), {clean_name(file.stem): ArraySource(str(file), file) for file in files}


def _read_labels(source: ArraySource) -> tuple[np.ndarray, np.ndarray | None]:
    """Return training labels, and test labels or None, each as in `flatten_labels` or `flatten_numbers`."""
    numbers, test_numbers = source.read_optional("target"), source.read_optional("test_target")
    if numbers is not None:
        if source.read_optional("labels") is not None:
            raise InputError(f"{source.label} has the arrays labels and target: keep the one to predict")
        test_name = f"test_target of {source.label}"
        test_part = None if test_numbers is None else flatten_numbers(test_numbers, test_name)
        return flatten_numbers(numbers, f"target of {source.label}"), test_part
    test = source.read_optional("test_labels")
    parts = {"labels": source.read("labels")} | ({} if test is None else {"test_labels": test})
    if isinstance(source.content, Path):  # arrays in memory are checked before they are converted
        for key, part in parts.items():
            refuse_missing_text(part, f"{key} of {source.label}", "write another name")
    labels, n_training = parts["labels"], len(parts["labels"])
    if test is not None and labels.ndim == 2 and test.shape[1:] != labels.shape[1:]:
        raise InputError(f"labels and test_labels of {source.label} differ in columns: save the same labels in both")
    is_alike = test is not None and (labels.ndim == 2 or labels.dtype.kind == test.dtype.kind == "f")
    if test is not None and is_alike and labels.shape[1:] == test.shape[1:]:
        # Together, because test labels alone may look like another kind: whole floats, or rows with a single one.
        flat = flatten_labels(np.concatenate([labels, test]), f"labels of {source.label}")
        return flat[:n_training], flat[n_training:]
    flat_parts = {key: flatten_labels(part, f"{key} of {source.label}") for key, part in parts.items()}
    return flat_parts["labels"], flat_parts.get("test_labels")


def _check_length(source: ArraySource, n_labels: int) -> None:
    """Refuse features with more or fewer rows than labels."""
    shape: tuple[int, ...] = ()
    with suppress(InputError):  # features that cannot be read leave only their model out, with the reason
        shape = source.shape("features")
    if shape and shape[0] != n_labels:
        raise InputError(
            f"{source.label} has {shape[0]} rows of features but {n_labels} labels: save one label for each row"
        )


def _check_class_sizes(
    counts: Int[np.ndarray, " classes"],
    class_names: Sequence[str],
    source: ArraySource,
    kind: str = "class",
    may_be_numbers: bool = False,
) -> None:
    """Refuse a class or label with fewer than two samples, like the readers of images.

    Args:
        counts: Training samples of each class, (C,).
        class_names: C names.
        source: Has the labels, for the message.
        kind: What a name stands for, in the message.
        may_be_numbers: Whether the labels are numbers to predict if all names are numbers.
    """
    if not (counts < 2).any():
        return
    c = int(np.argmax(counts < 2))
    n_samples = "1 training sample" if counts[c] == 1 else f"{counts[c]} training samples"
    advice = f"; {NUMBERS_ADVICE}" if may_be_numbers and all(map(_NUMBER.fullmatch, class_names)) else ""
    raise InputError(
        f"labels of {source.label}: {kind} {class_names[c]!r} has {n_samples}, and needs at least two: "
        f"add samples or leave the {kind} out{advice}"
    )


def _encode_test_labels(
    labels: np.ndarray, classes: np.ndarray, source: ArraySource
) -> Int[np.ndarray, " test_samples"]:
    """Return the positions of test labels among the training classes."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise InputError(f"test_labels of {source.label} hold {unknown[0]}, which is not among labels: remove it")
    return np.searchsorted(classes, labels)


def _read_features(source: ArraySource, key: str, labels: np.ndarray) -> np.ndarray:
    """Read features and check them, with their origin in error messages."""
    features = source.read(key)
    try:
        # Labels are checked elsewhere, and a test part may have only one class.
        checked = check_features(features, np.arange(len(labels)))
    except InputError as error:
        raise InputError(f"{key} of {source.label}: {error}") from error
    return features if features.dtype in (np.float32, np.float64) else checked


def _read_probabilities(
    source: ArraySource, labels: np.ndarray, key: str = "source_probabilities"
) -> np.ndarray | None:
    """Read source probabilities and check that each row is a distribution."""
    probabilities = source.read_optional(key)
    if probabilities is None:
        return None
    try:
        return check_source_probabilities(probabilities, labels)
    except InputError as error:
        raise InputError(f"{source.label}: {error}") from error
