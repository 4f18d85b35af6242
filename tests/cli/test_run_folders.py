"""Every run and sweep has a folder of its own; a folder that is named again never mixes two commands."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.command import run_command
from tests.processes import Command
from transfer_exp.results.folder import lock_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(tmp_path) -> list[str]:
    """Return arguments of a run that scores two feature files."""
    rng, folder = np.random.default_rng(0), tmp_path / "arrays"
    folder.mkdir()
    labels = np.arange(40) % 2
    for name in ("one", "two"):
        np.savez(folder / f"{name}.npz", features=rng.normal(size=(40, 4)) + labels[:, None], labels=labels)
    return ["dataset=arrays", "model_pool=arrays", f"dataset.root={folder}", "ground_truth=none", "tracker=none"]


def assert_of_one_command(folder: Path, metric: str) -> None:
    """Assert that overrides, result and page of a run are all of the command with this metric."""
    assert f"metric={metric}" in yaml.safe_load((folder / ".hydra/overrides.yaml").read_text())
    assert json.loads((folder / "result.json").read_text())["cell"]["metric"] == metric
    assert f"/ {metric}" in (folder / "report.html").read_text().partition("<title>")[2].partition("</title>")[0]


def test_two_runs_at_the_same_time_have_a_folder_each(quick, tmp_path):
    named_by_time = "hydra.run.dir=runs/${now:%Y}_run"
    for metric in ("logme", "h_score"):
        assert run_command(tmp_path, *quick, f"metric={metric}", named_by_time).returncode == 0
    folders = sorted((tmp_path / "runs").iterdir())
    assert [folder.name[4:] for folder in folders] == ["_run", "_run_2"]
    for folder, metric in zip(folders, ("logme", "h_score"), strict=True):
        assert_of_one_command(folder, metric)


def test_two_sweeps_at_the_same_time_have_a_folder_each(quick, tmp_path):
    for metric in ("logme", "h_score"):
        named_by_time = 'hydra.sweep.dir="a b\'/${now:%Y}"'
        done = run_command(tmp_path, "-m", *quick, f"metric={metric}", "seed=0,1", named_by_time)
        assert done.returncode == 0, done.stderr
    first, second = sorted((tmp_path / "a b'").iterdir())
    assert second.name == f"{first.name}_2"
    for folder, metric in ((first, "logme"), (second, "h_score")):
        table = pd.read_csv(folder / "sweep.csv")
        assert list(table["metric"]) == [metric, metric]
        assert list(table["folder"]) == [f"{seed}_arrays_none_{metric}" for seed in (0, 1)]


def test_another_command_moves_the_results_of_a_named_run_and_nothing_else(quick, tmp_path):
    (tmp_path / "out/notes").mkdir(parents=True)
    (tmp_path / "out/notes/mine.txt").write_text("mine")
    in_home = run_command(tmp_path, *quick, "metric=logme", "hydra.run.dir='~/out'", HOME=str(tmp_path))
    assert in_home.returncode == 0
    again = run_command(tmp_path, *quick, "metric=logme", "hydra.run.dir=out")
    assert again.returncode == 0
    assert not (tmp_path / "out/earlier").exists()
    other = run_command(tmp_path, *quick, "metric=h_score", "hydra.run.dir=out")
    assert "out held the results of another command: moved to out/earlier\n" in other.stdout
    assert_of_one_command(tmp_path / "out", "h_score")
    assert_of_one_command(tmp_path / "out/earlier", "logme")
    assert (tmp_path / "out/notes/mine.txt").read_text() == "mine"


def test_a_failing_command_does_not_pass_for_the_one_before(quick, tmp_path):
    assert run_command(tmp_path, *quick, "metric=logme", "hydra.run.dir=out").returncode == 0
    others = [argument for argument in quick if not argument.startswith("dataset.root=")]
    failed = run_command(tmp_path, *others, "dataset.root=absent", "hydra.run.dir=out")
    assert failed.returncode == 1
    assert not (tmp_path / "out/result.json").exists()
    assert_of_one_command(tmp_path / "out/earlier", "logme")


@pytest.mark.long
def test_the_table_of_a_sweep_has_no_cells_of_another_sweep_in_the_same_folder(quick, tmp_path):
    first = ["-m", *quick, "metric=logme,h_score", "hydra.sweep.dir=out"]
    assert run_command(tmp_path, *first).returncode == 0
    table = (tmp_path / "out/sweep.csv").read_text()
    assert run_command(tmp_path, *first).returncode == 0, "the same command continues"
    assert (tmp_path / "out/sweep.csv").read_text() == table
    assert run_command(tmp_path, "-m", *quick, "metric=h_score,lda", "hydra.sweep.dir=out").returncode == 0
    assert list(pd.read_csv(tmp_path / "out/sweep.csv")["metric"]) == ["h_score", "lda"]
    assert (tmp_path / "out/earlier/sweep.csv").read_text() == table
    for folder in ("out", "out/earlier"):
        assert run_command(tmp_path, "report", folder, "--rows", "rows.csv").returncode == 0
        assert len(pd.read_csv(tmp_path / folder / "sweep.csv")) == 2
        assert len(pd.read_csv(tmp_path / "rows.csv")) == 4


@pytest.mark.parametrize("arguments", [["hydra.run.dir=out"], ["-m", "seed=0,1", "hydra.sweep.dir=out"]])
def test_a_folder_in_use_is_refused_in_one_line_and_free_again_afterwards(quick, tmp_path, arguments):
    (tmp_path / "out").mkdir()
    with ExitStack() as locks:
        lock_folder(tmp_path / "out", locks)
        refused = run_command(tmp_path, *arguments, *quick)
        assert refused.returncode == 1
        assert refused.stderr == (
            "transfer_exp: out is in use by another command: wait until it ends, or name another folder\n"
        )
    assert not list((tmp_path / "out").rglob("result.json"))
    assert run_command(tmp_path, *arguments, *quick).returncode == 0


def test_a_folder_that_cannot_be_created_is_one_line(quick, tmp_path):
    (tmp_path / "out").write_text("a file")
    for arguments in (["hydra.run.dir=out/run"], ["-m", "seed=0,1", "hydra.sweep.dir=out/sweep"]):
        refused = run_command(tmp_path, *arguments, *quick)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "(Not a directory): name another folder with --out FOLDER" in refused.stderr


@pytest.mark.parametrize("mode", ["run", "joblib"])
def test_processes_that_start_together_keep_all_results(quick, tmp_path, mode):
    sweep = ["-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]
    metrics = ("logme", "h_score", "lda")[: 3 if mode == "run" else 2]
    named_by_time = ["hydra.run.dir=out/${now:%Y}", f"hydra.sweep.dir={tmp_path}/out/${{now:%Y}}"]
    arguments = [*(sweep if mode == "joblib" else []), *quick, *named_by_time]
    commands = [Command(tmp_path, *arguments, f"metric={metric}") for metric in metrics]
    assert [command.wait(900).returncode for command in commands] == [0] * len(metrics)
    folders = list((tmp_path / "out").iterdir())
    assert len(folders) == len(metrics)
    if mode == "run":
        for folder in folders:
            assert_of_one_command(folder, json.loads((folder / "result.json").read_text())["cell"]["metric"])
        return
    tables = [pd.read_csv(folder / "sweep.csv") for folder in folders]
    assert sorted(set(table["metric"]).pop() for table in tables) == sorted(metrics)
    assert all(list(table["seed"]) == [0, 1] and set(table["state"]) == {"done"} for table in tables)
