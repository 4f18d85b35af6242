"""Measure the cost of a forward pass: ``python -m benchmarks.extraction --rows docs/results/extraction_cost.csv``.

The networks are those of the published pools, each with its input size, on one core. Random weights cost the same as
trained ones. The time is that of a forward pass as in extraction, without decoding. It is the fastest of a few batches,
because other processes can only slow a batch down.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from transfer_exp.io.atomic import write_atomically
from transfer_exp.model_pool import vit_files
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.vision import timm, torchvision

_POOLS = Path(__file__).parents[1] / "conf" / "model_pool"
_BATCH, _REPEATS = 8, 3
_SELF_SUPERVISED = 12
"""Size of the self-supervised pool; all its networks have one architecture, so one is measured."""


def networks() -> list[tuple[str, str, int, int, nn.Module]]:
    """Return pool, model, number of networks of this architecture in the pool, input size, and the network."""
    rows: list[tuple[str, str, int, int, nn.Module]] = []
    for name in OmegaConf.load(_POOLS / "supervised_cnn.yaml").names:
        arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        side = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].transforms().crop_size[0]
        network = torchvision.models.get_model(name, weights=None, **arguments)
        rows.append(("supervised_cnn", name, 1, side, network))
    rows.append(("self_supervised", "resnet50", _SELF_SUPERVISED, 224, torchvision.models.resnet50(weights=None)))
    timm_pool, _ = OmegaConf.load(_POOLS / "vit.yaml").pools
    for name, model in timm_pool.names.items():
        rows.append(("vit", name, 1, 224, timm.create_model(model, pretrained=False)))
    rows += [("vit", name, 1, 224, source.build()) for name, source in vit_files.SOURCES.items()]
    return rows


def measure(network: nn.Module, side: int) -> tuple[float, float]:
    """Return operations per image in 1e9 (a multiplication and an addition are two), and seconds per image."""
    backbone = wrap_network(network.eval())
    images = torch.randn(_BATCH, 3, side, side)
    seconds = []
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            backbone.features_and_logits(images[:1])
        backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.to(memory_format=torch.channels_last)
        for _ in range(_REPEATS):
            start = time.perf_counter()
            backbone.features_and_logits(images)
            seconds.append((time.perf_counter() - start) / _BATCH)
    return counter.get_total_flops() / 1e9, min(seconds)


def main() -> None:
    """Measure every network, print its row, and write the file of rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__)
    parser.add_argument("--rows", type=Path, metavar="FILE.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for pool, name, count, side, network in networks():
        gflops, seconds = measure(network, side)
        row = {"model_pool": pool, "model": name, "networks": count, "input_size": side}
        rows.append(row | {"gflops": round(gflops, 2), "seconds_per_image": round(seconds, 4)})
        print(*rows[-1].values())
    if options.rows is not None:
        table = pd.DataFrame(rows)
        write_atomically(options.rows, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
