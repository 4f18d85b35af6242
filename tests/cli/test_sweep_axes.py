"""Every setting that a sweep varies is part of a cell's label, so that only seeds are averaged."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.command import run_command


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
