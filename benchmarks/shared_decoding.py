"""Images decoded once for M models: ``python -m benchmarks.shared_decoding --rows docs/results/shared_decoding.csv``.

A folder of JPEGs is drawn, and small networks with random weights look at it in three ways: as a pool, which shares
what is decoded; each in a pass of its own, where nothing is kept; and in a loop of timm's parts and torch's loader
alone. The three go by turns, on one core, and are compared within a turn, by the processor's time (of this process and
of those that decode) and by the clock.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from transfer_exp.dataset.image_file import load_files
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.pixels import PixelCache
from transfer_exp.io.atomic import write_atomically
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.progress import silent
from transfer_exp.store import Store
from transfer_exp.vision import timm

NETWORKS = (
    "mobilenetv3_small_050",
    "lcnet_035",
    "lcnet_050",
    "efficientvit_m0",
    "mobilenetv3_small_075",
    "mobilenetv4_conv_small_035",
    "mobilenetv4_conv_small_050",
    "tf_mobilenetv3_small_minimal_100",
)
POOLS = (1, 2, 4, 8)
_SETTINGS = {"input_size": (3, 224, 224), "interpolation": "bicubic", "crop_pct": 0.875}
_BATCH, _SIDES = 64, (500, 375)


def draw(folder: Path, images: int) -> list[Path]:
    """Draw JPEGs of 500 x 375 at quality 90: shapes on a smooth ground, with the grain of a photograph."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.jpg" for i in range(images)]
    for path in paths:
        ground = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
            _SIDES, Image.Resampling.BICUBIC
        )
        pen = ImageDraw.Draw(ground)
        for _ in range(12):
            left, top, wide, high = rng.integers(0, (400, 300, 150, 150)).tolist()
            pen.ellipse((left, top, left + wide, top + high), fill=tuple(rng.integers(0, 256, 3).tolist()))
        grain = rng.normal(0, 12, (_SIDES[1], _SIDES[0], 1))
        Image.fromarray((np.asarray(ground) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


class _Files(Dataset[Tensor]):
    """Image files as most loops read them."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


@dataclass(frozen=True)
class Sides:
    """The ways to look at the images.

    Attributes:
        paths: Of the images.
        networks: By name, in evaluation mode, channels last.
        workers: Processes that decode; 0 decodes in this one.
    """

    paths: Sequence[Path]
    networks: dict[str, nn.Module]
    workers: int

    def shared(self, count: int) -> None:
        """Look with the first networks as extraction does, what is decoded being kept."""
        self._extract(count, PixelCache())

    def separate(self, count: int) -> None:
        """Look as extraction does, with nothing kept."""
        self._extract(count, PixelCache(0))

    def bare(self, count: int) -> None:
        """Look with timm's parts and torch's loader alone."""
        for network in list(self.networks.values())[:count]:
            data = timm.data.resolve_data_config(dict(_SETTINGS), model=network)
            files = _Files(self.paths, timm.data.create_transform(**data))
            with torch.inference_mode():
                for batch in DataLoader(files, _BATCH, num_workers=self.workers):
                    network(batch.to(memory_format=torch.channels_last))

    def _extract(self, count: int, pixels: PixelCache) -> None:
        extractor = Extractor(Store(Path()), "cpu", _BATCH, self.workers, silent, pixels)
        images = load_files(self.paths, np.zeros(len(self.paths), dtype=int), "draw it again")
        for name, network in list(self.networks.items())[:count]:
            transform, _ = create_transforms(network, dict(_SETTINGS))
            extractor.compute(name, LoadedModel(wrap_network(network), transform, {}), images)


def seconds(work: Callable[[], object]) -> dict[str, float]:
    """Return what some work takes of the processor, that of processes it starts included, and by the clock."""

    def processor() -> float:
        known = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in known)

    before, start = processor(), time.perf_counter()
    work()
    return {"clock": time.perf_counter() - start, "processor": processor() - before}


def measured(sides: Sides, models: int, turns: int) -> list[dict[str, object]]:
    """Return a row for each way to count seconds: medians over the turns, and the ratios within them."""
    ways = {"shared": sides.shared, "separate": sides.separate, "bare": sides.bare}
    took: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for turn in range(turns):
        for way in sorted(ways, reverse=turn % 2 == 1):
            took[way].append(seconds(partial(ways[way], models)))
    rows = []
    for by in ("processor", "clock"):
        row: dict[str, object] = {"workers": sides.workers, "models": models, "images": len(sides.paths), "by": by}
        row |= {f"{way}_s": f"{median(run[by] for run in took[way]):.2f}" for way in ways}
        for way in ("separate", "bare"):
            ratios = [theirs[by] / ours[by] for theirs, ours in zip(took[way], took["shared"], strict=True)]
            row[f"{way} / shared"] = f"{median(ratios):.2f}"
            row[f"{way} from - to"] = f"{min(ratios):.2f} - {max(ratios):.2f}"
        rows.append({**row, "turns": turns})
    return rows


def main() -> None:
    """Measure, print every row as it comes, and write them where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_decoding", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="where to put the rows")
    parser.add_argument("--images", type=int, default=200, help="how many are drawn")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode, 0 for none of their own")
    parser.add_argument("--turns", type=int, default=5, help="runs of each side")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[dict[str, object]] = []
    built = {name: timm.create_model(name, pretrained=False).eval() for name in NETWORKS}
    networks = {name: network.to(memory_format=torch.channels_last) for name, network in built.items()}
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), asked.images)
        print(f"{np.mean([path.stat().st_size for path in paths]) / 1000:.0f} kB a file")
        measured(Sides(paths[:_BATCH], networks, 0), len(networks), 1)  # the first time, libraries warm up
        for models in POOLS:
            rows += measured(Sides(paths, networks, asked.workers), models, asked.turns)
            print(*rows[-2:], sep="\n", flush=True)
    if asked.rows is not None:
        table = pd.DataFrame(rows)
        write_atomically(asked.rows, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
