"""The training loop that fine-tuning and the making of the built-in pool share; it can stop and go on at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.checkpoint import Checkpoint, State
from transfer_exp.ground_truth.random_state import current_random_state, random_state, seeded_random_state
from transfer_exp.vision import timm

Batch = tuple[Tensor, Tensor]
BatchAt = Callable[[Int[Tensor, " batch"]], Batch]


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
        Largest gradient norm, or None.
    mixed_precision
        bfloat16 where the network is on CUDA.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    optimizer: str = "adamw"
    warmup: float = 0.1
    clip: float | None = 1.0
    mixed_precision: bool = False


def batches(count: int, size: int, seed: int) -> Iterator[Int[Tensor, " batch"]]:
    """Yield positions without end: a fresh permutation each epoch, a short last batch left out.

    A set smaller than ``size`` is one batch. The order depends on ``seed`` alone, whatever the device.
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count - count % size].split(size)


class Training:
    """One run of a recipe: a network, its optimiser and schedule, and its own random state.

    Runs in one process may take turns: each draws from its own state, so the turns do not show in the result.

    Parameters
    ----------
    network
        Maps a batch of images to logits (B, C); trained in place. Its train or eval mode is the caller's choice.
    batch_at
        Gives images and targets at some positions, on the network's device; see `loss_of` for the targets. It may
        draw from torch's and NumPy's global generators, whose state is this run's own while it is called.
    count
        Number of training images.
    recipe, seed
        See `Recipe`; the seed orders the batches and drives dropout, augmentation and mixup.
    """

    def __init__(self, network: nn.Module, batch_at: BatchAt, count: int, recipe: Recipe, seed: int) -> None:
        self.network, self.recipe, self.step = network, recipe, 0
        self._batch_at, self._order = batch_at, (count, recipe.batch_size, seed)
        self._optimizer = timm.optim.create_optimizer_v2(
            network, opt=recipe.optimizer, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._schedule = timm.scheduler.CosineLRScheduler(
            self._optimizer,
            t_initial=recipe.steps,
            warmup_t=int(recipe.warmup * recipe.steps),
            warmup_prefix=False,
            t_in_epochs=False,
        )
        self._schedule.step_update(0)
        self._random = seeded_random_state(seed)

    def run(
        self, until: int, on_step: Callable[[], object] = lambda: None, checkpoint: Checkpoint | None = None
    ) -> None:
        """Train up to step ``until``, from wherever this run is.

        Parameters
        ----------
        until
            At most the recipe's steps.
        on_step
            Called after every step.
        checkpoint
            Written now and then.

        Raises
        ------
        NotApplicableError
            When the loss stops being finite.
        """
        with random_state(self._random):
            for positions in islice(batches(*self._order), self.step, until):
                self._one(*self._batch_at(positions))
                on_step()
                if checkpoint is not None and checkpoint.due:
                    self._random = current_random_state()
                    checkpoint.write(self.state())
            self._random = current_random_state()

    def _one(self, images: Tensor, targets: Tensor) -> None:
        recipe = self.recipe
        bfloat16 = recipe.mixed_precision and images.is_cuda
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
            loss = loss_of(self.network(images).float(), targets)
        if not torch.isfinite(loss):
            raise NotApplicableError(
                f"training diverged at step {self.step + 1} of {recipe.steps} (loss {loss.item()})"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self._optimizer.step()
        self.step += 1
        self._schedule.step_update(self.step)

    def state(self) -> State:
        """Return all that `restore` needs, on the CPU or wherever the network is."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": self._random,
        }

    def restore(self, state: State) -> None:
        """Go back, or on, to a state of the same run."""
        self.step, self._random = state["step"], state["random"]
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.step_update(self.step)


def fit(network: nn.Module, batch_at: BatchAt, count: int, recipe: Recipe, seed: int) -> None:
    """Train ``network`` in place from the first step to the last; see `Training`.

    Raises
    ------
    NotApplicableError
        When the loss stops being finite.
    """
    Training(network, batch_at, count, recipe, seed).run(recipe.steps)


def loss_of(logits: Float[Tensor, "batch classes"], targets: Tensor) -> Float[Tensor, ""]:
    """Return cross-entropy for classes (B,) or shares of classes (B, C); binary cross-entropy for 0s and 1s (B, C).

    Shares are real numbers, as mixup makes them; whole numbers say which classes, maybe several, an image shows.
    """
    if targets.ndim == 1 or targets.is_floating_point():
        return nn.functional.cross_entropy(logits, targets)
    return nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
