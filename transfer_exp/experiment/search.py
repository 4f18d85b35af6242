"""Search for the best models of a pool on a dataset within a time budget.

All models are scored on few images, and the better ones on more (successive halving). Small models come first, and a
short budget means fewer images for every model. Finalists are the models of the last round; their order, its intervals
and expected accuracies are in `transfer_exp.experiment.uncertainty`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from transfer_exp.dataset.inspection import ALL_SPLITS, SCORING_SET
from transfer_exp.errors import InputError, NoModelError, NotApplicableError
from transfer_exp.evaluation.halving import Halving, HalvingResult
from transfer_exp.experiment.budget import Budget
from transfer_exp.experiment.limits import Limits
from transfer_exp.experiment.parallel import ModelThreads, count_jobs, one_blas_thread
from transfer_exp.experiment.pool_on_dataset import PoolOnDataset
from transfer_exp.experiment.run_log import RunLog
from transfer_exp.experiment.scored_subsets import FirstLook, ScoredSubsets, relative_costs
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.experiment.uncertainty import Finalists, Uncertainty, measure_uncertainty
from transfer_exp.features.extraction import FeatureReader
from transfer_exp.features.model_on_target import Pairing, SampleSubset
from transfer_exp.features.nested_subsets import NestedSubsets
from transfer_exp.ground_truth.regime import Accuracy, Regime
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.perturbation.perturbation import Perturbation
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import Track, phase, progress_bars, silent
from transfer_exp.results.search import SearchedModel, SearchResult
from transfer_exp.statistics.feature_set import FeatureSet

_SEARCH_SHARE = 0.75
"""Share of the time budget after which no model is shown more images; the rest is for its uncertainty."""
_OUT_OF_TIME = "the time budget was used up before"


@dataclass(frozen=True, eq=False, kw_only=True)
class PoolSearch(PoolOnDataset):
    """Settings of a search; its images are inspected in all splits, and those of the scoring set must be readable.

    Attributes:
        metric, perturbation: Objects of the config groups.
        ground_truth: Source of accuracies on other datasets, for metrics that need them.
        halving: Successive halving; its budget is set from ``budget``.
        budget: Time budget of the whole search.
        draws: Number of half-samples for the intervals.
        report: Function to call with each line of the inspection; None logs the findings.
        limits: Limits on what a model may cost.
    """

    metric: Metric | PoolMetric
    perturbation: Perturbation | StrengthPath
    ground_truth: Regime
    halving: Halving
    budget: Budget
    draws: int
    report: Callable[[str], object] | None = None
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def scoring(self) -> Scoring:
        """The metric applied after the perturbation."""
        return Scoring(self.metric, self.perturbation, self.seed)

    @one_blas_thread()
    def run(self, option_names: Mapping[str, str]) -> tuple[SearchResult, RunLog]:
        """Score all models on few images and the better ones on more, and estimate how certain the order is.

        Args:
            option_names: Names of ``perturbation`` and ``metric`` in tables.

        Returns:
            The ranking, and the timings and scoring sets of its models.

        Raises:
            InputError: If no model can be scored, or an input is invalid.
        """
        findings = self.check_images(ALL_SPLITS, needed=SCORING_SET, report=self.report)
        search = replace(self, budget=self.budget.with_at_least_half_left()) if self.inspect else self
        pool, remarks = self.limits.apply(self.pool, self.extractor(silent))
        result, run_log = replace(search, pool=pool)._search(option_names)
        run_log.findings = findings
        return replace(result, notes=(*result.notes, *remarks)), run_log

    def _search(self, option_names: Mapping[str, str]) -> tuple[SearchResult, RunLog]:
        """Search all models of the pool, without an inspection of the images."""
        left = None if self.budget.seconds is None else self.budget.left()
        with progress_bars(len(self.pool.candidates), f"{self.dataset.name}: models", left) as (track, advance):
            threads = ModelThreads(count_jobs(self.jobs, len(self.pool.candidates), self.device, self.store), track)
            extractor = self.extractor(threads.track)
            candidates = {candidate.name: candidate for candidate in self.pool.candidates}
            nested = NestedSubsets(candidates, self.dataset, extractor, self.seed, self.halving.first, self._best_layer)
            scored = ScoredSubsets(nested, self.scoring, self.ground_truth, threads, self.budget)
            first_look = FirstLook(scored, relative_costs(self.pool, self.budget))
            names, n_images = first_look(self.halving.first, len(self.dataset.class_names), advance)
            if not names:
                raise self._no_score(scored)
            phase("scoring")
            rounds = self._halve(scored, names, n_images)
            scores, subsets = self._score_finalists(scored, rounds)
        n_jobs = count_jobs(self.jobs, self.draws, "cpu", self.store)
        finalists = Finalists(scores, subsets, scored, option_names, self.draws, n_jobs)
        phase("expected accuracies and intervals")
        result = self._result(first_look, rounds, finalists, option_names)
        seconds = {name: {"features": seconds} for name, seconds in scored.subsets.seconds.items()}
        readers: dict[str, FeatureReader] = {
            name: partial(_read_from_memory, pairing.scoring_set) for name, pairing in finalists.scored_images.items()
        }
        return result, RunLog(seconds, readers)

    def _best_layer(self, layers: Sequence[SampleSubset]) -> SampleSubset:
        """Return the layer of a model with the highest score on the first images."""
        compute = self.scoring.compute_parts
        return self.scoring.best_layer(layers, lambda s: compute(s.pairing, self.ground_truth, s.scoring_set))[0]

    def fine_tune(self, result: SearchResult, regime: Regime, label: str, protocol: str) -> SearchResult:
        """Fine-tune the recommended models, and return the result with their accuracies.

        Args:
            result: Result of this search.
            regime, label, protocol: Parameters of `cached_accuracies`.

        Raises:
            InputError: If none of the models can be fine-tuned.
        """
        cache = self.cached_accuracies(regime, label, protocol)
        accuracies, problems = dict[str, float](), list[str]()

        def fine_tune_one(pairing: Pairing, track: Track, run_log: RunLog) -> Accuracy | str | None:
            try:
                return cache(pairing, track)
            except NotApplicableError as reason:
                return f"{pairing.name} was not fine-tuned: {reason}"

        values = self.for_each_model(fine_tune_one, pool=self.pool.select(result.recommended), what="fine-tuning")
        for name, value in zip(result.recommended, values, strict=True):
            if isinstance(value, str):
                problems.append(value)
            elif value is not None:
                accuracies[name] = value.value
        if not accuracies:
            raise InputError(problems[0] if problems else "fine-tuning gives no accuracy: choose another ground_truth")
        models = tuple(replace(model, accuracy=accuracies.get(model.model)) for model in result.models)
        return replace(result, models=models, command="", notes=(*result.notes, *problems))

    def _halve(self, scored: ScoredSubsets, names: Sequence[str], n_first: int) -> HalvingResult:
        """Run successive halving from a first round on ``n_first`` images, with seconds as the cost."""
        subsets, budget = scored.subsets, self.budget

        def score(remaining: Sequence[str], n_images: int) -> dict[str, float] | None:
            for name in set(subsets.candidates) - set(remaining):
                subsets.forget(name)
            is_first = n_images == n_first
            if not is_first and scored.predict_seconds(remaining, n_images) > budget.left(_SEARCH_SHARE):
                return None
            scores = scored.score_first(remaining, n_images, 1.0 if is_first else _SEARCH_SHARE)
            if not is_first and any(name not in scores and name not in scored.reasons for name in remaining):
                return None  # the time ended within the round
            if not scores:
                raise self._no_score(scored)
            return scores

        cost = {
            name: max(seconds / scored.threads.jobs + scored.predict_scoring_seconds(name, n_first) / n_first, 1e-6)
            for name, seconds in ((name, subsets.seconds_per_image[name]) for name in names)
        }
        first_round = n_first * sum(cost.values()) * (1 + 1e-9)  # rounding must not put it above the limit
        # Half of the models are loaded again in the second round, a quarter in the third, and so on.
        left = budget.left(_SEARCH_SHARE) - sum(subsets.load_seconds.values())
        limit = None if budget.seconds is None else first_round + max(left, 0.0)
        halving = replace(self.halving, first=n_first, budget=limit)
        return halving(names, len(subsets.order), score, subsets.imagenet_accuracies, cost)

    def _score_finalists(
        self, scored: ScoredSubsets, halving_result: HalvingResult
    ) -> tuple[dict[str, float], dict[str, SampleSubset]]:
        """Score the models of the last round on all images, or on as many as there is time for.

        Returns:
            Scores and images by model.

        Raises:
            InputError: If none of them has a score.
        """
        n_images, n_all = halving_result.rounds[-1].images, len(scored.subsets.order)
        scores = dict(halving_result.rounds[-1].scores)
        while n_images < n_all:
            left = self.budget.left(_SEARCH_SHARE)
            sizes = (n for n in (n_all, min(2 * n_images, n_all)) if scored.predict_seconds(scores, n) <= left)
            larger = next(sizes, None)
            if larger is None:
                break
            pairings = scored.pairings(list(scores), larger)
            scores, n_images = scored.score(p for p in pairings if p is not None), larger
            if not scores:
                raise self._no_score(scored)
        subsets = zip(scores, scored.pairings(list(scores), n_images), strict=True)
        return scores, {name: subset for name, subset in subsets if subset is not None}

    def _result(
        self, first_look: FirstLook, halving_result: HalvingResult, finalists: Finalists, names: Mapping[str, str]
    ) -> SearchResult:
        """Return the result with the uncertainty of its order."""
        scored, uncertainty = first_look.scored, measure_uncertainty(finalists)
        models, n_all = self._ranked(scored, halving_result, finalists, uncertainty), len(scored.subsets.order)
        missing = [model.model for model in models if model.status == "not looked at"]
        n_images, notes = models[0].images, list(uncertainty.notes)
        n_classes = len(np.unique(finalists.labels))
        if n_classes < len(self.dataset.class_names):
            notes.insert(0, f"scores are of images of {n_classes} of the {len(self.dataset.class_names)} classes")
        if n_images < n_all and uncertainty.ordered_by != "score":
            notes.append(f"expected accuracies are of models trained on {n_images} images, not on all {n_all}")
        looked_at = [name for name in first_look.costs if name not in missing and name in scored.subsets.load_seconds]
        seconds_missing = first_look.expected_seconds(missing, looked_at, halving_result.rounds[0].images)
        return SearchResult(
            self.cell(names),
            models,
            "budget" if missing or n_images < n_all else "all images",
            n_all,
            len(self.dataset.class_names),
            scored.subsets.forward_passes,
            self.budget.spent,
            self.budget.seconds,
            seconds_missing,
            uncertainty.ordered_by,
            uncertainty.expected_regret,
            notes=tuple(notes),
            target_kind=self.dataset.target_kind,
            measure=self.dataset.measure,
        )

    def _ranked(
        self, scored: ScoredSubsets, halving_result: HalvingResult, finalists: Finalists, uncertainty: Uncertainty
    ) -> tuple[SearchedModel, ...]:
        """Return all models: the finalists in order, the dropped ones, those without a look, those that failed."""
        n_images, values = len(finalists.labels), uncertainty.values
        rows = zip(*uncertainty.columns.values(), strict=True)
        ranked = [
            SearchedModel(
                name,
                rank=1 + int((values > value).sum()),
                images=n_images,
                **dict(zip(uncertainty.columns, row, strict=True)),
            )
            for name, value, row in zip(finalists.scores, values, rows, strict=True)
        ]
        ranked.sort(key=lambda model: model.rank or 0)
        scores = {name: (r.images, score) for r in halving_result.rounds for name, score in r.scores.items()}
        dropped = [name for name in halving_result.ranking if name not in {*finalists.scores, *scored.reasons}]
        for position, name in enumerate(dropped, start=len(ranked) + 1):
            images, score = scores[name]
            previous = ranked[-1]
            is_tied = previous.status == "dropped" and (previous.images, previous.score) == (images, score)
            rank, reason = previous.rank if is_tied else position, f"dropped after {images} images"
            ranked.append(SearchedModel(name, rank, score=score, images=images, status="dropped", reason=reason))
        done = {*finalists.scores, *dropped}
        failed = [SearchedModel(n, status="failed", reason=r) for n, r in scored.reasons.items() if n not in done]
        done |= set(scored.reasons)
        names = sorted(candidate.name for candidate in self.pool.candidates if candidate.name not in done)
        unseen = [SearchedModel(name, status="not looked at", reason=_OUT_OF_TIME) for name in names]
        return tuple(self._with_facts(model, scored.subsets) for model in (*ranked, *unseen, *failed))

    def _with_facts(self, model: SearchedModel, subsets: NestedSubsets) -> SearchedModel:
        """Return a model with its layer, cost and time."""
        name, cost, facts = model.model, subsets.costs.get(model.model), dict[str, Any]()
        if cost is not None:
            facts = {field: getattr(cost, field) for field in ("multiply_adds", "images_per_second", "file_bytes")}
            facts |= {"licence": cost.licence or "", "source_dataset": cost.source_dataset or ""}
            facts["peak_memory"] = cost.peak_memory(self.batch_size)
        facts |= {"layer": subsets.layers.get(name, ""), "parameters": subsets.parameters.get(name)}
        return replace(model, seconds=subsets.seconds.get(name, 0.0), **facts)

    def _no_score(self, scored: ScoredSubsets) -> NoModelError:
        name, reason = next(iter(scored.reasons.items()), ("no model", "the pool is empty"))
        return NoModelError(f"no model of {self.pool.name} can be scored on {self.dataset.name}; {name}: {reason}")


def _read_from_memory(features: FeatureSet, max_values: int) -> FeatureSet:
    """Return features that are already in memory, of any size; readers of stored features have a limit on it."""
    return features
