"""Fine-tuning protocol: all settings that decide an accuracy, except the network, the data and the seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Literal, get_args

from transfer_exp.dataset.split_names import Split
from transfer_exp.errors import InputError, check_options, check_types, show_value

Augmentation = Literal["none", "crop_flip"]
Head = Literal["random", "linear_probe"]
BatchNorm = Literal["batch", "frozen"]
NumberLoss = Literal["squared_error", "huber"]


_REGIME_OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "learning_rate_factor": (lambda value: 0 < value < math.inf, "a positive number"),
    "rank": (lambda value: value >= 1, "at least 1"),
    "alpha": (lambda value: 0 < value < math.inf, "a positive number"),
    "dropout": (lambda value: 0 <= value < 1, "from 0 to below 1"),
    "fraction": (lambda value: 0 < value <= 1, "a share above 0, up to 1"),
    "target_modules": (
        lambda value: value is None or (isinstance(value, list | tuple) and bool(value) and all(value)),
        "a list of names, or null",
    ),
}
"""By option of a regime that fine-tunes, whether its value is allowed, and in words which are."""


def check_regime_options(options: Mapping[str, Any]) -> None:
    """Raise `InputError` for an option of a fine-tuning regime that is out of range; this imports no torch."""
    for name, (is_allowed, allowed) in _REGIME_OPTIONS.items():
        if name in options and not is_allowed(options[name]):
            raise InputError(f"ground_truth.{name}={show_value(options[name])}: need {allowed}")


@dataclass(frozen=True)
class Recipe:
    """Optimisation settings of one training run, with the meaning that they have in `Protocol`.

    ``warmup`` is a fraction of the steps, ``clip`` the maximum gradient norm or None. ``mixed_precision`` has no effect
    except on CUDA, and ``number_loss`` none except on numbers.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    optimizer: str = "adamw"
    warmup: float = 0.1
    clip: float | None = 1.0
    mixed_precision: bool = False
    number_loss: NumberLoss = "squared_error"


@dataclass(frozen=True)
class Protocol:
    """A grid of learning rates and weight decays, and how each point is trained.

    Attributes:
        steps, batch_size: Number of optimiser steps, and number of images in each.
        learning_rates, weight_decays: The grid: peaks of a cosine schedule, and decays (none on norms and biases).
        decay_over_rate: Divide each weight decay by its learning rate, as SFDA's code does (ECCV 2022).
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
        number_loss: Loss of a dataset of numbers, which have variance 1 in training: ``"squared_error"``, or
            ``"huber"``, which is linear beyond an error of 1 and so weighs outliers less.

    Raises:
        InputError: When a value is out of range.

    References:
        Kumar, Raghunathan, Jones, Ma and Liang, "Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution", ICLR 2022: the head from a linear probe.
        Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 1964.
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
    number_loss: NumberLoss = "squared_error"

    def __repr__(self) -> str:
        """Return the fields, which are part of cache keys; the loss only if it is not that of earlier versions."""
        names = [item.name for item in fields(self) if item.name != "number_loss" or self.number_loss == "huber"]
        return f"Protocol({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __post_init__(self) -> None:
        check_types("protocol", self)
        rates, decays, rungs = self.learning_rates, self.weight_decays, self.rungs
        checks = {
            "steps": (self.steps >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rates": (bool(rates) and min(rates) > 0, "a list of positive numbers"),
            "weight_decays": (bool(decays) and min(decays) >= 0, "a list of numbers from 0 on"),
            "warmup": (0 <= self.warmup < 1, "from 0 to below 1"),
            "clip": (self.clip is None or self.clip > 0, "a positive number, or null"),
            "augmentation": (self.augmentation in get_args(Augmentation), "none or crop_flip"),
            "mixup": (self.mixup >= 0, "from 0 on"),
            "rungs": (list(rungs) == sorted({r for r in rungs if 0 < r < self.steps}), "rising steps below the last"),
            "head": (self.head in get_args(Head), "random or linear_probe"),
            "number_loss": (self.number_loss in get_args(NumberLoss), "squared_error or huber"),
            "batch_norm": (self.batch_norm in get_args(BatchNorm), "batch or frozen"),
            "validation_fraction": (0 < self.validation_fraction < 1, "above 0 and below 1"),
        }
        check_options("protocol", self, checks)

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
                number_loss=self.number_loss,
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
        """Return the forward passes of images that fine-tuning takes; a step counts three, forward and backward."""
        held_out = split_sizes["validation"] or math.ceil(self.validation_fraction * split_sizes["train"])
        points = len(self.learning_rates) * len(self.weight_decays)
        validation = points * held_out if points > 1 else 0
        return 3 * self.batch_size * (self.steps + self.selection_steps()) + validation + split_sizes["test"]
