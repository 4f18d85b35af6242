"""Interfaces of the regimes: ways to get a model's true accuracy on a target dataset.

A regime trains the model, a part of it or a probe of its features, or looks its accuracy up in a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from transfer_exp.dataset.split_names import Split
from transfer_exp.errors import InputError
from transfer_exp.progress import Track

if TYPE_CHECKING:
    from transfer_exp.features.model_on_target import Pairing  # imports torch


@dataclass(frozen=True)
class Accuracy:
    """Result of a regime for one model.

    Attributes:
        value: Value of the measure on the test split; in [0, 1] for most measures.
        measure: Name of the measure, one of `transfer_exp.io.measures.NAMES`.
        chosen: Hyperparameters selected on the validation split.
        source: Publication or project that reports the accuracy.
        steps: Optimiser steps of the final training; None if there were none.
        trainable_parameters: Number of parameters that were trained, with the head; None if unknown.
        seconds: Duration of the training; None if unknown.
    """

    value: float
    measure: str
    chosen: Mapping[str, float] = field(default_factory=dict)
    source: str = "this project"
    steps: int | None = None
    trainable_parameters: int | None = None
    seconds: float | None = field(default=None, compare=False)


@runtime_checkable
class Regime(Protocol):
    """Function from a pairing (one model on one target dataset) to the accuracy of the model.

    Attributes:
        trains: True if the regime trains the model or a probe. The result then depends only on the pairing and on the
            fields of the regime, and the store caches it. False if the regime looks the accuracy up.
    """

    trains: bool

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy, or None if it is not known for this model; ``track`` starts a progress bar.

        Raises:
            NotApplicableError: When this regime cannot adapt this model to this dataset.
        """


@runtime_checkable
class CountsPasses(Protocol):
    """Regime that can predict its cost."""

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """Predict the cost of adapting a model, in forward passes of a single image; a backward pass counts as two.

        Args:
            split_sizes: Number of images in ``train``, ``validation`` and ``test``.
        """


@runtime_checkable
class PredictsSeconds(Protocol):
    """Regime that can predict how long it takes on this machine."""

    def predict_seconds(self, pairing: Pairing) -> float:
        """Predict the seconds of a call from work on a few images, such as the steps of one batch.

        The time of `Validates.validate` is included if a call does not compute the accuracy on validation images.

        Raises:
            InputError, NotApplicableError: Under the conditions of the regime itself.
        """


@runtime_checkable
class Validates(Protocol):
    """Regime whose accuracies may lack the entry ``validation`` of `Accuracy.chosen`, and that can compute it."""

    def validate(self, pairing: Pairing, track: Track) -> float:
        """Return the measure on the validation images after training on the others.

        Raises:
            InputError, NotApplicableError: Under the conditions of the regime itself.
        """


@runtime_checkable
class HasGrid(Protocol):
    """Regime that selects from a grid whose points can be trained separately, for example by several jobs."""

    @property
    def n_points(self) -> int:
        """Number of grid points."""

    def train_point(self, pairing: Pairing, point: int, track: Track) -> bool:
        """Train the grid point with this index (from 0) until the points are first compared on validation images.

        Its checkpoint is written to the folder ``pairing.unfinished``.

        Returns:
            True if the point was trained already.

        Raises:
            InputError, NotApplicableError: Under the conditions of the regime itself.
        """


@runtime_checkable
class KnowsOtherDatasets(Protocol):
    """Regime with accuracies on further datasets, for metrics that learn from them."""

    def other_accuracies(self, model: str, dataset: str) -> Mapping[str, float]:
        """Return the accuracies of a model on every dataset except ``dataset``, by dataset name.

        Values of errors are negated, so that larger is better.
        """


def require_grid(regime: Regime) -> HasGrid:
    """Return the regime if it has a grid to choose from.

    Raises:
        InputError: When it has no grid, or a grid of one point.
    """
    if not isinstance(regime, HasGrid) or regime.n_points < 2:
        raise InputError("stage=grid needs a ground_truth with a grid to choose from, such as full or last_block")
    return regime


@dataclass(frozen=True)
class NoGroundTruth:
    """Regime without accuracies."""

    trains: ClassVar[bool] = False

    def __call__(self, pairing: Pairing, track: Track) -> None:
        """Return None."""
