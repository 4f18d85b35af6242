"""Linear probing: logistic regression on stored features, all strengths fitted together, one chosen on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.ground_truth.logistic_regression import Fits, logistic_regression
from transfer_exp.ground_truth.measure import measured
from transfer_exp.ground_truth.regime import Accuracy, Pairing, Split
from transfer_exp.types import FeatureSet, InputError, Track


@dataclass(frozen=True, eq=False)
class _Part:
    """Features and what is to be predicted from them: labels, or several classes at once."""

    features: Float[np.ndarray, "samples dim"]
    labels: Int[np.ndarray, " samples"]
    targets: Int[np.ndarray, "samples classes"] | None

    def at(self, chosen: Int[np.ndarray, " chosen"]) -> _Part:
        targets = None if self.targets is None else self.targets[chosen]
        return _Part(self.features[chosen], self.labels[chosen], targets)

    def joined(self, other: _Part) -> _Part:
        targets = None
        if self.targets is not None and other.targets is not None:
            targets = np.concatenate([self.targets, other.targets])
        features = np.concatenate([self.features, other.features])
        return _Part(features, np.concatenate([self.labels, other.labels]), targets)


@dataclass(frozen=True)
class LinearProbe:
    """Accuracy of multinomial logistic regression on standardised features.

    Two classes are told apart by one logit, and several classes an image by one each, as scikit-learn does it.

    Attributes
    ----------
    strengths
        Inverse regularisation strengths to choose from (scikit-learn's C). Of equals, the first.
    tolerance, iterations
        When a strength counts as fitted, and how many steps it may take: see `logistic_regression`.
    validation_fraction
        Part of the training split to choose by, where the dataset publishes no validation split.
    seed
        Draws that part.
    """

    trains: ClassVar[bool] = True

    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    tolerance: float = 1e-5
    iterations: int = 1000
    validation_fraction: float = 0.25
    seed: int = 0

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after refitting on train and validation with the best strength.

        ``chosen`` also says how well the fits converged: the largest ``gradient`` left, as a share of the first, and
        the most ``iterations`` a fit took.

        Raises
        ------
        InputError
            When the dataset has no test split, or fewer than two classes to train on.
        NotApplicableError
            When a fit does not converge.
        """
        train, validation, test = self._parts(pairing)
        measure = getattr(pairing.dataset, "measure", "accuracy")
        classes = len(pairing.dataset.class_names)
        advance = track(f"{pairing.name}: linear probe", 2)
        grid = self._fit(train, self.strengths, classes)
        reached = [measured(measure, s, validation.labels, validation.targets) for s in grid.scores(validation)]
        best = int(np.argmax(reached))
        advance()
        final = self._fit(train.joined(validation), self.strengths[best : best + 1], classes)
        value = measured(measure, final.scores(test)[0], test.labels, test.targets)
        advance()
        converged = {
            "gradient": float(max(grid.fits.gradient.max(), final.fits.gradient.max())),
            "iterations": float(max(grid.fits.iterations.max(), final.fits.iterations.max())),
        }
        return Accuracy(value, measure, {"C": self.strengths[best], "validation": reached[best], **converged})

    def _fit(self, part: _Part, strengths: tuple[float, ...], classes: int) -> _Probe:
        """Fit all strengths to one part."""
        targets = np.eye(classes, dtype=np.int64)[part.labels] if part.targets is None else part.targets
        always = targets.all(axis=0)
        fitted = np.flatnonzero(targets.any(axis=0) & ~always)
        if not len(fitted):
            raise InputError("ground_truth=linear_probe needs two classes in the training split: set ground_truth=none")
        exclusive = part.targets is None
        questions = fitted[1:] if exclusive and len(fitted) == 2 else fitted
        centre, scale = _standard(part.features)
        fits = logistic_regression(
            (part.features - centre) / scale,
            targets[:, questions].astype(np.float64),
            strengths,
            "softmax" if exclusive and len(fitted) > 2 else "sigmoid",
            self.tolerance,
            self.iterations,
        )
        return _Probe(fits, centre, scale, np.where(always, np.inf, -np.inf), fitted)

    def _parts(self, pairing: Pairing) -> tuple[_Part, _Part, _Part]:
        train, test = _part(pairing, "train"), _part(pairing, "test")
        if train is None or test is None:
            raise InputError("ground_truth=linear_probe needs a train and a test split: set ground_truth=none")
        validation = _part(pairing, "validation")
        if validation is None:
            kept, held_out = stratified_split(train.labels, self.validation_fraction, self.seed)
            train, validation = train.at(kept), train.at(held_out)
        return train, validation, test


def _part(pairing: Pairing, split: Split) -> _Part | None:
    """Read the features of a split, and its several-class targets where it has any."""
    found: FeatureSet | None = pairing.features(split)
    if found is None:
        return None
    images = pairing.images(split)
    return _Part(found.features, found.labels, None if images is None else images.targets)


def _standard(
    features: Float[np.ndarray, "samples dim"],
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Return mean and standard deviation of each feature, 1 for one that is constant but for rounding."""
    exact = features.astype(np.float64)
    centre, spread = exact.mean(axis=0), exact.std(axis=0)
    rounding = 8 * np.finfo(features.dtype).eps * np.abs(exact).max(axis=0)
    return centre, np.where(spread > rounding, spread, 1.0)


@dataclass(frozen=True, eq=False)
class _Probe:
    """Fits of all strengths, and how to apply them."""

    fits: Fits
    centre: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]
    constant: Float[np.ndarray, " classes"]
    fitted: Int[np.ndarray, " fitted"]

    def scores(self, part: _Part) -> Float[np.ndarray, "grid samples classes"]:
        """Return decision scores; those of classes that were never (or always) seen are infinite."""
        weights = self.fits.weights / self.scale[:, None]
        logits = (part.features - self.centre) @ weights + self.fits.intercepts[:, None]
        if logits.shape[2] < len(self.fitted):
            logits = np.concatenate([-logits, logits], axis=2)
        scores = np.empty((len(logits), len(part.labels), len(self.constant)))
        scores[:] = self.constant
        scores[:, :, self.fitted] = logits
        return scores
