"""One model on one target: where scores and ground truth get their features, whatever these come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, explain_out_of_memory
from transfer_exp.features.cache_reference import CacheReference
from transfer_exp.features.extraction import Extractor, FeatureReader
from transfer_exp.metric.model_facts import ModelFacts
from transfer_exp.model_pool.pool import Candidate, LoadedModel, ModelPool
from transfer_exp.statistics.class_statistics import ClassStatistics, class_statistics
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.store import Backend

Split: TypeAlias = Literal["scoring_set", "train", "validation", "test"]


@dataclass(eq=False)
class NetworkOnImages:
    """A network and a dataset of images; features are extracted, or read from the store.

    Attributes
    ----------
    found
        What was asked of the store so far (``accuracy``, ``features of scoring set``, ...), and whether it was there.
    used
        The splits whose features what came out rests on.
    unfinished
        A place for training in progress; None to keep nothing.
    """

    candidate: Candidate
    dataset: TargetDataset
    extractor: Extractor
    found: dict[str, bool] = field(default_factory=dict)
    used: set[Split] = field(default_factory=set)
    unfinished: Backend | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.candidate.name

    @cached_property
    def model(self) -> LoadedModel:
        """The network, loaded when first needed."""
        return self.candidate.load()

    def images(self, split: Split) -> LabelledImages | None:
        """Return a split of the dataset; None where it has no validation split."""
        images: LabelledImages | None = getattr(self.dataset, split)
        return images

    def features(self, split: Split) -> FeatureSet | None:
        """Return features, labels and source probabilities of a split; None where there is no such split."""
        images = self.images(split)
        if images is None:
            return None
        with explain_out_of_memory(self.name, "features.batch_size"):
            features, self.found[f"features of {split}"] = self.extractor(self.name, self.model, images)
        self.used.add(split)
        return features

    def reader(self, split: Split) -> FeatureReader:
        """Return what reads the features of a split later, without the network; None for what nobody used yet."""
        images = self.images(split)
        return self.extractor.reader(self.model, images) if images and split in self.used else lambda largest: None

    def cache_references(self) -> Iterator[CacheReference]:
        """Yield what the store has by now of the features that were used."""
        for split in sorted(self.used):
            images = self.images(split)
            if images is not None:
                key, address = self.extractor.cache_reference(self.model, images)
                yield CacheReference(self.name, self.dataset.name, split, key, address)

    def class_statistics(self, split: Split) -> ClassStatistics | None:
        """Return the class statistics of a split's features; None where there is no such split."""
        images = self.images(split)
        if images is None:
            return None
        with explain_out_of_memory(self.name, "features.batch_size"):
            statistics, self.found[f"features of {split}"] = self.extractor.statistics(self.name, self.model, images)
        self.used.add(split)
        return statistics

    def scoring_features_key(self) -> Mapping[str, Any]:
        """Return plain data that decides the features of the scoring set."""
        return self.extractor.cache_reference(self.model, self.dataset.scoring_set)[0]

    def mark_scoring_set_used(self) -> None:
        """Count cached features of the scoring set as used: a cached score was computed from them."""
        if self.extractor.is_cached(self.model, self.dataset.scoring_set):
            self.used.add("scoring_set")

    def facts(self) -> ModelFacts:
        """Return what is known of the network without looking at the dataset."""
        return ModelFacts(self.name, self.model.parameters, self.model.imagenet_accuracy)

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that decides the accuracy of any adaptation."""
        splits = {split: self.images(split) for split in ("train", "validation", "test")}
        return {
            "model": dict(self.model.identity),
            "transform": repr(self.model.transform),
            "measure": self.dataset.measure,
            **{name: images and images.digest for name, images in splits.items()},
        }


@dataclass(eq=False)
class ModelArrays:
    """A model of which only arrays of features are at hand."""

    name: str
    dataset: FeatureArrays
    model: None = None
    found: dict[str, bool] = field(default_factory=dict)
    unfinished: None = None

    def images(self, split: Split) -> None:
        """Return None: there are no images."""

    def features(self, split: Split) -> FeatureSet | None:
        """Return features, labels and source probabilities of a split; None for validation."""
        return None if split == "validation" else self.dataset.feature_set(self.name, split)

    def reader(self, split: Split) -> FeatureReader:
        """Return what reads the features of a split later."""
        return lambda largest: self.features(split)

    def cache_references(self) -> Iterator[CacheReference]:
        """Yield nothing: the arrays are the user's, not the store's."""
        yield from ()

    def class_statistics(self, split: Split) -> ClassStatistics | None:
        """Return the class statistics of a split's features; None for validation."""
        known = self.features(split)
        return None if known is None else class_statistics(known.features, known.labels)

    def facts(self) -> ModelFacts:
        """Return the name: there is no network."""
        return ModelFacts(self.name)


@dataclass(eq=False)
class SampleSubset:
    """Another pairing of which some of the splits' images are scored.

    Attributes
    ----------
    whole
        The model and the target.
    scoring_set
        Features, labels and source probabilities of that part.
    """

    whole: NetworkOnImages | ModelArrays
    scoring_set: FeatureSet

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.whole.name

    @property
    def dataset(self) -> TargetDataset | FeatureArrays:
        """The target."""
        return self.whole.dataset

    def features(self, split: Split) -> FeatureSet | None:
        """Return the part as the scoring set, any other split as it is."""
        return self.scoring_set if split == "scoring_set" else self.whole.features(split)

    def class_statistics(self, split: Split) -> ClassStatistics | None:
        """Return the class statistics of the same."""
        known = self.features(split)
        return None if known is None else class_statistics(known.features, known.labels)

    def facts(self) -> ModelFacts:
        """Return what is known of the model without looking at the dataset."""
        return self.whole.facts()


Pairing: TypeAlias = NetworkOnImages | ModelArrays


def check_together(pool: ModelPool, dataset: TargetDataset | FeatureArrays) -> None:
    """Refuse arrays without the pool that names their models, and that pool without arrays.

    Raises
    ------
    InputError
        When only one of them is of arrays.
    """
    if isinstance(dataset, FeatureArrays) != (pool.name == "arrays"):
        raise InputError("dataset=arrays and model_pool=arrays go together: set both or neither")


def pair(candidate: Candidate, dataset: TargetDataset | FeatureArrays, extractor: Extractor) -> Pairing:
    """Bring a candidate and a target together."""
    if isinstance(dataset, FeatureArrays):
        return ModelArrays(candidate.name, dataset)
    return NetworkOnImages(candidate, dataset, extractor)
