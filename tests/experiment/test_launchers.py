"""Launchers: a sweep gives the same table through every launcher as job after job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.errors import MissingConfigException

from tests.processes import Command
from transfer_exp.cli.hydra_errors import explain

ROOT = Path(__file__).parents[2]
SMALL = ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"]
PRIVATE_RAY = ["hydra/launcher=ray", "hydra.launcher.ray.init.address=local", "+hydra.launcher.ray.init.num_cpus=2"]
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local"],
    "submitit_slurm": ["hydra/launcher=submitit_slurm"],
    "slurm": ["hydra/launcher=slurm", *SMALL],
    "ray": PRIVATE_RAY,
    "ray_cluster": ["hydra/launcher=ray_cluster"],
}
PLUGINS = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "slurm": "submitit"}
EXTRAS = {"joblib": "joblib", "submitit": "slurm", "ray": "ray"}
NEEDS_ENGINE = ("submitit_local", "submitit_slurm", "slurm", "ray", "ray_cluster")  # the first needs none, but is slow
MARKS = {name: [pytest.mark.slow, *([pytest.mark.engine] if name in NEEDS_ENGINE else [])] for name in LAUNCHERS}
EVERY = [pytest.param(name, marks=MARKS[name]) for name in LAUNCHERS]


def _type(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # One thread: launchers divide the cores, and sums over another number of threads differ in their last digit.
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "transfer_exp", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=400)


def _run(folder: Path, launcher: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a launcher. An engine gets a real process, and the others one that has torch loaded."""
    if launcher in ([], LAUNCHERS["joblib"]):
        return Command(folder, *arguments, *launcher).wait(400)
    return _type(folder, *arguments, *launcher)


def _answers(*command: str) -> bool:
    """Return whether the command of an engine reaches the engine."""
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        return False
    return subprocess.run([program, *command[1:]], capture_output=True, check=False).returncode == 0


@pytest.fixture
def launcher(request) -> list[str]:
    """Return the overrides for a launcher; skip without its plugin or engine."""
    plugin = PLUGINS.get(request.param, "ray")
    if find_spec("hydra_plugins") is None or find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is None:
        pytest.skip(f"needs the launcher's plugin: pip install 'transfer-exp[{EXTRAS[plugin]}]'")
    if request.param in ("submitit_slurm", "slurm") and not _answers("sinfo"):
        pytest.skip("needs a SLURM that answers sinfo: `make engines` installs and starts one of Debian's packages")
    if request.param == "ray_cluster" and not _answers("ray", "health-check"):
        pytest.skip("needs a Ray cluster at the default address: `ray start --head`, or `make engines`")
    return LAUNCHERS[request.param]


def _table(folder: Path) -> str:
    (path,) = folder.glob("outputs/sweeps/*/sweep.csv")
    return path.read_text()


def _end(folder: Path, launcher: list[str], sweep: list[str]) -> tuple[str, str, list[str]]:
    """Run the sweep, two cells of which fail; return its rows, its printed tables and the last lines of its errors.

    Ray prints the output of jobs late, so only the final tables are compared.
    """
    done = _run(folder, launcher, *sweep, "perturbation=none,spread", "dataset.scoring_set_size=null,1")
    assert done.returncode == 1, done.stderr[-3000:]
    lines = done.stderr.strip().splitlines()
    (last,) = (i for i, line in enumerate(lines) if line.startswith("2 job(s) did not finish: "))
    tables = done.stdout[done.stdout.index("\ntau_w") : done.stdout.index("\nwrote ")]
    return _table(folder), tables, lines[last - 2 : last + 1]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> list[str]:
    """Return a multirun on stored features and accuracies, which takes a moment."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("arrays")
    labels, names = np.arange(40) % 2, ["one", "two", "three"]
    for name in names:
        features = rng.normal(size=(40, 4)) + labels[:, None]
        np.savez(folder / f"{name}.npz", features=features, labels=labels)
    table = folder / "accuracies.csv"
    pd.DataFrame({"model": names, "dataset": folder.name, "accuracy": [0.5, 0.6, 0.7]}).to_csv(table, index=False)
    options = ["dataset=arrays", "model_pool=arrays", f"dataset.root={folder}", "tracker=none"]
    return ["-m", *options, "ground_truth=table", f"ground_truth.path={table}"]


@pytest.fixture(scope="module")
def serial(tmp_path_factory, arrays) -> tuple[str, str, list[str]]:
    """Return how the sweep ends when it runs job after job."""
    return _end(tmp_path_factory.mktemp("serial"), [], arrays)


@pytest.mark.parametrize("launcher", EVERY, indirect=True)
def test_a_sweep_with_failing_cells_ends_like_the_serial_run(launcher, arrays, serial, tmp_path):
    assert _end(tmp_path, launcher, arrays) == serial, "the rows and the numbers of their folders are equal"
    assert len(serial[0].splitlines()) == 5, "failed cells have rows"
    assert all("scoring_set_size=1" in line for line in serial[2][:2])
    assert len(list(tmp_path.rglob("status.json"))) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"], "the sweep writes nothing else"


LONG = ["-m", "model_pool.names=[resnet_glyphs]", "dataset.scoring_set_size=100", "tracker=none", "ground_truth=full"]
LONG += ["protocol.learning_rates=[0.001]", "protocol.steps=6000"]


def _wait(until: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not until():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("launcher", ["slurm"], indirect=True)
def test_a_job_that_slurm_requeues_resumes_its_training(launcher, tmp_path):
    launchers = {"queued": launcher, "undisturbed": []}
    for name in launchers:
        (tmp_path / name).mkdir()
    with ThreadPoolExecutor() as threads:
        sweeps = [threads.submit(_type, tmp_path / name, *LONG, *overrides) for name, overrides in launchers.items()]
        _wait(lambda: list((tmp_path / "queued").glob("outputs/store/unfinished/*/*/final.pt")))
        (job,) = subprocess.check_output(["squeue", "--noheader", "--format=%A"], text=True).split()
        subprocess.run(["scontrol", "requeue", job], check=True)
        _wait(lambda: "JobState=PENDING" in subprocess.check_output(["scontrol", "show", "job", job], text=True))
        # Slurm would delay the requeued job by two minutes.
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
        assert [sweep.result().returncode for sweep in sweeps] == [0, 0]
    (log,) = (tmp_path / "queued").glob("outputs/sweeps/*/.submitit/*/*_log.out")
    assert re.search(r"final: training resumes at step [1-9]\d* of 6000", log.read_text())
    rows = [pd.read_csv(tmp_path / name / "outputs/store/accuracies.csv") for name in launchers]
    pd.testing.assert_frame_equal(*(row.drop(columns="seconds") for row in rows))


FATAL = """
import os
class Fatal:
    name, inputs, source, lower, upper, invariances = "fatal", ("features",), "none", None, None, ()
    def __init__(self):
        os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib"], indirect=True)
def test_a_dying_job_gets_one_line_with_the_command_that_reports_the_other_jobs(launcher, arrays, tmp_path):
    (tmp_path / "fatal.py").write_text(FATAL)
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "fatal.yaml").write_text("# Ends its process.\n_target_: fatal.Fatal\n")
    options = ["--config-dir", str(tmp_path / "conf"), *arrays, "metric=logme,fatal", *launcher]
    here = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "TRANSFER_EXP_TRUST": "fatal"}
    done = _type(tmp_path, *options, **here)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert last.startswith("transfer_exp: the launcher stopped: ")
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert f"transfer-exp report {sweep}" in last


@pytest.mark.parametrize(("name", "extra"), [("joblib", "joblib"), ("submitit_slurm", "slurm"), ("ray", "ray")])
def test_a_launcher_that_is_not_installed_is_named_with_its_extra(name, extra):
    error = MissingConfigException("not found", missing_cfg_file=f"hydra/launcher/{name}", options=["basic"])
    assert explain(error) == f"launcher '{name}' is not installed: pip install 'transfer-exp[{extra}]'"
    error = MissingConfigException("not found", missing_cfg_file="hydra/launcher/basik", options=["basic"])
    assert explain(error) == "hydra/launcher has no option 'basik': did you mean basic?"


@pytest.mark.slow
def test_a_sweep_without_the_plugin_gets_one_line_and_exit_code_1(tmp_path):
    """One process for all launchers: Hydra looks for plugins once per process."""
    code = f"""
import sys
sys.modules["hydra_plugins"] = None
from pathlib import Path
from tests.command import run_command
for name in {list(LAUNCHERS)!r}:
    done = run_command(Path.cwd(), "-m", "metric=logme,sfda", "hydra/launcher=" + name)
    print(name, done.returncode, done.stderr, end="")
"""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True)
    for name, line in zip(LAUNCHERS, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{name} 1 transfer_exp: "), line
        assert f"pip install 'transfer-exp[{EXTRAS[PLUGINS.get(name, 'ray')]}]'" in line
