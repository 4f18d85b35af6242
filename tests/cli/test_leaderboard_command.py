"""``transfer-exp leaderboard``: what it computes, writes and refuses."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.command import run_command
from transfer_exp.cli.leaderboard import leaderboard_overrides
from transfer_exp.errors import InputError
from transfer_exp.experiment.experiment import Experiment

ROOT = Path(__file__).parents[2]
METRIC = '''
import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

CALLS = []


@dataclass(frozen=True)
class Ratio:
    """Variance between classes over the variance of all samples."""

    name: ClassVar[str] = "ratio"
    source: ClassVar[str] = "test"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("features", "labels")
    invariances: ClassVar[tuple[str, ...]] = ()

    def __call__(self, features, labels):
        CALLS.append(1)
        if len(CALLS) > int(os.environ.get("CALLS", 1000)):
            raise KeyboardInterrupt
        centred = features - features.mean(axis=0)
        classes = [centred[labels == label] for label in np.unique(labels)]
        return float(sum(len(c) * np.square(c.mean(axis=0)).sum() for c in classes) / np.square(centred).sum())
'''


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Return a folder with a metric in a package of its own, and forget the package afterwards."""
    (tmp_path / "foreign_metrics").mkdir()
    (tmp_path / "foreign_metrics" / "ratio.py").write_text(METRIC)
    (tmp_path / "options" / "metric").mkdir(parents=True)
    (tmp_path / "options" / "metric" / "mine.yaml").write_text("_target_: foreign_metrics.ratio.Ratio\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("foreign_metrics")]:
        del sys.modules[name]


def board(folder, *arguments, **environment):
    return run_command(folder, "leaderboard", *arguments, program="transfer-exp", COLUMNS="80", **environment)


@pytest.mark.long
def test_a_metric_of_a_foreign_package_is_scored_and_an_interrupted_command_continues(foreign):
    command = ("--config-dir", "options", "metric=mine", "jobs=1", "--targets", "digits", "--out", "out")
    stopped = board(foreign, *command, TRANSFER_EXP_TRUST="foreign_metrics", CALLS="3")
    assert stopped.returncode == 130
    assert "the same command continues" in stopped.stderr
    sys.modules["foreign_metrics.ratio"].CALLS.clear()
    done = board(foreign, *command, TRANSFER_EXP_TRUST="foreign_metrics")
    assert done.returncode == 0, done.stderr
    assert "scores: 3 read from the store, 11 computed" in done.stdout + done.stderr
    assert re.search(r"^mine is (tied )?\d+\w\w of \d+ on 1 target", done.stdout, re.MULTILINE)
    table = pd.read_csv(foreign / "out" / "leaderboard.csv")
    mine = table[(table["kind"] == "yours") & (table["pool"] == "builtin") & (table["regime"] == "all")]
    assert mine[["perturbation", "metric"]].to_numpy().tolist() == [["none", "mine"]]
    assert mine["milliseconds"].item() > 0
    assert mine["models"].item() == 14
    refused = board(foreign, *command)
    assert refused.returncode == 1
    assert "set TRANSFER_EXP_TRUST=foreign_metrics in the environment" in refused.stderr


@pytest.mark.long
def test_a_metric_that_fails_on_wide_features_has_no_cost(foreign):
    (foreign / "foreign_metrics" / "ratio.py").write_text(
        METRIC.replace("CALLS.append(1)", "assert features.shape[1] < 1000, 'too wide'")
    )
    command = ("--config-dir", "options", "metric=mine", "jobs=1", "--targets", "digits", "--out", "out")
    done = board(foreign, *command, TRANSFER_EXP_TRUST="foreign_metrics")
    assert done.returncode == 0, done.stderr
    assert "the cost of mine is unknown: it fails on the features made for timing" in done.stdout + done.stderr
    assert (foreign / "out" / "leaderboard.csv").is_file()


@pytest.mark.long
def test_stored_variants_are_not_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(Experiment, "run", lambda *_: pytest.fail("a stored row is computed again"))
    done = board(
        tmp_path,
        "metric=lda",
        "perturbation=pca",
        "--out",
        "out",
        "--json",
        "--targets",
        "digits",
        "fractals",
        "textures",
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    builtin, real = record["pools"]
    assert builtin["verdict"].startswith("pca / lda is ")
    assert builtin["targets"] == ["digits", "fractals", "textures"]
    assert {row["with"] for row in builtin["comparisons"]} >= {"best", "random", "static_rank"}
    assert real["verdict"].startswith("pca / lda is ")
    files = {path.name for path in (tmp_path / "out").glob("leaderboard*")}
    assert files == {
        "leaderboard.csv",
        "leaderboard.parquet",
        "leaderboard_targets.csv",
        "leaderboard.json",
        "leaderboard.html",
    }
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    assert len(pd.read_parquet(tmp_path / "out" / "leaderboard.parquet")) == len(table)
    explained = (ROOT / "docs" / "output.md").read_text().partition("## A leaderboard")[2]
    for column in [*table, *pd.read_csv(tmp_path / "out" / "leaderboard_targets.csv")]:
        general = re.sub(r"^(difference|p)_to_.*", r"\1_to_REFERENCE", column)
        assert f"`{general}`" in explained, column


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metric=lgme"], "lgme"),
        (["mine"], "'mine' is not a setting: write KEY=VALUE, such as metric=mine"),
        (["--targets", "digit"], "no target 'digit' in the pool builtin: did you mean digits"),
        (["seed=1"], "seed=1 has no effect on the leaderboard"),
        (["ground_truth=linear_probe"], "ground_truth=linear_probe has no effect on the leaderboard"),
        (["metric=lda", "shots=5"], "shots=5 has no effect on the leaderboard"),
        (["metric=lda", "measure=accuracy"], "measure=accuracy has no effect on the leaderboard"),
        (["dataset=glyphs"], "dataset=glyphs has no effect on the leaderboard"),
        (["model_pool=timm"], "model_pool=timm has no effect on the leaderboard"),
        (["metric=lda", "--assets", "nowhere"], "assets=nowhere has no real networks"),
        (["--target", "digits"], "--target"),
        (["--top", "many"], "'many' is not a number of rows"),
        (["metric.window=3", "metric=lda"], "window"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, arguments, message):
    done = board(tmp_path, *arguments, "--out", "out")
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len([line for line in lines if line.startswith("transfer_exp: ")]) == 1, done.stderr
    assert message in lines[-1]


def test_arguments_are_translated_to_settings():
    assert leaderboard_overrides(["metric=lda", "--targets", "digits", "signs", "--assets", "my dir"]) == (
        ["-cn", "leaderboard", "metric=lda", "only=[digits,signs]", 'assets="my dir"']
    )
    assert leaderboard_overrides(["--targets", "digits", "metric=lda", "--config-dir", "options"]) == (
        ["--config-dir", "options", "-cn", "leaderboard", "metric=lda", "only=[digits]"]
    )
    with pytest.raises(InputError, match="unrecognized arguments: --tragets"):
        leaderboard_overrides(["--tragets", "digits"])
