"""What is known of a model before any image is shown to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFacts:
    """Facts by which a baseline ranks.

    Attributes
    ----------
    name
        In its pool.
    parameters
        How many numbers the network holds, its source head included; None where there is no network, only features.
    imagenet_accuracy
        Published top-1 accuracy of these weights on ImageNet-1k, in [0, 1]; None where its pool publishes none.
    """

    name: str
    parameters: int | None = None
    imagenet_accuracy: float | None = None
