"""Measure shared decoding: ``python -m benchmarks.shared_decoding --rows docs/results/shared_decoding.csv``.

Small networks with random weights process a folder of generated JPEGs in three ways: as a pool that shares decoded
images, in separate passes without a cache, and in a plain loop of timm and torch. The three ways alternate on one core
and are compared within a repeat, by processor time (of this process and its decoding workers) and by wall-clock time.
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
from transfer_exp.model_pool.loaded_model import LoadedModel
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
_BATCH, _IMAGE_SIZE = 64, (500, 375)


def draw(folder: Path, images: int) -> list[Path]:
    """Draw JPEGs of 500 x 375 pixels at quality 90: shapes on a smooth background, with the grain of a photograph."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.jpg" for i in range(images)]
    for path in paths:
        image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
            _IMAGE_SIZE, Image.Resampling.BICUBIC
        )
        pen = ImageDraw.Draw(image)
        for _ in range(12):
            left, top, wide, high = rng.integers(0, (400, 300, 150, 150)).tolist()
            pen.ellipse((left, top, left + wide, top + high), fill=tuple(rng.integers(0, 256, 3).tolist()))
        grain = rng.normal(0, 12, (_IMAGE_SIZE[1], _IMAGE_SIZE[0], 1))
        Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


class _Files(Dataset[Tensor]):
    """Image files, read as in a plain training loop."""

    def __init__(self, paths: Sequence[Path], transform: Callable[[Image.Image], Tensor]) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


@dataclass(frozen=True)
class ExtractionMethods:
    """Three ways to extract features of the images.

    Attributes:
        paths: Image files.
        networks: Networks by name, in evaluation mode, channels last.
        workers: Number of decoding processes; 0 decodes in this process.
    """

    paths: Sequence[Path]
    networks: dict[str, nn.Module]
    workers: int

    def shared(self, count: int) -> None:
        """Extract features with the first networks, with a cache of decoded images."""
        self._extract(count, PixelCache())

    def separate(self, count: int) -> None:
        """Extract features with the first networks, without a cache."""
        self._extract(count, PixelCache(0))

    def bare(self, count: int) -> None:
        """Run the first networks in a plain loop of timm and torch."""
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


def measure_seconds(work: Callable[[], object]) -> dict[str, float]:
    """Return processor time (child processes included) and wall-clock time of a function in seconds."""

    def processor() -> float:
        usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before, start = processor(), time.perf_counter()
    work()
    return {"clock": time.perf_counter() - start, "processor": processor() - before}


def measure(methods: ExtractionMethods, models: int, turns: int) -> list[dict[str, object]]:
    """Return a row for processor and one for wall-clock time: medians over repeats, and ratios within repeats."""
    ways = {"shared": methods.shared, "separate": methods.separate, "bare": methods.bare}
    times: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for turn in range(turns):
        for way in sorted(ways, reverse=turn % 2 == 1):
            times[way].append(measure_seconds(partial(ways[way], models)))
    rows = []
    for by in ("processor", "clock"):
        row: dict[str, object] = {"workers": methods.workers, "models": models, "images": len(methods.paths), "by": by}
        row |= {f"{way}_s": f"{median(run[by] for run in times[way]):.2f}" for way in ways}
        for way in ("separate", "bare"):
            ratios = [run[by] / shared[by] for run, shared in zip(times[way], times["shared"], strict=True)]
            row[f"{way} / shared"] = f"{median(ratios):.2f}"
            row[f"{way} from - to"] = f"{min(ratios):.2f} - {max(ratios):.2f}"
        rows.append({**row, "turns": turns})
    return rows


def main() -> None:
    """Measure, print every row, and write the file of rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_decoding", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="file of the rows")
    parser.add_argument("--images", type=int, default=200, help="number of images")
    parser.add_argument("--workers", type=int, default=0, help="decoding processes; 0 decodes in the main process")
    parser.add_argument("--turns", type=int, default=5, help="runs of each way")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[dict[str, object]] = []
    built = {name: timm.create_model(name, pretrained=False).eval() for name in NETWORKS}
    networks = {name: network.to(memory_format=torch.channels_last) for name, network in built.items()}
    with tempfile.TemporaryDirectory() as folder:
        paths = draw(Path(folder), options.images)
        print(f"{np.mean([path.stat().st_size for path in paths]) / 1000:.0f} kB a file")
        measure(ExtractionMethods(paths[:_BATCH], networks, 0), len(networks), 1)  # warm-up
        for models in POOLS:
            rows += measure(ExtractionMethods(paths, networks, options.workers), models, options.turns)
            print(*rows[-2:], sep="\n", flush=True)
    if options.rows is not None:
        table = pd.DataFrame(rows)
        write_atomically(options.rows, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
