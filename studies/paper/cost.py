"""What a reproduction costs: one forward pass of every image through every network, nothing trained."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.io.csv import read_table
from transfer_exp.report.markdown import markdown

IMAGES = {
    "aircraft": 6_667,
    "caltech101": 3_030,
    "cars": 8_144,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "dtd": 3_760,
    "flowers": 2_040,
    "food": 75_750,
    "pets": 3_680,
    "sun397": 19_850,
    "voc2007": 5_011,
}
"""Training and validation images as published, by target; `transfer_exp.dataset` names the splits."""
_COLUMNS = ("model_pool", "model", "networks", "input_size", "gflops", "seconds_per_image")


def cost(path: Path) -> str:
    """Return, for every pool, what an image costs, and hours of one core for each target and for all.

    Parameters
    ----------
    path
        As ``python -m benchmarks.extraction`` writes it: of every network, operations in 1e9 and seconds per image;
        ``networks`` is how many of the pool it stands for.

    Raises
    ------
    InputError
        When the rows are missing or lack a column.
    """
    if not path.is_file():
        raise InputError(f"no costs {path}: measure them with python -m benchmarks.extraction --rows {path}")
    rows = read_table(path)
    if missing := [name for name in _COLUMNS if name not in rows]:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    pools = rows.assign(
        seconds=rows["seconds_per_image"] * rows["networks"], operations=rows["gflops"] * rows["networks"]
    )
    known = pools.groupby("model_pool", sort=False)[["networks", "operations", "seconds"]].sum()
    lines = [
        ["networks", *(f"{n}" for n in known["networks"])],
        ["GFLOPs an image, all networks", *(f"{n:.0f}" for n in known["operations"])],
        ["core-seconds an image, all networks", *(f"{s:.1f}" for s in known["seconds"])],
        *([f"{t} ({n:,} images), core-hours", *_hours(known["seconds"], n)] for t, n in IMAGES.items()),
        [f"**all ({sum(IMAGES.values()):,} images), core-hours**", *_hours(known["seconds"], sum(IMAGES.values()))],
        ["all, in 1e15 operations", *(f"{n * sum(IMAGES.values()) / 1e6:.0f}" for n in known["operations"])],
    ]
    return markdown(["", *map(str, known.index)], lines)


def _hours(seconds: pd.Series, images: int) -> list[str]:
    return [f"{s * images / 3600:.1f}" for s in seconds]
