"""Measure the cost of a job by launcher: ``python -m benchmarks.launchers --rows docs/results/launchers.csv``.

The cost of one more job is the time difference of a long and a short sweep divided by the difference in jobs, median
over repeats. The jobs do almost no work. A short sweep has two jobs; a long one has six, or 42 if all run in one
process. A launcher without its plugin or engine keeps its previous row. ``.ci/engines FOLDER python -m
benchmarks.launchers --rows FILE.csv`` starts the engines first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from statistics import median

import numpy as np
import pandas as pd

from transfer_exp.io.atomic import write_atomically

_NO_TRACKER = "tracker=none"
LAUNCHERS: Mapping[str, Sequence[str]] = {
    "none": (_NO_TRACKER,),
    "none, with an offline W&B run a job": ("tracker=wandb",),
    "joblib, two workers": (_NO_TRACKER, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "ray, two workers, with its start": (
        *(_NO_TRACKER, "hydra/launcher=ray", "hydra.launcher.ray.init.address=local"),
        "+hydra.launcher.ray.init.num_cpus=2",
    ),
    "slurm, one node of two CPUs": (
        *(_NO_TRACKER, "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"),
    ),
    "submitit_local, six at once": (_NO_TRACKER, "hydra/launcher=submitit_local"),
}
_FEW, _MANY, _MANY_IN_PROCESS = 2, 6, 42
COLUMNS = ("launcher", "jobs", "two jobs (s)", "all jobs (s)", "one more job (s)", "turns", "cores")


def is_available(launcher: str) -> bool:
    """Return whether the plugin of a launcher is installed and its engine is running."""
    name = launcher.partition(",")[0]
    plugin = {"none": None, "slurm": "submitit", "submitit_local": "submitit"}.get(name, name)
    if plugin is not None and find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is None:
        return False
    return name != "slurm" or (which("sinfo") is not None and subprocess.run(["sinfo"], check=False).returncode == 0)


def measure_seconds(arguments: Sequence[str], jobs: int) -> float:
    """Return the duration of a sweep of quick jobs in a new folder.

    Raises:
        CalledProcessError: When it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        labels = np.arange(40) % 2
        features = np.random.default_rng(0).normal(size=(40, 4)) + labels[:, None]
        np.savez(Path(folder) / "net.npz", features=features, labels=labels)
        options = ("dataset=arrays", f"dataset.root={folder}", "ground_truth=none")
        axis = f"seed={','.join(map(str, range(jobs)))}"
        command = [sys.executable, "-m", "transfer_exp", "-m", *options, axis, *arguments]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def measure(names: Sequence[str], turns: int) -> Iterator[Sequence[object]]:
    """Yield a row for each available launcher."""
    for launcher in names:
        if not is_available(launcher):
            print(f"left out: {launcher} is not available", file=sys.stderr)
            continue
        jobs = _MANY_IN_PROCESS if launcher.startswith("none") else _MANY
        times = [[measure_seconds(LAUNCHERS[launcher], count) for count in (_FEW, jobs)] for _ in range(turns)]
        more = median((many - few) / (jobs - _FEW) for few, many in times)
        both = [median(side) for side in zip(*times, strict=True)]
        yield launcher, jobs, *(f"{time:.1f}" for time in both), f"{more:.2f}", turns, os.cpu_count()


def main() -> None:
    """Measure, and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launchers", description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=tuple(LAUNCHERS), default=tuple(LAUNCHERS), metavar="LAUNCHER")
    options = parser.parse_args()
    new = pd.DataFrame(measure(options.only, options.turns), columns=list(COLUMNS), dtype=str).set_index("launcher")
    existing = pd.read_csv(options.rows, dtype=str, index_col="launcher") if options.rows.is_file() else new[:0]
    frame = new.combine_first(existing).reindex([name for name in LAUNCHERS if name in new.index.union(existing.index)])
    write_atomically(options.rows, lambda path: frame[list(COLUMNS[1:])].to_csv(path, lineterminator="\n"))


if __name__ == "__main__":
    main()
