"""Successive halving: find the best candidates (models of a pool) without scoring each of them on all images.

All candidates are scored on few images; the better part goes on to more (Jamieson and Talwalkar, "Non-stochastic Best
Arm Identification and Hyperparameter Optimization", AISTATS 2016, algorithm 1). Two things differ from the algorithm.
The images of a round contain those of the round before, so only new images need a forward pass. Prior accuracies can
influence the early rounds, when scores rest on few images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
import scipy
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.statistics.rounding import merge_ties

ScoreFunction = Callable[[Sequence[str], int], Mapping[str, float] | None]
"""Maps names of candidates and a number n to their scores on the first n images; a failed one is absent or NaN.

None means that there is no time left for this round; the search then ends with the rounds before.
"""


@dataclass(frozen=True)
class HalvingRound:
    """Result of one round.

    Attributes:
        images: Number of images that each candidate has been scored on, earlier rounds included.
        scores: Scores of the candidates that could be scored, best first; equal scores are in candidate order.
        eliminated: Lowest retained score minus the score of each eliminated candidate. Negative where the prior
            outweighed a higher score.
        failed: Candidates without a score, which are eliminated too.
        forward_passes: New images times candidates.
        cost: Cost of these forward passes; equal to their number where every image costs 1.
    """

    images: int
    scores: Mapping[str, float]
    eliminated: Mapping[str, float]
    failed: tuple[str, ...]
    forward_passes: int
    cost: float


@dataclass(frozen=True)
class HalvingResult:
    """Result of a search.

    Attributes:
        rounds: Rounds in order, at least one. Candidates scored in the last one are the finalists.
        stop_reason: ``all images``: the last round used all. ``top alone``: at most ``top`` candidates are left.
            ``top stable``: the last rounds had the same top candidates. ``budget``: cost or time is used up.
    """

    rounds: tuple[HalvingRound, ...]
    stop_reason: str

    @property
    def ranking(self) -> list[str]:
        """Candidates best first: by the last round that scored them, then by their score in it; without failed ones."""
        ranked = dict.fromkeys(name for round_ in reversed(self.rounds) for name in round_.scores)
        failed = {name for round_ in self.rounds for name in round_.failed}
        return [name for name in ranked if name not in failed]

    @property
    def forward_passes(self) -> int:
        """Total number of forward passes."""
        return sum(round_.forward_passes for round_ in self.rounds)

    @property
    def cost(self) -> float:
        """Total cost of the forward passes."""
        return sum(round_.cost for round_ in self.rounds)


@dataclass(frozen=True)
class Halving:
    """Successive halving of the candidates over growing scoring sets.

    Attributes:
        first: Number of images in the first round, at least 1. Choose enough for every class, which most metrics need.
        top: Number of best candidates to find, at least 1.
        growth: Factor between the numbers of images of successive rounds, above 1.
        keep: Share of the candidates to retain, in (0, 1), rounded up and never fewer than ``top``. Candidates tied
            with the last retained one are retained too.
        stable: Number of consecutive rounds, at least 2, that end the search if their top candidates are the same.
        prior_images: Number of images that the prior is worth, at least 0: after n images its weight in the elimination
            is prior_images / (prior_images + n).
        budget: Maximum total cost; None for no limit. The last round uses as many images as the budget allows.
    """

    first: int
    top: int = 3
    growth: float = 2.0
    keep: float = 0.5
    stable: int = 3
    prior_images: float = 0.0
    budget: float | None = None

    def __call__(
        self,
        candidates: Sequence[str],
        images: int,
        scores: ScoreFunction,
        prior: Mapping[str, float] | None = None,
        cost: Mapping[str, float] | None = None,
    ) -> HalvingResult:
        """Search the candidates.

        Args:
            candidates: Names of the M candidates, without repetition.
            images: Number of images available, N.
            scores: Function that scores the remaining candidates; it is called once a round.
            prior: Prior values by candidate, larger is better, such as published accuracies. Only their order counts. A
                candidate without one ranks in the middle. The prior affects eliminations, not the final ranking.
            cost: Cost of one image by candidate, positive, such as seconds; None if every image costs 1.

        Raises:
            InputError: When a setting, cost or prior is out of range, candidates are empty or repeated, the budget is
                below the first round, or all scores fail.
        """
        unit_cost = dict.fromkeys(candidates, 1.0) if cost is None else dict(cost)
        prior = prior or {}
        self._check(candidates, images, unit_cost, prior)
        remaining, n_images, rounds = list(candidates), 0, list[HalvingRound]()
        while True:
            image_cost, n_before = sum(unit_cost[name] for name in remaining), n_images
            target = min(images, self.first if n_images == 0 else max(n_images + 1, round(n_images * self.growth)))
            n_images = int(min(target, n_before + self._affordable_images(rounds, image_cost)))
            new_scores = scores(tuple(remaining), n_images)
            if new_scores is None and rounds:
                return HalvingResult(tuple(rounds), "budget")
            new_scores = new_scores or {}
            merged = merge_ties(np.array([*new_scores.values()], dtype=np.float64)).tolist()
            values = dict(zip(new_scores, merged, strict=True))
            ranked = sorted((n for n in remaining if isfinite(values.get(n, np.nan))), key=lambda n: -values[n])
            if not ranked:
                raise InputError(
                    f"none of {len(remaining)} candidates has a score on {n_images} images: score one alone to see why"
                )
            retained = self._retain(ranked, values, n_images, prior)
            lowest = min(values[name] for name in retained)
            rounds.append(
                HalvingRound(
                    images=n_images,
                    scores={name: float(values[name]) for name in ranked},
                    eliminated={name: float(lowest - values[name]) for name in ranked if name not in retained},
                    failed=tuple(name for name in remaining if name not in ranked),
                    forward_passes=len(remaining) * (n_images - n_before),
                    cost=image_cost * (n_images - n_before),
                )
            )
            remaining = [name for name in remaining if name in retained]
            stop_reason = self._stop_reason(rounds, remaining, images)
            next_cost = sum(unit_cost[name] for name in remaining)
            if not stop_reason and (n_images < target or self._affordable_images(rounds, next_cost) < 1):
                stop_reason = "budget"
            if stop_reason:
                return HalvingResult(tuple(rounds), stop_reason)

    def _affordable_images(self, rounds: Sequence[HalvingRound], image_cost: float) -> float:
        """Return the number of further images that the budget allows."""
        if self.budget is None:
            return np.inf
        left = self.budget - sum(round_.cost for round_ in rounds)
        return float(np.floor(left / image_cost + 1e-9))  # 1e-9: a rounding error must not cost an image

    def _retain(
        self, ranked: Sequence[str], values: Mapping[str, float], n_images: int, prior: Mapping[str, float]
    ) -> frozenset[str]:
        """Return the candidates with the best weighted mean of score rank and prior rank, see ``prior_images``."""
        weight = self.prior_images / (self.prior_images + n_images)
        merit = (1 - weight) * _relative_ranks(np.array([float(values[name]) for name in ranked]))
        if prior:
            merit += weight * _relative_ranks(np.array([float(prior.get(name, np.nan)) for name in ranked]))
        n_retained = max(self.top, ceil(self.keep * len(ranked) - 1e-9))
        threshold = np.sort(merit)[::-1][min(n_retained, len(ranked)) - 1]
        return frozenset(name for name, value in zip(ranked, merit, strict=True) if value >= threshold - 1e-12)

    def _stop_reason(self, rounds: Sequence[HalvingRound], remaining: Sequence[str], images: int) -> str:
        """Return the reason why no more images are needed, or an empty string."""
        tops = [frozenset(list(round_.scores)[: self.top]) for round_ in rounds[-self.stable :]]
        if rounds[-1].images == images:
            return "all images"
        if len(remaining) <= self.top:
            return "top alone"
        return "top stable" if len(tops) == self.stable and len(set(tops)) == 1 else ""

    def _check(
        self, candidates: Sequence[str], images: int, unit_cost: Mapping[str, float], prior: Mapping[str, float]
    ) -> None:
        """Raise `InputError` when the search cannot start."""
        is_valid = self.first >= 1 and self.top >= 1 and self.growth > 1 and self.stable >= 2 and images >= 1
        if not is_valid or not 0 < self.keep < 1 or not 0 <= self.prior_images < np.inf:
            raise InputError(
                f"{self} over {images} images: first, top and the images are at least 1, growth above 1, keep between "
                "0 and 1, stable at least 2, prior_images at least 0"
            )
        if not candidates or len(set(candidates)) < len(candidates):
            raise InputError(f"{len(candidates)} candidates to search, {len(set(candidates))} names: give each once")
        for name in candidates:
            if not 0 < unit_cost.get(name, np.nan) < np.inf:
                raise InputError(
                    f"an image costs {unit_cost.get(name)} with {name}: give every candidate a positive cost"
                )
            if not isfinite(prior.get(name, 0.0)):
                raise InputError(f"the prior of {name} is {prior[name]}: leave it out where there is none")
        first = min(self.first, images) * sum(unit_cost[name] for name in candidates)
        if self.budget is not None and not self.budget >= first:
            raise InputError(f"budget={self.budget:g} is below the first round, {first:g}: raise it, or lower first")


def _relative_ranks(values: Float[np.ndarray, " candidates"]) -> Float[np.ndarray, " candidates"]:
    """Return ranks scaled to [0, 1], largest value 1; ties share their mean rank and NaN gets 0.5."""
    ranks = np.full(len(values), 0.5)
    is_present = np.isfinite(values)
    if is_present.sum() > 1:
        ranks[is_present] = (scipy.stats.rankdata(values[is_present]) - 1) / (is_present.sum() - 1)
    return ranks
