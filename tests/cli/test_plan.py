"""A plan counts the jobs of a sweep and those already done, and estimates the work of the others."""

from __future__ import annotations

import re
import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from tests.command import SMALL_DATASET, run_command
from tests.torch_helpers import cached_bytes
from transfer_exp.cli import plan as plan_module
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.cli.plan import Planner, StageWork
from transfer_exp.errors import InputError
from transfer_exp.features.pixels import PIXEL_CACHE
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.protocol import Protocol

MODELS = "model_pool.names=[resnet_glyphs,vit_shapes]"


@pytest.fixture(autouse=True)
def no_hydra():
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dataset=pets", "dataset.root=."), "there is nothing to plan: pets is missing or incomplete"),
        (("dataset=image_folder",), "dataset.root has no value: set dataset.root=FOLDER"),
        (
            (*SMALL_DATASET, "shots=5"),
            "there is nothing to plan: shots=5: class 'arrow' has only 4 training images: set at most 4",
        ),
        (("ground_truth=lora", "ground_truth.rank=0"), "ground_truth.rank=0: need at least 1"),
        (("ground_truth=full", "protocol.steps=0"), "protocol.steps=0: need at least 1"),
        (("metric=static_rank",), "static_rank needs accuracies on other targets: set ground_truth=table with a table"),
        (("ground_truth=lora", "ground_truth.rank=x"), "ground_truth.rank=x: need a whole number"),
    ],
)
def test_a_mistake_is_answered_before_torch_is_loaded(arguments, message, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transfer_exp.cli.plan", None)
    monkeypatch.setitem(sys.modules, "transfer_exp.vision", None)
    process = run_command(tmp_path, "plan", *arguments)
    assert process.returncode == 1
    assert process.stderr.startswith(f"transfer_exp: {message}")
    assert process.stderr.count("\n") == 1


def line(*arguments):
    return CommandLine(list(arguments))


def test_a_command_line_has_flags_axes_and_fixed_overrides():
    parsed = line("-cn", "config", "-m", "seed=0,1", MODELS, "hydra.sweep.dir=x", "~tracker", "stage=plan")
    assert parsed.flags == ["-cn", "config", "-m"]
    assert parsed.axis_keys == {"seed=0,1": "seed"}
    assert parsed.fixed == [MODELS, "~tracker", "stage=plan"]
    assert parsed.stage == "plan"


def test_points_are_the_product_of_axes_by_hand_and_of_the_file():
    parsed = line("+sweep=demo", "metric=logme", "seed=0,1")
    assert set(parsed.file_axes) == {"dataset", "perturbation"}, "a single value by hand is not an axis"
    assert list(parsed.points(lambda axis: axis == "seed")) == [("seed=0",), ("seed=1",)]
    assert len(list(parsed.points(lambda axis: True))) == 2 * 3 * 3
    assert list(parsed.points(lambda axis: False)) == [()]


def test_globs_are_expanded_and_values_without_end_are_refused(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "zleep.yaml").touch()
    every = lambda axis: True  # noqa: E731
    assert list(line("metric=glob(*leep)").points(every)) == [("metric=leep",), ("metric=nleep",)]
    own = line("--config-dir", str(tmp_path), "metric=glob(*leep)")
    assert list(own.points(every)) == [("metric=leep",), ("metric=nleep",), ("metric=zleep",)]
    with pytest.raises(InputError, match=r"metric=glob\(x-\*\) matches no choice: see transfer-exp"):
        list(line("metric=glob(x-*)").points(every))
    with pytest.raises(InputError, match=r"seed=interval\(0,1\) has values without end: list some, such as seed=0,1"):
        list(line("seed=interval(0,1)").points(every))


def test_fine_tuning_takes_three_passes_per_training_image_and_one_per_evaluation():
    protocol = Protocol(steps=4, batch_size=8, learning_rates=(0.1, 0.01), weight_decays=(0.0,))
    sizes = {"train": 20, "validation": 0, "test": 10}
    assert protocol.forward_passes(sizes) == 3 * 8 * (4 + 2 * 4) + 2 * 5 + 10
    single = Protocol(steps=4, batch_size=8, learning_rates=(0.1,), weight_decays=(0.0,))
    assert single.forward_passes({**sizes, "validation": 7}) == 3 * 8 * 4 + 10, "one point needs no validation"
    halved = Protocol(4, 8, (0.1, 0.01), (0.0,), rungs=(1,))
    assert halved.forward_passes(sizes) == 3 * 8 * (4 + 2 * 1 + 1 * 3) + 2 * 5 + 10
    assert LinearProbe().forward_passes(sizes) == 30


def test_finished_work_takes_no_time():
    work = StageWork()
    work.add(True, 100, 0.5, 10)
    work.add(False, 100, 0.5, 10)
    work.add(False, 20, 0.5)
    assert (work.jobs, work.done, work.passes, work.seconds, work.longest, work.storage) == (3, 1, 120, 60, 50, 40)


def plan(tmp_path, *arguments):
    return Planner(line(MODELS, f"store={tmp_path}/store", *arguments))


def test_a_target_is_read_once_for_all_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(Planner, "_pairings", lambda planner, target: iter(()))
    built = list[str]()
    build = plan_module.build
    monkeypatch.setattr(plan_module, "build", lambda group, options: built.append(group) or build(group, options))
    plan(tmp_path, *SMALL_DATASET, "dataset.seed=0,1", "ground_truth=linear_probe").work()
    assert built.count("dataset") == 2, "features and accuracies share the targets"


@pytest.mark.slow
def test_finished_jobs_are_counted_as_done(tmp_path):
    few = [*SMALL_DATASET, "protocol.steps=2", "dataset.scoring_set_size=20"]
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
    assert run_command(tmp_path, MODELS, *few, f"store={tmp_path}/store", "tracker=none").returncode == 0
    after = plan(tmp_path, *few, "ground_truth=full,linear_probe", "metric=logme,sfda").work()
    assert {stage: (w.jobs, w.done) for stage, w in after.items()} == {
        "features": (2, 2),
        "finetune": (4, 2),
        "score": (4, None),
    }
    assert after["features"].seconds == 0


@pytest.mark.slow
def test_the_images_of_shots_are_counted(tmp_path):
    work = plan(tmp_path, *SMALL_DATASET, "shots=1,2", "ground_truth=none").work()
    assert work["features"].passes == 2 * (10 + 20), "two networks, ten classes"


@pytest.mark.slow
def test_a_missing_dataset_is_left_out_and_the_others_are_planned(tmp_path):
    planner, n_bytes = plan(tmp_path, "dataset=digits,pets", "ground_truth=none"), cached_bytes(PIXEL_CACHE)
    work = planner.work()
    assert cached_bytes(PIXEL_CACHE) == n_bytes, "the time of each network includes decoding its images"
    assert (work["features"].jobs, work["finetune"].jobs) == (2, 0)
    assert list(planner.left_out) == ["dataset=pets"]
    with pytest.raises(InputError, match="one model_pool at a time"):
        plan(tmp_path, "model_pool=builtin,timm").work()


@pytest.mark.slow
def test_the_plan_of_a_sweep_is_a_table(tmp_path):
    process = run_command(tmp_path, "plan", "+sweep=demo", MODELS, "dataset=digits")
    assert process.returncode == 0, process.stderr
    assert re.search(r"features +2 +0 +[\d,]+ ", process.stdout)
    assert re.search(r"score +9", process.stdout)
    assert "2 models timed here" in process.stdout
    assert not list(tmp_path.iterdir())
