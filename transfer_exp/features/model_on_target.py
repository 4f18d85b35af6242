"""Pairings: one model on one target dataset, with the features of its parts.

The parts are the splits train, validation and test, and the scoring set: the subset of train used for scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias, TypeVar

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.procedural.source_tasks import source_images
from transfer_exp.dataset.split_names import Part
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, ModelFailureError, NotApplicableError, explain_model_failure
from transfer_exp.features.extraction import Extractor, FeatureReader
from transfer_exp.io.code import outside_code
from transfer_exp.metric.metric import ModelFacts, ModelWeights
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.model_pool.pool import Candidate
from transfer_exp.progress import track
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Backend

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class CacheReference:
    """Address of cached features, and the key that decides their values.

    Attributes:
        model, dataset, split: Names of the model, the dataset and its part.
        key: Key of the store as plain data: weights, transform, images, and the precision of the computation.
        address: URL of the file.
    """

    model: str
    dataset: str
    split: str
    key: Mapping[str, Any]
    address: str


@dataclass(eq=False)
class NetworkOnImages:
    """Network paired with a dataset of images; features are read from the store, or else extracted.

    Attributes:
        candidate, dataset: The model and the target dataset.
        extractor: Extracts the features, or reads them from the store.
        cache_hits: Whether the store had each requested value, by its description: ``accuracy``, ``features of
            scoring_set``, ...
        used_features: Parts of the dataset whose features the results depend on, each with the layer.
        unfinished: Folder for the checkpoints of unfinished training; None to keep none.
    """

    candidate: Candidate
    dataset: TargetDataset
    extractor: Extractor
    cache_hits: dict[str, bool] = field(default_factory=dict)
    used_features: set[tuple[Part, str]] = field(default_factory=set)
    unfinished: Backend | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.candidate.name

    @cached_property
    def model(self) -> LoadedModel:
        """The network, loaded on first use; ModelFailureError if it cannot be loaded."""
        advance = track(f"loading {self.name}", 1)
        try:
            with explain_model_failure("it cannot be loaded", "the number of models loaded at a time"):
                model = self.candidate.load()
        except (InputError, OSError) as error:
            raise ModelFailureError(str(error)) from error
        advance()
        # The code of a user-defined pool affects the features, too.
        return replace(model, identity={**model.identity, **outside_code(self.candidate.load)})

    @property
    def layer(self) -> str:
        """Layer of the features; `ValueError` if there are several, which `one_per_layer` separates."""
        (layer,) = self.extractor.layers(self.model)
        return layer

    def one_per_layer(self) -> list[NetworkOnImages]:
        """Return one pairing for each of the chosen layers, whose features one pass through the network extracts."""
        names = self.extractor.layers(self.model)
        return [self] if len(names) == 1 else [self.at_layer(name, names) for name in names]

    def at_layer(self, layer: str, same_pass: tuple[str, ...] = ()) -> NetworkOnImages:
        """Return this pairing with the features of one layer; the network and the records of use are shared.

        ``same_pass`` are layers that are extracted together with it, see `Extractor.at_layer`.
        """
        _ = self.model  # loaded now, so that the copy has it
        pairing = copy(self)
        pairing.extractor = self.extractor.at_layer(layer, same_pass)
        return pairing

    def images(self, part: Part) -> LabelledImages | None:
        """Return the images of a part, or None if the dataset lacks it."""
        images: LabelledImages | None = getattr(self.dataset, part)
        return images

    def features(self, part: Part) -> FeatureSet | None:
        """Return features, labels and source probabilities of a part, or None if the dataset lacks it.

        The source probabilities are those of the classes that the network was pretrained on, if it has a classifier.

        Raises:
            ModelFailureError, InputError: Under the conditions of `model` and `Extractor`.
            ValueError: When there are several layers, see `one_per_layer`.
        """
        return self._extract(part, self.extractor)

    def class_statistics(self, part: Part) -> ClassStatistics | None:
        """Return the class statistics of a part's features, or None if the dataset lacks it; errors as `features`."""
        return self._extract(part, self.extractor.statistics)

    def _extract(
        self, part: Part, extract: Callable[[str, LoadedModel, LabelledImages], tuple[_Value, bool]]
    ) -> _Value | None:
        images = self.images(part)
        if images is None:
            return None
        value, is_cached = extract(self.name, self.model, images)
        # The answer for the first layer stays: further layers are in the store because the same pass computed them.
        self.cache_hits.setdefault(f"features of {part}", is_cached)
        self.used_features.add((part, self.layer))
        return value

    def reader(self, part: Part) -> FeatureReader:
        """Return a function that reads the features of a part later, without the network.

        It returns None if the dataset lacks the part, its features were not used, or there are several layers.
        """
        images, is_used = self.images(part), any(used == part for used, _ in self.used_features)
        if images is None or not is_used or len(self.extractor.layers(self.model)) > 1:
            return _no_features
        return self.extractor.reader(self.model, images)

    def cache_references(self) -> Iterator[CacheReference]:
        """Yield references to the cached features that were used."""
        for part, layer in sorted(self.used_features):
            images = self.images(part)
            if images is not None:
                key = self.extractor.at_layer(layer).cache_key(self.model, images)
                address = self.extractor.store.file_url("features", key)
                yield CacheReference(self.name, self.dataset.name, part, key, address)

    def facts(self) -> ModelFacts:
        """Return facts about the network that do not depend on the dataset."""
        return ModelFacts(self.name, self.model.parameters, self.model.imagenet_accuracy)

    def weights(self) -> ModelWeights:
        """Return the weights of the network."""
        return self.model.weights

    def source_set(self) -> FeatureSet | None:
        """Return features of images of the model's source dataset; None if the package cannot generate them."""
        images = source_images(self.model.source_dataset)
        if images is None:
            return None
        features, self.cache_hits["features of source_set"] = self.extractor(self.name, self.model, images)
        return features

    def identity(self) -> Mapping[str, Any]:
        """Return the cache-key data of the model and the dataset, which the accuracies of all regimes share."""
        model = {"model": dict(self.model.identity), "transform": repr(self.model.transform)}
        return {**model, **self.dataset.identity}


@dataclass(eq=False)
class ModelArrays:
    """Model without a network, represented by the user's arrays of features, whose layer is unknown.

    The attributes and methods are those of `NetworkOnImages`, as far as arrays have them.
    """

    name: str
    dataset: FeatureArrays
    model: None = None
    layer: str = ""
    cache_hits: dict[str, bool] = field(default_factory=dict)
    unfinished: None = None

    def one_per_layer(self) -> list[ModelArrays]:
        """Return the model itself: arrays have no layers."""
        return [self]

    def at_layer(self, layer: str) -> ModelArrays:
        """Return the model itself: arrays have no layers."""
        return self

    def images(self, part: Part) -> None:
        """Return None: arrays come without images."""

    def features(self, part: Part) -> FeatureSet | None:
        """Return features, labels and source probabilities of a part; None for validation.

        Raises:
            ModelFailureError: When the arrays of the model cannot be read.
        """
        try:
            return None if part == "validation" else self.dataset.feature_set(self.name, part)
        except InputError as error:
            raise ModelFailureError(str(error)) from error

    def class_statistics(self, part: Part) -> ClassStatistics | None:
        """Return the class statistics of a part's features; None for validation."""
        features = self.features(part)
        return None if features is None else class_statistics(features.features, features.labels)

    def reader(self, part: Part) -> FeatureReader:
        """Return a function that reads the features of a part later."""
        return lambda max_values: self.features(part)

    def cache_references(self) -> Iterator[CacheReference]:
        """Yield nothing: the arrays are the user's files, not the store's."""
        yield from ()

    def facts(self) -> ModelFacts:
        """Return the name, the only fact without a network."""
        return ModelFacts(self.name)

    def weights(self) -> ModelWeights:
        """Raise `NotApplicableError`, because arrays have no network."""
        raise NotApplicableError("the model has features but no network, hence no weights")

    def source_set(self) -> FeatureSet | None:
        """Return the features of the model's source images; None if the file has none."""
        return self.dataset.source_set(self.name)


Pairing: TypeAlias = NetworkOnImages | ModelArrays


class SampleSubset(NamedTuple):
    """A pairing, and its features of a subset of the samples, which serve as scoring set.

    Attributes:
        pairing: The model on the complete dataset.
        scoring_set: Features, labels and source probabilities of the subset.
    """

    pairing: Pairing
    scoring_set: FeatureSet

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.pairing.name

    @property
    def layer(self) -> str:
        """Layer of the features."""
        return self.pairing.layer


def _no_features(max_values: int) -> None:
    """Return None: the `FeatureReader` of a part that was not used."""


def pair(candidate: Candidate, dataset: TargetDataset | FeatureArrays, extractor: Extractor) -> Pairing:
    """Return the pairing of a candidate and a dataset."""
    if isinstance(dataset, FeatureArrays):
        return ModelArrays(candidate.name, dataset)
    return NetworkOnImages(candidate, dataset, extractor)
