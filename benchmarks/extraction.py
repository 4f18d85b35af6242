"""What a forward pass costs: ``python -m benchmarks.extraction --rows docs/results/extraction_cost.csv``.

Every network of the published pools, with random weights (which cost the same), at its own input size, on one core: the
pass that extraction makes, without decoding. The fastest of a few batches, as other work only ever slows one down.
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
"""All of one architecture, so one is measured for all."""


def networks() -> list[tuple[str, str, int, int, nn.Module]]:
    """Return pool, model, how many of the pool it stands for, input size, and the network."""
    found: list[tuple[str, str, int, int, nn.Module]] = []
    for name in OmegaConf.load(_POOLS / "supervised_cnn.yaml").names:
        arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        side = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].transforms().crop_size[0]
        network = torchvision.models.get_model(name, weights=None, **arguments)
        found.append(("supervised_cnn", name, 1, side, network))
    found.append(("self_supervised", "resnet50", _SELF_SUPERVISED, 224, torchvision.models.resnet50(weights=None)))
    of_timm, _ = OmegaConf.load(_POOLS / "vit.yaml").pools
    for name, model in of_timm.names.items():
        found.append(("vit", name, 1, 224, timm.create_model(model, pretrained=False)))
    found += [("vit", name, 1, 224, source.build()) for name, source in vit_files.SOURCES.items()]
    return found


def measure(network: nn.Module, side: int) -> tuple[float, float]:
    """Return operations of one image in 1e9 (a multiplication and an addition are two), and seconds of one image."""
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
    """Measure every network, print its row, and write all of them where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__)
    parser.add_argument("--rows", type=Path, metavar="FILE.csv")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for pool, name, count, side, network in networks():
        gflops, seconds = measure(network, side)
        row = {"model_pool": pool, "model": name, "networks": count, "input_size": side}
        rows.append(row | {"gflops": round(gflops, 2), "seconds_per_image": round(seconds, 4)})
        print(*rows[-1].values())
    if asked.rows is not None:
        table = pd.DataFrame(rows)
        write_atomically(asked.rows, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
