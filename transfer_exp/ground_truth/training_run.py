"""Training runs that resume from checkpoints and are evaluated at several steps, and the selection of the best run."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.measure import compute_measure
from transfer_exp.ground_truth.network import Examples
from transfer_exp.ground_truth.protocol import Recipe
from transfer_exp.ground_truth.training import Checkpoint, State, Training
from transfer_exp.io.measures import INVARIANT, ORDINAL, larger_is_better
from transfer_exp.progress import curve

_log = logging.getLogger(__name__)
_EVALUATION_BATCH = 128
_CURVE_LENGTH = 50
"""Largest number of values in the curve of a training run; each is the mean of the steps since the one before."""
_RESULTS, _DIVERGED = "reached", "-1"
"""Key of a run's results by number of steps in its checkpoint, and the key that marks a diverged run among them."""


@dataclass(eq=False)
class TrainingRun:
    """Training of one network with one recipe, in stages; it resumes from its checkpoint.

    Attributes:
        build_network: Creates the untrained network.
        examples: Images to train on.
        recipe, seed: Arguments of `Training`.
        measure, mean_and_scale: Arguments of `evaluate`.
        checkpoint: Holds the results by number of steps and, until the last step, the state of the training.
        advance: Called once per step, including the steps that the checkpoint spares this process.
        curve_name: Name of the run in trackers.
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
    _batch_results: list[dict[str, float]] = field(default_factory=list)
    """Loss and accuracy of each batch since the last value of the curves."""

    def is_trained(self, until: int) -> bool:
        """Return whether the checkpoint has the result after ``until`` steps, or says that training has diverged."""
        results: dict[str, float] = self.checkpoint.read().get(_RESULTS, {})
        return _DIVERGED in results or str(until) in results

    def train(self, until: int, held_out: Examples) -> float | None:
        """Return the value of the measure after ``until`` steps, or None if training has diverged.

        The network is evaluated on ``held_out``: validation images for a grid point, test images in the final training.
        """
        state = self.checkpoint.read()
        results: dict[str, float] = state.get(_RESULTS, {})
        if str(until) not in results and _DIVERGED not in results:
            training = self._resume(state, until)
            try:
                training.run(until, lambda: self._report_step(training), self.checkpoint, {_RESULTS: results})
                results |= {str(until): evaluate(training.network, held_out, self.measure, self.mean_and_scale)}
                curve(self.curve_name, until, {f"held_out_{self.measure}": results[str(until)]})
            except NotApplicableError:  # too large a learning rate
                results |= {_DIVERGED: -math.inf}
            is_finished = until == self.recipe.steps or _DIVERGED in results
            self.checkpoint.write({_RESULTS: results} if is_finished else {**training.state(), _RESULTS: results})
        self._report_up_to(until)
        return results.get(str(until))

    def _resume(self, state: State, until: int) -> Training:
        """Return the training at the step of a state, or at its start if there is none or it is beyond ``until``."""
        training = Training(self.build_network(), self.examples.batch_at, len(self.examples), self.recipe, self.seed)
        if "network" in state and state["step"] <= until:
            training.restore(state)
            if training.step > self._reported:
                name = self.checkpoint.name.removesuffix(".pt")
                _log.info("%s: training resumes at step %d of %d", name, training.step, self.recipe.steps)
            self._report_up_to(training.step)
        return training

    def _report_step(self, training: Training) -> None:
        """Report a finished step, and at intervals a value of the curves."""
        self._batch_results.append(training.batch)
        if training.step % math.ceil(self.recipe.steps / _CURVE_LENGTH) == 0 or training.step == self.recipe.steps:
            values = {name: [b[name] for b in self._batch_results if name in b] for name in ("loss", "accuracy")}
            curve(self.curve_name, training.step, {f"train_{n}": sum(v) / len(v) for n, v in values.items() if v})
            self._batch_results.clear()
        self._report_up_to(training.step)

    def _report_up_to(self, step: int) -> None:
        for _ in range(self._reported, step):
            self.advance()
        self._reported = max(self._reported, step)


def select_best(
    runs: Sequence[TrainingRun], validation: Examples, stages: Sequence[int], measure: str
) -> tuple[int, dict[str, float]]:
    """Train the runs with successive halving: after each number of steps in ``stages``, the worse half stops.

    Returns:
        The position of the best run; and its value of the measure as ``validation``, with the number of runs that
        were eliminated before the last stage as ``stopped_early``, unless it is 0.

    Raises:
        NotApplicableError: When all remaining runs have diverged.
    """
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


def evaluate(
    network: nn.Module, examples: Examples, measure: str, mean_and_scale: tuple[float, float] = (0.0, 1.0)
) -> float:
    """Return the value of a measure of the network on all examples, and restore its train or eval mode.

    With ``mean_and_scale``, see `TargetDataset.mean_and_scale`, standardised numbers and their predictions are
    converted to the original unit, unless the measure is `INVARIANT` to it.
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
