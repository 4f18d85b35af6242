"""Reproductions of the paper from end to end on stand-in datasets and networks with random weights."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch_helpers import cache_random_weights

from tests.command import run_command
from tests.dataset.example_datasets import EXAMPLES, trust_examples
from transfer_exp.evaluation.score_files import CELL, read_scores
from transfer_exp.vision import torchvision

PER_CLASS = 4
CNNS = ["resnet34", "resnet50", "resnet101", "resnet152", "mobilenet_v2", "mnasnet1_0"]
CNNS += ["densenet121", "densenet169", "densenet201", "googlenet", "inception_v3"]
SSL = ["byol", "deepcluster-v2", "infomin", "insdis", "moco-v1", "moco-v2", "pcl-v1", "pcl-v2", "sela-v2"]
SSL += ["simclr-v1", "simclr-v2", "swav"]
FEW, FEW_OPTIONS = ["cifar10", "voc2007"], "cifar10,voc2007_released"
QUICK = ["mobilenet_v2", "mnasnet1_0"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write all eleven stand-in datasets, with an empty cache of weights, and run in their folder."""
    for lay_out in EXAMPLES.values():
        lay_out(tmp_path / "data", PER_CLASS)
    trust_examples(monkeypatch, tmp_path / "data")
    for variable, folder in {"TRANSFER_EXP_DATA": "data", "TORCH_HOME": "torch"}.items():
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reproduce(folder, *arguments):
    """Run a sweep in this process, which accepts the digests of the stand-ins, and return what it prints."""
    process = run_command(folder, *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def check(folder, models, targets=tuple(EXAMPLES)):
    """Check that every dataset has its rows, every model its column, and the page its sections."""
    scores = read_scores(folder / "scores.csv").reset_index()
    assert set(scores["dataset"]) == set(targets)
    assert list(scores.columns[len(CELL) :]) == list(models)
    assert set(scores["splits"]) == {"train+validation"}
    page = (folder / "reproduction.md").read_text()
    assert page.count("\n## ") == 3
    assert f"{len(targets)} targets" in page
    measures = pd.read_csv(folder / "measures.csv")
    assert measures["weighted_tau"].between(-1, 1).all()
    assert set(measures["regime"]) == {"vanilla_ft", "last_block_ft", "linear_ft"}
    return scores


@pytest.mark.slow
def test_the_supervised_reproduction_runs_with_one_command(data):
    for name in QUICK:
        cache_random_weights(data / "torch", name)
    narrowed = [f"model_pool.names=[{','.join(QUICK)}]", f"dataset={FEW_OPTIONS}"]
    few = ["perturbations=[none,'spread_attract(alpha=0.005, normalise=false)']"]
    few += ["metrics=[logme,sfda,leep,gbc,ncti,imagenet_accuracy]"]
    printed = reproduce(data, "+sweep=paper_supervised", *narrowed, *few)
    assert "outputs/paper_supervised/reproduction.md" in printed
    scores = check(data / "outputs" / "paper_supervised", QUICK, FEW)
    assert {"logme", "sfda", "leep", "gbc", "ncti", "imagenet_accuracy"} == set(scores["metric"])
    assert set(scores["perturbation"]) == {"none", "spread_attract(alpha=0.005, normalise=false)"}
    assert scores[QUICK].notna().all().all()


@pytest.mark.slow
@pytest.mark.rehearsal
def test_the_reproduction_of_the_release_runs_with_one_command(data):
    cache_random_weights(data / "torch", "mobilenet_v2")
    cache_random_weights(data / "torch", "mnasnet1_0")
    reproduce(data, "+sweep=paper_released", f"model_pool.names=[{','.join(QUICK)}]", f"dataset={FEW_OPTIONS}")
    scores = check(data / "outputs" / "paper_released", QUICK, FEW)
    assert set(scores["perturbation"]) == {"none", "released(alpha=0.005)", "second_release(alpha=0.005)"}


def lay_out_checkpoints(folder, names):
    """Write networks with random weights under the names of the self-supervised pool."""
    folder.mkdir(parents=True)
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        torch.save({"state_dict": torchvision.models.resnet50(weights=None).state_dict()}, folder / f"{name}.pth")


@pytest.mark.slow
@pytest.mark.rehearsal
def test_the_self_supervised_reproduction_runs_with_one_command(data):
    lay_out_checkpoints(data / "checkpoints" / "self_supervised", SSL[:2])
    metrics, perturbations = "metrics=[logme,leep,sfda_released]", "perturbations=[none,pca,ped]"
    narrowed = f"model_pool.names=[{','.join(SSL[:2])}]"
    line = ["+sweep=paper_self_supervised", f"dataset={FEW_OPTIONS}"]
    reproduce(data, *line, narrowed, metrics, perturbations)
    scores = check(data / "outputs" / "paper_self_supervised", SSL[:2], FEW)
    assert set(scores["metric"]) == {"logme", "sfda_released"}, "leep needs a head"


@pytest.mark.slow
@pytest.mark.rehearsal
def test_all_twelve_self_supervised_networks_reproduce(data):
    lay_out_checkpoints(data / "checkpoints" / "self_supervised", SSL)
    for sweep in ("paper_self_supervised", "paper_released_self_supervised"):
        reproduce(data, f"+sweep={sweep}")
        check(data / "outputs" / sweep, SSL)


@pytest.mark.slow
@pytest.mark.rehearsal
def test_all_eleven_networks_reproduce(data):
    for name in CNNS:
        cache_random_weights(data / "torch", name)
    for sweep in ("paper_supervised", "paper_released"):
        reproduce(data, f"+sweep={sweep}")
        check(data / "outputs" / sweep, CNNS)
