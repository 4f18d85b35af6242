"""Features for growing nested subsets of the scoring set; features already computed are reused."""

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
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing, SampleSubset, pair
from transfer_exp.model_pool.pool import Candidate
from transfer_exp.statistics.feature_set import FeatureSet, concatenate


@dataclass(eq=False)
class NestedSubsets:
    """Candidates on the first n images of the scoring set, in one order for all candidates.

    Attributes:
        candidates: Candidates by name.
        dataset, extractor: Target dataset and the extractor of its features.
        seed: Seed of the order of the images.
        forward_passes: Images passed through a model so far, summed over models.
        seconds: Time spent on each model so far, loading included.
        imagenet_accuracies: Published accuracies of the loaded models that have one, in [0, 1].
    """

    candidates: Mapping[str, Candidate]
    dataset: TargetDataset | FeatureArrays
    extractor: Extractor
    seed: int
    forward_passes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    imagenet_accuracies: dict[str, float] = field(default_factory=dict)
    _features: dict[str, FeatureSet] = field(default_factory=dict)

    @cached_property
    def order(self) -> Int[np.ndarray, " samples"]:
        """Positions in the scoring set, (N,); every prefix is a stratified sample."""
        if isinstance(self.dataset, FeatureArrays):
            return nested_order(self.dataset.labels[self.dataset.scoring_set], self.seed)
        return nested_order(self.dataset.scoring_set.labels, self.seed)

    def pairing(self, name: str, n_images: int) -> SampleSubset:
        """Return a candidate with the first images, at least one, as its scoring set.

        Raises:
            InputError, NotApplicableError: If the model cannot be loaded, or its features cannot be extracted.
        """
        pairing = pair(self.candidates[name], self.dataset, self.extractor)
        features = self._features.get(name)
        n_cached = 0 if features is None else len(features.labels)
        if features is None or n_cached < n_images:
            start = time.perf_counter()
            new = self._extract(pairing, self.order[n_cached:n_images])
            features = new if features is None else concatenate([features, new])
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.forward_passes += n_images - n_cached
            self._features[name] = features
            if n_images == len(self.order) and isinstance(pairing, NetworkOnImages):
                # A later run on the same scoring set then finds complete features in the store.
                in_dataset_order = features.subset(np.argsort(self.order))
                self.extractor.save(pairing.model, pairing.dataset.scoring_set, in_dataset_order)
            accuracy = pairing.facts().imagenet_accuracy
            if accuracy is not None:
                self.imagenet_accuracies[name] = accuracy
        if n_images < len(features.labels):
            features = features.subset(np.arange(n_images))
        return SampleSubset(pairing, features)

    def forget(self, name: str) -> None:
        """Free the features of an eliminated candidate."""
        self._features.pop(name, None)

    def _extract(self, pairing: Pairing, positions: Int[np.ndarray, " chosen"]) -> FeatureSet:
        """Return the features of some images of the scoring set."""
        if isinstance(pairing, NetworkOnImages):
            scoring_set = pairing.dataset.scoring_set
            if not self.extractor.is_cached(pairing.model, scoring_set):
                return self.extractor(pairing.name, pairing.model, scoring_set.subset(positions))[0]
        features = pairing.features("scoring_set")
        assert features is not None, "every dataset has a scoring set"
        return features.subset(positions)
