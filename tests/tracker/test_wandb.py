"""An offline run holds its record, needs no account and prints nothing."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.tracker.offline_run import read_offline
from transfer_exp.errors import InputError
from transfer_exp.tracker.tracker import SECONDS, TRAINING_STEP, Artifact, TrackedResults, TrackedRun, run_id
from transfer_exp.tracker.wandb import WandbTracker

CELL = {"model_pool": "builtin", "dataset": "digits", "perturbation": "none", "metric": "logme", "seed": "0"}
CONFIG = {
    "seed": 0,
    "metric": {"_target_": "transfer_exp.metric.logme.LogME"},
    "tracker": {"mode": "offline"},
}
ROWS = ({"model": "large", "score": 0.75, "reason": ""}, {"model": "headless", "score": None, "reason": "no head"})
FEATURES = Artifact(
    "hub/net:1-digits-probe",
    "features",
    addresses={"abc.safetensors": "s3://bucket/features/ab/abc.safetensors"},
    metadata={"sha256": "abc"},
)
RUN = TrackedRun(
    "score", CELL, CONFIG, "sweep-7", name="digits logme none", options={"metric": "logme"}, environment={"git": {}}
)
RESULTS = TrackedResults({"weighted_tau": 0.625, "regret": 0.0}, {"models": ROWS})


def record(tracker, run, folder, results=RESULTS):
    """Record a run without work; return its path, or None if it is not recorded."""
    active = tracker.start(run, folder)
    return None if active is None else active.finish(results)


# Each test starts the service process of W&B.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    folder, home = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("home")
    figure, table = folder / "scatter.png", folder / "ranking.csv"
    Image.new("RGB", (8, 8)).save(figure)
    table.write_text("model,score\nlarge,0.75\n")
    ranking = Artifact("ranking", "ranking", [table], metadata=CELL)
    results = replace(RESULTS, images={"scatter": figure}, output_artifacts=[ranking], input_artifacts=[FEATURES])
    tracker = WandbTracker(tags=["first"], artifacts=("tables", "features"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home))
        where = record(tracker, RUN, folder, results)
    return folder, Path(where), read_offline(where), home


def test_the_record_is_below_the_run_folder_with_everything_to_sync(offline):
    folder, where, _, home = offline
    assert where.parent == folder / "wandb"
    assert where.name.endswith(run_id(RUN))
    staged = {path.read_bytes() for path in (where / "artifacts" / "staging").iterdir()}
    assert (folder / "ranking.csv").read_bytes() in staged
    assert list(home.iterdir()) == []
    assert "WANDB_DATA_DIR" not in os.environ


def test_the_summary_holds_the_final_numbers(offline):
    summary = offline[2]["summary"]
    assert summary["weighted_tau"] == 0.625
    assert summary["regret"] == 0


def test_runs_can_be_filtered_by_config_group_and_stage(offline):
    recorded = offline[2]
    assert recorded["config"]["cell"] == CELL
    assert recorded["config"]["metric"] == {"option": "logme"}
    assert recorded["config"]["git"] == {}
    assert (recorded["run"].run_group, recorded["run"].job_type) == ("sweep-7", "score")
    assert (recorded["run"].project, list(recorded["run"].tags)) == ("transfer_exp", ["first"])
    assert recorded["run"].display_name == "digits logme none"


def test_a_table_has_its_rows(offline):
    _, where, recorded, _ = offline
    assert recorded["history"]["models/nrows"] == 2
    (path,) = (where / "files" / "media" / "table").glob("*.table.json")
    table = json.loads(path.read_text())
    assert table["columns"] == ["model", "score", "reason"]
    assert table["data"] == [["large", 0.75, ""], ["headless", None, "no head"]]


def test_the_image_is_attached(offline):
    _, where, recorded, _ = offline
    assert recorded["history"]["scatter/_type"] == "image-file"
    assert len(list((where / "files" / "media" / "images").glob("*.png"))) == 1


def test_ranking_files_are_outputs_and_features_are_references_as_inputs(offline):
    output, used = (offline[2]["artifacts"][name] for name in ("ranking", "hub-net-1-digits-probe"))
    assert (output.type, output.use_after_commit, json.loads(output.metadata)) == ("ranking", False, CELL)
    assert [entry.path for entry in output.manifest.contents] == ["ranking.csv"]
    assert (used.type, used.use_after_commit, json.loads(used.metadata)) == ("features", True, {"sha256": "abc"})
    (entry,) = used.manifest.contents
    assert (entry.path, entry.ref) == ("abc.safetensors", FEATURES.addresses["abc.safetensors"])
    assert entry.local_path == "", "the features are not uploaded"


@pytest.mark.parametrize(("kinds", "names"), [(("tables",), {"t"}), (("features",), {"f"}), ((), set())])
def test_only_artifacts_of_the_selected_kinds_are_recorded(tmp_path, kinds, names):
    table = tmp_path / "t.csv"
    table.write_text("a\n")
    artifacts = [Artifact("t", "ranking", [table]), Artifact("f", "features", addresses={"f": "s3://b/f"})]
    results = TrackedResults(output_artifacts=artifacts)
    recorded = read_offline(record(WandbTracker(artifacts=kinds), TrackedRun("features", {}, {}), tmp_path, results))
    assert set(recorded["artifacts"]) == names


def test_per_selects_the_runs_to_record(tmp_path):
    sweep, single = replace(RUN, stage="report"), replace(RUN, group=None)
    assert record(WandbTracker(per="cell"), sweep, tmp_path) is None
    assert record(WandbTracker(per="sweep"), RUN, tmp_path) is None
    assert not list(tmp_path.iterdir())
    for run, per in ((sweep, "sweep"), (single, "sweep"), (single, "cell")):
        recorded = read_offline(record(WandbTracker(per=per), run, tmp_path / f"{run.stage} {per}"))
        assert recorded["run"].job_type == run.stage


def test_a_staging_folder_of_the_user_is_respected(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "mine"))
    record(WandbTracker(), RUN, tmp_path / "run")
    assert list((tmp_path / "mine" / "artifacts" / "staging").iterdir())
    assert os.environ["WANDB_DATA_DIR"] == str(tmp_path / "mine")


def test_an_agent_of_a_sweep_sets_run_and_project(tmp_path, monkeypatch):
    import wandb

    parameters = tmp_path / "config.yaml"
    parameters.write_text("metric:\n  value: sfda\n")
    settings = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "run1", "WANDB_PROJECT": "theirs", "WANDB_ENTITY": "them"}
    for name, value in {**settings, "WANDB_SWEEP_PARAM_PATH": str(parameters)}.items():
        monkeypatch.setenv(name, value)
    wandb.teardown()  # W&B reads the environment once per process.
    try:
        recorded = read_offline(record(WandbTracker(project="mine"), RUN, tmp_path))
    finally:
        wandb.teardown()
    run = recorded["run"]
    assert (run.run_id, run.sweep_id, run.project, run.entity) == ("run1", "sweep1", "theirs", "them")
    assert recorded["config"]["metric"] == "sfda", "the value of the agent, which its pages use as a filter"
    assert recorded["config"]["cell"] == CELL


def test_the_id_depends_on_the_run_and_not_on_its_tracking():
    same = run_id(replace(RUN, config={**CONFIG, "tracker": {"mode": "online"}}))
    assert run_id(replace(RUN, config=dict(reversed(CONFIG.items())), name="x", environment={})) == same
    different = [run_id(replace(RUN, config={**CONFIG, "seed": 1})), run_id(replace(RUN, group="t"))]
    different += [run_id(replace(RUN, cell={**CELL, "metric": "sfda"})), run_id(replace(RUN, data="of other images"))]
    assert len({same, *different}) == 5


RECORD_SCRIPT = """
import sys
from pathlib import Path
from transfer_exp.tracker.wandb import QUIET, WandbTracker
from transfer_exp.tracker.tracker import TrackedResults, TrackedRun
from transfer_exp.errors import InputError
QUIET["init_timeout"] = 8.0  # an unreachable server is tried for half a minute otherwise
assert "wandb" not in sys.modules
try:
    tracker = WandbTracker(mode=sys.argv[1] or None)
    tracker.start(TrackedRun("score", {"metric": "m"}, {}), Path(sys.argv[2])).finish(TrackedResults({"n": 1}))
except InputError as error:
    print("refused:", error)
"""


def record_in_process(mode, folder, **more):
    """Record in a new process with an empty home, no key, no terminal and no network."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_") and "proxy" not in k.lower()}
    overrides = {"HOME": str(folder), "NETRC": str(folder / "none"), "WANDB_BASE_URL": "http://127.0.0.1:9", **more}
    command = [sys.executable, "-c", RECORD_SCRIPT, mode, str(folder / "run")]
    return subprocess.run(
        command,
        env=environment | overrides,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@contextmanager
def proxy():
    """Yield variables that lead all connections of a process to a local socket, and the first lines sent to it."""
    lines = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        lines.append(connection.recv(200).decode(errors="replace").partition("\r")[0])

        threading.Thread(target=listen, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), url), lines


@pytest.mark.parametrize("environment", [{}, {"WANDB_ERROR_REPORTING": "true", "WANDB_MODE": "offline"}])
def test_an_offline_run_sends_nothing_needs_no_input_and_prints_nothing(tmp_path, environment):
    with proxy() as (variables, lines):
        mode = "" if environment else "offline"
        process = record_in_process(mode, tmp_path, **variables, **environment)
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    assert lines == []
    assert (process.stdout, process.stderr) == ("", "")


def test_an_online_run_is_seen_by_the_proxy_of_the_test_above(tmp_path):
    with proxy() as (variables, lines):
        record_in_process(
            "online", tmp_path, **{**variables, "WANDB_BASE_URL": "https://wandb.example"}, WANDB_API_KEY="0" * 40
        )
    assert any("wandb.example" in line for line in lines)


def test_the_environment_of_the_user_is_obeyed_unless_an_option_is_set(tmp_path, monkeypatch):
    for name, value in {"PROJECT": "team", "ENTITY": "them", "DIR": str(tmp_path / "theirs")}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    (tmp_path / "theirs").mkdir()
    where = Path(record(WandbTracker(), RUN, tmp_path / "run"))
    assert where.parent == tmp_path / "theirs" / "wandb"
    run = read_offline(where)["run"]
    assert (run.project, run.entity) == ("team", "them")
    run = read_offline(record(WandbTracker(project="mine", entity="me"), RUN, tmp_path / "again"))["run"]
    assert (run.project, run.entity) == ("mine", "me")


@pytest.mark.parametrize(
    ("variable", "option", "mode"),
    [
        (None, None, "offline"),
        ("online", None, "online"),
        ("run", None, "online"),
        ("dryrun", None, "offline"),
        ("disabled", None, "disabled"),
        ("disabled", "offline", "offline"),
        ("online", "offline", "offline"),
        ("nonsense", "online", "online"),
        ("", None, "offline"),
        (" ", None, "offline"),
    ],
)
def test_the_mode_is_that_of_the_option_or_of_the_environment(monkeypatch, variable, option, mode):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert WandbTracker(mode=option).effective_mode == mode


@pytest.mark.parametrize(
    ("variable", "option", "mode"),
    [
        ("true", None, "disabled"),
        ("1", None, "disabled"),
        ("", None, "offline"),
        ("false", None, "offline"),
        ("true", "offline", "offline"),
    ],
)
def test_recording_is_disabled_by_either_variable(monkeypatch, variable, option, mode):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_DISABLED", variable)
    assert WandbTracker(mode=option).effective_mode == mode


def test_variables_that_are_set_to_nothing_count_as_unset(monkeypatch, tmp_path):
    names = ("MODE", "PROJECT", "ENTITY", "DISABLED", "TAGS", "DIR")
    for name in names:
        monkeypatch.setenv(f"WANDB_{name}", "")
    run = read_offline(record(WandbTracker(tags=["x" * 64]), RUN, tmp_path))["run"]
    assert (run.project, run.tags) == ("transfer_exp", ["x" * 64])
    assert {os.environ[f"WANDB_{name}"] for name in names} == {""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": ["x" * 65]}, "tracker.tags has 'x*' of 65 characters: W&B takes 1 to 64"),
        ({"tags": ["a", " "]}, "tracker.tags has ' ' of 1 characters"),
        (
            {"project": "a/b"},
            "tracker.project='a/b' is not the name of a project: .* and the account as tracker.entity",
        ),
        ({"project": "x" * 129}, "is not the name of a project: write up to 128 characters"),
        ({"project": ""}, "tracker.project='' is not the name of a project"),
        ({"entity": "a/b"}, "tracker.entity='a/b' is not an account: set tracker.entity and tracker.project"),
    ],
)
def test_what_wandb_would_refuse_after_the_work_is_refused_before(options, message):
    with pytest.raises(InputError, match=message):
        WandbTracker(**options)


def test_a_project_of_the_environment_is_checked_before_a_run_begins(monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "a/b")
    with pytest.raises(InputError, match="WANDB_PROJECT='a/b' is not the name of a project"):
        WandbTracker()


def test_another_variable_that_wandb_refuses_is_named(tmp_path):
    process = record_in_process("offline", tmp_path, WANDB_BASE_URL="nonsense")
    assert process.stdout.startswith("refused: W&B refuses its setting base_url: ")
    assert process.stdout.endswith("; look at WANDB_BASE_URL\n")


def test_nothing_is_recorded_if_the_environment_disables_it(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert record(WandbTracker(), RUN, tmp_path / "run") is None
    assert not (tmp_path / "run").exists()


def test_progress_and_curves_have_axes_and_only_the_results_are_in_the_summary(tmp_path):
    run = WandbTracker().start(RUN, tmp_path)
    run.log(SECONDS, 0.5, {"progress/phase": "features of a", "progress/models_done": 0, "progress/models": 2})
    for step in (1, 2):
        run.log(TRAINING_STEP, step, {"train_loss/hub/net.v1 lr=0.01": 1 / step})
    recorded = read_offline(run.finish(TrackedResults({"weighted_tau": 0.5})))
    assert recorded["summary"]["progress/models"] == 2
    assert recorded["summary"]["weighted_tau"] == 0.5
    assert "train_loss/hub/net.v1 lr=0.01" not in recorded["summary"]
    assert recorded["axes"]["progress/phase"] == "progress/seconds"
    assert recorded["axes"][r"train_loss/hub/net\.v1 lr=0\.01"] == "training/step"
    assert [(row["training/step"], row["train_loss/hub/net.v1 lr=0.01"]) for row in recorded["rows"][1:]] == [
        (1, 1.0),
        (2, 0.5),
    ]


def test_a_run_is_on_disk_before_the_work_and_ends_as_failed(tmp_path):
    run = WandbTracker().start(RUN, tmp_path)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    run.fail("no model can be scored")
    recorded = read_offline(folder)
    assert recorded["exit"] == 1
    assert recorded["summary"]["error"] == "no model can be scored"
    again = WandbTracker().start(RUN, tmp_path)
    recorded = read_offline(again.finish(RESULTS))
    assert recorded["run"].run_id == folder.name.rpartition("-")[2], "a run that is repeated continues the failed one"
    assert recorded["exit"] == 0


def test_an_unknown_mode_is_refused_before_a_run_begins(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "of")
    with pytest.raises(InputError, match="WANDB_MODE=of is unknown: set it to offline, online or disabled"):
        WandbTracker()
    with pytest.raises(InputError, match="set tracker=none"):
        WandbTracker(mode="disabled")


def test_an_online_run_without_login_is_one_line_with_the_fix(tmp_path):
    process = record_in_process("online", tmp_path)
    assert process.stdout.startswith("refused: tracker=wandb in mode online:")
    assert "wandb login" in process.stdout
    assert process.stdout.count("\n") == 1


@pytest.mark.parametrize("options", [{"mode": "on"}, {"per": "job"}, {"artifacts": ("tables", "models")}])
def test_an_unknown_choice_is_refused_at_once(options):
    (name,) = options
    with pytest.raises(InputError, match=rf"tracker\.{name}=(on|job|models) is unknown"):
        WandbTracker(**options)
