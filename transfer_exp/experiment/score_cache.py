"""Scores that the store remembers: what one model's features came to, under one metric after one perturbation."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

from transfer_exp.errors import InputError
from transfer_exp.experiment.fingerprint import UnknownSettingsError, fingerprint
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.io.atomic import digest
from transfer_exp.store import Store
from transfer_exp.store.entries import SCORES

_log = logging.getLogger(__name__)
_OF_FEATURES = {"features", "labels", "class_statistics", "source_probabilities"}
_SECONDS = 30.0
"""After so many since the last time, what is new is kept at once: a sweep may be killed within a cell."""


@dataclass(eq=False)
class ScoreCache:
    """A scoring with a memory, for the models of one cell: one file of the store, to which every run adds.

    A score is read again where all that decides it is as it was: the features, the settings of metric and perturbation
    and the files these name, the seed, and the code of the package they are of. What a metric learns from anything but
    the features is scored anew each time, as are features that are the user's own arrays.

    Attributes
    ----------
    scoring
        Scores one model.
    store
        Remembers.
    dataset
        Name of the target, for whoever lists the store.
    """

    scoring: Scoring
    store: Store
    dataset: str
    _new: dict[str, dict[str, Parts]] = field(default_factory=dict, init=False)
    _last: float = field(default_factory=time.monotonic, init=False)

    def parts(self, pairing: Pairing, ground_truth: Regime) -> Mapping[str, Parts]:
        """Return the parts of one model's score at every step, as `Scoring.parts`.

        Raises
        ------
        InputError, NotApplicableError
            As `Scoring.parts`; InputError when there can be no such store.
        """
        if self._key is None or not isinstance(pairing, NetworkOnImages):
            return self.scoring.parts(pairing, ground_truth)
        name = digest(pairing.scoring_features_key())
        known = self._known.get(name)
        pairing.cache_hits["scores"] = known is not None
        if known is not None:
            pairing.mark_scoring_set_used()
            return known
        found = self.scoring.parts(pairing, ground_truth)
        if all(isfinite(value) for parts in found.values() for value in parts.values()):
            self._new[name] = found
        if time.monotonic() - self._last > _SECONDS:
            self.keep()
        return found

    def keep(self) -> None:
        """Add what is new to the store; where nothing can be written there, say so and go on."""
        if self._key is not None and self._new:
            try:
                self.store.add(SCORES, self._key, {name: _in_order(parts) for name, parts in self._new.items()})
            except InputError as reason:
                _log.warning("scores are not kept: %s", reason)
        self._new, self._last = {}, time.monotonic()

    @cached_property
    def _key(self) -> dict[str, Any] | None:
        """What decides the scores besides the features; None where that is not all of it, or cannot be told."""
        if not self.scoring.metric.inputs or not set(self.scoring.metric.inputs) <= _OF_FEATURES:
            return None
        try:
            how = {name: fingerprint(getattr(self.scoring, name)) for name in ("metric", "perturbation")}
        except UnknownSettingsError:
            return None
        names = {name: getattr(self.scoring, name).name for name in how}
        return {"dataset": self.dataset, "seed": self.scoring.seed, "names": names, **how}

    @cached_property
    def _known(self) -> dict[str, dict[str, Parts]]:
        held = {} if self._key is None else self.store.gathered(SCORES, self._key)
        return {name: {step: dict(parts) for step, parts in steps} for name, steps in held.items()}


def _in_order(parts: Mapping[str, Parts]) -> list[list[Any]]:
    """Return parts as lists: an object of JSON does not keep the order of its names."""
    return [[step, [[part, float(value)] for part, value in own.items()]] for step, own in parts.items()]


@contextmanager
def open_score_cache(scoring: Scoring, store: Store, dataset: str) -> Iterator[ScoreCache]:
    """Enter with a scoring that remembers, and keep what is new in the end, whatever that is."""
    scores = ScoreCache(scoring, store, dataset)
    try:
        yield scores
    finally:
        scores.keep()
