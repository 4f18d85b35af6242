"""Fine-tuning by a protocol: choose from its grid on validation, train again on all there is, look at test once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.ground_truth.augmentation import training_batches
from transfer_exp.ground_truth.checkpoint import Checkpoint, State
from transfer_exp.ground_truth.measure import measured
from transfer_exp.ground_truth.prepared_images import PreparedImages
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.random_state import random_state, seeded_random_state
from transfer_exp.ground_truth.regime import Accuracy, Pairing
from transfer_exp.ground_truth.training import Recipe, Training
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.types import InputError, NotApplicableError, Track

_EVALUATION_BATCH = 128
Adapt: TypeAlias = Callable[[LoadedModel, Backbone], nn.Module]
Prepared = TypeVar("Prepared")


@dataclass(frozen=True, eq=False)
class FineTuning:
    """One model on one target.

    Attributes
    ----------
    protocol, seed, device
        As the regime has them.
    pairing
        The model and the target.
    adapt
        Makes of a fresh copy of the backbone what is trained, parts of it frozen maybe.
    """

    protocol: Protocol
    seed: int
    device: str
    pairing: Pairing
    adapt: Adapt
    _prepared: dict[int, tuple[LabelledImages, Any]] = field(default_factory=dict, repr=False)

    def __call__(self, regime: str, track: Track) -> Accuracy:
        """Return test accuracy after training on train and validation with the best point of the grid.

        Raises
        ------
        InputError
            When there is no network or there are no images to train on.
        NotApplicableError
            When training diverges at every point of the grid.
        """
        train, test, model = (self.pairing.images("train"), self.pairing.images("test"), self.pairing.model)
        if train is None or test is None or model is None:
            raise InputError(
                f"ground_truth={regime} needs networks and images: here set ground_truth=none or linear_probe"
            )
        validation, grid, steps = self.pairing.images("validation"), self.protocol.grid(), self.protocol.steps
        every = train if validation is None else train.joined(validation)
        advance = track(f"{self.pairing.name}: fine-tuning", steps + _steps_of_the_choice(self.protocol))
        best, told = 0, dict[str, float]()
        if len(grid) > 1:
            if validation is None:
                kept, held_out = stratified_split(train.labels, self.protocol.validation_fraction, self.seed)
                train, validation = train.subset(kept), train.subset(held_out)
            chosen_on = train
            best, told = self._choose(lambda i: self._run(f"point{i}", chosen_on, grid[i], advance), grid, validation)
        value = self._run("final", every, grid[best], advance).reached(steps, test)
        if value == -math.inf:
            raise NotApplicableError(f"training diverged at learning rate {grid[best].learning_rate:g}")
        point = {"learning_rate": grid[best].learning_rate, "weight_decay": grid[best].weight_decay}
        return Accuracy(value, self.pairing.dataset.measure, {**point, **told}, steps=steps)

    def prepared(self, images: LabelledImages, prepare: Callable[[], Prepared]) -> Prepared:
        """Return what ``prepare`` makes of a split, made once for all points of the grid."""
        if id(images) not in self._prepared:
            self._prepared[id(images)] = images, prepare()  # kept with the images, whose id no others get meanwhile
        kept: Prepared = self._prepared[id(images)][1]
        return kept

    def _choose(
        self, run_of: Callable[[int], _Run], grid: tuple[Recipe, ...], validation: LabelledImages
    ) -> tuple[int, dict[str, float]]:
        """Return the place in the grid that does best on validation, and what else is worth telling of the choice."""
        runs = [run_of(place) for place in range(len(grid))]
        alive, reached = list(range(len(grid))), dict[int, float]()
        for until in (*self.protocol.rungs, self.protocol.steps):
            reached = {place: runs[place].reached(until, validation) for place in alive}
            if max(reached.values()) == -math.inf:
                raise NotApplicableError(f"training diverged at each of the {len(alive)} points of the grid")
            # Equals keep the order of the grid.
            better = sorted(alive, key=lambda place: -reached[place])[: math.ceil(len(alive) / 2)]
            alive = sorted(better)
        best = max(reached, key=lambda place: reached[place])
        skipped = len(grid) - len(reached)
        return best, {"validation": reached[best]} | ({"stopped_early": skipped} if skipped else {})

    def _run(self, name: str, train: LabelledImages, recipe: Recipe, advance: Callable[[], object]) -> _Run:
        folder = self.pairing.unfinished
        checkpoint = Checkpoint(None if folder is None else folder / f"{name}.pt")
        return _Run(self, train, recipe, checkpoint, advance)


@dataclass(eq=False)
class _Run:
    """One point of the grid: trains a fresh copy of a model, in several goes if need be, and measures it."""

    owner: FineTuning
    train: LabelledImages
    recipe: Recipe
    checkpoint: Checkpoint
    advance: Callable[[], object]
    _counted: int = 0

    def _advance(self) -> None:
        self._counted += 1
        self.advance()

    def reached(self, until: int, held_out: LabelledImages) -> float:
        """Return the measure on ``held_out`` after ``until`` steps, minus infinity where training diverged by then."""
        state = self.checkpoint.read()
        reached: dict[str, float] = state.get("reached", {})
        if "-1" in reached:
            return -math.inf
        if str(until) not in reached:
            training = self._training(state)
            try:
                training.run(until, self._advance, self.checkpoint)
                reached |= {str(until): self._measured(training.network, held_out)}
            except NotApplicableError:  # too large a rate diverges; that is what choosing is for
                reached |= {"-1": -math.inf}
            done = until == self.recipe.steps or "-1" in reached
            self.checkpoint.write({"reached": reached} if done else {**training.state(), "reached": reached})
        self._count(until)
        return reached.get(str(until), -math.inf)

    def _training(self, state: State) -> Training:
        owner, model = self.owner, self.owner.pairing.model
        assert model is not None, "checked where fine-tuning starts"
        device = torch.device(owner.device)
        classes = len(owner.pairing.dataset.class_names)
        protocol = owner.protocol
        batch_at = owner.prepared(
            self.train,
            lambda: training_batches(self.train, model, classes, protocol.augmentation, protocol.mixup, device),
        )
        network = _with_new_head(model, self.train, classes, owner.seed, owner.adapt).to(device)
        training = Training(network, batch_at, len(self.train), self.recipe, owner.seed)
        if "network" in state:
            training.restore(state)
            self._count(training.step)
        return training

    def _count(self, step: int) -> None:
        """Tell the progress of steps up to ``step`` that were not told of yet, because another process took them."""
        for _ in range(self._counted, step):
            self._advance()

    def _measured(self, network: nn.Module, images: LabelledImages) -> float:
        model, dataset = self.owner.pairing.model, self.owner.pairing.dataset
        assert model is not None, "checked where fine-tuning starts"
        training = network.training
        device = torch.device(self.owner.device)
        prepared = self.owner.prepared(images, lambda: PreparedImages(images, model.transform, device))
        scores = _predict(network.eval(), prepared)
        network.train(training)
        return measured(dataset.measure, scores, images.labels, images.targets)


class _Tuned(nn.Sequential):
    """A backbone and a new head, in which batch norms stay in evaluation mode where the weights ask for it."""

    freeze_batch_norm = False

    def train(self, mode: bool = True) -> _Tuned:
        """Enter training mode, or evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if mode and self.freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def _with_new_head(
    model: LoadedModel,
    images: LabelledImages,
    classes: int,
    seed: int,
    adapt: Adapt,
) -> nn.Module:
    """Put a new head on a copy of the backbone, in training mode."""
    backbone = copy.deepcopy(model.backbone).cpu().eval()
    # As extraction leaves it: the layout decides the rounding, which must not hang on whether that came before.
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        dim = backbone(model.transform(images.read(0))[None]).shape[1]
    with random_state(seeded_random_state(seed)):
        network = _Tuned(adapt(model, backbone), nn.Linear(dim, classes))
    network.freeze_batch_norm = model.freeze_batch_norm
    return network.train()


def _predict(network: nn.Module, images: PreparedImages) -> Float[np.ndarray, "samples classes"]:
    """Return logits of all images."""
    with torch.inference_mode():
        parts = [network(images(chosen)[0]).cpu() for chosen in torch.arange(len(images)).split(_EVALUATION_BATCH)]
    return torch.cat(parts).float().numpy()


def _steps_of_the_choice(protocol: Protocol) -> int:
    """Return how many steps the choice from the grid takes when no point diverges."""
    points, steps, before = len(protocol.grid()), 0, 0
    if points == 1:
        return 0
    for until in (*protocol.rungs, protocol.steps):
        steps += points * (until - before)
        before, points = until, math.ceil(points / 2)
    return steps
