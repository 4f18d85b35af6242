"""Fine-tuning by a protocol (see `Protocol`).

The points of its grid (learning rates and weight decays) are compared on validation. The best one is trained again on
train and validation, and that network is tested once.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import ClassVar, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, NotApplicableError, check_options
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing, Split
from transfer_exp.ground_truth.linear_probe import fit_probe, labelled_features
from transfer_exp.ground_truth.measure import compute_measure
from transfer_exp.ground_truth.network import (
    Examples,
    Images,
    NetworkFactory,
    NewHead,
    TrainedPart,
    prepare_images,
    use_channels_last,
)
from transfer_exp.ground_truth.protocol import Protocol, Recipe
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.ground_truth.training import Batch, BatchAt, Checkpoint, State, Training, check_optimizer
from transfer_exp.io.measures import INVARIANT, ORDINAL, larger_is_better
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.progress import Track, curve
from transfer_exp.statistics.feature_set import concatenate
from transfer_exp.vision import timm

_log = logging.getLogger(__name__)
_PROBE_INVERSE_PENALTY, _PROBE_TOLERANCE = 1e-2, 1e-3
"""Settings of the probe that initialises a head: the middle of the usual grid, and a rough solution."""
_EVALUATION_BATCH = 128
FEW_PARAMETERS_FACTOR = 10.0
"""Factor on the learning rates of regimes that train few parameters, which need larger ones; docs/ground_truth.md."""
_TIMED_STEPS = 3
"""Number of training steps that predict the time of all steps, after a first one that warms libraries up."""
_CURVE_POINTS = 50
"""Largest number of points in the curve of a training run; each is the mean of the steps since the one before."""
Positions = Int[np.ndarray, " trained"]
HeldOut = Int[np.ndarray, " held_out"]
"""Positions of images in train and validation together, to train on and to select on."""


class FineTuning(ABC):
    """Base of the regimes that train a network by a protocol; subclasses are frozen dataclasses.

    Attributes:
        option: Name of the regime in the config.
        protocol: Settings that decide the accuracy.
        seed: Seed of the head's weights, the batches, the augmentation and the validation split.
        device: ``cpu``, ``cuda`` or ``mps``.
        learning_rate_factor: The learning rates of the protocol are multiplied by it.

    Raises:
        InputError: When the optimiser does not exist, or the factor is not positive.
    """

    option: ClassVar[str]
    trains: ClassVar[bool] = True

    protocol: Protocol
    seed: int
    device: str
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        check_optimizer(self.protocol.optimizer)
        is_positive = 0 < self.learning_rate_factor < math.inf
        check_options("ground_truth", self, {"learning_rate_factor": (is_positive, "a positive number")})

    @abstractmethod
    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the part of a model that is trained; ``backbone`` is a copy that it may use."""

    def grid(self) -> tuple[Recipe, ...]:
        """Return the grid of the protocol, with learning rates multiplied by the factor."""
        rates = tuple(self.learning_rate_factor * rate for rate in self.protocol.learning_rates)
        return replace(self.protocol, learning_rates=rates).grid()

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after training on train and validation with the best point of the grid.

        Raises:
            InputError: When the pairing has only features, without network and images.
            NotApplicableError: When training diverges at every point of the grid.
        """
        data, protocol, grid = self._prepare(pairing), self.protocol, self.grid()
        advance = track(f"fine-tuning {pairing.name}", protocol.steps + protocol.selection_steps())
        best, selection = 0, dict[str, float]()
        if len(grid) > 1:
            runs, measure = self._grid_runs(data, advance), data.dataset.measure
            best, selection = _select(runs, data.validation, protocol.stages, measure)
        (final,) = self._runs(data, np.arange(len(data.images)), {"final": grid[best]}, advance)
        value = final.train(protocol.steps, data.factory.examples(data.dataset.test))
        if value is None:
            raise NotApplicableError(f"training diverged at learning rate {grid[best].learning_rate:g}")
        point = {"learning_rate": grid[best].learning_rate, "weight_decay": grid[best].weight_decay}
        trained = data.factory.parameters + (data.factory.dim + 1) * data.dataset.n_outputs
        return Accuracy(value, data.dataset.measure, {**point, **selection}, "this project", protocol.steps, trained)

    @property
    def n_points(self) -> int:
        """Number of grid points, see `HasGrid`."""
        return len(self.grid())

    def train_point(self, pairing: Pairing, point: int, track: Track) -> bool:
        """Train one grid point up to the first selection, see `HasGrid`; return whether it was trained already."""
        until, data = self.protocol.stages[0], self._prepare(pairing)
        run = self._grid_runs(data, track(f"point {point} of the grid for {pairing.name}", until))[point]
        was_trained = run.is_trained(until)
        run.train(until, data.validation)
        return was_trained

    def validate(self, pairing: Pairing, track: Track) -> float:
        """Train on the training images, and return the measure on validation, see `Validates`."""
        data, protocol = self._prepare(pairing), self.protocol
        advance = track(f"validating {pairing.name}", protocol.selection_steps() or protocol.steps)
        runs = self._grid_runs(data, advance)
        return _select(runs, data.validation, protocol.stages, data.dataset.measure)[1]["validation"]

    def predict_seconds(self, pairing: Pairing) -> float:
        """Predict the seconds of a call, see `PredictsSeconds`, from steps on one batch with a discarded network.

        For a grid of one point, the time of `validate` is added, because a call then validates nothing.
        """
        (model, dataset), protocol = self._to_train(pairing), self.protocol
        images, _, held_out = self._split(dataset)
        n_timed, n_test, n_steps = min(protocol.batch_size, len(images)), len(dataset.test), protocol.steps
        n_steps += protocol.selection_steps() or protocol.steps
        factory, positions = self._factory(model, images), torch.arange(n_timed)
        start = time.perf_counter()
        plain, augmented = self._examples(model, factory, images, dataset, n_timed)
        plain.batch_at(positions)
        first_read = time.perf_counter() - start
        # A second reading takes no time if the inputs stay in memory.
        per_input = max(first_read - _seconds(lambda: plain.batch_at(positions)), 0.0) / n_timed
        network = factory.build(lambda dim: nn.Linear(dim, dataset.n_outputs))
        recipe = replace(self.grid()[0], learning_rate=1e-9)  # no step may diverge
        training = Training(network, augmented.batch_at, n_timed, recipe, self.seed)
        training.run(1)
        per_step = _seconds(lambda: training.run(1 + _TIMED_STEPS)) / _TIMED_STEPS
        network.eval()
        with torch.inference_mode():
            per_output = _seconds(lambda: network(plain.batch_at(positions)[0]).cpu()) / n_timed
        n_trained = len(images) if factory.part.trunk else min(len(images), n_steps * protocol.batch_size)
        is_augmented = protocol.augmentation != "none"  # Then reading is a part of each step.
        n_inputs = (len(held_out) if is_augmented else n_trained) + n_test
        n_outputs = self.n_points * len(held_out) + n_test + len(images) * (protocol.head == "linear_probe")
        return n_inputs * per_input + n_steps * per_step + n_outputs * per_output

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """Return the cost of training all parameters, see `CountsPasses`."""
        return self.protocol.forward_passes(split_sizes)

    def _to_train(self, pairing: Pairing) -> tuple[LoadedModel, TargetDataset]:
        """Return the model and its dataset with numbers standardised; InputError if they cannot be trained."""
        if not isinstance(pairing, NetworkOnImages):
            raise InputError(
                f"ground_truth={self.option} needs networks and images: here set ground_truth=none or linear_probe"
            )
        dataset = pairing.dataset.standardise_numbers()
        if self.protocol.number_loss == "huber" and dataset.target_kind != "regression":
            raise InputError(f"protocol.number_loss=huber is for numbers, and {dataset.name} has none: leave it out")
        return pairing.model, dataset

    def _split(self, dataset: TargetDataset) -> tuple[LabelledImages, Positions, HeldOut]:
        """Return the images of train and validation, and the positions to train on and to hold out for selection."""
        train, validation = dataset.train, dataset.validation
        if validation is None:
            return train, *stratified_split(train.labels, self.protocol.validation_fraction, self.seed)
        positions = np.arange(len(train) + len(validation))
        return train.concatenate(validation), positions[: len(train)], positions[len(train) :]

    def _examples(
        self,
        model: LoadedModel,
        factory: NetworkFactory,
        images: LabelledImages,
        dataset: TargetDataset,
        first: int | None = None,
    ) -> tuple[Examples, Examples]:
        """Return the inputs of networks for some images, or the ``first`` ones, without and with augmentation."""
        plain, protocol = factory.examples(images, first), self.protocol
        batch_at = plain.batch_at
        if protocol.augmentation == "crop_flip":
            if model.augmented is None:
                raise InputError("this pool has no augmentation=crop_flip: set protocol.augmentation=none")
            batch_at = prepare_images(images, model.augmented, factory.device, use_cache=False)
        if protocol.mixup:
            batch_at = mix_images(batch_at, images, len(dataset.class_names), protocol.mixup)
        return plain, replace(plain, batch_at=batch_at)

    def _prepare(self, pairing: Pairing) -> _Data:
        """Return the images of a dataset as inputs of the networks that are trained."""
        model, dataset = self._to_train(pairing)
        assert isinstance(pairing, NetworkOnImages), "arrays are refused"
        images, trained, held_out = self._split(dataset)
        factory = self._factory(model, images)
        plain, augmented = self._examples(model, factory, images, dataset)
        return _Data(pairing, dataset, factory, augmented, trained, plain.subset(held_out))

    def _factory(self, model: LoadedModel, images: LabelledImages) -> NetworkFactory:
        """Return the factory of networks for a model, which stays unchanged."""
        backbone = copy.deepcopy(model.backbone).cpu().eval()
        use_channels_last(backbone)
        image = model.transform(images.read(0))[None]
        with torch.inference_mode():
            dim = backbone(image).shape[1]
        part = self.select_part(model, backbone, image)
        freeze_batch_norm = model.freeze_batch_norm or self.protocol.batch_norm == "frozen"
        parameters, device = part.count_parameters(image), torch.device(self.device)
        return NetworkFactory(part, dim, parameters, model.transform, freeze_batch_norm, self.seed, device)

    def _grid_runs(self, data: _Data, advance: Callable[[], object]) -> list[_Run]:
        """Return one run per grid point, which does not see the validation images."""
        recipes = {f"point{i}": recipe for i, recipe in enumerate(self.grid())}
        return self._runs(data, data.trained, recipes, advance)

    def _runs(
        self, data: _Data, trained: Positions, recipes: Mapping[str, Recipe], advance: Callable[[], object]
    ) -> list[_Run]:
        """Return one run per recipe; all train on the images at positions ``trained`` of train and validation."""
        examples, folder = data.images.subset(trained), data.pairing.unfinished
        build = partial(data.factory.build, self._new_head(data.pairing, trained))
        return [
            _Run(
                build,
                examples,
                recipe,
                self.seed,
                data.dataset.measure,
                data.pairing.dataset.mean_and_scale,
                Checkpoint(folder, f"{name}.pt"),
                advance,
                self._curve_name(data.pairing.name, name, recipe),
            )
            for name, recipe in recipes.items()
        ]

    def _curve_name(self, model: str, name: str, recipe: Recipe) -> str:
        """Return the name of a run's curves, such as ``vit lr=0.001`` or ``vit final lr=0.001``."""
        decay = f" wd={recipe.weight_decay:g}" if len(self.protocol.weight_decays) > 1 else ""
        return f"{model}{' final' if name == 'final' else ''} lr={recipe.learning_rate:g}{decay}"

    def _new_head(self, pairing: NetworkOnImages, trained: Positions) -> NewHead:
        """Return the factory of heads for training on some of the images of train and validation."""
        classes = pairing.dataset.n_outputs
        if self.protocol.head == "random":
            return lambda dim: nn.Linear(dim, classes)

        mean, scale = pairing.dataset.mean_and_scale

        @cache
        def fit_layer() -> nn.Linear:
            splits = [labelled_features(pairing, split) for split in ("train", "validation")]
            features = concatenate([split for split in splits if split is not None])
            if pairing.dataset.target_kind == "regression" and features.targets is not None:
                features = replace(features, targets=(features.targets - mean) / scale)
            fit = fit_probe(features.subset(trained), classes, (_PROBE_INVERSE_PENALTY,), _PROBE_TOLERANCE)
            return fit.as_layer(len(trained))

        return lambda dim: copy.deepcopy(fit_layer())


class _Data(NamedTuple):
    """The images of a dataset as inputs of the networks that are trained."""

    pairing: NetworkOnImages
    dataset: TargetDataset
    factory: NetworkFactory
    images: Examples  # train and validation, augmented
    trained: Positions  # of the images on which the grid is trained
    validation: Examples  # the images on which the grid is compared, without augmentation


def _select(
    runs: Sequence[_Run], validation: Examples, stages: Sequence[int], measure: str
) -> tuple[int, dict[str, float]]:
    """Train the runs with successive halving; return the position of the best one, and facts about the selection."""
    remaining, values = list(range(len(runs))), dict[int, float | None]()

    def quality(run: int) -> float:
        value = values[run]
        return -math.inf if value is None else larger_is_better(value, measure)

    for until in stages:
        values = {i: runs[i].train(until, validation) for i in remaining}
        if set(values.values()) == {None}:
            raise NotApplicableError(f"training diverged at each of the {len(remaining)} points of the grid")
        # Ties are resolved by the order of the grid.
        remaining = sorted(sorted(remaining, key=lambda i: -quality(i))[: math.ceil(len(remaining) / 2)])
    best = max(values, key=quality)
    n_stopped = len(runs) - len(values)
    value = values[best]
    assert value is not None, "some run has not diverged"
    return best, {"validation": value} | ({"stopped_early": n_stopped} if n_stopped else {})


@dataclass(eq=False)
class _Run:
    """Training of one network with one recipe, in stages; it resumes from its checkpoint.

    ``mean_and_scale`` are those of the numbers before they were standardised, see `TargetDataset.mean_and_scale`.
    ``advance`` is called once per step, including the steps that the checkpoint spares this process. ``curve_name``
    is the name of the run in trackers.
    """

    build_network: Callable[[], nn.Module]
    examples: Examples
    recipe: Recipe
    seed: int
    measure: str
    mean_and_scale: tuple[float, float]
    checkpoint: Checkpoint
    advance: Callable[[], object]
    curve_name: str
    _reported: int = 0
    _batches: list[dict[str, float]] = field(default_factory=list)
    """Loss and accuracy of the batches since the last point of the curves."""

    def is_trained(self, until: int) -> bool:
        """Return whether the checkpoint has the result after ``until`` steps."""
        results: dict[str, float] = self.checkpoint.read().get("reached", {})
        return "-1" in results or str(until) in results

    def train(self, until: int, held_out: Examples) -> float | None:
        """Return the measure on ``held_out`` after ``until`` steps, or None if training has diverged."""
        state = self.checkpoint.read()
        results: dict[str, float] = state.get("reached", {})  # by step; step -1 marks a diverged run
        if "-1" in results:
            return None
        if str(until) not in results:
            training = self._resume(state)
            try:
                training.run(until, lambda: self._report_step(training), self.checkpoint)
                results |= {str(until): evaluate(training.network, held_out, self.measure, self.mean_and_scale)}
                curve(self.curve_name, until, {f"held_out_{self.measure}": results[str(until)]})
            except NotApplicableError:  # too large a learning rate diverges, and must lose the selection
                results |= {"-1": -math.inf}
            is_finished = until == self.recipe.steps or "-1" in results
            self.checkpoint.write({"reached": results} if is_finished else {**training.state(), "reached": results})
        self._report_up_to(until)
        return results.get(str(until))

    def _resume(self, state: State) -> Training:
        training = Training(self.build_network(), self.examples.batch_at, len(self.examples), self.recipe, self.seed)
        if "network" in state:
            training.restore(state)
            if training.step > self._reported:
                name = self.checkpoint.name.removesuffix(".pt")
                _log.info("%s: training resumes at step %d of %d", name, training.step, self.recipe.steps)
            self._report_up_to(training.step)
        return training

    def _report_step(self, training: Training) -> None:
        """Report a finished step, and at intervals a point of the curves."""
        self._batches.append(training.batch)
        if training.step % math.ceil(self.recipe.steps / _CURVE_POINTS) == 0 or training.step == self.recipe.steps:
            values = {name: [b[name] for b in self._batches if name in b] for name in ("loss", "accuracy")}
            curve(self.curve_name, training.step, {f"train_{n}": sum(v) / len(v) for n, v in values.items() if v})
            self._batches.clear()
        self._report_up_to(training.step)

    def _report_up_to(self, step: int) -> None:
        for _ in range(self._reported, step):
            self.advance()
        self._reported = max(self._reported, step)


def _seconds(work: Callable[[], object]) -> float:
    """Return the time that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def evaluate(
    network: nn.Module, examples: Examples, measure: str, mean_and_scale: tuple[float, float] = (0.0, 1.0)
) -> float:
    """Return a measure of the network on all examples, and restore its train or eval mode.

    Standardised numbers and their predictions are converted to the original unit, which `INVARIANT` measures ignore.
    """
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        batches = torch.arange(len(examples)).split(_EVALUATION_BATCH)
        logits = [network(examples.batch_at(positions)[0]).cpu() for positions in batches]
    network.train(was_training)
    outputs, targets = torch.cat(logits).float().numpy(), examples.targets
    if targets is not None and measure not in INVARIANT and mean_and_scale != (0.0, 1.0):
        mean, scale = mean_and_scale
        outputs, targets = mean + scale * outputs.astype(np.float64), mean + scale * targets
        targets = np.round(targets, 9) if measure in ORDINAL else targets  # whole numbers again
    return compute_measure(measure, outputs, examples.labels, targets)


def mix_images(batch_at: BatchAt, images: LabelledImages, classes: int, alpha: float) -> BatchAt:
    """Return batches with mixup: images and targets (B, C) are mixed in pairs.

    Raises:
        InputError: When the images have several labels or numbers.
    """
    if images.targets is not None:
        raise InputError("mixup needs one class per image, not several labels or numbers: set protocol.mixup=0")
    mixup = timm.data.Mixup(mixup_alpha=alpha, label_smoothing=0.0, num_classes=classes)

    def mixed_batch_at(positions: Int[Tensor, " batch"]) -> Batch:
        inputs, targets = batch_at(positions)
        # timm mixes images in pairs and refuses an odd batch.
        return cast("Batch", mixup(inputs, targets)) if len(inputs) % 2 == 0 else (inputs, targets)

    return mixed_batch_at
