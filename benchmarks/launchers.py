"""What one more job costs under each launcher: ``python -m benchmarks.launchers --rows docs/results/launchers.csv``.

Sweeps of two and of six jobs of next to no work go by turns (of 42 where all run in one process); what they differ by,
divided by the jobs that the longer one has more, is what a job costs, in the median over the turns. A launcher whose
plugin or engine is not here keeps the rows it has. With engines started for it: ``.ci/engines FOLDER python -m
benchmarks.launchers --rows FILE.csv``.
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

_ALONE = "tracker=none"
LAUNCHERS: Mapping[str, Sequence[str]] = {
    "none": (_ALONE,),
    "none, with an offline W&B run a job": ("tracker=wandb",),
    "joblib, two workers": (_ALONE, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "ray, two workers, with its start": (
        *(_ALONE, "hydra/launcher=ray", "hydra.launcher.ray.init.address=local"),
        "+hydra.launcher.ray.init.num_cpus=2",
    ),
    "slurm, one node of two CPUs": (
        *(_ALONE, "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2"),
    ),
    "submitit_local, six at once": (_ALONE, "hydra/launcher=submitit_local"),
}
_FEW, _MANY, _MANY_IN_PROCESS = 2, 6, 42
COLUMNS = ("launcher", "jobs", "two jobs (s)", "all jobs (s)", "one more job (s)", "turns", "cores")


def is_here(launcher: str) -> bool:
    """Tell whether the plugin of a launcher is installed, and its engine answers."""
    name = launcher.partition(",")[0]
    plugin = {"none": None, "slurm": "submitit", "submitit_local": "submitit"}.get(name, name)
    if plugin is not None and find_spec(f"hydra_plugins.hydra_{plugin}_launcher") is None:
        return False
    return name != "slurm" or (which("sinfo") is not None and subprocess.run(["sinfo"], check=False).returncode == 0)


def seconds(arguments: Sequence[str], jobs: int) -> float:
    """Return how long a sweep of quick jobs takes, in a folder of its own.

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


def measured(names: Sequence[str], turns: int) -> Iterator[Sequence[object]]:
    """Yield a row for each launcher that is here."""
    for launcher in names:
        if not is_here(launcher):
            print(f"left out: {launcher} is not here", file=sys.stderr)
            continue
        jobs = _MANY_IN_PROCESS if launcher.startswith("none") else _MANY
        times = [[seconds(LAUNCHERS[launcher], count) for count in (_FEW, jobs)] for _ in range(turns)]
        more = median((many - few) / (jobs - _FEW) for few, many in times)
        both = [median(side) for side in zip(*times, strict=True)]
        yield launcher, jobs, *(f"{time:.1f}" for time in both), f"{more:.2f}", turns, os.cpu_count()


def main() -> None:
    """Measure, and keep the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launchers", description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=tuple(LAUNCHERS), default=tuple(LAUNCHERS), metavar="LAUNCHER")
    asked = parser.parse_args()
    new = pd.DataFrame(measured(asked.only, asked.turns), columns=list(COLUMNS), dtype=str).set_index("launcher")
    known = pd.read_csv(asked.rows, dtype=str, index_col="launcher") if asked.rows.is_file() else new[:0]
    frame = new.combine_first(known).reindex([name for name in LAUNCHERS if name in new.index.union(known.index)])
    write_atomically(asked.rows, lambda path: frame[list(COLUMNS[1:])].to_csv(path, lineterminator="\n"))


if __name__ == "__main__":
    main()
