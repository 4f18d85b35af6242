"""Fine-tuning by a protocol: choose from its grid on validation, train again on all there is, look at test once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.augmentation import crop_flip_views, mixed
from transfer_exp.ground_truth.checkpoint import Checkpoint
from transfer_exp.ground_truth.examples import Examples
from transfer_exp.ground_truth.grid_point import GridPoint
from transfer_exp.ground_truth.new_network import NewHead, NewNetwork, new_network, probed_head
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.regime import Accuracy, Pairing, Split
from transfer_exp.ground_truth.trained_part import PartOf
from transfer_exp.ground_truth.training import Recipe
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.progress import Track


class _Material(NamedTuple):
    """What a network is trained on: train and validation as they are, as training sees them, and apart; and test."""

    network: NewNetwork
    plain: Examples
    views: Examples
    train: LabelledImages
    validation: LabelledImages | None
    test: LabelledImages


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
        material, steps, grid = self._material(regime), self.protocol.steps, self.protocol.grid()
        advance = track(f"{self.pairing.name}: fine-tuning", steps + _steps_of_the_choice(self.protocol))
        best, told = 0, dict[str, float]()
        if len(grid) > 1:
            best, told = self._choose(*self._points(material, advance))
        head = self._head(np.arange(len(material.views)))
        final = self._point("final", material.network, head, material.views, grid[best], advance)
        value = final.reached(steps, material.network.examples(material.test))
        if value == -math.inf:
            raise NotApplicableError(f"training diverged at learning rate {grid[best].learning_rate:g}")
        point = {"learning_rate": grid[best].learning_rate, "weight_decay": grid[best].weight_decay}
        return Accuracy(value, self.pairing.dataset.measure, {**point, **told}, steps=steps)

    def reach(self, regime: str, point: int, track: Track) -> bool:
        """Train one point of the grid as far as all points go, and keep it; return whether that was there already.

        Raises
        ------
        InputError
            As the call.
        """
        until = (*self.protocol.rungs, self.protocol.steps)[0]
        advance = track(f"{self.pairing.name}: point {point} of the grid", until)
        points, validation = self._points(self._material(regime), advance)
        known = points[point].knows(until)
        points[point].reached(until, validation)
        return known

    def _material(self, regime: str) -> _Material:
        """Return the network and what it is trained and tested on."""
        train, test, model = (self.pairing.images("train"), self.pairing.images("test"), self.pairing.model)
        if train is None or test is None or model is None:
            raise InputError(
                f"ground_truth={regime} needs networks and images: here set ground_truth=none or linear_probe"
            )
        validation = self.pairing.images("validation")
        every = train if validation is None else train.joined(validation)
        frozen = self.protocol.batch_norm == "frozen"
        network = new_network(model, self.part_of, every, frozen, self.seed, self.device)
        plain = network.examples(every)
        return _Material(network, plain, self._views(plain, every, model), train, validation, test)

    def _points(self, material: _Material, advance: Callable[[], object]) -> tuple[list[GridPoint], Examples]:
        """Return the points of the grid, and what decides between them."""
        kept, held_out = self._choice_by(material.train, material.validation)
        on, head = material.views.subset(kept), self._head(kept)
        points = [
            self._point(f"point{i}", material.network, head, on, recipe, advance)
            for i, recipe in enumerate(self.protocol.grid())
        ]
        return points, material.plain.subset(held_out)

    def _head(self, chosen: Int[np.ndarray, " chosen"]) -> NewHead:
        """Return what makes new heads for training on some of the images of train and validation."""
        if self.protocol.head == "linear_probe":
            return probed_head(self.pairing, chosen)
        classes = len(self.pairing.dataset.class_names)
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

    def _choose(self, points: Sequence[GridPoint], validation: Examples) -> tuple[int, dict[str, float]]:
        """Return which point does best on validation, and what else is worth telling of the choice."""
        alive, reached = list(range(len(points))), dict[int, float]()
        for until in (*self.protocol.rungs, self.protocol.steps):
            reached = {place: points[place].reached(until, validation) for place in alive}
            if max(reached.values()) == -math.inf:
                raise NotApplicableError(f"training diverged at each of the {len(alive)} points of the grid")
            # Equals keep the order of the grid.
            better = sorted(alive, key=lambda place: -reached[place])[: math.ceil(len(alive) / 2)]
            alive = sorted(better)
        best = max(reached, key=lambda place: reached[place])
        skipped = len(points) - len(reached)
        return best, {"validation": reached[best]} | ({"stopped_early": skipped} if skipped else {})

    def _point(
        self,
        name: str,
        network: NewNetwork,
        head: NewHead,
        examples: Examples,
        recipe: Recipe,
        advance: Callable[[], object],
    ) -> GridPoint:
        checkpoint = Checkpoint(self.pairing.unfinished, f"{name}.pt")
        return GridPoint(network, head, examples, recipe, self.seed, self.pairing.dataset.measure, checkpoint, advance)


def passes(protocol: Protocol, images: Mapping[Split, int]) -> int:
    """Return how often an image goes through a network that is trained whole, see `CountsPasses`."""
    held_out = images["validation"] or math.ceil(protocol.validation_fraction * images["train"])
    points = len(protocol.grid())
    steps = protocol.steps + _steps_of_the_choice(protocol)
    looks = points * held_out if points > 1 else 0
    return 3 * protocol.batch_size * steps + looks + images["test"]


def _steps_of_the_choice(protocol: Protocol) -> int:
    """Return how many steps the choice from the grid takes when no point diverges."""
    points, steps, before = len(protocol.grid()), 0, 0
    if points == 1:
        return 0
    for until in (*protocol.rungs, protocol.steps):
        steps += points * (until - before)
        before, points = until, math.ceil(points / 2)
    return steps
