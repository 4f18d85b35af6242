"""A plan: as many jobs as there will be, those that are done told apart, and what the others take."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from transfer_exp.cli.overrides import CommandLine
from transfer_exp.cli.plan import Planner
from transfer_exp.errors import InputError
from transfer_exp.features.pixels import PIXEL_CACHE
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.results.stage_work import Work

ROOT = Path(__file__).parents[2]
TWO = "model_pool.names=[resnet_glyphs,vit_shapes]"


@pytest.fixture(autouse=True)
def no_hydra():
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def line(*arguments):
    return CommandLine(list(arguments), ROOT / "conf")


def test_a_command_line_has_flags_axes_and_what_is_fixed():
    asked = line("-cn", "config", "-m", "seed=0,1", TWO, "hydra.sweep.dir=x", "~tracker", "stage=plan")
    assert asked.flags == ["-cn", "config", "-m"]
    assert asked.axes == {"seed=0,1": "seed"}
    assert asked.fixed == [TWO, "~tracker", "stage=plan"]
    assert asked.stage == "plan"


def test_points_are_the_product_of_axes_by_hand_and_of_the_file():
    asked = line("+sweep=demo", "metric=logme", "seed=0,1")
    assert set(asked.axes_of_file) == {"dataset", "perturbation"}, "what is fixed by hand is no axis"
    assert list(asked.points(lambda axis: axis == "seed")) == [("seed=0",), ("seed=1",)]
    assert len(list(asked.points(lambda axis: True))) == 2 * 3 * 3
    assert list(asked.points(lambda axis: False)) == [()]


def test_passes_of_fine_tuning_are_three_a_step_and_one_a_look():
    protocol = Protocol(steps=4, batch_size=8, learning_rates=(0.1, 0.01), weight_decays=(0.0,))
    sizes = {"train": 20, "validation": 0, "test": 10}
    assert protocol.forward_passes(sizes) == 3 * 8 * (4 + 2 * 4) + 2 * 5 + 10
    one = Protocol(steps=4, batch_size=8, learning_rates=(0.1,), weight_decays=(0.0,))
    assert one.forward_passes({**sizes, "validation": 7}) == 3 * 8 * 4 + 10, "nothing to choose from"
    halved = Protocol(4, 8, (0.1, 0.01), (0.0,), rungs=(1,))
    assert halved.forward_passes(sizes) == 3 * 8 * (4 + 2 * 1 + 1 * 3) + 2 * 5 + 10
    assert LinearProbe().forward_passes(sizes) == 30


def test_work_that_is_done_takes_no_time():
    work = Work()
    work.add(True, 100, 0.5, 10)
    work.add(False, 100, 0.5, 10)
    work.add(False, 20, 0.5)
    assert (work.jobs, work.done, work.passes, work.seconds, work.longest, work.storage) == (3, 1, 120, 60, 50, 40)


def plan(tmp_path, *arguments):
    return Planner(line(TWO, f"store={tmp_path}/store", *arguments))


@pytest.mark.slow
def test_what_was_run_is_in_the_store_and_the_rest_is_counted(tmp_path):
    few = ["protocol.steps=2", "dataset.scoring_set_size=20"]
    planner = plan(tmp_path, *few, "ground_truth=full,linear_probe", "metric=logme,sfda")
    work = planner.work()
    assert {stage: (w.jobs, w.done) for stage, w in work.items()} == {
        "features": (2, 0),
        "finetune": (4, 0),
        "score": (4, None),
    }
    assert set(planner.pace) == {"resnet_glyphs", "vit_shapes"}
    assert work["features"].passes == 40
    assert work["features"].storage == 4 * 20 * sum(planner._width.values())
    assert work["finetune"].longest <= work["finetune"].seconds
    assert not (tmp_path / "store").exists(), "a plan writes nothing"
    command = [sys.executable, "-m", "transfer_exp", TWO, *few, f"store={tmp_path}/store", "tracker=none"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    after = plan(tmp_path, *few, "ground_truth=full,linear_probe", "metric=logme,sfda").work()
    assert {stage: (w.jobs, w.done) for stage, w in after.items()} == {
        "features": (2, 2),
        "finetune": (4, 2),
        "score": (4, None),
    }
    assert after["features"].seconds == 0


@pytest.mark.slow
def test_what_is_missing_is_left_out_by_name_and_the_rest_is_planned(tmp_path):
    planner, kept = plan(tmp_path, "dataset=digits,pets", "ground_truth=none"), PIXEL_CACHE.nbytes
    work = planner.work()
    assert PIXEL_CACHE.nbytes == kept, "each network was timed with the reading of its images"
    assert (work["features"].jobs, work["finetune"].jobs) == (2, 0)
    assert list(planner.left_out) == ["dataset=pets"]
    with pytest.raises(InputError, match="one model_pool at a time"):
        plan(tmp_path, "model_pool=builtin,timm").work()


@pytest.mark.slow
def test_the_plan_of_a_sweep_is_a_table(tmp_path):
    command = [sys.executable, "-m", "transfer_exp", "+sweep=demo", "stage=plan", TWO]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert re.search(r"features +6 +0 +[\d,]+ ", done.stdout)
    assert re.search(r"score +27", done.stdout)
    assert "2 models timed here" in done.stdout
    assert not list(tmp_path.iterdir())
