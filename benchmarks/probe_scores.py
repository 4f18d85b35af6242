"""Scores of candidates on the first n images of an order, kept in files: what a search is replayed from."""

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

Score = Callable[[np.ndarray, np.ndarray], float]
TARGETS = ("cifar10", "flowers5", "oracle_mnist10", "sign_digits10", "steel_defects6", "textures10")


def _scored(metric: Metric) -> Score:
    """Let a metric take features and labels."""
    if metric.inputs == ("class_statistics",):
        return lambda features, labels: metric(class_statistics(features, labels))
    return lambda features, labels: metric(features, labels)


def _after_pca(metric: Metric) -> Score:
    return lambda features, labels: _scored(metric)(pca(features), labels)


METRICS: Mapping[str, Score] = {
    **{m.name: _scored(m) for m in (HScore(), KNN(), LDA(), LinearClassifier(), LogME(), NCM(), SFDA())},
    "h_score, pca": _after_pca(HScore()),
    "logme, pca": _after_pca(LogME()),
}
MADE_METRICS = ("logme", "logme, pca", "ncm", "knn", "lda")
"""Of made pools, where every score counts a thousandfold."""
POOLS = {"made": (1000, 2.0), "parts": (1000, 0.0), "hundred parts": (100, 0.0)}
"""Made pools: candidates, and the most noise that one may have, in standard deviations of each dimension."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates with their features on all images of one target.

    Attributes:
        name: Of the target, or of what was made of it.
        labels: (N,), of the training images.
        features: By candidate: gives (N, D).
    """

    name: str
    labels: np.ndarray
    features: Mapping[str, Callable[[], np.ndarray]]


def real(target: str, store: Path, assets: Path) -> Candidates:
    """Return the real networks on one target: features from the store, or extracted."""
    pool = checkpoints(str(assets / "weights"), architectures=str(assets / "nets.py"), largest_input=64)
    images = image_folder(str(assets / "datasets" / target)).train
    extractor = Extractor(Store(store), "cpu", 64, 0, silent)
    found = {c.name: extractor(c.name, c.load(), images)[0].features for c in pool.candidates}
    return Candidates(target, images.labels, {name: partial(np.asarray, own) for name, own in found.items()})


def made(base: Candidates, pool: str) -> Candidates:
    """Return candidates made of real ones: some dimensions of a network's features, with noise added or none.

    8 to 128 dimensions (as many small as large, on a logarithmic scale) drawn from one of the networks in turn; the
    noise has 0 to so many times each dimension's standard deviation as `POOLS` says.
    """
    networks, (count, most) = list(base.features), POOLS[pool]

    def one(number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        whole = base.features[networks[number % len(networks)]]()
        dims = min(whole.shape[1], int(2 ** rng.uniform(3, 7)))
        part = whole[:, np.sort(rng.choice(whole.shape[1], dims, replace=False))]
        return np.asarray(part + rng.uniform(0, most) * part.std(axis=0) * rng.standard_normal(part.shape))

    names = [f"{networks[number % len(networks)]} {number}" for number in range(count)]
    return Candidates(f"{base.name}, {pool}", base.labels, {n: partial(one, i) for i, n in enumerate(names)})


@dataclass(eq=False)
class ProbeScores:
    """Scores by one metric, each computed once: in memory, and in a file that later runs read.

    Attributes:
        candidates, metric: Whose, and by which of `METRICS`.
        folder: Of the files.
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
        """N."""
        return len(self.candidates.labels)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.candidates.name}_{self.metric}.csv".replace(", ", "_").replace(" ", "_")

    @cached_property
    def _known(self) -> dict[tuple[int, int, str], float]:
        if not self._path.is_file():
            return {}
        with self._path.open(newline="", encoding="utf-8") as file:
            return {(int(draw), int(n), name): float(score) for draw, n, name, score in csv.reader(file)}

    def __call__(self, draw: int, names: Sequence[str], images: int) -> dict[str, float]:
        """Return the scores of some candidates on the first images of the order of a draw; NaN where refused."""
        draw = 0 if images == self.images else draw  # all images are the same in any order, up to rounding
        keys = [(draw, images, name) for name in names]
        missing = [key for key in keys if key not in self._known]
        if missing:
            self._known.update({key: self._score(*key) for key in missing})
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows((*key, repr(self._known[key])) for key in missing)
        return {key[2]: self._known[key] for key in keys}

    def _score(self, draw: int, images: int, name: str) -> float:
        if draw not in self._orders:
            self._orders[draw] = nested_order(self.candidates.labels, draw)
        chosen = self._orders[draw][:images]
        try:
            return METRICS[self.metric](self.candidates.features[name]()[chosen], self.candidates.labels[chosen])
        except InputError:
            return float("nan")
