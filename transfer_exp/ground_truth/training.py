"""The training loop that fine-tuning and the making of the embedded pool share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from transfer_exp.types import NotApplicableError
from transfer_exp.vision import timm

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How long and how hard to train.

    Attributes
    ----------
    steps, batch_size
        Optimiser steps, and images in each.
    learning_rate, weight_decay
        The peak of a cosine schedule after a linear warm-up, and decoupled decay (none on norms and biases).
    optimizer
        Any name timm knows.
    warmup
        Fraction of the steps spent warming up, in [0, 1).
    clip
        Largest gradient norm.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    optimizer: str = "adamw"
    warmup: float = 0.1
    clip: float = 1.0


def batches(count: int, size: int, seed: int) -> Iterator[Int[Tensor, " batch"]]:
    """Yield positions without end: a fresh permutation each epoch, a short last batch left out.

    A set smaller than ``size`` is one batch. The order depends on ``seed`` alone, whatever the device.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count - count % size].split(size)


def fit(
    network: nn.Module,
    batch_at: Callable[[Int[Tensor, " batch"]], Batch],
    count: int,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[], object] = lambda: None,
) -> None:
    """Train ``network`` in place.

    Parameters
    ----------
    network
        Maps a batch of images to logits (B, C); its train or eval mode is the caller's choice and is left alone.
    batch_at
        Gives images and targets at some positions, on the network's device. Targets are classes (B,), or zeros
        and ones (B, C) where an image may show several classes.
    count
        Number of training images.
    recipe, seed
        See `Recipe`; the seed orders the batches and drives dropout.
    on_step
        Called after every step.

    Raises
    ------
    NotApplicableError
        When the loss stops being finite.
    """
    torch.manual_seed(seed)
    optimizer = timm.optim.create_optimizer_v2(
        network, opt=recipe.optimizer, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    warmup = int(recipe.warmup * recipe.steps)
    schedule = timm.scheduler.CosineLRScheduler(
        optimizer, t_initial=recipe.steps, warmup_t=warmup, warmup_prefix=False, t_in_epochs=False
    )
    schedule.step_update(0)
    for step, positions in zip(range(1, recipe.steps + 1), batches(count, recipe.batch_size, seed), strict=False):
        images, targets = batch_at(positions)
        loss = loss_of(network(images), targets)
        if not torch.isfinite(loss):
            raise NotApplicableError(f"training diverged at step {step} of {recipe.steps} (loss {loss.item()})")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        schedule.step_update(step)
        on_step()


def loss_of(logits: Float[Tensor, "batch classes"], targets: Tensor) -> Float[Tensor, ""]:
    """Return cross-entropy for classes (B,), or binary cross-entropy for several classes at once (B, C)."""
    if targets.ndim == 1:
        return nn.functional.cross_entropy(logits, targets)
    return nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
