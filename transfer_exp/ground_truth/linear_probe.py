"""Linear probing: logistic regression on cached features, with the penalty chosen on the validation split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from transfer_exp.dataset.split_names import Split
from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.errors import InputError, check_options, check_types
from transfer_exp.features.model_on_target import NetworkOnImages, Pairing
from transfer_exp.ground_truth.logistic_regression import Fits, logistic_regression
from transfer_exp.ground_truth.measure import compute_measure
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.io.measures import larger_is_better
from transfer_exp.model_pool.layers import HEAD_INPUT
from transfer_exp.progress import Track
from transfer_exp.statistics.feature_set import Features, FeatureSet, Targets, concatenate

_TIMED_IMAGES = 64
"""Number of images that predict the time of all."""


@dataclass(frozen=True)
class LinearProbe:
    """Test accuracy of multinomial logistic regression on standardised features, or of ridge regression of numbers.

    As in scikit-learn, two classes share one logit, and each class of a multi-label dataset has an independent one.

    Attributes:
        strengths: Inverse penalties to choose from (scikit-learn's C); the first one wins a tie.
        tolerance, iterations: ``tolerance`` and ``max_steps`` of `logistic_regression`.
        validation_fraction: Fraction of the training split to choose on, where the dataset has no validation split.
        seed: Seed of that validation split.
    """

    trains: ClassVar[bool] = True

    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    tolerance: float = 1e-5
    iterations: int = 1000
    validation_fraction: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        check_types("ground_truth", self)
        checks = {
            "strengths": (
                bool(self.strengths) and all(0 < value < np.inf for value in self.strengths),
                "a list of positive numbers",
            ),
            "tolerance": (0 < self.tolerance < np.inf, "a positive number"),
            "iterations": (self.iterations >= 1, "at least 1"),
            "validation_fraction": (0 < self.validation_fraction < 1, "above 0 and below 1"),
        }
        check_options("ground_truth", self, checks)

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after refitting on train and validation with the best inverse penalty.

        ``chosen`` also has the largest relative ``gradient`` and the most steps (``iterations``) of the fits.

        Raises:
            InputError: When the dataset has no test split, or fewer than two classes to train on.
            NotApplicableError: When a fit does not converge.
        """
        train, validation, test = self._load_splits(pairing)
        measure, classes = pairing.dataset.measure, pairing.dataset.n_outputs
        advance = track(f"linear probe of {pairing.name}", 2)
        grid = fit_probe(train, classes, self.strengths, self.tolerance, self.iterations)
        grid_scores = grid.scores(validation.features)
        reached = [compute_measure(measure, s, validation.labels, validation.targets) for s in grid_scores]
        best = int(np.argmax(larger_is_better(np.array(reached), measure)))
        advance()
        chosen_penalty = self.strengths[best : best + 1]
        final = fit_probe(concatenate([train, validation]), classes, chosen_penalty, self.tolerance, self.iterations)
        value = compute_measure(measure, final.scores(test.features)[0], test.labels, test.targets)
        advance()
        fits = grid.fits, final.fits
        chosen = {
            "C": self.strengths[best],
            "validation": reached[best],
            "gradient": float(max(fit.relative_gradient.max() for fit in fits)),
            "iterations": float(max(fit.steps.max() for fit in fits)),
        }
        n_trained = final.fits.weights[0].size + final.fits.intercepts[0].size
        return Accuracy(value, measure, chosen, trainable_parameters=n_trained)

    def forward_passes(self, split_sizes: Mapping[Split, int]) -> int:
        """Return the number of images: each passes through the network once, for its features."""
        return sum(split_sizes.values())

    def predict_seconds(self, pairing: Pairing) -> float:
        """Predict the seconds of a call, see `PredictsSeconds`, from the features of some images and a fit to them."""
        if not isinstance(pairing, NetworkOnImages):
            return 0.0
        pairing, dataset = pairing.at_layer(HEAD_INPUT), pairing.dataset
        images = dataset.train.stratified_subset(min(_TIMED_IMAGES, len(dataset.train)), self.seed)
        start = time.perf_counter()
        features = pairing.extractor.compute(pairing.name, pairing.model, images)["features"]
        per_image = (time.perf_counter() - start) / len(images)
        start = time.perf_counter()
        samples = FeatureSet(features, images.labels, targets=images.targets)
        fit_probe(samples, dataset.n_outputs, self.strengths, self.tolerance, self.iterations)
        per_sample = (time.perf_counter() - start) / len(images)
        splits = [split for split in (dataset.train, dataset.validation, dataset.test) if split is not None]
        n_missing = sum(len(split) for split in splits if not pairing.extractor.is_cached(pairing.model, split))
        return n_missing * per_image + sum(map(len, splits)) * per_sample

    def _load_splits(self, pairing: Pairing) -> tuple[FeatureSet, FeatureSet, FeatureSet]:
        train, test = labelled_features(pairing, "train"), labelled_features(pairing, "test")
        if train is None or test is None:
            raise InputError("ground_truth=linear_probe needs a train and a test split: set ground_truth=none")
        validation = labelled_features(pairing, "validation")
        if validation is None:
            remaining, held_out = stratified_split(train.labels, self.validation_fraction, self.seed)
            train, validation = train.subset(remaining), train.subset(held_out)
        return train, validation, test


def labelled_features(pairing: Pairing, split: Split) -> FeatureSet | None:
    """Return the input of the head, labels and targets of a split, or None if the dataset lacks it."""
    feature_set = pairing.at_layer(HEAD_INPUT).features(split)
    return None if feature_set is None else replace(feature_set, source_probabilities=None)


@dataclass(frozen=True, eq=False)
class ProbeFit:
    """Linear probes at every inverse penalty of a grid.

    Attributes:
        fits: Logistic regressions on standardised features.
        mean, scale: Mean and standard deviation used to standardise.
        constant_scores: (C,) infinity for a class that all samples show, minus infinity for the others.
        fitted_classes: Classes that some samples show and some do not.
    """

    fits: Fits
    mean: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]
    constant_scores: Float[np.ndarray, " classes"]
    fitted_classes: Int[np.ndarray, " fitted"]

    def scores(self, features: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "grid samples classes"]:
        """Return decision scores; they are infinite for classes that no or all training samples show."""
        weights = self.fits.weights / self.scale[:, None]
        logits = (features - self.mean) @ weights + self.fits.intercepts[:, None]
        if logits.shape[2] < len(self.fitted_classes):
            logits = np.concatenate([-logits, logits], axis=2)
        scores = np.tile(self.constant_scores, (len(logits), len(features), 1))
        scores[:, :, self.fitted_classes] = logits
        return scores

    def as_layer(self, samples: int) -> nn.Linear:
        """Return the probe of the first inverse penalty as a layer from features (B, D) to logits (B, C).

        A class that none (all) of the N training ``samples`` show gets the logit -log(N + 1) (+log(N + 1)).
        """
        weights, bias = self.fits.weights[0] / self.scale[:, None], self.fits.intercepts[0]
        bias = bias - self.mean @ weights
        if len(bias) < len(self.fitted_classes):  # two classes share one logit
            weights, bias = np.concatenate([-weights, weights], axis=1) / 2, np.concatenate([-bias, bias]) / 2
        layer = nn.Linear(len(weights), len(self.constant_scores))
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(torch.from_numpy(np.sign(self.constant_scores) * np.log(samples + 1)))
            layer.weight[self.fitted_classes] = torch.from_numpy(weights.T).float()
            layer.bias[self.fitted_classes] = torch.from_numpy(bias).float()
        return layer


def fit_probe(
    train: FeatureSet, classes: int, inverse_penalties: Sequence[float], tolerance: float = 1e-5, max_steps: int = 1000
) -> ProbeFit:
    """Standardise the features and fit a probe at every inverse penalty: to classes, several labels or numbers.

    Raises:
        InputError: When the samples show fewer than two classes.
        NotApplicableError: When a fit does not converge, see `logistic_regression`.
    """
    if train.targets is not None and train.targets.dtype.kind == "f":
        return _fit_ridge(train.features, train.targets, inverse_penalties)
    is_multi_label = train.targets is not None
    targets = np.eye(classes, dtype=np.int64)[train.labels] if train.targets is None else train.targets
    is_always_present = targets.all(axis=0)
    fitted = np.flatnonzero(targets.any(axis=0) & ~is_always_present)
    if not len(fitted):
        raise InputError("a linear probe needs two classes in the training split: set ground_truth=none")
    outputs = fitted[1:] if not is_multi_label and len(fitted) == 2 else fitted
    mean, scale = _mean_and_scale(train.features)
    fits = logistic_regression(
        (train.features - mean) / scale,
        targets[:, outputs].astype(np.float64),
        inverse_penalties,
        "softmax" if not is_multi_label and len(fitted) > 2 else "sigmoid",
        tolerance,
        max_steps,
    )
    return ProbeFit(fits, mean, scale, np.where(is_always_present, np.inf, -np.inf), fitted)


def _fit_ridge(features: Features, numbers: Targets, inverse_penalties: Sequence[float]) -> ProbeFit:
    """Minimise ``inverse_penalty * |numbers - prediction|^2 + |weights|^2``, in the unit of the numbers."""
    mean, scale = _mean_and_scale(features)
    centre = numbers.mean(axis=0)
    left, singular, right = np.linalg.svd((features - mean) / scale, full_matrices=False)
    coordinates = left.T @ (numbers - centre)
    shrinkage = singular / (singular**2 + 1 / np.array(inverse_penalties)[:, None])  # (G, k)
    weights = np.einsum("kd,gk,kt->gdt", right, shrinkage, coordinates)
    zeros = np.zeros(len(inverse_penalties))
    fits = Fits(weights, np.tile(centre, (len(inverse_penalties), 1)), zeros, zeros.astype(np.int64), 0)
    return ProbeFit(fits, mean, scale, np.full(numbers.shape[1], -np.inf), np.arange(numbers.shape[1]))


def _mean_and_scale(features: Features) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Return mean and standard deviation of each feature; 1 where the deviation is only rounding."""
    exact = features.astype(np.float64)
    mean, deviation = exact.mean(axis=0), exact.std(axis=0)
    rounding = 8 * np.finfo(features.dtype).eps * np.abs(exact).max(axis=0)
    return mean, np.where(deviation > rounding, deviation, 1.0)
