"""A sweep that is killed anywhere: the same command ends in the same table, and does nothing again that was done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
SWEEP = [
    *("-m", "model_pool.names=[resnet_glyphs,vit_shapes]", "tracker=none", "hydra.sweep.dir=outputs/sweeps/killed"),
    *("perturbation=none,pca", "ground_truth=full,linear_probe"),
    *("protocol.steps=6", "protocol.learning_rates=[0.001,0.01]"),
]
KEPT = ("*.safetensors", "*.json")


def _start(folder):
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "transfer_exp", *SWEEP]
    said = (folder / "said.txt").open("a")
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True, text=True
    )


def _finish(folder):
    process = _start(folder)
    assert process.wait(300) == 0, (folder / "said.txt").read_text()


def _kill(folder, seconds):
    """Kill a sweep and all that it has started after some seconds; return whether that was before its end."""
    process = _start(folder)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def _kept(folder):
    """Return every whole file of the store with what a second write would change."""
    files = [path for pattern in KEPT for path in (folder / "outputs" / "store").rglob(pattern) if path.name[0] != "."]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def _tables(folder):
    """Return what a sweep comes to: its table to the byte, and its accuracies but for the time they took."""
    accuracies = pd.read_csv(folder / "outputs" / "store" / "accuracies.csv").drop(columns="seconds")
    return (folder / "outputs" / "sweeps" / "killed" / "sweep.csv").read_bytes(), accuracies


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run the sweep undisturbed, and return its tables and how long it took."""
    folder = tmp_path_factory.mktemp("whole")
    start = time.monotonic()
    _finish(folder)
    return *_tables(folder), time.monotonic() - start


def _check(folder, whole, moment):
    table, accuracies, seconds = whole
    _kill(folder, moment * seconds)
    before = _kept(folder)
    _finish(folder)
    after = _kept(folder)
    assert {path: after[path] for path in before} == before, "what was finished is not done again"
    found, found_accuracies = _tables(folder)
    assert found == table
    pd.testing.assert_frame_equal(found_accuracies, accuracies)
    assert not list((folder / "outputs").rglob("*.lease"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.5, 0.85])
def test_a_killed_sweep_ends_as_one_that_was_not(tmp_path, whole, moment):
    _check(tmp_path / "work", whole, moment)


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.parametrize("moment", np.random.default_rng(0).uniform(0.2, 1, 50).round(3))
def test_fifty_killed_sweeps_end_as_one_that_was_not(tmp_path, whole, moment):
    _check(tmp_path / "work", whole, moment)


@pytest.mark.slow
def test_two_of_one_sweep_at_once_end_as_one(tmp_path, whole):
    folder = tmp_path / "work"
    both = [_start(folder) for _ in range(2)]
    assert [process.wait(300) for process in both] == [0, 0], (folder / "said.txt").read_text()
    table, accuracies = _tables(folder)
    assert table == whole[0]
    in_order = [frame.sort_values("key", ignore_index=True) for frame in (accuracies, whole[1])]
    pd.testing.assert_frame_equal(*in_order)
