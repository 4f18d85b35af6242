"""Precomputed features: one npz file of features and labels for each model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.npz import list_arrays, read_array
from transfer_exp.statistics.feature_set import FeatureSet, check_features, check_source_probabilities

Split = Literal["scoring_set", "train", "test"]


@dataclass(frozen=True, eq=False)
class FeatureArrays:
    """A target dataset given by the features of M models instead of images.

    Attributes:
        name: The name in tables.
        class_names: C names, in the order of the labels.
        files: The npz file of each model, by model name.
        labels: Training labels in [0, C), (N,), equal for all models.
        scoring_set: Positions of the samples to score on, among the N.
        test_labels: Test labels, (T,), or None if the files have no test part.
    """

    name: str
    class_names: tuple[str, ...]
    files: dict[str, Path]
    labels: Int[np.ndarray, " samples"]
    scoring_set: Int[np.ndarray, " selected"]
    test_labels: Int[np.ndarray, " test_samples"] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the M models, sorted."""
        return tuple(self.files)

    def content_digest(self, trains: bool) -> str:
        """Return the sha256 of all files and of the scoring set; ``trains`` makes no difference to arrays."""
        total = hashlib.sha256(np.ascontiguousarray(self.scoring_set, dtype=np.int64).tobytes())
        for name, path in self.files.items():
            total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
        return total.hexdigest()

    def feature_set(self, model: str, split: Split) -> FeatureSet:
        """Read the features of one model: all training samples, its scoring set, or the test part.

        Source probabilities are available for training samples only.

        Raises:
            InputError: If the model or the test part does not exist, or the arrays cannot be scored (see `arrays`).
        """
        if model not in self.files:
            raise InputError(f"dataset {self.name} has no model {model!r}: {suggestion(model, self.files)}")
        path = self.files[model]
        if split == "test":
            if self.test_labels is None:
                raise InputError(f"{path} has no test_features and test_labels: add them or set ground_truth=none")
            test = _read_features(path, "test_features", self.test_labels)
            if test.shape[1:] != _read_features(path, "features", self.labels).shape[1:]:
                raise InputError(f"features and test_features of {path} differ in width: save both of one model")
            return FeatureSet(test, self.test_labels)
        rows = np.arange(len(self.labels)) if split == "train" else self.scoring_set
        features = _read_features(path, "features", self.labels)[rows]
        source = _read_probabilities(path, self.labels)
        return FeatureSet(features, self.labels[rows], None if source is None else source[rows])


def arrays(root: str, scoring_set_size: int | None = None, seed: int = 0) -> FeatureArrays:
    """Return the models of one npz file, or of a folder with one npz file per model; file names name the models.

    The keys are ``features`` (N, D) and ``labels`` (N,), integers or strings; optionally ``source_probabilities``
    (N, S), and ``test_features`` (T, D) with ``test_labels`` (T,). All files must have the same labels. Pickled objects
    are refused. Features are read later, one model at a time.

    Args:
        root: The file or folder; ``~`` is expanded.
        scoring_set_size: Number of samples to score on, stratified; None for all N.
        seed: Seed of the scoring set.

    Raises:
        InputError: If a file or key is missing, shapes or labels do not fit, or there is only one class.
    """
    files = _list_files(root)
    first, *following = files.values()
    raw, raw_test = _read_labels(first)
    for path in following:
        for name, expected, values in zip(("labels", "test_labels"), (raw, raw_test), _read_labels(path), strict=True):
            if values is not expected and (values is None or expected is None or not np.array_equal(values, expected)):
                raise InputError(f"{name} of {path} differ from those of {first}: all models need the same samples")
    classes, labels = np.unique(raw, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"labels of {first} hold one class only: a ranking of models needs at least two")
    test_labels = None if raw_test is None else _encode_test_labels(raw_test, classes, first)
    name = Path(root).expanduser().resolve().stem
    names = tuple(str(label) for label in classes)
    return FeatureArrays(name, names, files, labels, stratified_indices(labels, scoring_set_size, seed), test_labels)


def _list_files(root: str) -> dict[str, Path]:
    """Return the npz files by model name."""
    path = Path(root).expanduser()
    if path.is_file():
        return {path.stem: path}
    files = sorted(path.glob("*.npz"))
    if not files:
        raise InputError(f"dataset.root={root} is neither an npz file nor a folder of them (one per model)")
    return {file.stem: file for file in files}


def _read_array(path: Path, key: str, optional: bool = False) -> np.ndarray | None:
    """Read one array; return None if an optional one is missing."""
    names = list_arrays(path)
    if key in names:
        return read_array(path, key)
    if optional:
        return None
    raise InputError(f"{path} has no array {key!r}, only {', '.join(names) or 'nothing'}: save it with np.savez")


def _read_labels(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return training labels, and test labels or None."""
    labels, test = _read_array(path, "labels"), _read_array(path, "test_labels", optional=True)
    assert labels is not None
    for name, values in (("labels", labels), ("test_labels", test)):
        if values is not None and (values.ndim != 1 or len(values) == 0 or values.dtype.kind not in "iuU"):
            raise InputError(f"{name} of {path} must be (N,) integers or strings, not {values.shape} {values.dtype}")
    return labels, test


def _encode_test_labels(labels: np.ndarray, classes: np.ndarray, path: Path) -> Int[np.ndarray, " test_samples"]:
    """Return the positions of test labels among the training classes."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise InputError(f"test_labels of {path} hold {unknown[0]}, which is not among labels: remove it")
    return np.searchsorted(classes, labels)


def _read_features(path: Path, key: str, labels: np.ndarray) -> np.ndarray:
    """Read features and check them, with the file name in error messages."""
    features = _read_array(path, key)
    assert features is not None
    try:
        # Labels are checked elsewhere, and a test part may have only one class.
        checked = check_features(features, np.arange(len(labels)))
    except InputError as error:
        raise InputError(f"{key} of {path}: {error}") from error
    return features if features.dtype in (np.float32, np.float64) else checked


def _read_probabilities(path: Path, labels: np.ndarray) -> np.ndarray | None:
    """Read source probabilities and check that each row is a distribution."""
    source = _read_array(path, "source_probabilities", optional=True)
    if source is None:
        return None
    try:
        return check_source_probabilities(source, labels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
