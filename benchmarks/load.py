"""Measure runs on a machine with other work: ``python -m benchmarks.load --rows docs/results/load.csv``.

Every command runs in three ways, which alternate and are compared within a turn: one model at a time with all threads
(as up to 0.1.0), one model at a time with one thread (``jobs=1``), and several models at a time with one thread each
(``jobs=auto``). Other work is processes that count; the load average also has the work of others and of the command
itself. Times include the start of Python.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import pandas as pd

from transfer_exp.io.atomic import write_atomically

_NETWORKS = "models=[resnet_glyphs,vit_shapes,convnext_textures,efficientnet_glyphs]"
COMMANDS: Mapping[str, Sequence[str]] = {
    "run, 2 networks": ("models=[resnet_glyphs,convnext_textures]", "protocol.learning_rates=[1e-3]"),
    "linear_classifier, 14 networks": ("metric=linear_classifier", "ground_truth=none"),
    "rank, 4 networks": ("-cn", "rank", _NETWORKS, "dataset=digits", "model_pool=builtin", "budget=null"),
    "default run, 14 networks": (),
}
_WAYS = ("all threads", "one thread", "jobs=auto")
COLUMNS = (
    *("command", "other processes", "load average"),
    *(f"{way} ({unit})" for unit in ("s", "processor s") for way in _WAYS),
    *("all threads / auto", "one thread / auto", "one thread / auto from - to", "turns", "cores"),
)


def main() -> None:
    """Measure, print every row, and write the rows; or run one command as up to 0.1.0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="runs of each way")
    parser.add_argument("--other", type=int, nargs="+", default=[0, 2, 4], metavar="N", help="processes of other work")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""], help="commands that begin like this")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="file of the rows; older ones are replaced")
    options = parser.parse_args()
    rows = []
    for other in options.other:
        for command in COMMANDS:
            if command.startswith(tuple(options.only)):
                rows.append(measure(command, other, options.turns))
                print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
                if options.rows:
                    write_rows(options.rows, rows)


def measure(command: str, other: int, turns: int) -> tuple[object, ...]:
    """Return the row of a command with some processes of other work."""
    with other_work(other):
        loads, seconds = [], []
        for _ in range(turns):
            seconds.append([run_seconds(COMMANDS[command], way) for way in _WAYS])
            loads.append(os.getloadavg()[0])
    medians = [f"{median(times[i][j] for times in seconds):.1f}" for j in (0, 1) for i in range(len(_WAYS))]
    clock = [[elapsed for elapsed, _ in times] for times in seconds]
    before = [all_threads / auto for all_threads, _, auto in clock]
    one = [one_thread / auto for _, one_thread, auto in clock]
    ratios = [f"{median(before):.2f}", f"{median(one):.2f}", f"{min(one):.2f} - {max(one):.2f}"]
    return (command, other, f"{median(loads):.1f}", *medians, *ratios, turns, os.cpu_count())


def run_seconds(arguments: Sequence[str], way: str) -> tuple[float, float]:
    """Return the seconds of a command with a new store, by the clock and of processors."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"store={folder}/store", f"hydra.run.dir={folder}/run", "tracker=none"]
        jobs = "auto" if way == "jobs=auto" else "1"
        program = "benchmarks.load import run_with_all_threads as main" if way == "all threads" else ""
        program = program or "transfer_exp.__main__ import main"
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "100"}
        start, spent = time.perf_counter(), _processor_seconds()
        subprocess.run(
            [sys.executable, "-c", f"from {program}; main()", *arguments, *settings, f"jobs={jobs}"],
            env=environment,
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start, _processor_seconds() - spent


def _processor_seconds() -> float:
    """Return the processor time of all finished processes that this one started, and of those that these started."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_with_all_threads() -> None:
    """Run the command of this process without limits on threads, as up to 0.1.0."""
    from transfer_exp.__main__ import main as run
    from transfer_exp.experiment import parallel
    from transfer_exp.features import extraction
    from transfer_exp.ground_truth import accuracy_cache

    limits = ((parallel, "threadpool_limits"), (extraction, "tuned_for"), (accuracy_cache, "tuned_for"))
    for module, name in limits:
        setattr(module, name, lambda *_, **__: nullcontext())
    run()


@contextmanager
def other_work(processes: int) -> Iterator[None]:
    """Keep some processes busy inside the context."""
    workers = [multiprocessing.get_context("spawn").Process(target=_count, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _count() -> None:
    number = 0
    while True:
        number += 1


def write_rows(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    """Write rows to a file; they replace its rows of the same command and other work."""
    new = pd.DataFrame(rows, columns=list(COLUMNS)).astype(str)
    old = pd.read_csv(path, dtype=str) if path.exists() else new.iloc[:0]
    table = pd.concat([old, new]).drop_duplicates(["command", "other processes"], keep="last")
    write_atomically(path, partial(table.to_csv, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
