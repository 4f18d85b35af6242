"""Scores of candidates on the first n images of an order, cached in files; searches are replayed from them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.dataset.stratification import nested_order
from transfer_exp.errors import InputError
from transfer_exp.features.extraction import Extractor
from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.linear_classifier import LinearClassifier
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.metric import Metric
from transfer_exp.metric.ncm import NCM
from transfer_exp.metric.sfda import SFDA
from transfer_exp.model_pool.checkpoints import checkpoints
from transfer_exp.perturbation.pca import pca
from transfer_exp.progress import silent
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.store import Store

ScoreFunction = Callable[[np.ndarray, np.ndarray], float]
TARGETS = ("cifar10", "flowers5", "oracle_mnist10", "sign_digits10", "steel_defects6", "textures10")


def _on_features(metric: Metric) -> ScoreFunction:
    """Return a metric as a function of features and labels."""
    if metric.inputs == ("class_statistics",):
        return lambda features, labels: metric(class_statistics(features, labels))
    return lambda features, labels: metric(features, labels)


def _after_pca(metric: Metric) -> ScoreFunction:
    return lambda features, labels: _on_features(metric)(pca(features), labels)


METRICS: Mapping[str, ScoreFunction] = {
    **{m.name: _on_features(m) for m in (HScore(), KNN(), LDA(), LinearClassifier(), LogME(), NCM(), SFDA())},
    "h_score, pca": _after_pca(HScore()),
    "logme, pca": _after_pca(LogME()),
}
SYNTHETIC_METRICS = ("logme", "logme, pca", "ncm", "knn", "lda")
"""Metrics for synthetic pools; slow metrics are left out, because a pool has up to a thousand candidates."""
SYNTHETIC_POOLS = {"noisy parts": (1000, 2.0), "parts": (1000, 0.0), "hundred parts": (100, 0.0)}
"""Number of candidates and largest noise (in standard deviations of each dimension) of every synthetic pool."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates with their features on all images of one target.

    Attributes:
        name: Name of the target, for a synthetic pool followed by ", " and the name of the pool.
        labels: (N,), of the training images.
        features: Functions that return features (N, D), by candidate.
    """

    name: str
    labels: np.ndarray
    features: Mapping[str, Callable[[], np.ndarray]]


def load_real_pool(target: str, store: Path, assets: Path) -> Candidates:
    """Return the real networks on one target; features come from the store or are extracted."""
    pool = checkpoints(str(assets / "weights"), architectures=str(assets / "nets.py"), largest_input=64)
    images = image_folder(str(assets / "datasets" / target)).train
    extractor = Extractor(Store(store), "cpu", 64, 0, silent)
    features = {c.name: extractor(c.name, c.load(), images)[0].features for c in pool.candidates}
    return Candidates(target, images.labels, {name: partial(np.asarray, x) for name, x in features.items()})


def create_synthetic_pool(base: Candidates, pool: str) -> Candidates:
    """Return candidates that consist of some dimensions of a real network's features, with or without noise.

    The networks take turns. A candidate has 8 to 128 dimensions drawn from one network, with a log-uniform number. The
    standard deviation of its noise is a random factor times that of each dimension; see `SYNTHETIC_POOLS`.
    """
    networks, (count, max_noise) = list(base.features), SYNTHETIC_POOLS[pool]

    def create_features(number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        features = base.features[networks[number % len(networks)]]()
        n_dims = min(features.shape[1], int(2 ** rng.uniform(3, 7)))
        part = features[:, np.sort(rng.choice(features.shape[1], n_dims, replace=False))]
        return np.asarray(part + rng.uniform(0, max_noise) * part.std(axis=0) * rng.standard_normal(part.shape))

    names = [f"{networks[number % len(networks)]} {number}" for number in range(count)]
    features = {name: partial(create_features, number) for number, name in enumerate(names)}
    return Candidates(f"{base.name}, {pool}", base.labels, features)


@dataclass(eq=False)
class SubsetScores:
    """Scores by one metric; each is computed once and cached in memory and in a file.

    Attributes:
        candidates: Candidates to score.
        metric: Name in `METRICS`.
        folder: Folder of the cache files.
    """

    candidates: Candidates
    metric: str
    folder: Path
    _orders: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the candidates."""
        return list(self.candidates.features)

    @property
    def images(self) -> int:
        """Number of images, N."""
        return len(self.candidates.labels)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.candidates.name}_{self.metric}.csv".replace(", ", "_").replace(" ", "_")

    @cached_property
    def _cache(self) -> dict[tuple[int, int, str], float]:
        if not self._path.is_file():
            return {}
        with self._path.open(newline="", encoding="utf-8") as file:
            return {(int(draw), int(n), name): float(score) for draw, n, name, score in csv.reader(file)}

    def __call__(self, draw: int, names: Sequence[str], images: int) -> dict[str, float]:
        """Return the scores of some candidates on the first images of an order; NaN if the metric rejects the input."""
        draw = 0 if images == self.images else draw  # all images are the same in any order, up to rounding
        keys = [(draw, images, name) for name in names]
        missing = [key for key in keys if key not in self._cache]
        if missing:
            self._cache.update({key: self._score(*key) for key in missing})
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows((*key, repr(self._cache[key])) for key in missing)
        return {key[2]: self._cache[key] for key in keys}

    def _score(self, draw: int, images: int, name: str) -> float:
        if draw not in self._orders:
            self._orders[draw] = nested_order(self.candidates.labels, draw)
        subset = self._orders[draw][:images]
        try:
            return METRICS[self.metric](self.candidates.features[name]()[subset], self.candidates.labels[subset])
        except InputError:
            return float("nan")
