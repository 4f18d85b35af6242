"""Scores of the models of a pool on the first images, and predictions of the time that more images will take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from transfer_exp.errors import NotApplicableError
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.parallel import ModelThreads
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
        threads: Extract features of several models at a time.
        budget: Time budget of the search.
        reasons: Why a model has no score, by model; filled as models fail.
    """

    subsets: NestedSubsets
    scoring: Scoring
    ground_truth: Regime
    threads: ModelThreads
    budget: Budget
    reasons: dict[str, str] = field(default_factory=dict)
    _scoring_seconds: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Number of images of the last score of a model, and its time."""

    def pairings(
        self, names: Sequence[str], n_images: int, at_least: int | None = None, seconds: float = math.inf
    ) -> Iterator[SampleSubset | None]:
        """Yield `NestedSubsets.pairing` of each model, or None after recording the reason why it cannot be used.

        Args:
            names: Names of models.
            n_images, at_least, seconds: Parameters of `NestedSubsets.pairing`; seconds of models at the same time.
        """

        def extract(name: str) -> SampleSubset | None:
            try:
                return self.subsets.pairing(name, n_images, at_least, seconds)
            except NotApplicableError as reason:
                self.reasons[name] = str(reason)
                return None

        return self.threads.map(extract, names)

    def score(self, pairings: Iterable[SampleSubset]) -> dict[str, float]:
        """Return the scores of the models that have one, and record the reasons of the others."""
        parts = dict[str, Mapping[str, Parts]]()
        for pairing in pairings:
            start = time.perf_counter()
            try:
                parts[pairing.name] = self.scoring.compute_parts(
                    pairing.pairing, self.ground_truth, pairing.scoring_set
                )
            except NotApplicableError as reason:
                self.reasons[pairing.name] = str(reason)
            seconds = time.perf_counter() - start
            self._scoring_seconds[pairing.name] = len(pairing.scoring_set.labels), seconds
        return dict(zip(parts, self.scoring.combine(list(parts.values())), strict=True))

    def score_first(self, names: Sequence[str], n_images: int, share: float) -> dict[str, float]:
        """Return the scores of models on the first images, without those that a share of the budget is too short for.

        The first model is scored in any case.
        """

        def extract() -> Iterator[SampleSubset]:
            n_done = 0
            for group in self.groups(names):
                if n_done and self.budget.left(share) < self.predict_seconds(group, n_images):
                    return
                for pairing in self.pairings(group, n_images):
                    if pairing is not None:
                        n_done += 1
                        yield pairing

        return self.score(extract())

    def groups(self, names: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield models in groups that are extracted at the same time; without a limit all of them are one group."""
        size = len(names) if self.budget.seconds is None else self.threads.jobs
        return (names[start : start + size] for start in range(0, len(names), size))

    def predict_seconds(self, names: Iterable[str], n_images: int) -> float:
        """Return the time for features and scores of models on the first images, from the times measured so far.

        The time of a score is taken to grow with the square of the number of images, as with classes of few images or
        pairwise distances. It usually grows less.
        """
        names = list(names)
        missing = {name: n_images - self.subsets.n_extracted(name) for name in names}
        looks = [self.subsets.look_seconds(name, n_new) for name, n_new in missing.items() if n_new > 0]
        scores = sum(self.predict_scoring_seconds(name, n_images) for name in names)
        # No sum of seconds is shorter than its longest term, however many threads there are.
        return max(sum(looks) / self.threads.jobs, *looks, 0.0) + scores

    def predict_scoring_seconds(self, name: str, n_images: int) -> float:
        """Return the time of the score of a model; the longest of the others if it has not been scored."""
        measured = self._scoring_seconds.get(name) or max(self._scoring_seconds.values(), default=(1, 0.0))
        return measured[1] * (n_images / measured[0]) ** 2
