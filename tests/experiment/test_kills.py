"""Killed sweeps: the same command resumes, repeats no finished work, and ends with the same table."""

from __future__ import annotations

import time
from subprocess import TimeoutExpired

import numpy as np
import pandas as pd
import pytest

from tests.command import SMALL_DATASET
from tests.processes import Command

SWEEP = [
    *("-m", "model_pool.names=[resnet_glyphs,vit_shapes]", "tracker=none", "hydra.sweep.dir=outputs/sweeps/killed"),
    *SMALL_DATASET,
    *("perturbation=none,pca", "ground_truth=full,linear_probe"),
    *("protocol.steps=6", "protocol.learning_rates=[0.001,0.01]"),
]
RESULT_FILES = ("*.safetensors", "*.json")


def _start(folder, *overrides):
    folder.mkdir(exist_ok=True)
    keys = [override.partition("=")[0] for override in overrides]
    return Command(folder, *(argument for argument in SWEEP if argument.partition("=")[0] not in keys), *overrides)


def _finish(folder):
    done = _start(folder).wait()
    assert done.returncode == 0, done.stderr


def _kill(folder, seconds):
    """Kill a sweep and its child processes after some seconds, unless it ends before."""
    command = _start(folder)
    try:
        command.wait(seconds)
    except TimeoutExpired:
        command.kill()


def _finished_files(folder):
    """Return every complete file of the store with its inode and time, which a second write would change."""
    store = folder / "outputs" / "store"
    files = [path for pattern in RESULT_FILES for path in store.rglob(pattern) if path.name[0] != "."]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def _tables(folder, sweep="killed"):
    """Return the bytes of a sweep's table, and its accuracies without their duration."""
    accuracies = pd.read_csv(folder / "outputs" / "store" / "accuracies.csv").drop(columns="seconds")
    return (folder / "outputs" / "sweeps" / sweep / "sweep.csv").read_bytes(), accuracies


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Run the sweep without a kill, and return its tables and its duration."""
    folder = tmp_path_factory.mktemp("undisturbed")
    Command(folder, "--version").wait()  # starts the server, which takes seconds
    start = time.monotonic()
    _finish(folder)
    return *_tables(folder), time.monotonic() - start


def _check(folder, undisturbed, moment):
    table, accuracies, seconds = undisturbed
    _kill(folder, moment * seconds)
    before = _finished_files(folder)
    _finish(folder)
    after = _finished_files(folder)
    assert {path: after[path] for path in before} == before, "finished work is not repeated"
    resumed_table, resumed_accuracies = _tables(folder)
    assert resumed_table == table
    pd.testing.assert_frame_equal(resumed_accuracies, accuracies)
    assert not list((folder / "outputs" / "store").rglob("*.lock"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.85])
def test_a_resumed_sweep_ends_like_an_undisturbed_one(tmp_path, undisturbed, moment):
    _check(tmp_path / "work", undisturbed, moment)


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.parametrize("moment", np.random.default_rng(0).uniform(0.2, 1, 50).round(3))
def test_fifty_resumed_sweeps_end_like_an_undisturbed_one(tmp_path, undisturbed, moment):
    _check(tmp_path / "work", undisturbed, moment)


@pytest.mark.slow
def test_two_simultaneous_sweeps_with_one_store_end_like_one(tmp_path, undisturbed):
    folder = tmp_path / "work"
    names = ("first", "second")
    both = [_start(folder, f"hydra.sweep.dir=outputs/sweeps/{name}") for name in names]
    ends = [command.wait() for command in both]
    assert [end.returncode for end in ends] == [0, 0], "".join(end.stderr for end in ends)
    for name in names:
        table, accuracies = _tables(folder, name)
        assert table == undisturbed[0]
        in_order = [frame.sort_values("key", ignore_index=True) for frame in (accuracies, undisturbed[1])]
        pd.testing.assert_frame_equal(*in_order)
