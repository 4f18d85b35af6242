"""One point of the grid: a network trained in several goes, resumable, and measured at the end of each."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.checkpoint import Checkpoint, State
from transfer_exp.ground_truth.examples import Examples
from transfer_exp.ground_truth.measure import compute_measure
from transfer_exp.ground_truth.new_network import NewHead, NewNetwork
from transfer_exp.ground_truth.training import Recipe, Training

_log = logging.getLogger(__name__)
_EVALUATION_BATCH = 128


@dataclass(eq=False)
class GridPoint:
    """Trains a network by one recipe, and measures it.

    Attributes
    ----------
    network, head
        Make what is trained.
    examples
        What it is trained on.
    recipe, seed
        How.
    measure
        See `compute_measure`.
    checkpoint
        Where the state is kept.
    advance
        Told of every step, whoever took it.
    """

    network: NewNetwork
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

    def knows(self, until: int) -> bool:
        """Tell whether the measure after ``until`` steps is there, or training had diverged by then."""
        reached: dict[str, float] = self.checkpoint.read().get("reached", {})
        return "-1" in reached or str(until) in reached

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
        network = self.network.fresh(self.head)
        training = Training(network, self.examples.batch_at, len(self.examples), self.recipe, self.seed)
        if "network" in state:
            training.restore(state)
            if training.step > self._counted:
                name = self.checkpoint.name.removesuffix(".pt")
                _log.info("%s: training goes on from step %d of %d", name, training.step, self.recipe.steps)
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
        return compute_measure(self.measure, scores, examples.labels, examples.targets)


def _predict(network: nn.Module, examples: Examples) -> Float[np.ndarray, "samples classes"]:
    """Return logits of all examples."""
    every = torch.arange(len(examples)).split(_EVALUATION_BATCH)
    with torch.inference_mode():
        parts = [network(examples.batch_at(chosen)[0]).cpu() for chosen in every]
    return torch.cat(parts).float().numpy()
