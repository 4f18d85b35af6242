"""The best few of many candidates without scoring each on all images: few images for all, more for the better part.

Successive halving (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
AISTATS 2016, algorithm 1), where a round's images hold those of the round before, so that a candidate pushes only what
it has not seen, and where known accuracies may speak as long as the images say little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from jaxtyping import Float
from scipy import stats

from transfer_exp.errors import InputError

Scores = Callable[[Sequence[str], int], Mapping[str, float]]
"""Scores of candidates, by name, on the first n images of one fixed order; a failed one is absent, or not finite."""


@dataclass(frozen=True)
class Round:
    """What one round found.

    Attributes
    ----------
    images
        How many each candidate has been scored on.
    scores
        Of all that could be scored, best first; equal ones in the order they were given.
    dropped
        Who went no further, and how much the score was below the lowest one kept; negative where the prior decided.
    failed
        Who had no score, and goes no further.
    pushed
        Images that were new to the candidates of this round, summed over these.
    cost
        Of these images; the same number where every image costs 1.
    """

    images: int
    scores: Mapping[str, float]
    dropped: Mapping[str, float]
    failed: tuple[str, ...]
    pushed: int
    cost: float


@dataclass(frozen=True)
class Search:
    """A search from first to last.

    Attributes
    ----------
    rounds
        In order, at least one.
    stopped
        Why it ended: ``all images``, ``top alone`` (no more than the top is left), ``top stable`` or ``budget``.
    """

    rounds: tuple[Round, ...]
    stopped: str

    @property
    def ranking(self) -> list[str]:
        """Candidates best first: by the last score of each, those that went further before those that did not."""
        found: dict[str, None] = {}
        for held in reversed(self.rounds):
            found.update(dict.fromkeys(held.scores))
        failed = {name for held in self.rounds for name in held.failed}
        return [name for name in found if name not in failed]

    @property
    def pushed(self) -> int:
        """Images pushed through candidates, in all."""
        return sum(held.pushed for held in self.rounds)

    @property
    def cost(self) -> float:
        """Of these images."""
        return sum(held.cost for held in self.rounds)


@dataclass(frozen=True)
class Halving:
    """Successive halving over the size of the scoring set.

    Attributes
    ----------
    first
        Images of the first round, at least 1. A score needs some of every class.
    top
        k, how many of the best are looked for, at least 1.
    growth
        A round has so many times the images of the one before, above 1.
    keep
        Share of the candidates that go on, in (0, 1), rounded up and never below ``top``. Whoever equals the last one
        kept goes on as well.
    stable
        The search ends when so many rounds running have the same top k, in any order; at least 2.
    prior_images
        The prior counts as so many images: after n of them it has the share prior_images / (prior_images + n) in who
        goes on. At least 0.
    budget
        Most that may be spent, in the unit of ``cost``; None is no bound. The last round takes the images that are
        left.
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
        scores: Scores,
        prior: Mapping[str, float] | None = None,
        cost: Mapping[str, float] | None = None,
    ) -> Search:
        """Search the candidates.

        Parameters
        ----------
        candidates
            M names, each once.
        images
            N, all there are.
        scores
            Asked once a round, for all that are left.
        prior
            By candidate, larger is better: published accuracies, say. Only its order counts, as only the order of
            scores does; a candidate without one stands in the middle. It has no part in the ranking.
        cost
            Of one image (seconds, say) by candidate, positive; None counts images.

        Raises
        ------
        InputError
            For settings out of range, no candidate or one named twice, a cost or prior that is none, a budget below
            the first round, or when no candidate has a score.
        """
        unit = dict.fromkeys(candidates, 1.0) if cost is None else dict(cost)
        known = prior or {}
        self._check(candidates, images, unit, known)
        left, seen, rounds = list(candidates), 0, list[Round]()
        while True:
            price, before = sum(unit[name] for name in left), seen
            wanted = min(images, self.first if seen == 0 else max(seen + 1, round(seen * self.growth)))
            seen = int(min(wanted, before + self._affordable(rounds, price)))
            found = scores(tuple(left), seen)
            fine = sorted((n for n in left if isfinite(found.get(n, np.nan))), key=lambda n: -found[n])
            if not fine:
                raise InputError(f"none of {len(left)} candidates has a score on {seen} images: look at one by itself")
            held = self._kept(fine, found, seen, known)
            last = min(found[name] for name in held)
            rounds.append(
                Round(
                    images=seen,
                    scores={name: float(found[name]) for name in fine},
                    dropped={name: float(last - found[name]) for name in fine if name not in held},
                    failed=tuple(name for name in left if name not in fine),
                    pushed=len(left) * (seen - before),
                    cost=price * (seen - before),
                )
            )
            left = [name for name in left if name in held]
            stopped = self._stopped(rounds, left, images)
            if not stopped and (seen < wanted or self._affordable(rounds, sum(unit[name] for name in left)) < 1):
                stopped = "budget"
            if stopped:
                return Search(tuple(rounds), stopped)

    def _affordable(self, rounds: Sequence[Round], price: float) -> float:
        """Return how many whole images of that price there is money for after these rounds."""
        if self.budget is None:
            return np.inf
        left = self.budget - sum(held.cost for held in rounds)
        return float(np.floor(left / price + 1e-9))  # what is short by rounding alone is paid

    def _kept(
        self, fine: Sequence[str], found: Mapping[str, float], images: int, prior: Mapping[str, float]
    ) -> frozenset[str]:
        """Return who goes on: the better part by score and prior together."""
        weight = self.prior_images / (self.prior_images + images)
        merit = (1 - weight) * _places(np.array([float(found[name]) for name in fine]))
        if prior:
            merit += weight * _places(np.array([float(prior.get(name, np.nan)) for name in fine]))
        number = max(self.top, ceil(self.keep * len(fine) - 1e-9))
        threshold = np.sort(merit)[::-1][min(number, len(fine)) - 1]
        return frozenset(name for name, own in zip(fine, merit, strict=True) if own >= threshold - 1e-12)

    def _stopped(self, rounds: Sequence[Round], left: Sequence[str], images: int) -> str:
        """Return why no more images are needed, or nothing."""
        tops = [frozenset(list(held.scores)[: self.top]) for held in rounds[-self.stable :]]
        if rounds[-1].images == images:
            return "all images"
        if len(left) <= self.top:
            return "top alone"
        return "top stable" if len(tops) == self.stable and len(set(tops)) == 1 else ""

    def _check(
        self, candidates: Sequence[str], images: int, unit: Mapping[str, float], prior: Mapping[str, float]
    ) -> None:
        """Refuse what cannot be searched."""
        sound = self.first >= 1 and self.top >= 1 and self.growth > 1 and self.stable >= 2 and images >= 1
        if not sound or not 0 < self.keep < 1 or not 0 <= self.prior_images < np.inf:
            raise InputError(
                f"{self} over {images} images: first, top and the images are at least 1, growth above 1, keep between "
                "0 and 1, stable at least 2, prior_images at least 0"
            )
        if not candidates or len(set(candidates)) < len(candidates):
            raise InputError(f"{len(candidates)} candidates to search, {len(set(candidates))} names: give each once")
        for name in candidates:
            if not 0 < unit.get(name, np.nan) < np.inf:
                raise InputError(f"an image costs {unit.get(name)} with {name}: give every candidate a positive cost")
            if not isfinite(prior.get(name, 0.0)):
                raise InputError(f"the prior of {name} is {prior[name]}: leave it out where there is none")
        first = min(self.first, images) * sum(unit[name] for name in candidates)
        if self.budget is not None and not self.budget >= first:
            raise InputError(f"budget={self.budget:g} is below the first round, {first:g}: raise it, or lower first")


def _places(values: Float[np.ndarray, " candidates"]) -> Float[np.ndarray, " candidates"]:
    """Return each value's rank from the bottom in [0, 1]; equals share theirs, and NaN is in the middle."""
    places = np.full(len(values), 0.5)
    known = np.isfinite(values)
    if known.sum() > 1:
        places[known] = (stats.rankdata(values[known]) - 1) / (known.sum() - 1)
    return places
