"""Features for growing nested subsets of the scoring set; features already computed are reused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.arrays import FeatureArrays
from transfer_exp.dataset.stratification import nested_order
from transfer_exp.dataset.target_dataset import TargetDataset
from transfer_exp.features.cost import ModelCost
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing, SampleSubset, pair
from transfer_exp.model_pool.pool import Candidate
from transfer_exp.statistics.feature_set import FeatureSet, concatenate


@dataclass(eq=False)
class NestedSubsets:
    """Candidates on the first n images of the scoring set, in one order for all candidates.

    Several threads may work on different candidates at a time.

    Attributes:
        candidates: Candidates by name.
        dataset, extractor: Target dataset and the extractor of its features.
        seed: Seed of the order of the images.
        first_images: Number of images of a first look, see `nested_order`.
        best_layer: Returns one of the layers of a model, each on the first images, if the extractor has several.
        layers: Layer of each model so far; empty for features of the user.
        seconds: Time spent on each model so far, loading included.
        load_seconds: Time to load each model.
        seconds_per_image: Time of one image with each model, as last measured.
        parameters: Number of parameters of the models whose number is known.
        costs: Known costs of the models.
        imagenet_accuracies: Published accuracies of the loaded models that have one, in [0, 1].
    """

    candidates: Mapping[str, Candidate]
    dataset: TargetDataset | FeatureArrays
    extractor: Extractor
    seed: int
    first_images: int | None = None
    best_layer: Callable[[Sequence[SampleSubset]], SampleSubset] = itemgetter(-1)
    layers: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)
    seconds_per_image: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    costs: dict[str, ModelCost] = field(default_factory=dict)
    imagenet_accuracies: dict[str, float] = field(default_factory=dict)
    _features: dict[str, FeatureSet] = field(default_factory=dict)
    _passes: dict[str, int] = field(default_factory=dict)

    @cached_property
    def order(self) -> Int[np.ndarray, " samples"]:
        """Positions in the scoring set, (N,), by `nested_order`."""
        if isinstance(self.dataset, FeatureArrays):
            return nested_order(self.dataset.labels[self.dataset.scoring_set], self.seed, self.first_images)
        return nested_order(self.dataset.scoring_set.labels, self.seed, self.first_images)

    def pairing(self, name: str, n_images: int, at_least: int | None = None, seconds: float = np.inf) -> SampleSubset:
        """Return a candidate with the first images, at least one, as its scoring set.

        Args:
            name: Name of the candidate.
            n_images: Number of images.
            at_least: Number of images that suffices; by default all. As long as the time allows, the number is doubled
                until it is ``n_images``. All candidates have the same steps, so they share decoded images.
            seconds: Time for loading and images.

        Raises:
            InputError, NotApplicableError: If the model cannot be loaded, or its features cannot be extracted.
        """
        start = time.perf_counter()
        layer = self.layers.get(name)
        extractor = self.extractor if layer is None else self.extractor.at_layer(layer)
        pairing = pair(self.candidates[name], self.dataset, extractor)
        n = n_images if at_least is None else min(at_least, n_images)
        features = self._extend(pairing, n)
        while n < n_images:
            larger = min(2 * n, n_images)
            needed = (larger - n) * self.seconds_per_image[name]
            if time.perf_counter() - start + needed > seconds:
                break
            n, features = larger, self._extend(pairing, larger)
        return SampleSubset(pairing, features.subset(np.arange(n)) if n < len(features.labels) else features)

    @property
    def forward_passes(self) -> int:
        """Images passed through a model so far, summed over models."""
        return sum(self._passes.values())

    def n_extracted(self, name: str) -> int:
        """Return the number of images whose features are in memory."""
        return len(self._features[name].labels) if name in self._features else 0

    def look_seconds(self, name: str, n_images: int) -> float:
        """Return the time to load a model and extract as many images, from the times measured so far."""
        return self.load_seconds.get(name, 0.0) + n_images * self.seconds_per_image.get(name, 0.0)

    def _extend(self, pairing: Pairing, n_images: int) -> FeatureSet:
        """Return the features of at least the first images, and measure the time of those that are new."""
        name, n_extracted = pairing.name, self.n_extracted(pairing.name)
        if n_extracted >= n_images:
            return self._features[name]
        start = time.perf_counter()
        model = pairing.model
        loaded = time.perf_counter()
        if name not in self.layers:
            self._choose_layer(pairing, n_images)
        features = self._extract(pairing, self.order[n_extracted:n_images])
        end = time.perf_counter()
        if n_extracted:
            features = concatenate([self._features[name], features])
        self.seconds[name] = self.seconds.get(name, 0.0) + end - start
        self.load_seconds[name] = max(loaded - start, self.load_seconds.get(name, 0.0))
        self.seconds_per_image[name] = (end - loaded) / (n_images - n_extracted)
        self._passes[name] = self._passes.get(name, 0) + n_images - n_extracted
        self._features[name] = features
        if n_images == len(self.order) and isinstance(pairing, NetworkOnImages):
            # A later run on the same scoring set then finds complete features in the store.
            in_dataset_order = features.subset(np.argsort(self.order))
            pairing.extractor.save(pairing.model, pairing.dataset.scoring_set, in_dataset_order)
        if model is not None:
            facts = pairing.facts()
            self.parameters[name] = model.parameters
            cost = self.extractor.cost(name, model)
            if cost is not None:
                self.costs[name] = cost
            if facts.imagenet_accuracy is not None:
                self.imagenet_accuracies[name] = facts.imagenet_accuracy
        return features

    def _choose_layer(self, pairing: Pairing, n_images: int) -> None:
        """Restrict a model to one layer, which its first images decide."""
        layers = pairing.one_per_layer()
        layer = layers[0].layer
        if len(layers) > 1:
            first = self.order[:n_images]
            layer = self.best_layer([SampleSubset(each, self._extract(each, first)) for each in layers]).layer
        self.layers[pairing.name] = layer
        if isinstance(pairing, NetworkOnImages):
            pairing.extractor = self.extractor.at_layer(layer)

    def forget(self, name: str) -> None:
        """Free the features of an eliminated candidate."""
        self._features.pop(name, None)

    def _extract(self, pairing: Pairing, positions: Int[np.ndarray, " chosen"]) -> FeatureSet:
        """Return the features of some images of the scoring set."""
        if isinstance(pairing, NetworkOnImages):
            scoring_set = pairing.dataset.scoring_set
            if not pairing.extractor.is_cached(pairing.model, scoring_set):
                return pairing.extractor(pairing.name, pairing.model, scoring_set.subset(positions))[0]
        features = pairing.features("scoring_set")
        assert features is not None, "every dataset has a scoring set"
        return features.subset(positions)
