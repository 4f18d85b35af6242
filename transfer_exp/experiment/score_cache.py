"""Cache of scores in the store; a score is reused if features, settings, seed and code are all unchanged.

On the 14 built-in models a second run of ``linear_classifier`` takes 1 s instead of 8 s, and of ``nleep`` along a
strength path 0.5 s instead of 9.5 s. For a cheap metric such as ``logme`` the cache neither helps nor hurts.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

from transfer_exp.errors import InputError
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.io.atomic import digest
from transfer_exp.store import Store
from transfer_exp.store.entries import SCORES

_log = logging.getLogger(__name__)
_FEATURE_INPUTS = {"features", "labels", "class_statistics", "source_probabilities"}
_SAVE_INTERVAL = 30.0
"""Seconds after which new scores are saved within a cell, so that a killed run loses few of them."""
_LIBRARIES = ("numpy", "scipy", "scikit-learn")
_CODE_DIGITS = 16
"""Enough digits to distinguish versions of the code."""


class UncacheableError(Exception):
    """Raised for an object whose result depends on something that a cache key cannot hold."""


@dataclass(eq=False)
class ScoreCache:
    """Scoring of the models of one cell with a cache: one file of the store, extended by every run.

    Scores that depend on more than features and labels, and scores of the user's arrays, are never cached. As a
    context manager it saves new scores at the end, also after an error.

    Attributes:
        scoring: Scores one model.
        store: Holds the scores.
        dataset: Name of the target dataset, for listings of the store.
    """

    scoring: Scoring
    store: Store
    dataset: str
    _new: dict[str, dict[str, Parts]] = field(default_factory=dict, init=False)
    _last_save: float = field(default_factory=time.monotonic, init=False)

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.save()

    def compute_parts(self, pairing: Pairing, ground_truth: Regime) -> Mapping[str, Parts]:
        """Return the parts of one model's score from the cache, or else from `Scoring.compute_parts`.

        Raises:
            InputError, NotApplicableError: Under the conditions of `Scoring.compute_parts`; InputError also if the
                store cannot exist.
        """
        if self._key is None or not isinstance(pairing, NetworkOnImages):
            return self.scoring.compute_parts(pairing, ground_truth)
        features_key = digest(pairing.scoring_features_key())
        cached = self._cached.get(features_key)
        pairing.cache_hits["scores"] = cached is not None
        if cached is not None:
            pairing.mark_scoring_set_used()
            return cached
        computed = self.scoring.compute_parts(pairing, ground_truth)
        if all(isfinite(value) for parts in computed.values() for value in parts.values()):
            self._new[features_key] = computed
        if time.monotonic() - self._last_save > _SAVE_INTERVAL:
            self.save()
        return computed

    def save(self) -> None:
        """Add new scores to the store; log a warning if the store cannot be written."""
        if self._key is not None and self._new:
            # Lists of pairs, because the keys of a JSON object have no order.
            pairs = {
                key: [[step, [[part, float(value)] for part, value in parts.items()]] for step, parts in steps.items()]
                for key, steps in self._new.items()
            }
            try:
                self.store.update_record(SCORES, self._key, pairs)
            except InputError as reason:
                _log.warning("scores are not cached: %s", reason)
        self._new, self._last_save = {}, time.monotonic()

    @cached_property
    def _key(self) -> dict[str, Any] | None:
        """Everything that decides the scores except the features; None if the scores cannot be cached."""
        metric, perturbation = self.scoring.metric, self.scoring.perturbation
        if not metric.inputs or not set(metric.inputs) <= _FEATURE_INPUTS:
            return None
        try:
            settings = {"metric": fingerprint(metric), "perturbation": fingerprint(perturbation)}
        except UncacheableError:
            return None
        names = {"metric": metric.name, "perturbation": perturbation.name}
        return {"dataset": self.dataset, "seed": self.scoring.seed, "names": names, **settings}

    @cached_property
    def _cached(self) -> dict[str, dict[str, Parts]]:
        record = {} if self._key is None else self.store.read_record(SCORES, self._key)
        return {key: {step: dict(parts) for step, parts in steps} for key, steps in record.items()}


def fingerprint(value: Any) -> Any:
    """Return plain data that is equal for two objects only if they compute the same.

    The object is a plain value, a frozen dataclass such as a metric or a perturbation, or a tuple of these. The path
    of a file is replaced by a digest of its content.

    Raises:
        UncacheableError: For any other type, a folder, or a class without source files.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _fingerprint_of_text(value)
    if isinstance(value, tuple):
        return [fingerprint(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        code = code_digest(kind.__module__)[:_CODE_DIGITS]
        settings = {field.name: fingerprint(getattr(value, field.name)) for field in fields(value)}
        return {"type": f"{kind.__module__}.{kind.__qualname__}@{code}", **settings}
    raise UncacheableError(f"{type(value).__name__} is not a plain value")


def _fingerprint_of_text(text: str) -> Any:
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            raise UncacheableError(f"{text} is a folder: its files decide the result")
        return {"file": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else text
    except (OSError, ValueError, RuntimeError):  # not a path: too long, with a NUL, or with an unknown home
        return text


def code_digest(module: str) -> str:
    """Return a sha256 of all Python files of the package that holds a module, and of the numeric libraries' versions.

    Raises:
        UncacheableError: If the files cannot be found, for example for a class defined in a notebook.
    """
    package = module.partition(".")[0]
    try:
        spec = find_spec(package)
    except ValueError:  # __main__ has no spec
        spec = None
    if spec is None or not (spec.submodule_search_locations or spec.has_location):
        raise UncacheableError(f"the source files of {package} cannot be found")
    folders = spec.submodule_search_locations
    files = [Path(str(spec.origin))] if folders is None else [p for f in folders for p in sorted(Path(f).rglob("*.py"))]
    # The files are checked on each call, because a metric can be edited while the process runs.
    stats = [(path, path.stat()) for path in files]
    return _digest_of_files(tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))


@lru_cache(maxsize=8)
def _digest_of_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256(", ".join(f"{name} {version(name)}" for name in _LIBRARIES).encode())
    for path, *_ in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
