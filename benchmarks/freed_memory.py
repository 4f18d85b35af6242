"""Measure the reuse of freed memory: ``python -m benchmarks.freed_memory --rows docs/results/freed_memory.csv``.

A process extracts features of 256 noise images, 64 at a time, or trains all parameters for 8 steps of 16 of them. It
runs with `keep_freed_memory` and as glibc is by default, in turns. The networks have random weights, which cost the
same as trained ones, and one thread. Seconds are processor time of the work, without the start and two first passes:
that of the program itself (``user``), and that of the system, which clears memory. Megabytes are the largest memory of
the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import pandas as pd

NETWORKS = ("mobilenetv2_100", "resnet18", "vit_small_patch16_224")
WORK = ("features", "training")
COLUMNS = (
    *("network", "work", "kept_user_s", "kept_system_s", "kept_megabytes"),
    *("default_user_s", "default_system_s", "default_megabytes", "default / kept", "from - to", "turns"),
)
_HERE = "--here"


def work_here(network: str, work: str) -> dict[str, float]:
    """Do the work in this process, and return what it cost."""
    import torch

    from transfer_exp.features.extraction import tuned_for
    from transfer_exp.vision import timm

    model = timm.create_model(network, num_classes=10).to(memory_format=torch.channels_last)
    batch, passes = (64, 4) if work == "features" else (16, 8)
    images = torch.randn(batch, 3, 224, 224).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.AdamW(model.parameters())
    torch.set_num_threads(1)
    with tuned_for(model), torch.inference_mode(work == "features"):
        model.train(work == "training")
        for i in range(2 + passes):
            if i == 2:  # The first passes take new memory from the system in either way.
                before = resource.getrusage(resource.RUSAGE_SELF)
            outputs = model(images)
            if work == "training":
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(outputs, labels).backward()
                optimizer.step()
        after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = {"user": after.ru_utime - before.ru_utime, "system": after.ru_stime - before.ru_stime}
    return {**seconds, "megabytes": after.ru_maxrss / 1024}


def measure(network: str, work: str, turns: int) -> tuple[object, ...]:
    """Return the row of a network and a kind of work, each in new processes."""
    kept: list[dict[str, float]] = []
    default: list[dict[str, float]] = []
    for _ in range(turns):
        for results, setting in ((kept, {}), (default, {"MALLOC_TOP_PAD_": "0"})):  # any variable of glibc has priority
            command = [sys.executable, "-m", "benchmarks.freed_memory", _HERE, network, work]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **setting}
            output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            results.append(json.loads(output.splitlines()[-1]))
    ratios = [(b["user"] + b["system"]) / (a["user"] + a["system"]) for a, b in zip(kept, default, strict=True)]
    values = [
        f"{median(result[name] for result in results):.{digits}f}"
        for results in (kept, default)
        for name, digits in (("user", 1), ("system", 1), ("megabytes", 0))
    ]
    return (network, work, *values, f"{median(ratios):.2f}", f"{min(ratios):.2f} - {max(ratios):.2f}", turns)


def main() -> None:
    """Measure, print every row, and write the rows."""
    if sys.argv[1:2] == [_HERE]:
        print(json.dumps(work_here(*sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freed_memory", description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="runs of each way")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="file of the rows; older ones are replaced")
    options = parser.parse_args()
    rows = []
    for network in NETWORKS:
        for work in WORK:
            rows.append(measure(network, work, options.turns))
            print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
    if options.rows:
        options.rows.write_text(pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False), encoding="utf-8")


if __name__ == "__main__":
    main()
