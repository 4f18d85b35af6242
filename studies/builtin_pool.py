"""Train the built-in pool: ``python -m studies.builtin_pool FOLDER``.

The pool holds fourteen small timm networks. Each is trained on one procedural source task for a different number of
steps, so that the pool differs in what it can transfer. The command writes one safetensors file per network, a
``manifest.json`` for `transfer_exp.model_pool.checkpoints`, and a model card. It takes about fifteen minutes on two
cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn

from transfer_exp.dataset.procedural.source_tasks import SOURCE_TASKS
from transfer_exp.dataset.procedural.task import SIZE, Task, draw_images
from transfer_exp.ground_truth.protocol import Recipe
from transfer_exp.ground_truth.training import Training
from transfer_exp.vision import timm

_TRAIN_IMAGES, _TEST_IMAGES, _BATCH, _SEED = 12_000, 1_500, 64, 0
_VIT = {"img_size": SIZE, "patch_size": 8}


@dataclass(frozen=True)
class Pretraining:
    """Training plan of one network: a timm architecture with its arguments, a source task and a number of steps."""

    name: str
    architecture: str
    task: str
    steps: int
    learning_rate: float = 2e-3
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def constructor(self) -> dict[str, Any]:
        """Arguments of `timm.create_model` except the name."""
        return {"num_classes": len(SOURCE_TASKS[self.task].class_names), **self.arguments}


POOL = (
    Pretraining("byobnet_glyphs", "test_byobnet", "source_glyphs", 3000),
    Pretraining("coatnet_fractals", "test_coatnet", "source_fractals", 2000, 1e-3, {"img_size": SIZE}),
    Pretraining("convnext_textures", "test_convnext", "source_textures", 1500),
    Pretraining("convnext2_glyphs", "test_convnext2", "source_glyphs", 2000, 5e-4),
    Pretraining("convnext3_shapes", "test_convnext3", "source_shapes", 100),
    Pretraining("efficientnet_glyphs", "test_efficientnet", "source_glyphs", 1000),
    Pretraining("efficientnet_evos_textures", "test_efficientnet_evos", "source_textures", 600),
    Pretraining("efficientnet_gn_shapes", "test_efficientnet_gn", "source_shapes", 2500),
    Pretraining("efficientnet_ln_fractals", "test_efficientnet_ln", "source_fractals", 200),
    Pretraining("mambaout_textures", "test_mambaout", "source_textures", 2500),
    Pretraining("nfnet_fractals", "test_nfnet", "source_fractals", 1500, 1e-3),
    Pretraining("resnet_glyphs", "test_resnet", "source_glyphs", 500),
    Pretraining("vit_shapes", "test_vit", "source_shapes", 2500, 1e-3, _VIT),
    Pretraining("vit2_glyphs", "test_vit2", "source_glyphs", 3000, 1e-3, _VIT),
)


def _tensors(task: Task, images: int, seed: int) -> tuple[Float[Tensor, "images 3 32 32"], Int[Tensor, " images"]]:
    """Draw about ``images`` samples, the same number of each class, scaled to [-1, 1]."""
    drawings = draw_images(task, images // len(task.class_names), seed)
    pixels = np.stack([np.asarray(drawings.read(i)) for i in range(len(drawings))])
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return scaled, torch.from_numpy(drawings.labels)


def _accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images that the network classifies correctly."""
    network.eval()
    with torch.inference_mode():
        correct = [(network(x).argmax(1) == y).sum() for x, y in zip(images.split(250), labels.split(250), strict=True)]
    return float(sum(correct)) / len(labels)


def pretrain(plan: Pretraining, folder: Path) -> dict[str, Any]:
    """Train one network, save its weights in half precision, and return its manifest entry.

    The source accuracy is computed with the saved weights. Training uses one thread, so that the result depends only on
    the seed.
    """
    torch.set_num_threads(1)
    task = SOURCE_TASKS[plan.task]
    images, labels = _tensors(task, _TRAIN_IMAGES, _SEED)
    torch.manual_seed(_SEED)
    network = timm.create_model(plan.architecture, **plan.constructor).train()
    recipe = Recipe(plan.steps, _BATCH, plan.learning_rate, weight_decay=0.05)
    Training(network, lambda batch: (images[batch], labels[batch]), len(images), recipe, _SEED).run(recipe.steps)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file(halves, folder / f"{plan.name}.safetensors")
    network.load_state_dict(halves)
    accuracy = _accuracy(network, *_tensors(task, _TEST_IMAGES, _SEED + 1))
    return _entry(plan, network, accuracy)


def _entry(plan: Pretraining, network: nn.Module, accuracy: float) -> dict[str, Any]:
    """Return the manifest entry of a trained network."""
    return {
        "library": "timm",
        "architecture": plan.architecture,
        "arguments": plan.constructor,
        "file": f"{plan.name}.safetensors",
        "input_size": SIZE,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "num_features": network.num_features,
        "source_dataset": plan.task,
        "source_classes": plan.constructor["num_classes"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "training": {
            "steps": plan.steps,
            "batch": _BATCH,
            "learning_rate": plan.learning_rate,
            "seed": _SEED,
        },
        "source_accuracy": round(accuracy, 4),
        "licence": "Apache-2.0",
        "origin": "python -m studies.builtin_pool",
    }


def model_card(manifest: dict[str, dict[str, Any]]) -> str:
    """Return the model card of a pool as Markdown, built from its manifest."""
    head = "| network | architecture | source task (classes) | steps | seed | source accuracy | parameters |"
    rows = [
        f"| `{name}` | `{e['architecture']}` | {e['source_dataset']} ({e['source_classes']}) | "
        f"{e['training']['steps']} | {e['training']['seed']} | {e['source_accuracy']:.3f} | {e['parameters']:,} |"
        for name, e in manifest.items()
    ]
    return "\n".join([_CARD, head, "|---|---|---|---:|---:|---:|---:|", *rows, ""])


_CARD = f"""# The built-in pool

Small timm architectures that this project trained on procedural images of {SIZE} px: fractals of iterated function
systems, Latin letters in Computer Modern and STIX, silhouettes, and textures. With them every experiment can be tried
offline in a minute. They do not transfer to photographs.

`python -m studies.builtin_pool FOLDER` trains them again and writes this page. Each network was trained on
{_TRAIN_IMAGES:,} drawings in batches of {_BATCH}. Some were stopped early on purpose, so that the pool differs in what
it can transfer. `resnet_glyphs` was cut from 4000 steps to 500 after a first look, because it was best on every target:
any metric that preferred this one network would have looked good. `convnext2_glyphs` had learnt nothing, so it was
trained again with a quarter of the learning rate.

Training used AdamW with a weight decay of 0.05 and a cosine schedule; the learning rates are in the manifest. Weights
have half precision, and the source accuracy is measured with them on {_TEST_IMAGES:,} new drawings. Licence:
Apache-2.0.
"""


def main() -> None:
    """Train every network of the pool into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")
    entries: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(options.workers, mp_context=spawn) as workers:
        jobs = {workers.submit(pretrain, plan, options.folder): plan.name for plan in POOL}
        for job in track(as_completed(jobs), "networks trained", total=len(jobs)):
            entries[jobs[job]] = job.result()
    manifest = {plan.name: entries[plan.name] for plan in POOL}
    (options.folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    (options.folder / "MODEL_CARD.md").write_text(model_card(manifest))


if __name__ == "__main__":
    main()
