"""Scores of the models of a pool on the first images, predictions of the time for more, and the first look."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from transfer_exp.errors import NotApplicableError
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.parallel import ModelThreads
from transfer_exp.experiment.scoring import Parts, Scoring
from transfer_exp.features.model_on_target import SampleSubset
from transfer_exp.features.nested_subsets import NestedSubsets
from transfer_exp.ground_truth.regime import Regime
from transfer_exp.model_pool.pool import ModelPool


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
        last_scoring = self._scoring_seconds.get(name) or max(self._scoring_seconds.values(), default=(1, 0.0))
        return last_scoring[1] * (n_images / last_scoring[0]) ** 2


_COUNTING_SHARE, _MORE_IMAGES_SHARE, _LAST_LOOK_SHARE = 0.05, 0.4, 0.9
"""Shares of the time budget after which the first look stops to count parameters, to show models more than the fewest
images, and to look at further models."""
_FEWEST_IMAGES = 16
"""Fewest images of a first look; also two of every class if these are at most half of the number requested."""


@dataclass(frozen=True)
class FirstLook:
    """First images of the models of a pool.

    Attributes:
        scored: Features and scores of the models.
        costs: Relative cost of each model, cheapest first, see `relative_costs`.
    """

    scored: ScoredSubsets
    costs: Mapping[str, float]

    def __call__(self, n_images: int, n_classes: int, advance: Callable[[], object]) -> tuple[list[str], int]:
        """Extract the first images with one model after the other, as long as there is time.

        Args:
            n_images: Number of images to show every model, fewer if the budget is short.
            n_classes: Number of classes of the dataset.
            advance: Function to call after each model.

        Returns:
            The names of the models that were looked at, and the number of images that all of them have in common. There
            are no names if no model can be used.
        """
        n_images, budget = min(n_images, len(self.scored.subsets.order)), self.scored.budget
        two_each = 2 * n_classes if 2 * n_classes <= n_images / 2 else 0
        fewest = n_images if budget.seconds is None else min(n_images, max(_FEWEST_IMAGES, two_each))
        sizes, cost_left = dict[str, int](), sum(self.costs.values())
        for group in self.scored.groups(list(self.costs)):
            if sizes and budget.left(_LAST_LOOK_SHARE) < self._needed_seconds(group, list(sizes), fewest):
                break
            cost = sum(self.costs[name] for name in group)
            seconds = budget.left(_MORE_IMAGES_SHARE) * cost / cost_left
            cost_left -= cost
            for name, pairing in zip(group, self.scored.pairings(group, n_images, fewest, seconds), strict=True):
                advance()
                if pairing is None:
                    continue
                if not sizes and budget.seconds is not None:
                    # Measures the time of a score, the second time without what is done only once.
                    self.scored.score([pairing])
                    self.scored.score([pairing])
                sizes[name] = len(pairing.scoring_set.labels)
        n_common = self._show_more(list(sizes), min(sizes.values(), default=0), n_images)
        return [name for name in sizes if name not in self.scored.reasons], n_common

    def expected_seconds(self, names: Sequence[str], looked_at: Sequence[str], n_images: int) -> float:
        """Return the expected time of looks at further models and of their scores, from the models looked at."""
        # The first model also bears what is done once.
        timed_models = looked_at[1:] or looked_at
        rate = float(np.median([self.scored.subsets.look_seconds(n, n_images) / self.costs[n] for n in timed_models]))
        seconds = [self.costs[name] * rate for name in names]
        scores = sum(self.scored.predict_scoring_seconds(name, n_images) for name in names)
        return max(sum(seconds) / self.scored.threads.jobs, *seconds, 0.0) + scores

    def _needed_seconds(self, names: Sequence[str], looked_at: Sequence[str], n_images: int) -> float:
        """Return the expected time of a look at further models, and of the scores of all models up to them."""
        scoring = len(looked_at) * self.scored.predict_scoring_seconds(names[0], n_images)
        # The time of the first model alone says little about the second.
        return scoring + (self.expected_seconds(names, looked_at, n_images) if len(looked_at) > 1 else 0.0)

    def _show_more(self, names: list[str], n_common: int, n_images: int) -> int:
        """Double the images of all models while there is time; return the number that all of them have then."""
        while names and n_common < n_images:
            larger = min(2 * n_common, n_images)
            if self.scored.predict_seconds(names, larger) > self.scored.budget.left(_MORE_IMAGES_SHARE):
                break
            list(self.scored.pairings(names, larger))
            n_common = larger
        return n_common


def relative_costs(pool: ModelPool, budget: Budget) -> dict[str, float]:
    """Return a relative cost of each model, cheapest first: its parameters, or those of a middle model if unknown."""
    counts = dict[str, int | None]()
    for candidate in sorted(pool.candidates, key=lambda c: c.name):
        is_needed = budget.seconds is not None and budget.left(_COUNTING_SHARE) > 0
        counts[candidate.name] = candidate.count_parameters() if is_needed else None
    positive = [count for count in counts.values() if count]
    middle = float(np.median(positive)) if positive else 1.0
    costs = {name: float(count or middle) for name, count in counts.items()}
    return dict(sorted(costs.items(), key=lambda item: (item[1], item[0])))
