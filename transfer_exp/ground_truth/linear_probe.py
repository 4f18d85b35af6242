"""Linear probing: logistic regression on stored features, all strengths fitted together, one chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.errors import InputError
from transfer_exp.ground_truth.measure import measured
from transfer_exp.ground_truth.probe_fit import LabelledFeatures, fit_probe, labelled_features
from transfer_exp.ground_truth.regime import Accuracy, Pairing, Split
from transfer_exp.progress import Track


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
        grid = fit_probe(train, classes, self.strengths, self.tolerance, self.iterations)
        scores = grid.scores(validation.features)
        reached = [measured(measure, s, validation.labels, validation.targets) for s in scores]
        best = int(np.argmax(reached))
        advance()
        chosen = self.strengths[best : best + 1]
        final = fit_probe(train.joined(validation), classes, chosen, self.tolerance, self.iterations)
        value = measured(measure, final.scores(test.features)[0], test.labels, test.targets)
        advance()
        converged = {
            "gradient": float(max(grid.fits.gradient.max(), final.fits.gradient.max())),
            "iterations": float(max(grid.fits.iterations.max(), final.fits.iterations.max())),
        }
        return Accuracy(value, measure, {"C": self.strengths[best], "validation": reached[best], **converged})

    def passes(self, images: Mapping[Split, int]) -> int:
        """As `CountsPasses`: each image once, for its features."""
        return sum(images.values())

    def _parts(self, pairing: Pairing) -> tuple[LabelledFeatures, LabelledFeatures, LabelledFeatures]:
        train, test = labelled_features(pairing, "train"), labelled_features(pairing, "test")
        if train is None or test is None:
            raise InputError("ground_truth=linear_probe needs a train and a test split: set ground_truth=none")
        validation = labelled_features(pairing, "validation")
        if validation is None:
            kept, held_out = stratified_split(train.labels, self.validation_fraction, self.seed)
            train, validation = train.at(kept), train.at(held_out)
        return train, validation, test
