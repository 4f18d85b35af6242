"""The real MLflow and TensorBoard write records that they can read back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.tracker.test_wandb import proxy
from transfer_exp.errors import InputError
from transfer_exp.tracker.mlflow import MlflowTracker
from transfer_exp.tracker.tensorboard import TensorBoardTracker
from transfer_exp.tracker.tracker import SECONDS, TRAINING_STEP, Artifact, TrackedResults, TrackedRun

pytestmark = pytest.mark.trackers  # `make trackers` installs both

CELL = {"model_pool": "builtin", "dataset": "digits", "metric": "logme"}
CONFIG = {"seed": 0, "metric": {"_target_": "transfer_exp.metric.logme.LogME"}, "models": ["a", "hub/b"]}
RUN = TrackedRun(
    "score",
    CELL,
    CONFIG,
    "sweep-7",
    "d1",
    "digits logme",
    {"metric": "logme"},
    {"git": {"commit": "abc", "dirty": True}},
)
ROWS = ({"model": "large", "score": 0.75, "reason": ""}, {"model": "headless", "score": None, "reason": "no head"})
CURVE = "train_loss/hub/net.v1 lr=0.01"


def record(tracker, folder, run=RUN):
    """Record a run with progress, a curve and results; return its address."""
    figure, table = folder / "scatter.png", folder / "ranking.csv"
    Image.new("RGB", (8, 6), (255, 0, 0)).save(figure)
    table.write_text("model,score\nlarge,0.75\n")
    active = tracker.start(run, folder)
    active.log(SECONDS, 0.5, {"progress/phase": "features of a", "progress/models_done": 1, "progress/models": 2})
    for step in (1, 2):
        active.log(TRAINING_STEP, step, {CURVE: 1 / step})
    features = Artifact("a-digits", "features", addresses={"abc.safetensors": "s3://bucket/abc.safetensors"})
    ranking = Artifact("ranking", "ranking", [table])
    summary = {"weighted_tau": 0.625, "tied": False}
    return active.finish(TrackedResults(summary, {"models": ROWS}, {"scatter": figure}, [ranking], [features]))


def test_mlflow_reads_back_settings_results_curves_and_files(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    address, _, identifier = record(MlflowTracker(), tmp_path).partition(" run ")
    assert address == (tmp_path / "outputs" / "mlruns").as_uri()
    client = MlflowClient(tracking_uri=address)
    run = client.get_run(identifier)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "digits logme")
    expected = {"metric.option": "logme", "seed": "0", "models": "['a', 'hub/b']"}
    expected |= {f"cell.{name}": value for name, value in CELL.items()}
    assert run.data.params == expected
    assert run.data.metrics["weighted_tau"] == 0.625
    assert run.data.metrics["progress/models"] == 2
    tags = {"stage": "score", "group": "sweep-7", "git.commit": "abc", "git.dirty": "True"}
    assert run.data.tags.items() >= tags.items()
    assert run.data.tags["progress/phase"] == "features of a"
    points = client.get_metric_history(identifier, "train_loss/hub/net.v1 lr_0.01")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 0.5)]
    path = client.download_artifacts(identifier, "", str(tmp_path))
    files = {file.relative_to(path).as_posix(): file for file in Path(path).rglob("*") if file.is_file()}
    assert {"images/scatter.png", "ranking/ranking.csv", "models.json", "features.json"} <= files.keys()
    assert json.loads(files["models.json"].read_text())["rows"] == list(ROWS)
    assert "s3://bucket/abc.safetensors" in files["features.json"].read_text()


def test_mlflow_continues_a_failed_run_and_starts_another_one_for_other_data(tmp_path):
    from mlflow import MlflowClient

    tracker = MlflowTracker(uri=str(tmp_path / "mlruns"), experiment="mine")
    tracker.start(RUN, tmp_path).fail("no model can be scored")
    client = MlflowClient(tracking_uri=tracker.address)
    (experiment,) = (e for e in client.search_experiments() if e.name == "mine")
    (failed,) = client.search_runs([experiment.experiment_id])
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "no model can be scored")
    changed = TrackedRun(RUN.stage, CELL, CONFIG, RUN.group, RUN.data, environment={"git": {"commit": "def"}})
    assert record(tracker, tmp_path, changed).endswith(failed.info.run_id)
    assert client.get_run(failed.info.run_id).info.status == "FINISHED"
    assert not record(tracker, tmp_path, TrackedRun("score", CELL, CONFIG, RUN.group, "d2")).endswith(
        failed.info.run_id
    )


def test_a_server_that_is_not_there_is_one_line_with_the_fix(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"^tracker=mlflow: .* \(check tracker.uri, or MLFLOW_TRACKING_URI\)$"):
        MlflowTracker(uri="http://127.0.0.1:9").start(RUN, Path())


def test_mlflow_with_a_local_folder_sends_nothing(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tests.tracker.test_mlflow_tensorboard import *;"
        "record(MlflowTracker(uri=sys.argv[1]), Path(sys.argv[2])); time = __import__('time'); time.sleep(1)"
    )
    with proxy() as (variables, lines):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") and "proxy" not in k.lower()}
        command = [sys.executable, "-c", script, str(tmp_path / "mlruns"), str(tmp_path)]
        root = str(Path(__file__).parents[2])
        subprocess.run(command, env=environment | variables | {"PYTHONPATH": root}, check=True, timeout=300)
    assert lines == []


def test_tensorboard_reads_back_settings_results_curves_and_images(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    where = record(TensorBoardTracker(), tmp_path)
    assert where == str(tmp_path / "tensorboard")
    events = EventAccumulator(where)
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars(CURVE)] == [(1, 1.0), (2, 0.5)]
    assert [point.value for point in events.Scalars("results/weighted_tau")] == [0.625]
    assert [point.value for point in events.Scalars("progress/models_done")] == [1]
    assert events.Tags()["images"] == ["scatter"]

    def text(name):
        return events.Tensors(f"{name}/text_summary")[-1].tensor_proto.string_val[0].decode()

    assert "metric.option: logme" in text("settings")
    assert "git.commit: abc" in text("settings")
    assert "headless" in text("models")
    assert text("progress/phase") == "features of a"
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    assert metadata.parse_session_start_info_plugin_data(content).hparams["metric"].string_value == "logme"


def test_tensorboard_has_the_error_of_a_failed_run(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    TensorBoardTracker().start(RUN, tmp_path).fail("no model can be scored")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert b"no model can be scored" in events.Tensors("error/text_summary")[-1].tensor_proto.string_val[0]


@pytest.mark.parametrize("tracker", [MlflowTracker, TensorBoardTracker])
def test_per_selects_the_runs_to_record(tracker, tmp_path):
    assert tracker(per="sweep").start(RUN, tmp_path) is None
    assert tracker().start(TrackedRun("report", {}, {}, "sweep-7"), tmp_path) is None
    with pytest.raises(InputError, match=r"tracker\.per=job is unknown"):
        tracker(per="job")


def test_a_command_records_with_several_trackers(tmp_path):
    from mlflow import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = ["models=[resnet_glyphs,vit_shapes]", "ground_truth=linear_probe", "hydra.run.dir=run"]
    command = [sys.executable, "-m", "transfer_exp", "tracker=[wandb,mlflow,tensorboard]", *settings]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    client = MlflowClient(tracking_uri=(tmp_path / "outputs" / "mlruns").as_uri())
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.data.params["metric.option"] == "logme"
    assert run.data.metrics["progress/models_done"] == 2
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert events.Scalars("results/weighted_tau")[0].value == pytest.approx(run.data.metrics["weighted_tau"])
