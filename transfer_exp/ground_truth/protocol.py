"""Fine-tuning protocol: all settings that decide an accuracy, except the network, the data and the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from transfer_exp.errors import InputError
from transfer_exp.features.model_on_target import Split
from transfer_exp.ground_truth.training import Recipe, check_optimizer

Augmentation = Literal["none", "crop_flip"]
Head = Literal["random", "linear_probe"]
BatchNorm = Literal["batch", "frozen"]


@dataclass(frozen=True)
class Protocol:
    """A grid of learning rates and weight decays, and how each point is trained.

    Attributes:
        steps, batch_size: Number of optimiser steps, and number of images in each.
        learning_rates, weight_decays: The grid: peaks of a cosine schedule, and decays (none on norms and biases).
        decay_over_rate: Divide each weight decay by its learning rate, as the paper's lineage does.
        optimizer: Name of a timm optimiser; ``sgd`` has Nesterov momentum 0.9.
        warmup: Fraction of the steps with a linear warm-up, in [0, 1).
        clip: Maximum gradient norm, or None.
        augmentation: ``"crop_flip"``: random crop of 8 to 100 % of the area, mirrored with probability 1/2; or
            ``"none"``.
        mixup: Alpha of mixup's Beta distribution (Zhang et al., ICLR 2018); 0 turns mixup off.
        rungs: Successive halving: steps after which only the better half of the grid continues. Empty trains all to the
            end.
        validation_fraction: Fraction of the training split to select on, where the dataset has no validation split.
        mixed_precision: Train in bfloat16 on CUDA.
        head: Initial weights of the new head: ``"random"``, or a ``"linear_probe"`` on the features before fine-tuning
            (Kumar et al., ICLR 2022). A random head learns little in few steps.
        batch_norm: Statistics used in training: of the ``"batch"``, or those of pretraining (``"frozen"``).

    Raises:
        InputError: When a value is out of range.

    References:
        Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution", ICLR 2022: the head from a linear probe.
        Jamieson and Talwalkar, "Non-stochastic Best Arm Identification", AISTATS 2016: successive halving.
    """

    steps: int
    batch_size: int
    learning_rates: tuple[float, ...]
    weight_decays: tuple[float, ...]
    decay_over_rate: bool = False
    optimizer: str = "adamw"
    warmup: float = 0.1
    clip: float | None = None
    augmentation: Augmentation = "none"
    mixup: float = 0.0
    rungs: tuple[int, ...] = ()
    validation_fraction: float = 0.25
    mixed_precision: bool = False
    head: Head = "random"
    batch_norm: BatchNorm = "batch"

    def __post_init__(self) -> None:
        checks = {
            "steps": self.steps >= 1,
            "batch_size": self.batch_size >= 1,
            "learning_rates": bool(self.learning_rates) and min(self.learning_rates) > 0,
            "weight_decays": bool(self.weight_decays) and min(self.weight_decays) >= 0,
            "warmup": 0 <= self.warmup < 1,
            "clip": self.clip is None or self.clip > 0,
            "augmentation": self.augmentation in ("none", "crop_flip"),
            "mixup": self.mixup >= 0,
            "rungs": list(self.rungs) == sorted({r for r in self.rungs if 0 < r < self.steps}),
            "head": self.head in ("random", "linear_probe"),
            "batch_norm": self.batch_norm in ("batch", "frozen"),
            "validation_fraction": 0 < self.validation_fraction < 1,
        }
        for name, is_valid in checks.items():
            if not is_valid:
                raise InputError(f"protocol.{name}={getattr(self, name)} is out of range")
        check_optimizer(self.optimizer)

    def grid(self) -> tuple[Recipe, ...]:
        """Return one recipe for each pair of learning rate and weight decay; the learning rate varies slowest."""
        return tuple(
            Recipe(
                steps=self.steps,
                batch_size=self.batch_size,
                learning_rate=rate,
                weight_decay=decay / rate if self.decay_over_rate else decay,
                optimizer=self.optimizer,
                warmup=self.warmup,
                clip=self.clip,
                mixed_precision=self.mixed_precision,
            )
            for rate in self.learning_rates
            for decay in self.weight_decays
        )

    @property
    def stages(self) -> tuple[int, ...]:
        """Steps after which grid points are compared: the rungs, and the last step."""
        return (*self.rungs, self.steps)

    def selection_steps(self) -> int:
        """Return the total number of steps that selecting from the grid takes if no point diverges."""
        points, total = len(self.learning_rates) * len(self.weight_decays), 0
        if points == 1:
            return 0
        for start, end in pairwise((0, *self.stages)):
            total += points * (end - start)
            points = math.ceil(points / 2)
        return total

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """Return the cost of fine-tuning all parameters, see `CountsPasses`."""
        held_out = split_sizes["validation"] or math.ceil(self.validation_fraction * split_sizes["train"])
        points = len(self.learning_rates) * len(self.weight_decays)
        validation = points * held_out if points > 1 else 0
        return 3 * self.batch_size * (self.steps + self.selection_steps()) + validation + split_sizes["test"]
