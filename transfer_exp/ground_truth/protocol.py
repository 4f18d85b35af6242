"""How a network is fine-tuned: everything that decides an accuracy besides the network, the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transfer_exp.errors import InputError
from transfer_exp.ground_truth.training import Recipe

Augmentation = Literal["none", "crop_flip"]
Head = Literal["random", "linear_probe"]
BatchNorm = Literal["batch", "frozen"]


@dataclass(frozen=True)
class Protocol:
    """A grid of learning rates and weight decays, chosen from on validation, and how long each is trained.

    Attributes
    ----------
    steps, batch_size
        Optimiser steps, and images in each.
    learning_rates, weight_decays
        The grid: peaks of a cosine schedule, and decays (none on norms and biases).
    decay_over_rate
        Divide each weight decay by the learning rate it goes with, as the paper's lineage does.
    optimizer
        Any name timm knows; ``sgd`` has Nesterov momentum 0.9.
    warmup
        Fraction of the steps with a linear warm-up, in [0, 1).
    clip
        Largest gradient norm, or None.
    augmentation
        ``"crop_flip"``: a random crop of 8 to 100 % of the area and a coin for a mirror image; or ``"none"``.
    mixup
        Alpha of mixup's Beta distribution (Zhang et al., ICLR 2018); 0 mixes nothing.
    rungs
        Successive halving: steps after which only the better half of the grid goes on. Empty trains all to the end.
    validation_fraction
        Part of the training split to choose by, where the dataset publishes no validation split.
    mixed_precision
        Train in bfloat16 where the device is CUDA.
    head
        What the new head begins with: ``"random"`` weights, or those of a ``"linear_probe"`` on the features before
        fine-tuning (Kumar et al., ICLR 2022), without which a few steps hardly teach it anything.
    batch_norm
        ``"batch"``: normalise by the batch in training; ``"frozen"``: by the statistics of pretraining throughout.

    Raises
    ------
    InputError
        When a value is out of range.

    References
    ----------
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
        for name, holds in checks.items():
            if not holds:
                raise InputError(f"protocol.{name}={getattr(self, name)} is out of range")

    def grid(self) -> tuple[Recipe, ...]:
        """Return one recipe per learning rate and weight decay, rates first."""
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
