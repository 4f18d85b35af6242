"""Fine-tuning of the last blocks: weights and batch-norm statistics before them stay as pretrained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.fine_tune import FineTuning
from transfer_exp.ground_truth.last_block import find_blocks, train_from
from transfer_exp.ground_truth.network import Images, TrainedPart, running_modules, used_parameters
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.loaded_model import LoadedModel


@dataclass(frozen=True)
class PartialFineTuning(FineTuning):
    """Test accuracy after training the last blocks, all modules that run after their start, and a new head.

    Without augmentation, the network before these blocks runs once per image, and its activations are reused.

    Attributes:
        protocol, seed, device: Attributes of `FineTuning`.
        fraction: Fraction of the blocks that is trained, in (0, 1]; rounded up to whole blocks.
        definitions: YAML file with the blocks of further families, see `find_last_block`; None to use the shipped file
            only.

    Raises:
        InputError: When the fraction is out of range.
    """

    option: ClassVar[str] = "partial"

    protocol: Protocol
    fraction: float = 0.25
    seed: int = 0
    device: str = "cpu"
    definitions: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()

    def select_part(self, model: LoadedModel, backbone: Backbone, image: Images) -> TrainedPart:
        """Return the network from the first trained block on; errors as `last_blocks`."""
        modules = last_blocks(model, image, self.fraction, self.definitions)
        return train_from(modules, backbone, image, self.protocol)


def last_blocks(model: LoadedModel, image: Images, fraction: float, definitions: str | None = None) -> tuple[str, ...]:
    """Return the names of the last blocks of ``model.backbone`` and of all modules that start after them, in order.

    Args:
        model: Model whose identity names library and architecture.
        image: An image (1, 3, H, W).
        fraction: Fraction of the blocks, rounded up to whole blocks.
        definitions: YAML file with the blocks of further families, see `find_last_block`.

    Raises:
        InputError, NotApplicableError: Under the conditions of `find_blocks`.
    """
    blocks, running = find_blocks(model, definitions), running_modules(model.backbone, image)
    n_trained = math.ceil(round(fraction * len(blocks), 6))  # 0.7 * 10 is a little more than 7
    first = blocks[-n_trained]
    if first not in running:
        raise NotApplicableError(f"the network never runs its block {first}")
    unused = set(dict(model.backbone.named_parameters())) - set(used_parameters(model.backbone, image))
    names: list[str] = []
    for name in running[running.index(first) :]:
        has_unused = any(parameter.startswith(f"{name}.") for parameter in unused)  # a classifier that is cut off
        if not has_unused and not any(name.startswith(f"{parent}.") for parent in names):
            names.append(name)
    return tuple(names)
