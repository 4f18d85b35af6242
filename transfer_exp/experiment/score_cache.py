"""Cache of scores in the store; a score is reused if features, settings, seed and code are all unchanged.

What is cached are the parts of a score (the numbers of one model that `Scoring.combine` turns into scores of the pool),
by the step of the strength path; without a path there is one step.

On the 14 built-in models a second run of ``linear_classifier`` takes 1 s instead of 8 s, and of ``nleep`` along a
strength path 0.5 s instead of 9.5 s. For a cheap metric such as ``logme`` the cache neither helps nor hurts.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from transfer_exp.errors import InputError
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.io.atomic import digest
from transfer_exp.io.code import UncacheableError, code_digest
from transfer_exp.io.text import expand_user
from transfer_exp.statistics.feature_set import TargetKind
from transfer_exp.store import Store
from transfer_exp.store.entries import SCORES

_log = logging.getLogger(__name__)
_FEATURE_INPUTS = {"features", "labels", "class_statistics", "source_probabilities"}
_SAVE_INTERVAL = 30.0
"""Seconds after which new scores are saved within a cell, so that a killed run loses few of them."""
_CODE_DIGITS = 16
"""Hexadecimal digits of a `code_digest` in a key; enough to distinguish versions of the code."""


@dataclass(eq=False)
class ScoreCache:
    """Cached scoring of models with one metric and one perturbation on one dataset; all their scores are one file.

    A metric is cached if its inputs are features, labels, class statistics or source probabilities. Scores of the
    user's arrays are not cached. As a context manager it saves new scores at the end, also after an error.

    Attributes:
        scoring: Scores one model.
        store: Holds the scores.
        dataset: Name of the target dataset, for listings of the store.
        target_kind: What the dataset asks a model to predict.
    """

    scoring: Scoring
    store: Store
    dataset: str
    target_kind: TargetKind = "single_label"
    _unsaved: dict[str, dict[str, Parts]] = field(default_factory=dict, init=False)
    _last_save: float = field(default_factory=time.monotonic, init=False)

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.save()

    def compute_parts(self, pairing: Pairing, ground_truth: Regime) -> Mapping[str, Parts]:
        """Return the parts of one model's score by step, from the cache or else from `Scoring.compute_parts`.

        In ``pairing`` (one model on the dataset), it records whether the cache had them and that features were used.

        Raises:
            InputError, NotApplicableError: Under the conditions of `Scoring.compute_parts`; InputError also if the
                store cannot be used.
        """
        # The key is last here and in `save`: it takes longer than the scores of a few arrays, which are not cached.
        if not isinstance(pairing, NetworkOnImages) or self._key is None:
            return self.scoring.compute_parts(pairing, ground_truth)
        scored = pairing.model, pairing.dataset.scoring_set
        features_key = digest(pairing.extractor.cache_key(*scored))
        cached = self._cached.get(features_key)
        pairing.cache_hits["scores"] = cached is not None
        if cached is not None:
            if pairing.extractor.is_cached(*scored):  # The cached score was computed from these features.
                pairing.used_features.add(("scoring_set", pairing.layer))
            return cached
        computed = self.scoring.compute_parts(pairing, ground_truth)
        if all(isfinite(value) for parts in computed.values() for value in parts.values()):
            self.add({features_key: computed})
        return computed

    def take_unsaved(self) -> dict[str, dict[str, Parts]]:
        """Return the scores that are not saved yet, by the digest of their features, and leave them to the caller."""
        unsaved, self._unsaved = self._unsaved, {}
        return unsaved

    def add(self, scores: Mapping[str, dict[str, Parts]]) -> None:
        """Add scores by the digest of their features, and save all unsaved ones if the last time is long ago."""
        self._unsaved |= scores
        if time.monotonic() - self._last_save > _SAVE_INTERVAL:
            self.save()

    def save(self) -> None:
        """Add new scores to the store; log a warning and keep them for the next attempt if it cannot be written."""
        if self._unsaved and self._key is not None:
            # Lists of pairs, because the keys of a JSON object have no order.
            pairs = {
                key: [[step, [[part, float(value)] for part, value in parts.items()]] for step, parts in steps.items()]
                for key, steps in self._unsaved.items()
            }
            try:
                self.store.update_record(SCORES, self._key, pairs)
                self._unsaved = {}
            except InputError as reason:
                _log.warning("scores are not cached: %s", reason)
        self._last_save = time.monotonic()

    @cached_property
    def _key(self) -> dict[str, Any] | None:
        """Everything that decides the scores except the features; None if the scores cannot be cached."""
        metric, perturbation = self.scoring.metric, self.scoring.perturbation
        if not metric.inputs or not set(metric.inputs) <= _FEATURE_INPUTS:
            return None
        try:
            settings = {"metric": fingerprint(metric), "perturbation": fingerprint(perturbation)}
            # The code around a metric and a perturbation of the user, such as class statistics, matters too.
            code = code_digest("transfer_exp")[:_CODE_DIGITS]
        except UncacheableError as reason:
            _log.info("scores are not cached: %s", reason)
            return None
        names = {"metric": metric.name, "perturbation": perturbation.name}
        if self.target_kind != "single_label":
            names["target_kind"] = self.target_kind
        return {"dataset": self.dataset, "seed": self.scoring.seed, "names": names, "code": code, **settings}

    @cached_property
    def _cached(self) -> dict[str, dict[str, Parts]]:
        record = {} if self._key is None else self.store.read_record(SCORES, self._key)
        return {key: {step: dict(parts) for step, parts in steps} for key, steps in record.items()}


def fingerprint(value: Any) -> Any:
    """Return plain data that is equal for two objects only if they compute the same.

    The object is a plain value, a frozen dataclass such as a metric or a perturbation, or a tuple of these. Text that
    is the path of a file is replaced by a digest of the file's content.

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
        path = expand_user(text)
        # A word such as "together" may be the name of a file by chance. The score is then only computed once more.
        if text and path.is_dir():
            raise UncacheableError(f"the setting '{text}' is a folder, and its files may decide the result")
        return {"file": hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else text
    except (OSError, ValueError, RuntimeError):  # not a path: too long, with a NUL, or with an unknown home
        return text
