"""Measure the help and the messages about mistakes: ``python -m benchmarks.answers --rows docs/results/answers.csv``.

Seconds are processor time, in the median over turns. ``--before FOLDER`` is another checkout, which takes turns.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import pandas as pd
from PIL import Image

from benchmarks.scale import CHECKOUT, measure_command

MISTAKES = (
    "rnak photos",
    "rank absent",
    "rank photos --budget soon",
    "rank photos --pool timm model_pool.names=[resnt18]",
    "rank photos models=[absent]",
    "run model_pool=timm model_pool.names=[resnt18]",
    "run model_pool=torchvision model_pool.names=[resnt18]",
    "run model_pool=checkpoints model_pool.root=absent",
    "run models=[vit_shape]",
    "run dataset=image_folder dataset.root=absent",
    "run dataset=pets dataset.root=absent",
    "run dataset=arrays model_pool=arrays dataset.root=absent",
    "run dataset=image_table dataset.path=absent.csv",
    "run metric=knn metric.k=three",
    "plan model_pool=timm model_pool.names=[resnt18]",
)
"""Arguments of commands that end with a message."""


def measure_answer(arguments: str, folder: Path, checkouts: dict[str, Path], turns: int) -> dict[str, object]:
    """Return the row of a command: its median processor time in each checkout."""
    code = int(arguments in MISTAKES)
    seconds: dict[str, list[float]] = {name: [] for name in checkouts}
    for _ in range(turns):
        for name, checkout in checkouts.items():
            usage = measure_command(("transfer_exp", *arguments.split()), folder, code, checkout)
            seconds[name].append(usage["processor_s"])
    return {"command": f"transfer-exp {arguments}", **{name: f"{median(s):.2f}" for name, s in seconds.items()}}


def main() -> None:
    """Measure, print and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="an earlier checkout to compare with")
    parser.add_argument("--turns", type=int, default=3)
    options, rows = parser.parse_args(), list[dict[str, object]]()
    checkouts = ({"before_s": options.before} if options.before else {}) | {"processor_s": CHECKOUT}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cat", "dog"):
            (Path(folder) / "photos" / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(Path(folder) / "photos" / name / "1.png")
        for arguments in ("--help", *MISTAKES):
            rows.append(measure_answer(arguments, Path(folder), checkouts, options.turns))
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(options.rows, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
