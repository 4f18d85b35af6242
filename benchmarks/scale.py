"""Measure large work: ``python -m benchmarks.scale --rows docs/results/scale.csv``.

- ``plan`` counts the jobs of 1,000 networks on 100 targets with fine-tuning. Networks are not timed.
- ``rank`` ranks 1,000 models by their arrays of 500 samples and 64 features.
- ``sweep`` scores three models with 50 and with 200 seeds in one process. One more job costs the difference.
- ``long sweep`` does so with 50 and with 10,000 seeds, and takes 20 minutes. It runs only if ``--only`` names it.

Seconds are processor time of the process and its workers; megabytes are its largest memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

COLUMNS = ("case", "size", "processor_s", "clock_s", "megabytes", "load")
CHECKOUT = Path(__file__).parents[1]
_PLAN = "plan-here"
_FEW_JOBS = 50


def write_arrays(folder: Path, models: int, samples: int, dim: int) -> None:
    """Write features of models whose classes are more and more apart."""
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % 10
    centres = rng.normal(size=(10, dim))
    for i in range(models):
        features = rng.normal(size=(samples, dim)) + centres[labels] * i / models
        np.savez(folder / f"model{i:04}.npz", features=features.astype(np.float32), labels=labels)


def measure_command(
    arguments: Sequence[str], folder: Path, code: int = 0, checkout: Path = CHECKOUT
) -> dict[str, float]:
    """Run a Python program of a checkout in a folder, and return its seconds and its largest memory.

    Raises:
        RuntimeError: When it ends with another exit code; the message is the end of its output.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout.resolve())}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != code:
            output.seek(0)
            raise RuntimeError(output.read().decode(errors="replace")[-2000:])
    clock = time.perf_counter() - start
    return {
        "processor_s": usage.ru_utime + usage.ru_stime,
        "clock_s": clock,
        "megabytes": usage.ru_maxrss / 1024,
        "load": os.getloadavg()[0],
    }


def plan_here(networks: int, targets: int) -> None:
    """Plan a sweep in this process with networks that are neither loaded nor timed; print the jobs of each stage."""
    from transfer_exp.cli import plan
    from transfer_exp.cli.instantiate import build
    from transfer_exp.cli.overrides import CommandLine
    from transfer_exp.io.atomic import write_text
    from transfer_exp.model_pool.backbone import Backbone
    from transfer_exp.model_pool.loaded_model import LoadedModel
    from transfer_exp.model_pool.pool import Candidate, ModelPool

    names = [f"network{i}" for i in range(networks)]
    transform = plan._TransformText("Compose(Resize, CenterCrop, MaybeToTensor, Normalize)")
    models = {name: LoadedModel(Backbone(), transform, {"library": "timm", "weights": name * 8}) for name in names}
    pool = ModelPool("networks", tuple(Candidate(name, partial(models.__getitem__, name)) for name in names))
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("features/ab/ab.safetensors", "accuracy/ab/ab.json"):  # in an empty store no key is looked up
            (Path(folder) / kind).parent.mkdir(parents=True)
            write_text(Path(folder) / kind, "")
        line = CommandLine([f"dataset.seed=range({targets})", "ground_truth=full", f"store={folder}"])
        paces = dict.fromkeys(names, 0.01)
        planner = plan.Planner(line, pace=paces, _width=dict.fromkeys(names, 64), _models=models)
        with patch.object(
            plan, "build", lambda group, options: {"model_pool": pool}.get(group) or build(group, options)
        ):
            print({stage: work.jobs for stage, work in planner.work().items()})


def measure_plan(networks: int, folder: Path) -> Iterator[Mapping[str, object]]:
    """Yield the row of a plan for 100 targets."""
    targets = 100
    usage = measure_command(["benchmarks.scale", _PLAN, str(networks), str(targets)], folder)
    yield {"case": "plan", "size": f"{networks} networks, {targets} targets", **usage}


def measure_rank(models: int, folder: Path) -> Iterator[Mapping[str, object]]:
    """Yield the row of a ranking of arrays."""
    (folder / "arrays").mkdir()
    write_arrays(folder / "arrays", models, samples=500, dim=64)
    usage = measure_command(["transfer_exp", "rank", "arrays", "--budget", "none", "tracker=none"], folder)
    yield {"case": "rank", "size": f"{models} models", **usage}


def measure_sweep(jobs: int, folder: Path, case: str = "sweep") -> Iterator[Mapping[str, object]]:
    """Yield the rows of a short and of a long sweep over arrays, and of one more job."""
    (folder / "arrays").mkdir()
    write_arrays(folder / "arrays", 3, samples=200, dim=16)
    options = ("dataset=arrays", "model_pool=arrays", "dataset.root=arrays", "ground_truth=none", "tracker=none")
    usages = {}
    for count in (_FEW_JOBS, jobs):
        usages[count] = measure_command(["transfer_exp", "-m", *options, f"seed=range({count})"], folder)
        yield {"case": case, "size": f"{count} jobs", **usages[count]}
    slope = {key: (usages[jobs][key] - usages[_FEW_JOBS][key]) / (jobs - _FEW_JOBS) for key in usages[jobs]}
    yield {"case": case, "size": "one more job", **slope, "load": usages[jobs]["load"]}


CASES: Mapping[str, tuple[int, Callable[[int, Path], Iterator[Mapping[str, object]]]]] = {
    "plan": (1000, measure_plan),
    "rank": (1000, measure_rank),
    "sweep": (200, measure_sweep),
    "long sweep": (10_000, partial(measure_sweep, case="long sweep")),
}
"""Size and function of each case."""


def main() -> None:
    """Measure, print and write the rows; the rows of other cases stay."""
    if sys.argv[1:2] == [_PLAN]:
        plan_here(int(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--only", nargs="+", choices=tuple(CASES), default=("plan", "rank", "sweep"), metavar="CASE")
    options, rows = parser.parse_args(), list[Mapping[str, object]]()
    for case in options.only:
        size, measure = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(size, Path(folder)):
                print(row, flush=True)
                rows.append(row)
    new = pd.DataFrame(rows, columns=list(COLUMNS)).round({"processor_s": 2, "clock_s": 1, "megabytes": 2, "load": 1})
    others = pd.read_csv(options.rows) if options.rows.is_file() else new[:0]
    frame = pd.concat([others[~others["case"].isin(options.only)], new]).sort_values("case", kind="stable")
    frame.to_csv(options.rows, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
