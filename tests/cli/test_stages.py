"""Stages have one job for each model and target, and leave no features or accuracies for scoring to compute."""

from __future__ import annotations

import json
import re
from io import StringIO

import pytest
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console

from tests.command import SMALL_DATASET, run_command
from transfer_exp.cli.stages import split_by_model
from transfer_exp.errors import InputError
from transfer_exp.report.sweep import show_precompute

pytestmark = pytest.mark.slow

MODELS = "model_pool.names=[resnet_glyphs,vit_shapes]"
MODEL_AXIS = 'models=["resnet_glyphs"],["vit_shapes"]'


@pytest.fixture(autouse=True)
def no_hydra():
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def split(*arguments):
    return split_by_model(list(arguments))


def test_arguments_that_score_or_do_not_run_are_unchanged():
    for arguments in (["metric=a,b"], ["-m", "stage=score"], ["stage=features", "--cfg", "job"], ["stage=none"]):
        assert split(*arguments) == arguments


def test_metric_perturbation_and_regime_make_no_jobs_of_features():
    arguments = split(
        "-m", "stage=features", MODELS, "metric=logme,sfda", "perturbation.dim=2,3", "dataset=digits,glyphs"
    )
    assert arguments == ["-m", "stage=features", MODELS, "dataset=digits,glyphs", MODEL_AXIS]
    assert "ground_truth=full,linear_probe" not in split("stage=features", MODELS, "ground_truth=full,linear_probe")


def test_regimes_protocols_and_seeds_make_jobs_of_fine_tuning():
    axes = ["ground_truth=full,linear_probe", "protocol.steps=2,3", "seed=0,1"]
    arguments = split("stage=finetune", MODELS, *axes, "metric=logme,sfda")
    assert arguments == ["stage=finetune", MODELS, *axes, "hydra.mode=MULTIRUN", MODEL_AXIS]


def test_the_grid_has_a_job_for_each_point_and_model():
    arguments = split("stage=grid", MODELS, "metric=logme,sfda")
    assert arguments == ["stage=grid", MODELS, "hydra.mode=MULTIRUN", MODEL_AXIS, "+point=range(2)"]
    assert split("stage=grid", MODELS, "protocol=quick,paper", "ground_truth=full")[-1] == "+point=range(20)"
    assert split("stage=grid", MODELS, "protocol.learning_rates=[1,2,3]", "+point=2")[-2:] == [
        "hydra.mode=MULTIRUN",
        MODEL_AXIS,
    ]


@pytest.mark.parametrize("override", ["ground_truth=linear_probe", "protocol.learning_rates=[0.1]"])
def test_a_regime_without_a_grid_has_no_grid_stage(override):
    with pytest.raises(InputError, match="stage=grid needs a ground_truth with a grid"):
        split("stage=grid", MODELS, override)


def test_irrelevant_axes_of_a_sweep_file_are_removed():
    arguments = split("+sweep=demo", "stage=features", MODELS)
    removed = ["~hydra.sweeper.params.perturbation", "~hydra.sweeper.params.metric"]
    assert arguments == ["+sweep=demo", "stage=features", MODELS, "hydra.mode=MULTIRUN", *removed, MODEL_AXIS]


def test_models_can_be_selected_and_an_axis_of_models_is_kept():
    assert split("stage=features", MODELS, "models=[vit_shapes]")[-1] == 'models=["vit_shapes"]'
    axis = "models=[vit_shapes],[resnet_glyphs]"
    assert split("stage=features", MODELS, axis) == ["stage=features", MODELS, axis, "hydra.mode=MULTIRUN"]


def test_a_score_matrix_is_composed_from_its_config():
    arguments = split("-cn", "score_matrix", "stage=features", MODELS, "images_per_class=[null],[5]")
    assert arguments == ["-cn", "score_matrix", "stage=features", MODELS, "hydra.mode=MULTIRUN", MODEL_AXIS]


def test_several_pools_at_once_are_refused():
    with pytest.raises(InputError, match="one model_pool at a time"):
        split("stage=features", "model_pool=builtin,timm")


@pytest.mark.long
def test_after_the_stages_scoring_computes_only_scores_and_only_once(tmp_path):
    sweep = ["-m", MODELS, *SMALL_DATASET, "perturbation=none,pca", "metric=logme,h_score", "tracker=none"]
    sweep += ["ground_truth=linear_probe"]
    plain = run_command(tmp_path / "..", *sweep, f"hydra.sweep.dir={tmp_path}/plain", f"store={tmp_path}/other")
    features, accuracies, scores, again = (
        run_command(tmp_path, *sweep, f"stage={stage}", f"hydra.sweep.dir={tmp_path}/{folder}")
        for stage, folder in (("features", "f"), ("finetune", "t"), ("score", "score"), ("score", "again"))
    )
    assert [process.returncode for process in (plain, features, accuracies, scores, again)] == [0] * 5, plain.stderr
    assert "features of scoring_set: 0 read from the store, 2 computed\n2 jobs, 0 failed" in features.stdout
    assert "accuracy: 0 read from the store, 2 computed" in accuracies.stdout
    computed = r"(.+): \d+ read from the store, [1-9]\d* computed"
    assert set(re.findall(computed, scores.stdout)) == {"scores"}
    assert not re.findall(computed, again.stdout)
    tables = {(tmp_path / name / "sweep.csv").read_bytes() for name in ("plain", "score", "again")}
    assert len(tables) == 1


@pytest.mark.long
def test_grid_points_trained_in_separate_jobs_on_an_object_store_give_the_accuracy_of_one_job(tmp_path, s3):
    arguments = ["model_pool.names=[resnet_glyphs]", "protocol.steps=3", *SMALL_DATASET, "tracker=none", "seed=0,1"]
    (tmp_path / "plain").mkdir()
    plain = run_command(tmp_path / "plain", "-m", *arguments, f"hydra.sweep.dir={tmp_path}/plain")
    grid, accuracies = (
        run_command(
            tmp_path, *arguments, f"stage={stage}", f"store={s3}/some/store", f"hydra.sweep.dir={tmp_path}/{stage}"
        )
        for stage in ("grid", "finetune")
    )
    scores = run_command(tmp_path, "-m", *arguments, f"store={s3}/some/store", f"hydra.sweep.dir={tmp_path}/score")
    assert [process.returncode for process in (plain, grid, accuracies, scores)] == [0] * 4, grid.stderr
    assert "points of the grid: 0 read from the store, 4 computed\n4 jobs, 0 failed" in grid.stdout
    assert "accuracy: 0 read from the store, 2 computed" in accuracies.stdout
    assert "accuracy: 1 read from the store, 0 computed" in scores.stdout
    assert (tmp_path / "score" / "sweep.csv").read_bytes() == (tmp_path / "plain" / "sweep.csv").read_bytes()
    assert not (tmp_path / "outputs").exists()
    again = run_command(tmp_path, *arguments, "stage=grid", f"store={s3}/some/store")
    assert "points of the grid: 4 read from the store, 0 computed" in again.stdout


def test_stage_report_needs_an_existing_folder(tmp_path):
    process = run_command(tmp_path, "stage=report")
    assert (process.returncode, process.stderr) == (
        1,
        "transfer_exp: stage=report needs the folder of a sweep: add hydra.sweep.dir=FOLDER\n",
    )
    process = run_command(tmp_path, "stage=report", "hydra.sweep.dir=absent")
    assert (process.returncode, len(process.stderr.splitlines())) == (1, 1)


def test_failed_jobs_are_listed_and_do_not_end_the_sweep(tmp_path):
    process = run_command(
        tmp_path, "stage=finetune", "ground_truth=full,none", "models=[vit_shapes]", "protocol.steps=2", *SMALL_DATASET
    )
    assert process.returncode == 1
    assert "2 jobs, 1 failed" in process.stdout
    assert (
        "models=vit_shapes ground_truth=none seed=0: stage=finetune needs a ground_truth that trains" in process.stderr
    )


def test_an_unknown_stage_and_an_unknown_model_get_one_line(tmp_path):
    for arguments, message in {
        ("stage=feature",): "no stage 'feature': did you mean features",
        ("stage=features", "models=[vit_shape]"): "no model 'vit_shape' in builtin: did you mean vit_shapes",
        ("models=[vit_shape]",): "no model 'vit_shape' in builtin",
    }.items():
        process = run_command(tmp_path, *arguments)
        assert (process.returncode, len(process.stderr.strip().splitlines())) == (1, 1)
        assert message in process.stderr


def test_unreadable_status_files_are_refused(tmp_path):
    console = Console(file=StringIO())
    with pytest.raises(InputError, match=r"no status\.json of a job"):
        show_precompute(tmp_path, console)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status.json").write_text(json.dumps({"state": "done"}))
    assert show_precompute(tmp_path, console) == []
    (tmp_path / "0" / "status.json").write_text("[]")
    with pytest.raises(InputError, match="or run the cell again"):
        show_precompute(tmp_path, console)
