"""Measure the memory of scoring with streamed class statistics, which should not depend on the number of samples.

``python -m benchmarks.streaming [--rows FILE.csv] [N ...]`` writes synthetic features (N, 2048) into a store. A new
process scores them with every metric that needs only class statistics. It prints the growth of its memory since its
imports, and the processor time. Two products X'X of the batches in float64 are timed in between, on some of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
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
_EVERY = 8
"""One of so many batches is multiplied for the comparison."""
METRICS = (LogME(), HScore(), GBC(), CKA(), LFC())


def write_features(root: Path, samples: int) -> None:
    """Write rectified float32 features (samples, 2048) in the format of the store, in batches."""
    path = root / "features" / digest({})[:2] / f"{digest({})}.safetensors"
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, DIM), dtype=np.float32)
    entry = {"dtype": "F32", "shape": [samples, DIM], "data_offsets": [0, 4 * samples * DIM]}
    labels = np.arange(samples) % CLASSES
    content = hashlib.sha256(f"<f4 {(samples, DIM)}".encode())

    def header() -> bytes:
        metadata = {"key": "{}", "sha256": json.dumps({"features": content.hexdigest()})}
        text = json.dumps({"__metadata__": metadata, "features": entry}).encode()
        return len(text).to_bytes(8, "little") + text

    with path.open("wb") as file:
        file.write(header())
        for start in range(0, samples, ROWS):
            rows = labels[start : start + ROWS]
            noise = rng.standard_normal((len(rows), DIM), dtype=np.float32)
            batch = np.maximum(centres[rows] + 2 * noise, 0)
            content.update(batch.data)
            batch.tofile(file)
        file.seek(0)
        file.write(header())  # with the digest, which has the same length


def time_products(batches: Iterable[np.ndarray], seconds: list[float]) -> Iterator[np.ndarray]:
    """Yield the batches, and append the processor time of two products X'X in float64 of one of `_EVERY` batches."""
    for i, batch in enumerate(batches):
        if i % _EVERY == 0:
            start = time.process_time()
            for _ in range(2):
                values = batch.astype(np.float64)
                values.T @ values
            seconds.append(time.process_time() - start)
        yield batch


def score(root: Path, samples: int) -> dict[str, float]:
    """Return the growth of memory in megabytes, processor seconds of each part, and the scores."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    products: list[float] = []
    start = time.process_time()
    labels = np.arange(samples) % CLASSES
    batches = Store(root).iter_batches("features", {}, "features", ROWS)
    statistics = streamed_statistics(time_products(batches, products), labels)
    streamed = time.process_time()
    scores = {metric.name: metric(statistics) for metric in METRICS}
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    both = sum(products) / len(products) * samples / ROWS
    streaming = streamed - start - sum(products)
    seconds = {"streaming_s": streaming, "two_products_s": both, "scores_s": time.process_time() - streamed}
    rounded = {name: round(value, 1) for name, value in seconds.items()}
    rounded["streaming / products"] = round(streaming / both, 2)
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
