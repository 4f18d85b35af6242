"""Result of a search: models in order, how certain that order is, and the accuracies they are expected to reach."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from transfer_exp.io.measures import larger_is_better

Name = TypeVar("Name")
SCORE_LEVEL, RANK_LEVEL, ACCURACY_LEVEL = 0.95, 0.95, 0.80
"""Confidence levels of the intervals of scores, of ranks and of expected accuracies."""
MAX_RECOMMENDED = 3
"""Most models that a search recommends to fine-tune."""
_MARGIN = 0.05
"""Least distance from chance of an accuracy that is called good."""


@dataclass(frozen=True)
class SearchedModel:
    """One model of the pool. Finalists are the models of the last round.

    Attributes:
        model: Name of the model.
        rank: Rank, 1 for the best; equal models share the smallest. None for a model without a score.
        best_rank_95, worst_rank_95: 95 % interval of the rank, simultaneous for all finalists; None for other models.
        expected_accuracy: Expected accuracy after full fine-tuning, in [0, 1]. None for models that are not finalists,
            and for a metric without calibration.
        expected_accuracy_low_80, expected_accuracy_high_80: 80 % interval of the expected accuracy.
        score: Score on the last images that the model was scored on, larger is better. Scores on different numbers of
            images are not comparable.
        score_low_95, score_high_95: 95 % interval of the score on other samples of as many images.
        images: Number of images that the model was scored on.
        accuracy: Accuracy measured after fine-tuning, or an error (see ``measure`` of the search); None if the model
            was not fine-tuned.
        layer: Layer of the features, see `select_layers`; empty for features of the user.
        parameters: Number of parameters; None if unknown.
        multiply_adds: Multiplications of the network for one image.
        images_per_second: Fastest forward passes so far on this device, without decoding.
        peak_memory: Bytes of the weights and of the activations of a batch.
        file_bytes: Size of the file of weights.
        licence, source_dataset: Of the weights; empty if unknown.
        seconds: Time spent on the features of the model, loading included.
        status: ``finalist``, ``dropped`` (in an earlier round), ``not looked at`` (for lack of time) or ``failed``.
        reason: Why the model is not a finalist; empty for a finalist.
    """

    model: str
    rank: int | None = None
    best_rank_95: int | None = None
    worst_rank_95: int | None = None
    expected_accuracy: float | None = None
    expected_accuracy_low_80: float | None = None
    expected_accuracy_high_80: float | None = None
    score: float | None = None
    score_low_95: float | None = None
    score_high_95: float | None = None
    images: int = 0
    accuracy: float | None = None
    layer: str = ""
    parameters: int | None = None
    multiply_adds: int | None = None
    images_per_second: float | None = field(default=None, compare=False)
    peak_memory: int | None = None
    file_bytes: int | None = None
    licence: str = ""
    source_dataset: str = ""
    seconds: float = field(default=0.0, compare=False)
    status: str = "finalist"
    reason: str = ""


@dataclass(frozen=True)
class AdaptedModel:
    """A pair of a model and a regime, which is a way to adapt it.

    Attributes:
        model: Name of the model.
        regime: Label of the regime, such as ``lora(rank=4)``.
        status: ``measured``, ``not tried`` (for lack of time) or ``failed``.
        accuracy: Measure on the test images. None unless measured.
        validation: Measure on the validation images, which chooses the best pair. None unless measured.
        trainable_parameters: Number of parameters that are trained, with the head.
        training_seconds: Duration of the training.
        expected_seconds: Predicted duration. None if it was not predicted, 0 if the store had the accuracy.
        reason: Why the pair was not measured; empty for a measured one.
    """

    model: str
    regime: str
    status: str = "measured"
    accuracy: float | None = None
    validation: float | None = None
    trainable_parameters: int | None = None
    training_seconds: float | None = field(default=None, compare=False)
    expected_seconds: float | None = field(default=None, compare=False)
    reason: str = ""


def format_count(count: int | float, more_digits: int = 0) -> str:
    """Return a count such as ``208 k``, ``2.5 M`` or ``1.2 G``, or with more digits."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.{more_digits + (1 if count < 9.95 * size else 0)}f} {unit}"
    return f"{count:.{more_digits}f} "


def pareto_front(points: Iterable[tuple[float, float, Name]]) -> list[Name]:
    """Return the names of points (cost, quality, name) that no other point beats: as good at no higher cost.

    They come cheapest first. Of equal points only the first counts.
    """
    front, best = list[Name](), -math.inf
    for _, quality, name in sorted(points, key=lambda point: (point[0], -point[1])):
        if quality > best:
            front.append(name)
            best = quality
    return front


def format_seconds(seconds: float, more_digits: int = 0) -> str:
    """Return a time such as ``42.0 s``, ``3.5 min`` or ``2.0 h``, or with more digits."""
    for unit, size in {"h": 3600, "min": 60}.items():
        if seconds >= 2 * size:
            return f"{seconds / size:,.{1 + more_digits}f} {unit}"
    return f"{seconds:.{1 + more_digits}f} s"


@dataclass(frozen=True)
class SearchResult:
    """All models of a pool, and the course of the search.

    Attributes:
        cell: Labels of the search: ``model_pool``, ``dataset``, ``perturbation``, ``metric``, ``seed``.
        models: Models in order of rank, then models that were not looked at, then models that failed.
        stop_reason: Why the search ended: ``all images`` if all models were looked at and the finalists were scored on
            all images, otherwise ``budget``.
        images: Number of images available, N.
        classes: Number of classes of the dataset, of its labels, or of ranges of its numbers.
        forward_passes: Images passed through a model, summed over models.
        seconds: Duration of the search.
        budget_seconds: Time budget; None for no limit.
        seconds_missing: Estimated further time for a look at the models that were not looked at; 0 if there are none.
        ordered_by: Quantity that orders the finalists: ``expected accuracy``, or ``score`` without a calibration.
        expected_regret: Expected loss of accuracy of fine-tuning only the first model instead of all finalists; None
            for a metric without calibration.
        command: Command that fine-tunes the recommended models; empty if they have no networks or are fine-tuned.
        notes: Remarks for the reader.
        target_kind: What the dataset asks a model to predict.
        measure: Measure of the accuracies after fine-tuning.
        pairs: Pairs of model and regime in the order in which they were tried; empty unless regimes are compared.
    """

    cell: Mapping[str, str]
    models: tuple[SearchedModel, ...]
    stop_reason: str
    images: int
    classes: int
    forward_passes: int
    seconds: float
    budget_seconds: float | None = None
    seconds_missing: float = 0.0
    ordered_by: str = "score"
    expected_regret: float | None = None
    command: str = ""
    notes: tuple[str, ...] = ()
    target_kind: str = "single_label"
    measure: str = "accuracy"
    pairs: tuple[AdaptedModel, ...] = ()

    def with_status(self, status: str) -> tuple[SearchedModel, ...]:
        """Return the models with a status, in order."""
        return tuple(model for model in self.models if model.status == status)

    @property
    def most_accurate(self) -> SearchedModel | None:
        """The first of the fine-tuned models with the best accuracy, which is the smallest error; None without one."""
        measured = [model for model in self.models if model.accuracy is not None]
        return max(measured, key=lambda m: larger_is_better(m.accuracy or 0.0, self.measure), default=None)

    @property
    def best_pair(self) -> AdaptedModel | None:
        """The pair with the best measure on validation; of equal ones that with the fewest trained parameters."""

        def order(pair: AdaptedModel) -> tuple[float, float, str]:
            quality = larger_is_better(pair.validation or 0.0, self.measure)
            trained = math.inf if pair.trainable_parameters is None else pair.trainable_parameters
            return -quality, trained, pair.model

        return min((pair for pair in self.pairs if pair.status == "measured"), key=order, default=None)

    @property
    def best(self) -> tuple[str, ...]:
        """Models that cannot be distinguished from the best; only the first if the intervals are unknown."""
        possibly_best = [model.model for model in self.models if model.best_rank_95 == 1]
        return tuple(possibly_best or [model.model for model in self.models[:1]])

    @property
    def chance(self) -> float:
        """Expected accuracy of guesses, if all classes are equally frequent."""
        return 1 / self.classes

    @property
    def is_near_chance(self) -> bool:
        """Whether the first finalist is expected to be hardly better than guesses; False without an expectation."""
        first = self.with_status("finalist")[0]
        if first.expected_accuracy is None:
            return False
        # Two standard errors of the accuracy of guesses on as many images.
        margin = max(_MARGIN, 2 * math.sqrt(self.chance * (1 - self.chance) / first.images))
        return first.expected_accuracy < self.chance + margin

    @property
    def recommended(self) -> tuple[str, ...]:
        """Models to fine-tune: those that may be the best, or the first finalists if the intervals are unknown.

        There is none if even the first one is expected to be close to chance.
        """
        if self.is_near_chance:
            return ()
        finalists = [model.model for model in self.with_status("finalist")]
        has_intervals = any(model.best_rank_95 is not None for model in self.models)
        return tuple((self.best if has_intervals else finalists)[:MAX_RECOMMENDED])

    @property
    def front(self) -> tuple[str, ...]:
        """Finalists that no other finalist beats in accuracy and multiply-adds at the same time, cheapest first.

        The accuracy is the expected one, or else the score. Models without both numbers are not compared.
        """
        has_expected = any(model.expected_accuracy is not None for model in self.models)
        points = [
            (model.multiply_adds, value, model.model)
            for model in self.with_status("finalist")
            for value in [model.expected_accuracy if has_expected else model.score]
            if model.multiply_adds is not None and value is not None
        ]
        return tuple(pareto_front(points))

    @property
    def share_of_passes(self) -> float:
        """Share of the forward passes of all models of the pool that can be used on all images, in [0, 1]."""
        usable = len(self.models) - len(self.with_status("failed"))
        return self.forward_passes / (self.images * usable)
