"""What an offline run holds, read back from its file; and that it needs no account and says nothing."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from transfer_exp.tracker.wandb import WandbTracker, run_id
from transfer_exp.types import CellResult, InputError, ModelResult

CELL = {"model_pool": "embedded", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
MODELS = (
    ModelResult("small", 0.5, 0.71),
    ModelResult("large", 0.75, 0.9),
    ModelResult("headless", None, 0.8, "LEEP needs a classifier head"),
)
RESULT = CellResult(CELL, MODELS, {"weighted_tau": 0.625, "regret": 0.0}, (-1.0, 0.875))
CONFIG = {
    "seed": 0,
    "metric": {"_target_": "transfer_exp.metric.logme.LogME"},
    "tracker": {"mode": "offline"},
}

# Each starts the service that W&B runs beside a program.
pytestmark = pytest.mark.slow


def records(path):
    """Yield a run's records: 7 bytes of header, then chunks in 32 KiB blocks (LevelDB's log format)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, message = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        message = (b"" if kind in (1, 2) else message) + data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(message)
            yield record


def read_offline(folder):
    """Return run, config, summary and history, once the service has written the last record."""
    (path,) = Path(folder).glob("*.wandb")
    until = time.monotonic() + 20
    while "exit" not in {record.WhichOneof("record_type") for record in records(path)} and time.monotonic() < until:
        time.sleep(0.02)
    found = {"config": {}, "summary": {}, "history": {}}
    for record in records(path):
        if record.HasField("run"):
            found["run"] = record.run
        for part, items in (
            ("config", record.run.config.update),
            ("config", record.config.update),
            ("summary", record.summary.update),
            ("history", record.history.item),
        ):
            found[part] |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
    return found


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    figure = folder / "scatter.png"
    Image.new("RGB", (8, 8)).save(figure)
    where = WandbTracker(tags=["first"]).record(RESULT, CONFIG, "sweep-7", figure, folder)
    return folder, Path(where), read_offline(where)


def test_the_run_lies_below_the_run_folder(offline):
    folder, where, _ = offline
    assert where.parent == folder / "wandb"
    assert where.name.endswith(run_id(RESULT, CONFIG, "sweep-7"))


def test_summary_holds_the_correlation_and_its_band(offline):
    summary = offline[2]["summary"]
    assert summary["weighted_tau"] == 0.625
    assert summary["regret"] == 0
    assert (summary["null_band_low"], summary["null_band_high"]) == (-1, 0.875)
    assert summary["models_compared"] == 2


def test_config_group_and_kind_are_there_to_filter_by(offline):
    found = offline[2]
    assert found["config"]["cell"] == CELL
    assert found["config"]["metric"] == CONFIG["metric"]
    assert (found["run"].run_group, found["run"].job_type) == ("sweep-7", "score")
    assert (found["run"].project, list(found["run"].tags)) == ("transfer_exp", ["first"])


def test_the_table_lists_every_model_with_both_ranks(offline):
    _, where, _ = offline
    (path,) = (where / "files" / "media" / "table").glob("*.table.json")
    table = json.loads(path.read_text())
    assert table["columns"] == ["model", "score", "accuracy", "score_rank", "accuracy_rank", "reason"]
    assert table["data"] == [
        ["large", 0.75, 0.9, 1, 1, ""],
        ["small", 0.5, 0.71, 2, 2, ""],
        ["headless", None, 0.8, None, None, "LEEP needs a classifier head"],
    ]


def test_the_scatter_plot_is_attached(offline):
    _, where, found = offline
    assert "scatter" in {key.split("/")[0] for key in found["history"]}
    assert len(list((where / "files" / "media" / "images").glob("*.png"))) == 1


def test_a_cell_without_ground_truth_or_figure_is_recorded(tmp_path):
    bare = CellResult(CELL, (ModelResult("a", 1.0), ModelResult("b", 2.0)))
    found = read_offline(WandbTracker().record(bare, CONFIG, None, None, tmp_path))
    assert found["summary"]["models_compared"] == 0
    assert "weighted_tau" not in found["summary"]


def test_the_id_follows_what_was_run_and_not_how_it_is_tracked():
    same = run_id(RESULT, {**CONFIG, "tracker": {"mode": "online"}}, "s")
    assert run_id(RESULT, dict(reversed(CONFIG.items())), "s") == same
    others = [run_id(RESULT, {**CONFIG, "seed": 1}, "s"), run_id(RESULT, CONFIG, "t")]
    others.append(run_id(CellResult({**CELL, "metric": "sfda"}, MODELS), CONFIG, "s"))
    assert len({same, *others}) == 4


ALONE = """
import sys
import time
from pathlib import Path
from transfer_exp.tracker.wandb import WandbTracker
from transfer_exp.types import CellResult, InputError, ModelResult
assert "wandb" not in sys.modules
try:
    WandbTracker(mode=sys.argv[1]).record(
        CellResult({"metric": "m"}, (ModelResult("a", 1.0),)), {}, None, None, Path(sys.argv[2]))
except InputError as error:
    print("refused:", error)
"""


def run_alone(mode, folder):
    """Record in a process of its own with an empty home, no key, no terminal and no way out to the network."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_") and "proxy" not in k.lower()}
    nowhere = {"HOME": str(folder), "NETRC": str(folder / "none"), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", ALONE, mode, str(folder / "run")]
    return subprocess.run(
        command,
        env=kept | nowhere,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_offline_asks_for_nothing_and_prints_nothing(tmp_path):
    done = run_alone("offline", tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_online_without_a_login_is_one_line_with_the_way_out(tmp_path):
    done = run_alone("online", tmp_path)
    assert done.stdout.startswith("refused: tracker=wandb in mode online:")
    assert "wandb login" in done.stdout
    assert done.stdout.count("\n") == 1


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"tracker\.mode=on is unknown"):
        WandbTracker(mode="on").record(RESULT, CONFIG, None, None, tmp_path)
