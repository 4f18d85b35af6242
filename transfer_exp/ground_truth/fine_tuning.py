"""Fine-tuning by a protocol: choose from its grid on validation, train again on all there is, look at test once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.ground_truth.augmentation import crop_flip_views, mixed
from transfer_exp.ground_truth.checkpoint import Checkpoint, State
from transfer_exp.ground_truth.examples import Examples
from transfer_exp.ground_truth.measure import measured
from transfer_exp.ground_truth.prepared_images import PreparedImages
from transfer_exp.ground_truth.probe_fit import LabelledFeatures, fit_probe, labelled_features
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.random_state import random_state, seeded_random_state
from transfer_exp.ground_truth.regime import Accuracy, Pairing
from transfer_exp.ground_truth.trained_part import PartOf, TrainedPart
from transfer_exp.ground_truth.training import Recipe, Training
from transfer_exp.model_pool.pool import LoadedModel, Transform
from transfer_exp.types import InputError, NotApplicableError, Track

_EVALUATION_BATCH = 128
_STRENGTH = 1e-2
"""Of the linear probe that a head begins with: the middle of the usual grid."""
NewHead: TypeAlias = Callable[[int], nn.Linear]
"""Makes a head for features of some dimension."""


@dataclass(frozen=True, eq=False)
class FineTuning:
    """One model on one target.

    Attributes
    ----------
    protocol, seed, device
        As the regime has them.
    pairing
        The model and the target.
    part_of
        Says which part of the model is trained, and on what.
    """

    protocol: Protocol
    seed: int
    device: str
    pairing: Pairing
    part_of: PartOf

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
        grid, steps = self.protocol.grid(), self.protocol.steps
        validation = self.pairing.images("validation")
        every = train if validation is None else train.joined(validation)
        advance = track(f"{self.pairing.name}: fine-tuning", steps + _steps_of_the_choice(self.protocol))
        tuned = self._tuned(model, every)
        plain = tuned.examples(every)
        views = self._views(plain, every, model)
        best, told = 0, dict[str, float]()
        if len(grid) > 1:
            kept, held_out = self._choice_by(train, validation)
            on, by = views.subset(kept), plain.subset(held_out)
            head = self._head(kept)
            best, told = self._choose(lambda i: self._run(f"point{i}", tuned, head, on, grid[i], advance), grid, by)
        run = self._run("final", tuned, self._head(np.arange(len(every))), views, grid[best], advance)
        value = run.reached(steps, tuned.examples(test))
        if value == -math.inf:
            raise NotApplicableError(f"training diverged at learning rate {grid[best].learning_rate:g}")
        point = {"learning_rate": grid[best].learning_rate, "weight_decay": grid[best].weight_decay}
        return Accuracy(value, self.pairing.dataset.measure, {**point, **told}, steps=steps)

    def _tuned(self, model: LoadedModel, images: LabelledImages) -> _Tuned:
        backbone = copy.deepcopy(model.backbone).cpu().eval()
        # As extraction leaves it: the layout decides the rounding, which must not hang on whether that came before.
        backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = model.transform(images.read(0))[None]
        with torch.inference_mode():
            dim = backbone(image).shape[1]
        part = self.part_of(model, backbone, image)
        frozen = model.freeze_batch_norm or self.protocol.batch_norm == "frozen"
        return _Tuned(part, model.transform, dim, frozen, self.seed, torch.device(self.device))

    def _head(self, chosen: Int[np.ndarray, " chosen"]) -> NewHead:
        """Return what makes new heads for some of the images of train and validation."""
        classes = len(self.pairing.dataset.class_names)

        @cache
        def fitted() -> nn.Linear:
            parts = [labelled_features(self.pairing, split) for split in ("train", "validation")]
            on = reduce(LabelledFeatures.joined, [part for part in parts if part is not None]).at(chosen)
            return fit_probe(on, classes, (_STRENGTH,), tolerance=1e-3).layer(len(chosen))

        if self.protocol.head == "linear_probe":
            return lambda dim: copy.deepcopy(fitted())
        return lambda dim: nn.Linear(dim, classes)

    def _views(self, plain: Examples, images: LabelledImages, model: LoadedModel) -> Examples:
        """Return what training sees of the images."""
        batch_at, protocol = plain.batch_at, self.protocol
        if protocol.augmentation == "crop_flip":
            batch_at = crop_flip_views(images, model, torch.device(self.device))
        if protocol.mixup:
            batch_at = mixed(batch_at, images, len(self.pairing.dataset.class_names), protocol.mixup)
        return replace(plain, batch_at=batch_at)

    def _choice_by(
        self, train: LabelledImages, validation: LabelledImages | None
    ) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held_out"]]:
        """Return which of train and validation the grid is trained on, and which decide."""
        if validation is None:
            return stratified_split(train.labels, self.protocol.validation_fraction, self.seed)
        return np.arange(len(train)), len(train) + np.arange(len(validation))

    def _choose(
        self, run_of: Callable[[int], _Run], grid: tuple[Recipe, ...], validation: Examples
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

    def _run(
        self,
        name: str,
        tuned: _Tuned,
        head: NewHead,
        examples: Examples,
        recipe: Recipe,
        advance: Callable[[], object],
    ) -> _Run:
        folder = self.pairing.unfinished
        checkpoint = Checkpoint(None if folder is None else folder / f"{name}.pt")
        return _Run(tuned, head, examples, recipe, self.seed, self.pairing.dataset.measure, checkpoint, advance)


@dataclass(frozen=True, eq=False)
class _Tuned:
    """Makes networks to train, all alike, and shows them images."""

    part: TrainedPart
    transform: Transform
    dim: int
    freeze_batch_norm: bool
    seed: int
    device: torch.device

    def fresh(self, head: NewHead) -> nn.Module:
        """Return what is trained and a new head, in training mode."""
        with random_state(seeded_random_state(self.seed)):
            network = _WithHead(self.part.fresh(), head(self.dim))
        network.freeze_batch_norm = self.freeze_batch_norm
        return network.to(self.device).train()

    def examples(self, images: LabelledImages) -> Examples:
        """Return images as the network is measured with."""
        prepared = PreparedImages(images, self.transform, self.device)
        return Examples(self.part.shown(prepared), images.labels, images.targets)


@dataclass(eq=False)
class _Run:
    """One point of the grid: trains a network, in several goes if need be, and measures it."""

    tuned: _Tuned
    head: NewHead
    examples: Examples
    recipe: Recipe
    seed: int
    measure: str
    checkpoint: Checkpoint
    advance: Callable[[], object]
    _counted: int = 0

    def _advance(self) -> None:
        self._counted += 1
        self.advance()

    def reached(self, until: int, held_out: Examples) -> float:
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
        training = Training(
            self.tuned.fresh(self.head), self.examples.batch_at, len(self.examples), self.recipe, self.seed
        )
        if "network" in state:
            training.restore(state)
            self._count(training.step)
        return training

    def _count(self, step: int) -> None:
        """Tell the progress of steps up to ``step`` that were not told of yet, because another process took them."""
        for _ in range(self._counted, step):
            self._advance()

    def _measured(self, network: nn.Module, examples: Examples) -> float:
        training = network.training
        scores = _predict(network.eval(), examples)
        network.train(training)
        return measured(self.measure, scores, examples.labels, examples.targets)


class _WithHead(nn.Sequential):
    """What gives features and a new head, in which batch norms stay in evaluation mode where they are frozen."""

    freeze_batch_norm = False

    def train(self, mode: bool = True) -> _WithHead:
        """Enter training mode, or evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if mode and self.freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def _predict(network: nn.Module, examples: Examples) -> Float[np.ndarray, "samples classes"]:
    """Return logits of all examples."""
    every = torch.arange(len(examples)).split(_EVALUATION_BATCH)
    with torch.inference_mode():
        parts = [network(examples.batch_at(chosen)[0]).cpu() for chosen in every]
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
