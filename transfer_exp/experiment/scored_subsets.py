"""Scores of the models of a pool on the first images, and predictions of the time that more images will take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transfer_exp.errors import NotApplicableError
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.features.model_on_target import SampleSubset
from transfer_exp.features.nested_subsets import NestedSubsets
from transfer_exp.ground_truth.regime import Regime


@dataclass(eq=False)
class ScoredSubsets:
    """Models scored on the first n images.

    Attributes:
        subsets: Features of the models.
        scoring: The metric applied after the perturbation.
        ground_truth: Source of accuracies on other datasets, for metrics that need them.
        reasons: Why a model has no score, by model; filled as models fail.
    """

    subsets: NestedSubsets
    scoring: Scoring
    ground_truth: Regime
    reasons: dict[str, str] = field(default_factory=dict)
    _scoring_seconds: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Number of images of the last score of a model, and its time."""

    def pairing(
        self, name: str, n_images: int, at_least: int | None = None, seconds: float = math.inf
    ) -> SampleSubset | None:
        """Return `NestedSubsets.pairing`, or None after recording the reason why the model cannot be used."""
        try:
            return self.subsets.pairing(name, n_images, at_least, seconds)
        except NotApplicableError as reason:
            self.reasons[name] = str(reason)
            return None

    def score(self, pairings: Iterable[SampleSubset]) -> dict[str, float]:
        """Return the scores of the models that have one, and record the reasons of the others."""
        parts = dict[str, Mapping[str, Parts]]()
        for pairing in pairings:
            start = time.perf_counter()
            try:
                parts[pairing.name] = self.scoring.compute_parts(pairing, self.ground_truth)
            except NotApplicableError as reason:
                self.reasons[pairing.name] = str(reason)
            seconds = time.perf_counter() - start
            self._scoring_seconds[pairing.name] = len(pairing.scoring_set.labels), seconds
        return dict(zip(parts, self.scoring.combine(list(parts.values())), strict=True))

    def score_first(self, names: Sequence[str], n_images: int, budget: Budget, share: float) -> dict[str, float]:
        """Return the scores of models on the first images, without those that a share of the budget is too short for.

        The first model is scored in any case.
        """
        pairings = list[SampleSubset]()

        def extract() -> Iterable[SampleSubset]:
            for name in names:
                if pairings and budget.left(share) < self.predict_seconds([name], n_images):
                    return
                pairing = self.pairing(name, n_images)
                if pairing is not None:
                    pairings.append(pairing)
                    yield pairing

        return self.score(extract())

    def predict_seconds(self, names: Iterable[str], n_images: int) -> float:
        """Return the time for features and scores of models on the first images, from the times measured so far.

        The time of a score is taken to grow with the square of the number of images, as with classes of few images or
        pairwise distances. It usually grows less.
        """
        total = 0.0
        for name in names:
            n_new = n_images - self.subsets.n_extracted(name)
            total += self.subsets.look_seconds(name, n_new) if n_new > 0 else 0.0
            total += self.predict_scoring_seconds(name, n_images)
        return total

    def predict_scoring_seconds(self, name: str, n_images: int) -> float:
        """Return the time of the score of a model; the longest of the others if it has not been scored."""
        measured = self._scoring_seconds.get(name) or max(self._scoring_seconds.values(), default=(1, 0.0))
        return measured[1] * (n_images / measured[0]) ** 2
