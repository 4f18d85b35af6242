"""``transfer-exp leaderboard --paper``: torchvision's CNNs on stand-ins for the paper's targets."""

from __future__ import annotations

import json
import urllib.request
from urllib.error import URLError

import pandas as pd
import pytest
import yaml
from torch_helpers import cache_random_weights

from tests.command import run_command
from tests.dataset.example_datasets import EXAMPLES
from transfer_exp.cli import leaderboard
from transfer_exp.cli.leaderboard import has_foreign_code
from transfer_exp.cli.option_files import CONF
from transfer_exp.leaderboard.rows import PAPER_TARGETS

QUICK = ["mobilenet_v2", "mnasnet1_0", "resnet34"]
COMMAND = ("--targets", "digits", "--out", "out", "--json", "jobs=1")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write images of three targets below ``data``, with no weights, no network and a pool of three CNNs."""
    for name in ("dtd", "pets", "voc2007"):
        EXAMPLES[name](tmp_path / "data", 4)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(leaderboard, "PAPER_POOL", (*leaderboard.PAPER_POOL, f"model_pool.names=[{','.join(QUICK)}]"))

    def refuse(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    return tmp_path


def test_the_targets_are_the_options_of_the_sweep_of_the_paper():
    sweep = yaml.safe_load((CONF / "sweep/parts/paper.yaml").read_text())
    assert list(PAPER_TARGETS.values()) == sweep["hydra"]["sweeper"]["params"]["dataset"].split(",")


@pytest.mark.parametrize("own", [{"_target_": "mine.Metric"}, {"metrics": [{"_target_": "mine.Metric", "k": 3}]}])
def test_code_of_another_package_is_found_at_any_depth(own):
    shipped = {
        "_target_": "transfer_exp.metric.fusion.Fusion",
        "metrics": [{"_target_": "transfer_exp.metric.lda.LDA"}],
    }
    assert not has_foreign_code([shipped, {"_target_": "transfer_exp.perturbation.none.NoPerturbation"}])
    assert has_foreign_code([shipped, own])
    assert has_foreign_code([shipped, {**shipped, **own}])


def board(folder, *arguments):
    return run_command(folder, "leaderboard", *arguments, *COMMAND, program="transfer-exp", COLUMNS="80")


@pytest.mark.long
def test_a_metric_is_scored_on_the_targets_that_have_images_and_stands_next_to_earlier_ones(data):
    for name in QUICK:
        cache_random_weights(data / "torch", name)
    first = board(data, "metric=lda", "--paper", "data")
    assert first.returncode == 0, first.stderr
    assert "leaves out targets without images: aircraft, caltech101, cars" in first.stderr
    paper = json.loads(first.stdout)["pools"][2]
    assert paper["targets"] == ["dtd", "pets", "voc2007"], "of voc2007 the reading with one class an image"
    assert paper["models"] == 3
    assert {row["metric"] for row in paper["rows"]} >= {"lda", "imagenet_accuracy", "parameter_count", "static_rank"}
    rows = pd.read_csv(data / "outputs" / "paper_supervised" / "scores.csv")
    assert set(rows["splits"]) == {"train+validation"}, "like the sweep of the paper"
    assert set(rows["perturbation"]) == {"none"}
    second = board(data, "metric=ncm", "perturbation=pca", "--paper", "data")
    assert second.returncode == 0, second.stderr
    table = json.loads(second.stdout)["pools"][2]["rows"]
    assert {("none", "lda"), ("pca", "ncm"), ("none", "parameter_count")} <= {
        (row["perturbation"], row["metric"]) for row in table
    }
    alone = board(data, "--paper", "nowhere")
    assert len(json.loads(alone.stdout)["pools"][2]["rows"]) == len(table), "without a metric nothing is read"


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--paper", "data"], "has no metric to score, and no rows in outputs/paper_supervised/scores.csv"),
        (["metric=lda", "--paper", "nowhere"], "no target with images; aircraft is missing"),
        (["metric=lda", "--paper", "nowhere", "--download"], "the download failed: connect to the network"),
        (
            ["metric=lda", "--paper", "data"],
            "no weights of mobilenet_v2, mnasnet1_0, resnet34: --download fetches them",
        ),
        (["metric=lda", "--paper", "data", "--download"], "connect once to fill the cache"),
        (["metric=lda", "perturbation=path", "--paper", "data"], "perturbation=path has several strengths"),
    ],
)
def test_what_is_missing_is_named_in_one_line(data, arguments, message):
    done = board(data, *arguments)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("transfer_exp: "))
    assert message in line
