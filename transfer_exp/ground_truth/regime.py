"""What every regime is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.progress import Track
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Backend

Split = Literal["scoring_set", "train", "validation", "test"]


@dataclass(frozen=True)
class Accuracy:
    """What a model reached on the test split.

    Attributes
    ----------
    value
        In [0, 1].
    measure
        ``accuracy``, ``mean_per_class_accuracy`` or ``map_11point``.
    chosen
        Hyperparameters selected on the validation split.
    source
        Who measured it.
    steps
        Optimiser steps of the final training; None where there are none.
    """

    value: float
    measure: str
    chosen: Mapping[str, float] = field(default_factory=dict)
    source: str = "this project"
    steps: int | None = None


@runtime_checkable
class Pairing(Protocol):
    """One model on one target, as a regime sees it."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def dataset(self) -> Any:
        """The target: a `TargetDataset`, or `FeatureArrays` where only features are at hand."""
        ...

    @property
    def model(self) -> LoadedModel | None:
        """The network, or None where only features are at hand."""
        ...

    @property
    def unfinished(self) -> Backend | None:
        """A place for training in progress, private to this model, target and regime; None to keep nothing."""
        ...

    def images(self, split: Split) -> LabelledImages | None:
        """Return a split, or None."""
        ...

    def features(self, split: Split) -> FeatureSet | None:
        """Return the features of a split, or None where there is no such split."""
        ...


@runtime_checkable
class Regime(Protocol):
    """Obtains the accuracy of one model on one target.

    ``trains`` says that it takes long and depends on nothing but its own fields and the pairing, so that its result
    is worth keeping.
    """

    trains: bool

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy | None:
        """Return the accuracy, or None where there is no ground truth.

        Raises
        ------
        NotApplicableError
            When this model cannot be adapted to this target in this way.
        """
        ...


@runtime_checkable
class CountsPasses(Protocol):
    """A regime that knows what it will take."""

    def passes(self, images: Mapping[Split, int]) -> int:
        """Return how often an image goes forward through the network, for splits of so many images.

        The way back counts as two.
        """
        ...


@runtime_checkable
class HasGrid(Protocol):
    """A regime that chooses from a grid, whose points can be trained apart from each other."""

    @property
    def points(self) -> int:
        """How many there are."""
        ...

    def reach(self, pairing: Pairing, point: int, track: Track) -> bool:
        """Train a point as far as all of them go, and leave it in ``pairing.unfinished`` for the regime to go on from.

        Returns
        -------
        bool
            True when it was there already.

        Raises
        ------
        InputError, NotApplicableError
            As the regime.
        """
        ...


def with_grid(regime: Regime) -> HasGrid:
    """Return a regime that has a grid.

    Raises
    ------
    InputError
        When it has none, or one with nothing to choose from.
    """
    if not isinstance(regime, HasGrid) or regime.points < 2:
        raise InputError("stage=grid needs a ground_truth with a grid to choose from: full or last_block")
    return regime


@runtime_checkable
class KnowsOtherTargets(Protocol):
    """A regime that has accuracies on more targets than the one at hand."""

    def elsewhere(self, model: str, dataset: str) -> Mapping[str, float]:
        """Return the accuracies of ``model`` on every target but ``dataset``, by the target's name."""
        ...
