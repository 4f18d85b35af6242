"""Every old name works for one release with a warning, or says in one line where its successor is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from transfer_exp import deprecated_names
from transfer_exp.cli.instantiate import build
from transfer_exp.deprecated_names import COMMANDS, OBJECTS, STUDIES, current_overrides
from transfer_exp.errors import InputError
from transfer_exp.model_pool.pool import ModelPool

ROOT = Path(__file__).parents[1]
# Imports that the documentation and the notebooks have shown.
DOCUMENTED_IMPORTS = [
    "transfer_exp.rank",
    "transfer_exp.dataset.image_folder.image_folder",
    "transfer_exp.evaluation.expectations.expectations",
    "transfer_exp.metric.sfda.SFDA",
    "transfer_exp.perturbation.released.Released",
    "transfer_exp.perturbation.spread_attract.SpreadAttract",
    "transfer_exp.report.ranking_table.ranking_table",
    "transfer_exp.report.record.read_record",
    "transfer_exp.report.reproduction.writing.write_reproduction",
    "transfer_exp.report.sweep.collect",
    "transfer_exp.report.sweep.sweep_table",
    "transfer_exp.report.sweep_cells.paired_change",
    "transfer_exp.types.InputError",
    "transfer_exp.types.class_statistics",
    "transfer_exp.types.encode_labels",
]
# Targets of the option files of the last release, which users copy into their own files.
TARGETS = [
    "transfer_exp.dataset.arrays.arrays",
    "transfer_exp.dataset.digits.digits",
    "transfer_exp.dataset.huggingface.huggingface",
    "transfer_exp.dataset.image_folder.image_folder",
    "transfer_exp.dataset.image_table.image_table",
    "transfer_exp.dataset.procedural.fractals.fractals",
    "transfer_exp.dataset.torchvision_sets.pets",
    "transfer_exp.dataset.voc2007.voc2007",
    "transfer_exp.evaluation.ranking.Ranking",
    "transfer_exp.ground_truth.full.FullFineTuning",
    "transfer_exp.ground_truth.last_block.LastBlockFineTuning",
    "transfer_exp.ground_truth.linear_probe.LinearProbe",
    "transfer_exp.ground_truth.none.NoGroundTruth",
    "transfer_exp.ground_truth.protocol.Protocol",
    "transfer_exp.ground_truth.published.published",
    "transfer_exp.ground_truth.table.AccuracyTable",
    "transfer_exp.metric.fusion.Fusion",
    "transfer_exp.metric.learned_fusion.LearnedFusion",
    "transfer_exp.metric.logme.LogME",
    "transfer_exp.model_pool.arrays.arrays",
    "transfer_exp.model_pool.checkpoints.checkpoints",
    "transfer_exp.model_pool.embedded.embedded",
    "transfer_exp.model_pool.joined.joined",
    "transfer_exp.model_pool.self_supervised.self_supervised",
    "transfer_exp.model_pool.timm.timm",
    "transfer_exp.model_pool.torchvision.torchvision",
    "transfer_exp.model_pool.vit_files.vit_files",
    "transfer_exp.perturbation.path.Path",
    "transfer_exp.perturbation.ped.Ped",
    "transfer_exp.perturbation.sequence.Sequence",
    "transfer_exp.tracker.none.NoTracker",
    "transfer_exp.tracker.wandb.WandbTracker",
]


@pytest.fixture(autouse=True)
def _forget_warnings(monkeypatch):
    monkeypatch.setattr(deprecated_names, "_printed_names", set())


def import_object(path):
    """Import an object as a user's program does."""
    namespace = {}
    module, _, name = path.rpartition(".")
    exec(f"from {module} import {name}", namespace)
    return namespace[name]


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("old", OBJECTS)
def test_an_old_import_warns_and_gives_the_new_object(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old.rpartition(".")[0], raising=False)
    new_module, _, name = OBJECTS[old].rpartition(".")
    with pytest.warns(DeprecationWarning, match=re.escape(f"{old} is deprecated: use {OBJECTS[old]}")):
        assert import_object(old) is getattr(import_module(new_module), name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", DOCUMENTED_IMPORTS)
def test_every_import_that_the_documentation_showed_works(path):
    assert import_object(path) is not None


def test_an_old_module_has_only_its_old_names():
    with pytest.raises(ImportError, match="cannot import name 'no_such_name'"):
        import_object("transfer_exp.types.no_such_name")
    with pytest.raises(ModuleNotFoundError):
        import_module("transfer_exp.no_such_module")


@pytest.mark.parametrize("old", STUDIES)
def test_a_module_that_is_not_installed_says_where_it_is(old):
    with pytest.raises(ModuleNotFoundError, match=f"in a checkout, use {STUDIES[old]}"):
        import_module(old)


@pytest.mark.slow
@pytest.mark.parametrize("module", [*COMMANDS, *STUDIES])
def test_an_old_command_runs_the_new_one_or_says_where_it_is(module, tmp_path):
    process = run(tmp_path, "-m", module.removesuffix(".__main__"), "--help")
    if module in STUDIES:
        assert process.returncode == 1
        assert process.stderr == (
            f"transfer_exp: {module} is not installed any more: in a checkout, use {STUDIES[module]}\n"
        )
        return
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"usage: transfer-exp {COMMANDS[module]} ")
    old = module.removesuffix(".__main__")
    assert process.stderr == f"transfer_exp: python -m {old} is deprecated: write transfer-exp {COMMANDS[module]}\n"


@pytest.mark.slow
def test_the_old_reproduction_command_takes_its_old_option(tmp_path):
    arguments = ("-m", "transfer_exp.report.reproduction", "absent.csv", "--pool", "group1_supervised_cnn11")
    process = run(tmp_path, *arguments)
    assert process.returncode == 1
    assert "no scores absent.csv" in process.stderr


OVERRIDES = {
    "model_pool=embedded": "model_pool=builtin",
    "model_pool=timm,embedded": "model_pool=timm,builtin",
    "+sweep=embedded_pool": "+sweep=builtin_pool",
    "--config-name=score_grid": "--config-name=score_matrix",
    "score_grid": "score_matrix",
    "dataset.probe_size=100": "dataset.scoring_set_size=100",
    "+dataset.probe_size=100": "dataset.scoring_set_size=100",
}


@pytest.mark.parametrize("old", OVERRIDES)
def test_an_old_override_is_replaced_and_one_line_says_so(old, capsys):
    assert current_overrides(["seed=1", old]) == ["seed=1", OVERRIDES[old]]
    assert current_overrides([old]) == [OVERRIDES[old]]
    assert capsys.readouterr().err == f"transfer_exp: {old} is deprecated: write {OVERRIDES[old]}\n"


@pytest.mark.parametrize("argument", ["dataset=digits", "model_pool.names=[embedded]", "rows=score_grid.csv"])
def test_other_arguments_are_unchanged(argument, capsys):
    assert current_overrides([argument]) == [argument]
    assert capsys.readouterr().err == ""


def test_a_sweep_of_the_studies_needs_the_folder_of_its_config():
    with pytest.raises(InputError, match="add --config-dir studies/conf"):
        current_overrides(["+sweep=real_pool"])
    arguments = ["--config-dir", "studies/conf", "+sweep=real_pool"]
    assert current_overrides(arguments) == arguments


@pytest.mark.slow
def test_old_names_on_the_command_line_compose_the_current_config(tmp_path):
    old = ("-cn", "score_grid", "model_pool=embedded", "dataset.probe_size=100")
    process = run(tmp_path, "-m", "transfer_exp", *old, "--cfg", "job")
    assert process.returncode == 0, process.stderr
    assert "scoring_set_size: 100" in process.stdout
    assert "transfer_exp.model_pool.builtin.builtin" in process.stdout
    assert process.stderr.count("is deprecated: write") == 3


@pytest.mark.parametrize("path", TARGETS)
def test_a_target_of_the_last_release_can_be_built(path):
    new_module, _, name = OBJECTS.get(path, path).rpartition(".")
    assert callable(getattr(import_module(new_module), name))


def test_old_targets_and_keys_in_a_users_file_are_built_with_one_warning_each(capsys):
    pool = build("model_pool", {"_target_": "transfer_exp.model_pool.embedded.embedded", "names": ["vit_shapes"]})
    assert isinstance(pool, ModelPool)
    digits = {"_target_": "transfer_exp.dataset.digits.digits", "train_per_class": 20, "probe_size": 50, "seed": 0}
    for _ in range(2):
        assert len(build("dataset", digits).scoring_set) == 50
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is deprecated")[0] for line in lines] == [
        "transfer_exp: transfer_exp.model_pool.embedded.embedded",
        "transfer_exp: probe_size",
    ]
