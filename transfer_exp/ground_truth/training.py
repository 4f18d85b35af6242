"""Resumable training loop, shared by fine-tuning and by the pretraining of the built-in pool."""

from __future__ import annotations

import logging
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from transfer_exp.errors import InputError, NotApplicableError, first_line, suggestion
from transfer_exp.ground_truth.protocol import Recipe
from transfer_exp.store import Backend
from transfer_exp.vision import import_from_timm

_log = logging.getLogger(__name__)
Batch = tuple[Tensor, Tensor]
BatchAt = Callable[[Int[Tensor, " batch"]], Batch]
"""Returns inputs (B, ...) and targets by their positions (B,) in the training set, on the network's device."""
USUAL_OPTIMIZERS = ("sgd", "adam", "adamw")
"""Optimisers of every timm. Names of others are looked up in timm, whose optimisers take seconds to import."""
State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dictionaries of these."""


class Training:
    """One training run: a network, its optimiser and schedule, and its random state.

    Several runs may alternate in one process, in any order: each has its random state.

    Args:
        network: Maps a batch to logits (B, C); trained in place, in its current train or eval mode.
        batch_at: Returns inputs and targets, see `classification_loss`. It may draw from the global generators of
            torch and NumPy, which are in the state of this run during the call, but not from Python's ``random``.
        n_images: Number of training images.
        recipe: Optimisation settings.
        seed: Seed of the order of the images, and of dropout, augmentation and mixup.

    Attributes:
        step: Number of steps that are done.
        batch: Loss of the latest batch and, where each image has one label, the fraction of right answers.
    """

    def __init__(self, network: nn.Module, batch_at: BatchAt, n_images: int, recipe: Recipe, seed: int) -> None:
        self.network, self.recipe, self.step = network, recipe, 0
        self.batch: dict[str, float] = {}
        self._batch_at, self._batch_arguments = batch_at, (n_images, recipe.batch_size, seed)
        self._optimizer = import_from_timm("optim").create_optimizer_v2(
            network, opt=recipe.optimizer, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._schedule = import_from_timm("scheduler").CosineLRScheduler(
            self._optimizer,
            t_initial=recipe.steps,
            warmup_t=int(recipe.warmup * recipe.steps),
            warmup_prefix=False,
            t_in_epochs=False,
        )
        self._schedule.step_update(0)
        self._random = seeded_random_state(seed)

    def run(
        self,
        until: int,
        on_step: Callable[[], object] = lambda: None,
        checkpoint: Checkpoint | None = None,
        entries: State | None = None,
    ) -> None:
        """Train up to step ``until``, and call ``on_step`` after every step.

        The checkpoint is written when its interval has passed, with the state and further ``entries``. The caller
        writes the state after the last step.

        Raises:
            NotApplicableError: When the loss is not finite.
        """
        with use_random_state(self._random):
            for positions in islice(shuffled_batches(*self._batch_arguments), self.step, until):
                self._train_step(*self._batch_at(positions))
                on_step()
                if checkpoint is not None and checkpoint.is_due:
                    self._random = get_random_state()
                    checkpoint.write({**self.state(), **(entries or {})})
            self._random = get_random_state()

    def _train_step(self, inputs: Tensor, targets: Tensor) -> None:
        recipe = self.recipe
        use_bfloat16 = recipe.mixed_precision and inputs.is_cuda
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=use_bfloat16):
            logits = self.network(inputs).float()
            loss = classification_loss(logits, targets, recipe.number_loss)
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
        self.batch = {"loss": loss.item()}
        if targets.ndim == 1:
            self.batch["accuracy"] = (logits.argmax(1) == targets).float().mean().item()

    def state(self) -> State:
        """Return the state that `restore` needs; its tensors are those in use, so it is valid until the next step."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": self._random,
        }

    def restore(self, state: State) -> None:
        """Continue from a state of the same run."""
        self.step, self._random = state["step"], state["random"]
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.step_update(self.step)


def shuffled_batches(n_images: int, batch_size: int, seed: int) -> Iterator[Int[Tensor, " batch"]]:
    """Yield batches of positions without end: a new permutation in each epoch, without its short last batch.

    Fewer images than ``batch_size`` form one batch. The order depends on ``seed`` only, not on the device.
    """
    generator = torch.Generator().manual_seed(seed)
    batch_size = min(batch_size, n_images)
    while True:
        order = torch.randperm(n_images, generator=generator)
        yield from order[: n_images - n_images % batch_size].split(batch_size)


def classification_loss(
    logits: Float[Tensor, "batch classes"], targets: Tensor, number_loss: str = "squared_error"
) -> Float[Tensor, ""]:
    """Return the mean loss of a batch, by the kind of targets.

    Labels (B,) of integers, and mixup's class weights (B, C) of floats: cross-entropy. Multi-label zeros and ones
    (B, C) of integers: binary cross-entropy. Numbers (B, 1): squared error, or Huber's loss: e^2 / 2 for an error e of
    at most 1, and |e| - 1/2 for a larger one.
    """
    if targets.ndim == 2 and targets.is_floating_point() and targets.shape[1] == 1:
        function = nn.functional.huber_loss if number_loss == "huber" else nn.functional.mse_loss
        return function(logits, targets.to(logits.dtype))
    if targets.ndim == 1 or targets.is_floating_point():
        return nn.functional.cross_entropy(logits, targets)
    return nn.functional.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


@dataclass(eq=False)
class Checkpoint:
    """The latest state of one training run, in a file or in memory.

    Attributes:
        folder: Folder of the file; None keeps the state in memory.
        name: Name of the file.
        interval: Seconds between two writes during training.
    """

    folder: Backend | None
    name: str
    interval: float = 30.0
    _state: State | None = field(default=None, repr=False)
    _written_at: float = field(default_factory=time.monotonic, repr=False)

    def read(self) -> State:
        """Return the latest state, or an empty one if there is none or it is damaged."""
        if self.folder is None:
            return self._state or {}
        try:
            with self.folder.local_file(self.name) as path:
                _check_archive(path)
                state: State = torch.load(path, map_location="cpu", weights_only=True)
                return state
        except InputError:
            raise  # the folder cannot be reached
        except FileNotFoundError:
            return {}
        except Exception as error:  # damaged files raise errors of many types
            _log.warning("%s is damaged (%s): the training starts from its beginning", self.name, first_line(error))
            return {}

    def write(self, state: State) -> None:
        """Replace the state atomically: a killed process leaves the old or the new state."""
        if self.folder is None:
            self._state = state
        else:
            self.folder.write(self.name, lambda path: torch.save(state, path))
        self._written_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """True if a running training should write now."""
        return self.folder is not None and time.monotonic() - self._written_at >= self.interval


def _check_archive(path: Path) -> None:
    """Check the digests of a torch file's members, which `torch.load` ignores; ValueError if one has changed."""
    with zipfile.ZipFile(path) as archive:
        changed = archive.testzip()
    if changed is not None:
        raise ValueError(f"{changed} does not match its digest")


def check_optimizer(name: str) -> None:
    """Raise `InputError` unless timm has an optimiser of this name."""
    if name in USUAL_OPTIMIZERS:
        return
    try:
        import_from_timm("optim").create_optimizer_v2(torch.nn.Linear(1, 1), opt=name, lr=0.1)
    except Exception as error:  # timm raises different types for wrong names
        advice = suggestion(name, import_from_timm("optim").list_optimizers())
        raise InputError(f"protocol.optimizer={name} is not an optimiser of timm: {advice}") from error


def get_random_state() -> State:
    """Return the states of the global generators of torch (CPU and CUDA) and NumPy as tensors and numbers."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 (timm's mixup draws from this one)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "gauss": float(gauss),
        },
    }


def seeded_random_state(seed: int) -> State:
    """Return the state of newly seeded generators; the global ones stay as they are."""
    with use_random_state(get_random_state()):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        return get_random_state()


@contextmanager
def use_random_state(state: State) -> Iterator[None]:
    """Put the global generators into a state, and restore their previous state on exit."""
    previous = get_random_state()
    _set_random_state(state)
    try:
        yield
    finally:
        _set_random_state(previous)


def _set_random_state(state: State) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    numpy = state["numpy"]
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, numpy["position"], numpy["has_gauss"], numpy["gauss"]))  # noqa: NPY002
