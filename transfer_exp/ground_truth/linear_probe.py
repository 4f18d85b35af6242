"""Linear probing: a logistic regression on frozen features, its strength chosen on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from transfer_exp.dataset.stratification import stratified_split
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

    Attributes
    ----------
    strengths
        Inverse regularisation strengths to choose from (scikit-learn's C).
    validation_fraction
        Part of the training split to choose by, where the dataset publishes no validation split.
    seed
        Draws that part.
    """

    trains: ClassVar[bool] = True

    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    validation_fraction: float = 0.25
    seed: int = 0

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after refitting on train and validation with the best strength.

        Raises
        ------
        InputError
            When the dataset has no test split.
        """
        train, validation, test = self._parts(pairing)
        measure = getattr(pairing.dataset, "measure", "accuracy")
        classes = len(pairing.dataset.class_names)
        advance = track(f"{pairing.name}: linear probe", len(self.strengths) + 1)
        reached = []
        for strength in self.strengths:
            scores = _scores(train, validation, strength, classes)
            reached.append(measured(measure, scores, validation.labels, validation.targets))
            advance()
        best = self.strengths[int(np.argmax(reached))]
        scores = _scores(train.joined(validation), test, best, classes)
        advance()
        value = measured(measure, scores, test.labels, test.targets)
        return Accuracy(value, measure, {"C": best, "validation": max(reached)})

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


def _scores(train: _Part, test: _Part, strength: float, classes: int) -> Float[np.ndarray, "samples classes"]:
    """Fit on one part and return decision scores of the other, one column per class, absent classes at -inf."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression: Any = LogisticRegression(C=strength, max_iter=3000)
    if train.targets is not None:
        regression = OneVsRestClassifier(regression)
    fitted = make_pipeline(StandardScaler(), regression)
    fitted.fit(train.features, train.labels if train.targets is None else train.targets)
    decisions = fitted.decision_function(test.features)
    if decisions.ndim == 1:
        decisions = np.stack([-decisions, decisions], axis=1)
    scores = np.full((len(test.labels), classes), -np.inf)
    scores[:, fitted.classes_] = decisions
    return scores
