"""First look of a search: the first images with every model, cheapest first, as far as the budget allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.scored_subsets import ScoredSubsets
from transfer_exp.model_pool.pool import ModelPool

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
        measured = looked_at[1:] or looked_at
        rate = float(np.median([self.scored.subsets.look_seconds(n, n_images) / self.costs[n] for n in measured]))
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
    known = [count for count in counts.values() if count]
    middle = float(np.median(known)) if known else 1.0
    costs = {name: float(count or middle) for name, count in counts.items()}
    return dict(sorted(costs.items(), key=lambda item: (item[1], item[0])))
