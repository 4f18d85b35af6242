"""A training run in stages: a process that continues it gives the same results as one that was never stopped."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from transfer_exp.ground_truth.network import Examples
from transfer_exp.ground_truth.protocol import Recipe
from transfer_exp.ground_truth.training import Checkpoint, Training
from transfer_exp.ground_truth.training_run import TrainingRun
from transfer_exp.store import open_backend

STAGES = (2, 4, 6)


class Killed(BaseException):
    """Stands for a killed process; no code catches it."""


@pytest.fixture
def examples():
    images, labels = torch.randn(24, 4, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3
    return Examples(lambda positions: (images[positions], labels[positions]), labels.numpy())


@pytest.fixture
def start_run(examples, tmp_path, monkeypatch):
    """Return a function that starts the run in a process of its own, as it were; the checkpoint is always written."""
    monkeypatch.setattr(Checkpoint, "is_due", True)
    first_logit = "transfer_exp.ground_truth.training_run.compute_measure"  # shows even the smallest difference
    monkeypatch.setattr(first_logit, lambda measure, outputs, *labels: float(outputs[0, 0]))
    torch.manual_seed(0)
    network = nn.Linear(4, 3)

    def start(learning_rate=0.1, folder="run"):
        recipe = Recipe(STAGES[-1], 8, learning_rate, optimizer="sgd", clip=None)
        checkpoint = Checkpoint(open_backend(tmp_path / folder), "final.pt")
        build = lambda: copy.deepcopy(network)  # noqa: E731
        return TrainingRun(build, examples, recipe, 0, "accuracy", (0.0, 1.0), checkpoint, lambda: None, "run")

    return start


def kill_before(step, monkeypatch):
    """Kill the process before it trains a step."""
    train_step = Training._train_step

    def step_or_die(training, *batch):
        if training.step + 1 == step:
            raise Killed
        train_step(training, *batch)

    monkeypatch.setattr(Training, "_train_step", step_or_die)


@pytest.mark.parametrize("step", range(1, STAGES[-1] + 1))
def test_a_run_killed_before_any_step_gives_the_results_of_all_stages(start_run, examples, monkeypatch, step):
    undisturbed = [start_run(folder="undisturbed").train(until, examples) for until in STAGES]
    assert len(set(undisturbed)) == len(STAGES)
    with monkeypatch.context() as patch:
        kill_before(step, patch)
        with pytest.raises(Killed):
            [start_run().train(until, examples) for until in STAGES]
    continued = start_run()
    assert [continued.train(until, examples) for until in STAGES] == undisturbed


def test_the_results_before_a_divergence_stay(start_run, examples, monkeypatch):
    first = start_run().train(STAGES[0], examples)
    train_step = Training._train_step
    monkeypatch.setattr(Training, "_train_step", lambda run, x, y: train_step(run, x * np.inf, y))
    assert start_run().train(STAGES[1], examples) is None
    assert [start_run().train(until, examples) for until in STAGES] == [first, None, None]


def test_a_state_after_the_stage_without_its_result_is_not_used(start_run, examples):
    """Such a state was written by versions up to November 2026."""
    expected = start_run(folder="undisturbed").train(STAGES[0], examples)
    start_run().train(STAGES[1], examples)
    checkpoint = start_run().checkpoint
    checkpoint.write({key: value for key, value in checkpoint.read().items() if key != "reached"})
    assert start_run().train(STAGES[0], examples) == expected
