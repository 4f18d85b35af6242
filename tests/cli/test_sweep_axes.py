"""Every setting that a sweep varies is part of a cell's label, so that only seeds are averaged."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.command import run_command

pytestmark = pytest.mark.slow


@pytest.fixture
def quick(tmp_path) -> list[str]:
    """Return arguments of a sweep that scores two feature files of three classes with two seeds."""
    rng, folder = np.random.default_rng(0), tmp_path / "arrays"
    folder.mkdir()
    labels = np.arange(60) % 3
    for name in ("one", "two"):
        np.savez(folder / f"{name}.npz", features=rng.normal(size=(60, 6)) + labels[:, None], labels=labels)
    options = ["dataset=arrays", "model_pool=arrays", f"dataset.root={folder}", "ground_truth=none", "tracker=none"]
    return ["-m", *options, "seed=0,1", "hydra.sweep.dir=sweep"]


AXES = {
    "dataset.scoring_set_size": ["dataset.scoring_set_size=40,50"],
    "protocol.batch_size": ["protocol.batch_size=16,32"],
    "features.batch_size": ["features.batch_size=8,16"],
    "evaluation.k": ["evaluation.k=1,2"],
    "evaluation": ["evaluation=ranking,other", "--config-dir=CONF"],
    "device": ["device=cpu,auto"],
    "cell.models": ["models=[one],[two]"],
}
LABELLED = {
    "perturbation": ["perturbation=pca", "perturbation.dim=2,3"],
    "metric": ["metric=knn", "metric.k=3,5"],
}


@pytest.mark.parametrize("column", AXES)
def test_an_axis_is_a_column_and_no_mean(column, quick, tmp_path):
    (tmp_path / "conf/evaluation").mkdir(parents=True)
    (tmp_path / "conf/evaluation/other.yaml").write_text("_target_: transfer_exp.evaluation.ranking.Ranking\nk: 1\n")
    arguments = [argument.replace("CONF", str(tmp_path / "conf")) for argument in AXES[column]]
    done = run_command(tmp_path, *arguments[1:], *quick, arguments[0])
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "sweep/sweep.csv", dtype=str)
    values = AXES[column][0].partition("=")[2].replace("[", "").replace("]", "").split(",")
    assert sorted(zip(table[column], table["seed"], strict=True)) == [(v, s) for v in sorted(values) for s in "01"]
    assert column in " ".join(done.stdout.split())
    assert all(value in done.stdout for value in values)
    page = (tmp_path / "sweep/report.html").read_text()
    varying = json.loads(page.partition('"varying":')[2].partition("]")[0] + "]")
    assert sorted(varying) == sorted([column, "seed"])


BIG = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: range(1000000000)\n"
REFUSED = {
    "seed=range(1000000000)": r"seed=range(1000000000) has 1,000,000,000 values, and a sweep at most 100,000 jobs",
    "seed=range(0,1e400)": "has inf values",
    "seed=range(1000) evaluation.k=range(1,1000)": "the sweep has 999,000 jobs, and may have at most 100,000",
    "+sweep=big": "seed=range(1000000000) has 1,000,000,000 values",
    "hydra.sweep.subdir=x": "hydra.sweep.subdir=x gives jobs that differ in seed one folder: add ${hydra:job.num}",
    "metric=ncm,knn hydra.sweep.subdir=${seed}": "jobs that differ in metric one folder",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_a_sweep_with_too_many_jobs_or_one_folder_for_several_is_refused_before_it_starts(arguments, quick, tmp_path):
    (tmp_path / "conf/sweep").mkdir(parents=True)
    (tmp_path / "conf/sweep/big.yaml").write_text(BIG)
    typed = arguments.split()
    options = [option for option in quick if option != "seed=0,1" or "seed=range" not in arguments]
    options = [option for option in options if arguments != "+sweep=big" or option not in ("-m", "seed=0,1")]
    done = run_command(tmp_path, "--config-dir=conf", *options, *typed)
    assert done.returncode == 1
    assert REFUSED[arguments] in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path).glob("sweep/*/result.json"))


def test_folders_of_jobs_may_be_named_after_the_axes(quick, tmp_path):
    done = run_command(tmp_path, *quick, "hydra.sweep.subdir=s${seed}")
    assert done.returncode == 0, done.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("sweep/*/result.json")) == ["s0", "s1"]
