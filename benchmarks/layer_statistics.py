"""Measure the class statistics of all layers of a ViT next to those of one: ``python -m benchmarks.layer_statistics``.

The network has twelve blocks and random weights, which cost the same as trained ones. With all layers, the class
statistics of every block and of the input of the head are computed. Both ways alternate, each from an empty store and
with decoded images. Seconds are processor time on one core, and ratios are computed within a turn.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import pandas as pd
import torch
from PIL import Image

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.pixels import PixelCache
from transfer_exp.io.atomic import write_atomically
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.progress import silent
from transfer_exp.store import Store
from transfer_exp.vision import timm

_CLASSES, _BATCH = 10, 64


def noise_images(count: int) -> LabelledImages:
    """Return images of noise, 224 x 224, of ten classes in turn."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)
    return LabelledImages(
        np.arange(count) % _CLASSES, lambda i: Image.fromarray(pixels[i]), lambda i: i.to_bytes(4, "little")
    )


def seconds(extractor: Extractor, name: str, model: LoadedModel, images: LabelledImages) -> float:
    """Return the processor time of the class statistics of an extractor's layers, with an empty store."""
    with tempfile.TemporaryDirectory() as root:
        extractor = replace(extractor, store=Store(root))
        start, layers = process_time(), extractor.layers(model)
        for layer in layers:
            extractor.at_layer(layer, layers).statistics(name, model, images)
        return process_time() - start


def measure(name: str, count: int, turns: int) -> dict[str, object]:
    """Return the row of a network of timm."""
    network = timm.create_model(name, pretrained=False).eval()
    model = LoadedModel(wrap_network(network), create_transforms(network)[0], {"architecture": name})
    images = noise_images(count)
    one = Extractor(Store("unused"), "cpu", _BATCH, 0, silent, PixelCache())
    every = replace(one, layer="all")
    seconds(one, name, model, images)  # decodes the images, and warms up
    pairs = [(seconds(one, name, model, images), seconds(every, name, model, images)) for _ in range(turns)]
    ratios = [all_layers / one_layer for one_layer, all_layers in pairs]
    return {
        "model": name,
        "images": count,
        "layers": len(every.layers(model)),
        "one layer (processor s)": f"{median(pair[0] for pair in pairs):.1f}",
        "all layers (processor s)": f"{median(pair[1] for pair in pairs):.1f}",
        "all / one": f"{median(ratios):.2f}",
        "from - to": f"{min(ratios):.2f} - {max(ratios):.2f}",
        "turns": turns,
    }


def main() -> None:
    """Measure every network, print its row, and write the file of rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layer_statistics", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["vit_tiny_patch16_224"], help="networks of timm")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=Path, metavar="FILE.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in options.models:
        rows.append(measure(name, options.images, options.turns))
        print(*rows[-1].values(), flush=True)
    if options.rows is not None:
        table = pd.DataFrame(rows)
        write_atomically(options.rows, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
