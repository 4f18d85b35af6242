"""Measure the memory of scoring with streamed class statistics, which should not depend on the number of samples.

``python -m benchmarks.streaming [--rows FILE.csv] [N ...]`` writes synthetic features (N, 2048) into a store. A new
process scores them with every metric that needs only class statistics. It prints the growth of its memory since its
imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_exp.io.atomic import digest
from transfer_exp.metric.cka import CKA
from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.lfc import LFC
from transfer_exp.metric.logme import LogME
from transfer_exp.statistics.class_statistics import streamed_statistics
from transfer_exp.store import Store

DIM, CLASSES, ROWS = 2048, 100, 4096
METRICS = (LogME(), HScore(), GBC(), CKA(), LFC())


def write_features(root: Path, samples: int) -> None:
    """Write rectified float32 features (samples, 2048) in the format of the store, in batches."""
    path = root / "features" / digest({})[:2] / f"{digest({})}.safetensors"
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, DIM), dtype=np.float32)
    entry = {"dtype": "F32", "shape": [samples, DIM], "data_offsets": [0, 4 * samples * DIM]}
    header = json.dumps({"features": entry}).encode()
    labels = np.arange(samples) % CLASSES
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, samples, ROWS):
            rows = labels[start : start + ROWS]
            noise = rng.standard_normal((len(rows), DIM), dtype=np.float32)
            np.maximum(centres[rows] + 2 * noise, 0).tofile(file)


def score(root: Path, samples: int) -> dict[str, float]:
    """Return the growth of memory in megabytes, seconds for statistics and for scores, and the scores."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    labels = np.arange(samples) % CLASSES
    statistics = streamed_statistics(Store(root).iter_batches("features", {}, "features", ROWS), labels)
    streamed = time.perf_counter()
    scores = {metric.name: metric(statistics) for metric in METRICS}
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    seconds = {"streaming_s": streamed - start, "scores_s": time.perf_counter() - streamed}
    rounded = {name: round(value, 1) for name, value in seconds.items()}
    return {"N": samples, "D": DIM, "C": CLASSES, "megabytes": round(growth / 1024), **rounded, **scores}


def main() -> None:
    """Print and write one row for each number of samples."""
    if sys.argv[1:2] == ["score"]:
        print(json.dumps(score(Path(sys.argv[2]), int(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=int, nargs="*", default=(62_500, 250_000, 1_000_000), metavar="N")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="file of the rows")
    options, rows = parser.parse_args(), []
    for samples in options.samples:
        with tempfile.TemporaryDirectory() as root:
            write_features(Path(root), samples)
            command = [sys.executable, "-m", "benchmarks.streaming", "score", root, str(samples)]
            rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(rows[-1], flush=True)
    if options.rows:
        pd.DataFrame(rows).to_csv(options.rows, index=False, lineterminator="\n", float_format="%.6g")


if __name__ == "__main__":
    main()
