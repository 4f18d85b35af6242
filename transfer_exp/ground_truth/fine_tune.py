"""Base of the regimes that fine-tune a network (see `Regime`) with the settings of a `Protocol`.

For each point of the protocol's grid (a learning rate and a weight decay), a network is trained on the training images
and evaluated on the validation images. With the best point, a new network is trained on both, and tested once.
"""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import ClassVar, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from transfer_exp.dataset.split_names import Split
from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, NotApplicableError, check_types
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.linear_probe import fit_probe, labelled_features
from transfer_exp.ground_truth.network import (
    Examples,
    Images,
    NetworkFactory,
    NewHead,
    TrainedPart,
    prepare_images,
    use_channels_last,
)
from transfer_exp.ground_truth.protocol import Protocol, Recipe, check_regime_options
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.ground_truth.training import Batch, BatchAt, Checkpoint, Training, check_optimizer
from transfer_exp.ground_truth.training_run import TrainingRun, select_best
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.progress import Track
from transfer_exp.statistics.feature_set import concatenate
from transfer_exp.vision import timm

_PROBE_INVERSE_PENALTY, _PROBE_TOLERANCE = 1e-2, 1e-3
"""Settings of the probe that initialises a head: the middle of the usual grid, and a rough solution."""
FEW_PARAMETERS_FACTOR = 10.0
"""Factor on the learning rates of regimes that train few parameters, which need larger ones; docs/ground_truth.md."""
_TIMED_STEPS = 3
"""Number of training steps that predict the time of all steps, after a first one that warms libraries up."""
TrainPositions = Int[np.ndarray, " trained"]
"""Positions of the images to train on, among the images of train and validation."""
HeldOutPositions = Int[np.ndarray, " held_out"]
"""Positions of the images to select a grid point on, among the images of train and validation."""


class FineTuning(ABC):
    """Base of the regimes that train a network by a protocol; subclasses are frozen dataclasses.

    Attributes:
        option: Name of the regime in the config.
        trains: Attribute of `Regime`.
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
        check_types("ground_truth", self)
        check_optimizer(self.protocol.optimizer)
        check_regime_options(vars(self))

    @abstractmethod
    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the part of a model that is trained; ``backbone`` is a copy that it may use."""

    def grid(self) -> tuple[Recipe, ...]:
        """Return the grid of the protocol, with learning rates multiplied by the factor."""
        rates = tuple(self.learning_rate_factor * rate for rate in self.protocol.learning_rates)
        return replace(self.protocol, learning_rates=rates).grid()

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return the test accuracy of a network trained on train and validation with the best point of the grid.

        `Accuracy.chosen` holds the ``learning_rate`` and the ``weight_decay`` of the point. If the grid has several
        points, it also holds the entries of `select_best`.

        Raises:
            InputError: When the pairing has only features, without network and images, or the protocol asks for
                ``huber``, ``crop_flip`` or mixup, and the dataset or the model does not allow it.
            NotApplicableError: When training diverges at every point of the grid or in the final training, or the
                network has no such part to train.
        """
        data, protocol, grid = self._prepare(pairing), self.protocol, self.grid()
        advance = track(f"fine-tuning {pairing.name}", protocol.steps + protocol.selection_steps())
        best, selection, measure = 0, dict[str, float](), data.dataset.measure
        if len(grid) > 1:
            best, selection = select_best(self._grid_runs(data, advance), data.validation, protocol.stages, measure)
        recipe = grid[best]
        (final,) = self._runs(data, np.arange(len(data.augmented)), {"final": recipe}, advance)
        value = final.train(protocol.steps, data.factory.examples(data.dataset.test))
        if value is None:
            raise NotApplicableError(f"training diverged at learning rate {recipe.learning_rate:g}")
        n_head_parameters = (data.factory.dim + 1) * data.dataset.n_outputs
        return Accuracy(
            value,
            measure,
            chosen={"learning_rate": recipe.learning_rate, "weight_decay": recipe.weight_decay, **selection},
            steps=protocol.steps,
            trainable_parameters=data.factory.parameters + n_head_parameters,
        )

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
        """Return the validation value of the best grid point, trained on the training images; see `Validates`."""
        data, protocol = self._prepare(pairing), self.protocol
        advance = track(f"validating {pairing.name}", protocol.selection_steps() or protocol.steps)
        runs = self._grid_runs(data, advance)
        return select_best(runs, data.validation, protocol.stages, data.dataset.measure)[1]["validation"]

    def predict_seconds(self, pairing: Pairing) -> float:
        """Predict the seconds of a call, and of `validate` if the grid has one point, see `PredictsSeconds`.

        A few steps are timed on one batch, with a network that is discarded.
        """
        pairing, dataset = self._check_pairing(pairing)
        model, protocol = pairing.model, self.protocol
        images, _, held_out = self._split(dataset)
        n_timed, n_test = min(protocol.batch_size, len(images)), len(dataset.test)
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
        # With one grid point, a call selects nothing, and `validate` trains for as many steps as the call.
        n_steps = protocol.steps + (protocol.selection_steps() or protocol.steps)
        if protocol.augmentation != "none":
            n_inputs = len(held_out)  # the time of a step includes that of its augmented inputs
        elif factory.part.trunk is not None:
            n_inputs = len(images)  # the frozen trunk computes them all before the first step
        else:
            n_inputs = min(len(images), n_steps * protocol.batch_size)
        n_outputs = self.n_points * len(held_out) + n_test
        if protocol.head == "linear_probe":
            n_outputs += len(images)  # the features that the probe is fitted to
        return (n_inputs + n_test) * per_input + n_steps * per_step + n_outputs * per_output

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """Return the forward passes of single images that full fine-tuning takes, see `CountsPasses`.

        A regime that trains only a part of the network counts the same, although it takes less time.
        """
        return self.protocol.forward_passes(split_sizes)

    def _check_pairing(self, pairing: Pairing) -> tuple[NetworkOnImages, TargetDataset]:
        """Return the pairing, and its dataset with numbers standardised; InputError if it cannot be trained."""
        if not isinstance(pairing, NetworkOnImages):
            raise InputError(
                f"ground_truth={self.option} needs networks and images: here set ground_truth=none or linear_probe"
            )
        dataset = pairing.dataset.standardise_numbers()
        if self.protocol.number_loss == "huber" and dataset.target_kind != "regression":
            raise InputError(f"protocol.number_loss=huber is for numbers, and {dataset.name} has none: leave it out")
        return pairing, dataset

    def _split(self, dataset: TargetDataset) -> tuple[LabelledImages, TrainPositions, HeldOutPositions]:
        """Return the images of train and validation, the positions to train on, and those to select on."""
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
        """Return the inputs of networks without and with augmentation and mixup.

        With ``first``, only so many images from the start can be used, see `NetworkFactory.examples`.
        """
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
        """Return the images of a dataset as inputs of the networks to train."""
        pairing, dataset = self._check_pairing(pairing)
        images, train_positions, held_out = self._split(dataset)
        factory = self._factory(pairing.model, images)
        plain, augmented = self._examples(pairing.model, factory, images, dataset)
        return _Data(pairing, dataset, factory, augmented, train_positions, plain.subset(held_out))

    def _factory(self, model: LoadedModel, images: LabelledImages) -> NetworkFactory:
        """Return the factory of networks for a model, which stays unchanged."""
        backbone = copy.deepcopy(model.backbone).cpu().eval()
        use_channels_last(backbone)
        image = model.transform(images.read(0))[None]
        with torch.inference_mode():
            dim = backbone(image).shape[1]
        part = self.select_part(model, backbone, image)
        freeze_batch_norm = model.freeze_batch_norm or self.protocol.batch_norm == "frozen"
        n_parameters, device = part.count_parameters(image), torch.device(self.device)
        return NetworkFactory(part, dim, n_parameters, model.transform, freeze_batch_norm, self.seed, device)

    def _grid_runs(self, data: _Data, advance: Callable[[], object]) -> list[TrainingRun]:
        """Return one run per grid point, which is not trained on the validation images."""
        recipes = {f"point{i}": recipe for i, recipe in enumerate(self.grid())}
        return self._runs(data, data.train_positions, recipes, advance)

    def _runs(
        self, data: _Data, positions: TrainPositions, recipes: Mapping[str, Recipe], advance: Callable[[], object]
    ) -> list[TrainingRun]:
        """Return one run per recipe; all train on the images at ``positions`` of train and validation."""
        examples, folder = data.augmented.subset(positions), data.pairing.unfinished
        build = partial(data.factory.build, self._new_head(data.pairing, positions))
        return [
            TrainingRun(
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

    def _new_head(self, pairing: NetworkOnImages, positions: TrainPositions) -> NewHead:
        """Return the factory of heads for training on the images at ``positions`` of train and validation."""
        n_outputs = pairing.dataset.n_outputs
        if self.protocol.head == "random":
            return lambda dim: nn.Linear(dim, n_outputs)

        mean, scale = pairing.dataset.mean_and_scale

        @cache
        def fit_layer() -> nn.Linear:
            splits = [labelled_features(pairing, split) for split in ("train", "validation")]
            features = concatenate([split for split in splits if split is not None])
            if pairing.dataset.target_kind == "regression" and features.targets is not None:
                features = replace(features, targets=(features.targets - mean) / scale)
            fit = fit_probe(features.subset(positions), n_outputs, (_PROBE_INVERSE_PENALTY,), _PROBE_TOLERANCE)
            return fit.as_layer(len(positions))

        return lambda dim: copy.deepcopy(fit_layer())


class _Data(NamedTuple):
    """The images of a dataset as inputs of the networks to train.

    Attributes:
        pairing: The model and the dataset, whose numbers have their original unit.
        dataset: The same dataset with numbers standardised.
        factory: Creates the networks.
        augmented: Images of train and validation, with augmentation and mixup.
        train_positions: Positions in ``augmented`` on which the grid points are trained.
        validation: Images on which the grid points are compared, without augmentation.
    """

    pairing: NetworkOnImages
    dataset: TargetDataset
    factory: NetworkFactory
    augmented: Examples
    train_positions: TrainPositions
    validation: Examples


def _seconds(work: Callable[[], object]) -> float:
    """Return the time that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def mix_images(batch_at: BatchAt, images: LabelledImages, n_classes: int, alpha: float) -> BatchAt:
    """Return batches with mixup: images are mixed in pairs, and targets are weights of classes (B, C).

    A batch with an odd number of images is not mixed, and its targets are labels (B,).

    Raises:
        InputError: When the images have several labels or numbers.
    """
    if images.targets is not None:
        raise InputError("mixup needs one class per image, not several labels or numbers: set protocol.mixup=0")
    mixup = timm.data.Mixup(mixup_alpha=alpha, label_smoothing=0.0, num_classes=n_classes)

    def mixed_batch_at(positions: Int[Tensor, " batch"]) -> Batch:
        inputs, targets = batch_at(positions)
        # timm refuses an odd batch.
        return cast("Batch", mixup(inputs, targets)) if len(inputs) % 2 == 0 else (inputs, targets)

    return mixed_batch_at
