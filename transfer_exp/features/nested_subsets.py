"""Features of models on the first n images of one order, where n grows and no image is pushed twice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.stratification import nested_order
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.errors import explain_out_of_memory
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing, SampleSubset, pair
from transfer_exp.model_pool.pool import Candidate
from transfer_exp.statistics.feature_set import FeatureSet


@dataclass(eq=False)
class NestedSubsets:
    """Models on a target of which only a beginning is looked at.

    Attributes
    ----------
    candidates
        By name.
    dataset, extractor
        The target, and how its features are obtained.
    seed
        Of the order of its images.
    """

    candidates: Mapping[str, Candidate]
    dataset: TargetDataset | FeatureArrays
    extractor: Extractor
    seed: int
    pushed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """That the images of each model took so far."""
    imagenet_accuracies: dict[str, float] = field(default_factory=dict)
    """Of the models that were loaded and have one."""
    _kept: dict[str, FeatureSet] = field(default_factory=dict)

    @cached_property
    def order(self) -> Int[np.ndarray, " samples"]:
        """All positions of the scoring set (N,): every beginning is a stratified sample."""
        return nested_order(self._labels, self.seed)

    @property
    def _labels(self) -> Int[np.ndarray, " samples"]:
        if isinstance(self.dataset, FeatureArrays):
            return self.dataset.labels[self.dataset.scoring_set]
        return self.dataset.scoring_set.labels

    def labels(self, images: int) -> Int[np.ndarray, " chosen"]:
        """Return the labels of the first images (n,)."""
        return self._labels[self.order[:images]]

    def pairing(self, name: str, images: int) -> SampleSubset:
        """Return a model on the target, with the first images as the scoring set.

        Raises
        ------
        InputError, NotApplicableError
            As loading the model and extracting its features.
        """
        whole, known = pair(self.candidates[name], self.dataset, self.extractor), self._kept.get(name)
        seen = 0 if known is None else len(known.labels)
        if seen < images:
            start = time.perf_counter()
            known = _joined(known, self._part(whole, self.order[seen:images]))
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.pushed += images - seen
            self._kept[name] = known
            if images == len(self.order) and isinstance(whole, NetworkOnImages):
                # A run on the same scoring set, as follows a search, finds it whole.
                self.extractor.save(whole.model, whole.dataset.scoring_set, subset(known, np.argsort(self.order)))
            accuracy = whole.facts().imagenet_accuracy
            self.imagenet_accuracies |= {} if accuracy is None else {name: accuracy}
        assert known is not None, "a search begins with one image or more"
        return SampleSubset(whole, _first(known, images))

    def forget(self, name: str) -> None:
        """Give up the features of a model that goes no further."""
        self._kept.pop(name, None)

    def _part(self, whole: Pairing, positions: Int[np.ndarray, " chosen"]) -> FeatureSet:
        if isinstance(whole, NetworkOnImages) and not self.extractor.is_cached(whole.model, whole.dataset.scoring_set):
            with explain_out_of_memory(whole.name, "features.batch_size"):
                return self.extractor(whole.name, whole.model, whole.dataset.scoring_set.subset(positions))[0]
        scoring_set = whole.features("scoring_set")
        assert scoring_set is not None, "every dataset has a scoring set"
        return subset(scoring_set, positions)


def subset(features: FeatureSet, chosen: np.ndarray) -> FeatureSet:
    """Return some of the samples: positions, or a mask (N,)."""
    source = features.source_probabilities
    return FeatureSet(features.features[chosen], features.labels[chosen], None if source is None else source[chosen])


def _first(features: FeatureSet, count: int) -> FeatureSet:
    return features if count == len(features.labels) else subset(features, np.arange(count))


def _joined(one: FeatureSet | None, other: FeatureSet) -> FeatureSet:
    """Return the samples of both."""
    if one is None:
        return other
    source = None
    if one.source_probabilities is not None and other.source_probabilities is not None:
        source = np.concatenate([one.source_probabilities, other.source_probabilities])
    features = np.concatenate([one.features, other.features])
    return FeatureSet(features, np.concatenate([one.labels, other.labels]), source)
