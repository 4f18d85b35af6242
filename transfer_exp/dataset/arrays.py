"""Features one already has: an npz of features and labels for each model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.stratification import stratified_indices
from transfer_exp.errors import InputError, suggestion
from transfer_exp.io.npz import array_names, read_array
from transfer_exp.statistics.feature_set import FeatureSet, check_features, check_source_probabilities

Split = Literal["scoring_set", "train", "test"]


@dataclass(frozen=True, eq=False)
class FeatureArrays:
    """A target known only by the features that M models gave it.

    Attributes
    ----------
    name
        As shown in tables.
    class_names
        C names, in the order of the labels.
    files
        The npz of each model, by the model's name.
    labels
        (N,), training labels in [0, C), the same for all models.
    scoring_set
        Positions among the N that are scored.
    test_labels
        (T,), or None when the files hold no test part.
    """

    name: str
    class_names: tuple[str, ...]
    files: dict[str, Path]
    labels: Int[np.ndarray, " samples"]
    scoring_set: Int[np.ndarray, " chosen"]
    test_labels: Int[np.ndarray, " test_samples"] | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the M models, sorted."""
        return tuple(self.files)

    def feature_set(self, model: str, split: Split) -> FeatureSet:
        """Read the features of one model: the whole training part, the scoring set within it, or the test part.

        Source probabilities come with the training part only.

        Raises
        ------
        InputError
            When there is no such model or test part, or the arrays are unfit to be scored (see `arrays`).
        """
        if model not in self.files:
            raise InputError(f"dataset {self.name} has no model {model!r}: {suggestion(model, self.files)}")
        path = self.files[model]
        if split == "test":
            if self.test_labels is None:
                raise InputError(f"{path} has no test_features and test_labels: add them or set ground_truth=none")
            test = _features(path, "test_features", self.test_labels)
            if test.shape[1:] != _features(path, "features", self.labels).shape[1:]:
                raise InputError(f"features and test_features of {path} differ in width: save both of one model")
            return FeatureSet(test, self.test_labels)
        every = np.arange(len(self.labels)) if split == "train" else self.scoring_set
        features = _features(path, "features", self.labels)[every]
        source = _probabilities(path, self.labels)
        return FeatureSet(features, self.labels[every], None if source is None else source[every])


def arrays(root: str, scoring_set_size: int | None = None, seed: int = 0) -> FeatureArrays:
    """Return the models and labels of one npz, or of a folder with one npz per model, named by its stem.

    Keys: ``features`` (N, D) and ``labels`` (N,), integers or strings; optionally ``source_probabilities``
    (N, S), and ``test_features`` (T, D) with ``test_labels`` (T,). Labels are the same in all files. Pickled
    objects are refused. Features are read when asked for, one model at a time.

    Parameters
    ----------
    root
        The file or folder; ``~`` is expanded.
    scoring_set_size
        Samples to score on, stratified; None for all N.
    seed
        Decides the scoring set.

    Raises
    ------
    InputError
        When a file or key is missing, shapes or labels do not fit, values are not finite, or there is one
        class.
    """
    files = _files(root)
    first, *others = files.values()
    raw, raw_test = _read_labels(first)
    for path in others:
        for name, ours, theirs in zip(("labels", "test_labels"), (raw, raw_test), _read_labels(path), strict=True):
            if ours is not theirs and (ours is None or theirs is None or not np.array_equal(ours, theirs)):
                raise InputError(f"{name} of {path} differ from those of {first}: all models need the same samples")
    values, labels = np.unique(raw, return_inverse=True)
    if len(values) < 2:
        raise InputError(f"labels of {first} hold one class only: a ranking of models needs at least two")
    test_labels = None if raw_test is None else _encode(raw_test, values, first)
    name = Path(root).expanduser().resolve().stem
    names = tuple(str(value) for value in values)
    return FeatureArrays(name, names, files, labels, stratified_indices(labels, scoring_set_size, seed), test_labels)


def _files(root: str) -> dict[str, Path]:
    """The npz files, by stem."""
    path = Path(root).expanduser()
    if path.is_file():
        return {path.stem: path}
    found = sorted(path.glob("*.npz"))
    if not found:
        raise InputError(f"dataset.root={root} is neither an npz file nor a folder of them (one per model)")
    return {file.stem: file for file in found}


def _array(path: Path, key: str, optional: bool = False) -> np.ndarray | None:
    """Read one array; None if it is absent and may be."""
    present = array_names(path)
    if key in present:
        return read_array(path, key)
    if optional:
        return None
    raise InputError(f"{path} has no array {key!r}, only {', '.join(present) or 'nothing'}: save it with np.savez")


def _read_labels(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Training labels, and test labels if there are."""
    labels, test = _array(path, "labels"), _array(path, "test_labels", optional=True)
    assert labels is not None
    for name, values in (("labels", labels), ("test_labels", test)):
        if values is not None and (values.ndim != 1 or len(values) == 0 or values.dtype.kind not in "iuU"):
            raise InputError(f"{name} of {path} must be (N,) integers or strings, not {values.shape} {values.dtype}")
    return labels, test


def _encode(labels: np.ndarray, classes: np.ndarray, path: Path) -> Int[np.ndarray, " test_samples"]:
    """Positions of test labels among the training classes."""
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise InputError(f"test_labels of {path} hold {unknown[0]}, which is not among labels: it cannot be learned")
    return np.searchsorted(classes, labels)


def _features(path: Path, key: str, labels: np.ndarray) -> np.ndarray:
    """Read features and refuse, by file name, what cannot be scored."""
    features = _array(path, key)
    assert features is not None
    try:
        # One class alone is refused where labels are read; a test part may have it.
        checked = check_features(features, np.arange(len(labels)))
    except InputError as error:
        raise InputError(f"{key} of {path}: {error}") from error
    return features if features.dtype in (np.float32, np.float64) else checked


def _probabilities(path: Path, labels: np.ndarray) -> np.ndarray | None:
    """Read source probabilities and refuse what is not a distribution per row."""
    source = _array(path, "source_probabilities", optional=True)
    if source is None:
        return None
    try:
        return check_source_probabilities(source, labels)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
