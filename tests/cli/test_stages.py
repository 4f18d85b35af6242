"""Stages: their jobs are the models on the targets, and together they leave nothing for scoring to compute."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from transfer_exp.cli.stages import sharded
from transfer_exp.errors import InputError
from transfer_exp.report.sweep import show_precompute

ROOT = Path(__file__).parents[2]
TWO = "model_pool.names=[resnet_glyphs,vit_shapes]"
AXIS = 'models=["resnet_glyphs"],["vit_shapes"]'


@pytest.fixture(autouse=True)
def no_hydra():
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def jobs(*arguments):
    return sharded(list(arguments), ROOT / "conf")


def test_scoring_and_whatever_is_no_run_are_left_as_they_are():
    for arguments in (["metric=a,b"], ["-m", "stage=score"], ["stage=features", "--cfg", "job"], ["stage=none"]):
        assert jobs(*arguments) == arguments


def test_features_know_no_metric_perturbation_or_regime():
    found = jobs("-m", "stage=features", TWO, "metric=logme,sfda", "perturbation.dim=2,3", "dataset=digits,glyphs")
    assert found == ["-m", "stage=features", TWO, "dataset=digits,glyphs", AXIS]
    assert "ground_truth=full,linear_probe" not in jobs("stage=features", TWO, "ground_truth=full,linear_probe")


def test_fine_tuning_knows_regimes_and_protocols_and_seeds():
    axes = ["ground_truth=full,linear_probe", "protocol.steps=2,3", "seed=0,1"]
    found = jobs("stage=finetune", TWO, *axes, "metric=logme,sfda")
    assert found == ["stage=finetune", TWO, *axes, "hydra.mode=MULTIRUN", AXIS]


def test_the_grid_has_a_job_for_each_point_and_model():
    found = jobs("stage=grid", TWO, "metric=logme,sfda")
    assert found == ["stage=grid", TWO, "hydra.mode=MULTIRUN", AXIS, "+point=range(2)"]
    assert jobs("stage=grid", TWO, "protocol=quick,paper", "ground_truth=full")[-1] == "+point=range(20)"
    assert jobs("stage=grid", TWO, "protocol.learning_rates=[1,2,3]", "+point=2")[-2:] == ["hydra.mode=MULTIRUN", AXIS]


@pytest.mark.parametrize("override", ["ground_truth=linear_probe", "protocol.learning_rates=[0.1]"])
def test_a_regime_without_a_choice_has_no_grid_stage(override):
    with pytest.raises(InputError, match="stage=grid needs a ground_truth with a grid"):
        jobs("stage=grid", TWO, override)


def test_axes_of_a_sweep_file_are_taken_out_by_name():
    found = jobs("+sweep=demo", "stage=features", TWO)
    dropped = ["~hydra.sweeper.params.perturbation", "~hydra.sweeper.params.metric"]
    assert found == ["+sweep=demo", "stage=features", TWO, "hydra.mode=MULTIRUN", *dropped, AXIS]


def test_some_models_can_be_asked_for_and_an_axis_of_models_stays():
    assert jobs("stage=features", TWO, "models=[vit_shapes]")[-1] == 'models=["vit_shapes"]'
    own = "models=[vit_shapes],[resnet_glyphs]"
    assert jobs("stage=features", TWO, own) == ["stage=features", TWO, own, "hydra.mode=MULTIRUN"]


def test_a_grid_of_scores_is_composed_from_its_own_file():
    found = jobs("-cn", "score_grid", "stage=features", TWO, "images_per_class=[null],[5]")
    assert found == ["-cn", "score_grid", "stage=features", TWO, "hydra.mode=MULTIRUN", AXIS]


def test_several_pools_at_once_are_refused():
    with pytest.raises(InputError, match="one model_pool at a time"):
        jobs("stage=features", "model_pool=builtin,timm")


def _type(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "transfer_exp", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_stages_fill_the_store_and_scoring_computes_scores_alone_and_once(tmp_path):
    sweep = ["+sweep=demo", TWO, "dataset=digits", "tracker=none"]
    plain = _type(tmp_path / "..", *sweep, f"hydra.sweep.dir={tmp_path}/plain", f"store={tmp_path}/other")
    features, accuracies, scores, again = (
        _type(tmp_path, *sweep, f"stage={stage}", f"hydra.sweep.dir={tmp_path}/{folder}")
        for stage, folder in (("features", "f"), ("finetune", "t"), ("score", "score"), ("score", "again"))
    )
    assert [done.returncode for done in (plain, features, accuracies, scores, again)] == [0] * 5, plain.stderr
    assert "features of scoring_set: 0 read from the store, 2 computed\n2 jobs, 0 failed" in features.stdout
    assert "accuracy: 0 read from the store, 2 computed" in accuracies.stdout
    computed = r"(.+): \d+ read from the store, [1-9]\d* computed"
    assert set(re.findall(computed, scores.stdout)) == {"scores"}
    assert not re.findall(computed, again.stdout)
    tables = {(tmp_path / name / "sweep.csv").read_bytes() for name in ("plain", "score", "again")}
    assert len(tables) == 1


@pytest.mark.slow
def test_points_of_a_grid_trained_apart_in_an_object_store_give_the_accuracy_of_one_job(tmp_path, s3):
    asked = ["model_pool.names=[resnet_glyphs]", "protocol.steps=3", "tracker=none", "seed=0,1"]
    (tmp_path / "plain").mkdir()
    plain = _type(tmp_path / "plain", "-m", *asked, f"hydra.sweep.dir={tmp_path}/plain")
    grid, accuracies = (
        _type(tmp_path, *asked, f"stage={stage}", f"store={s3}/some/store", f"hydra.sweep.dir={tmp_path}/{stage}")
        for stage in ("grid", "finetune")
    )
    scores = _type(tmp_path, "-m", *asked, f"store={s3}/some/store", f"hydra.sweep.dir={tmp_path}/score")
    assert [done.returncode for done in (plain, grid, accuracies, scores)] == [0] * 4, grid.stderr
    assert "points of the grid: 0 read from the store, 4 computed\n4 jobs, 0 failed" in grid.stdout
    assert "accuracy: 0 read from the store, 2 computed" in accuracies.stdout
    assert "accuracy: 1 read from the store, 0 computed" in scores.stdout
    assert (tmp_path / "score" / "sweep.csv").read_bytes() == (tmp_path / "plain" / "sweep.csv").read_bytes()
    assert not (tmp_path / "outputs").exists()
    again = _type(tmp_path, *asked, "stage=grid", f"store={s3}/some/store")
    assert "points of the grid: 4 read from the store, 0 computed" in again.stdout


@pytest.mark.slow
def test_the_table_of_a_sweep_is_shown_again_by_its_folder(tmp_path):
    done = _type(tmp_path, "stage=report")
    assert (done.returncode, done.stderr) == (
        1,
        "transfer_exp: stage=report needs to know which sweep: add hydra.sweep.dir=FOLDER\n",
    )
    done = _type(tmp_path, "stage=report", "hydra.sweep.dir=absent")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


@pytest.mark.slow
def test_jobs_that_fail_are_named_and_the_others_count(tmp_path):
    done = _type(tmp_path, "stage=finetune", "ground_truth=full,none", "models=[vit_shapes]", "protocol.steps=2")
    assert done.returncode == 1
    assert "2 jobs, 1 failed" in done.stdout
    assert "models=vit_shapes ground_truth=none seed=0: stage=finetune needs a ground_truth that trains" in done.stderr


@pytest.mark.slow
def test_an_unknown_stage_and_an_unknown_model_get_one_line(tmp_path):
    for arguments, message in {
        ("stage=feature",): "no stage 'feature': did you mean features",
        ("stage=features", "models=[vit_shape]"): "no model 'vit_shape' in builtin: did you mean vit_shapes",
        ("models=[vit_shape]",): "no model 'vit_shape' in builtin",
    }.items():
        done = _type(tmp_path, *arguments)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
        assert message in done.stderr


def test_word_that_cannot_be_read_is_refused(tmp_path):
    console = Console(file=StringIO())
    with pytest.raises(InputError, match=r"no status\.json of a job"):
        show_precompute(tmp_path, console)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status.json").write_text(json.dumps({"state": "done"}))
    assert show_precompute(tmp_path, console) == []
    (tmp_path / "0" / "status.json").write_text("[]")
    with pytest.raises(InputError, match="or run the cell again"):
        show_precompute(tmp_path, console)
