"""`wandb sync`, `wandb sweep` and `wandb agent` send complete runs; the real commands talk to a local test server."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.processes import Command
from tests.tracker.wandb_server import server

ROOT = Path(__file__).parents[2]
SECRETS = {"WANDB_API_KEY": "deadbeef" * 5, "HF_TOKEN": "hf_PlantedTokenOfNobodyAtAll01234567"}
SMALL = ("model_pool.names=[resnet_glyphs,vit_shapes]", "tracker.artifacts=[tables,features]")

# Each command is a separate process.
pytestmark = [pytest.mark.slow, pytest.mark.trackers]


@pytest.fixture(scope="module")
def received(tmp_path_factory):
    """Return the folder of the jobs, one of them run by an agent, and the content that the server received."""
    folder = tmp_path_factory.mktemp("jobs")
    with server() as got:
        overrides = {"WANDB_BASE_URL": got.url, "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        environment = {**inherited, **SECRETS, **overrides, "PATH": path}

        def run(*command, code=0):
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == code, done.stderr
            return done.stdout + done.stderr

        def run_ours(*arguments, code=0):
            with patch.dict(os.environ, environment, clear=True):
                done = Command(folder, *arguments).wait()
            assert done.returncode == code, done.stderr

        run_ours("stage=features", "hydra.sweep.dir=filled", *SMALL)
        varied = ("dataset.scoring_set_size=20,3", "ground_truth=none", "hydra.sweep.dir=swept")
        run_ours("-m", *varied, *SMALL, "tracker.per=sweep", "tracker.tags=[first]", code=1)
        output = run("wandb", "sweep", str(ROOT / "docs" / "wandb_sweep.yaml"))
        got.sweep = got.sweep.replace("- ${args_no_hyphens}", "\n- ".join(["- ${args_no_hyphens}", *SMALL]))
        run("wandb", "agent", "--count", "1", output.split("wandb agent ")[1].split()[0])
        output = run("wandb", "sync", *(str(path) for path in sorted(folder.rglob("offline-run-*"))))
        assert output.count("Finished syncing") == 3
        yield folder, got


def of_stage(got, stage):
    return {name: run for name, run in got.runs.items() if run.get("jobType") == stage}


def config_of(run):
    return {key: held["value"] for key, held in json.loads(run["config"]).items()}


def summary_of(got, name):
    return json.loads(got.streams[name]["wandb-summary.json"][-1])


def uploaded(got, name, kind):
    return next(content for path, content in got.uploads.items() if path.startswith(f"{name}/media/{kind}/"))


def made_by(got, run, type_):
    return {n: a for n, a in got.artifacts.items() if a["runName"] == run and a["artifactTypeName"] == type_}


def test_the_server_was_asked_nothing_that_it_does_not_know(received):
    assert received[1].unknown == []
    assert {run["exitcode"] for run in received[1].runs.values()} == {0}
    assert {artifact["state"] for artifact in received[1].artifacts.values()} == {"COMMITTED"}


def test_jobs_that_fill_the_store_refer_to_the_features_they_made(received):
    folder, got = received
    runs = of_stage(got, "features")
    assert {run["groupName"] for run in runs.values()} == {"filled"}
    assert {config_of(run)["cell"]["models"] for run in runs.values()} == {"resnet_glyphs", "vit_shapes"}
    for name in runs:
        ((artifact, sent),) = made_by(got, name, "features").items()
        ((_, entry),) = got.manifest(artifact).items()
        path = Path(entry["ref"].removeprefix("file://"))
        assert path.is_relative_to(folder / "outputs" / "store")
        assert path.stem == json.loads(sent["metadata"])["sha256"]
        assert path.is_file()
        assert summary_of(got, name)["computed"] == 1


def test_a_sweep_is_one_run_with_a_row_for_each_cell(received):
    folder, got = received
    ((name, run),) = of_stage(got, "report").items()
    assert (run["groupName"], run["displayName"], run["tags"]) == ("swept", "swept", ["first"])
    config = config_of(run)
    assert config["cell"]["metric"] == "logme"
    assert config["metric"] == {"option": "logme"}
    assert "dataset" not in config, "the default of what varies would be a word of no cell"
    assert (summary_of(got, name)["cells"], summary_of(got, name)["failed"]) == (2, 1)
    table = json.loads(uploaded(got, name, "table"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    with (folder / "swept" / "sweep.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == [row["state"] for row in written]
    assert {row["state"] for row in rows} == {"done", "failed"}
    assert uploaded(got, name, "images") == (folder / "swept" / "sweep.png").read_bytes()
    ((artifact, _),) = made_by(got, name, "sweep").items()
    assert got.uploads[f"{artifact}/sweep.csv"] == (folder / "swept" / "sweep.csv").read_bytes()
    assert of_stage(got, "score").keys() == {"run1"}, "no cell of it is a separate run"


def test_an_agent_gets_the_number_that_its_sweep_goes_by(received):
    _, got = received
    run = got.runs["run1"]
    assert (run["sweep"], run["jobType"], run["project"]) == ("sweep1", "score", "transfer_exp")
    config = config_of(run)
    assert [config[axis] for axis in ("dataset", "perturbation", "metric")] == ["digits", "none", "logme"]
    assert config["cell"]["ground_truth"] == "linear_probe"
    assert -1 <= summary_of(got, "run1")["weighted_tau"] <= 1
    ((artifact, _),) = made_by(got, "run1", "ranking").items()
    assert set(got.manifest(artifact)) == {"result.json", "ranking.csv"}


def test_a_score_uses_the_very_features_that_were_made(received):
    _, got = received
    used = {got.artifacts[artifact]["digest"] for run, artifact in got.used if run == "run1"}
    made_digests = {a["digest"] for run in of_stage(got, "features") for a in made_by(got, run, "features").values()}
    assert made_digests
    assert made_digests <= used


def test_nothing_secret_was_sent_or_written(received):
    folder, got = received
    written = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    sent = json.dumps([got.runs, got.streams, got.artifacts]).encode() + b"".join(got.uploads.values())
    for secret in SECRETS.values():
        assert secret.encode() not in sent
        assert [path for path, content in written.items() if secret.encode() in content] == []
