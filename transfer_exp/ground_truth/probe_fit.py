"""Logistic regression on features with labels: fitted to a part, and applied to another or made a layer of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from transfer_exp.errors import InputError
from transfer_exp.ground_truth.logistic_regression import Fits, logistic_regression
from transfer_exp.ground_truth.regime import Pairing, Split
from transfer_exp.statistics.feature_set import FeatureSet


@dataclass(frozen=True, eq=False)
class LabelledFeatures:
    """Features and what is to be predicted from them: labels, or several classes at once."""

    features: Float[np.ndarray, "samples dim"]
    labels: Int[np.ndarray, " samples"]
    targets: Int[np.ndarray, "samples classes"] | None = None

    def at(self, chosen: Int[np.ndarray, " chosen"]) -> LabelledFeatures:
        """Return the samples at some positions."""
        targets = None if self.targets is None else self.targets[chosen]
        return LabelledFeatures(self.features[chosen], self.labels[chosen], targets)

    def joined(self, other: LabelledFeatures) -> LabelledFeatures:
        """Return these samples followed by the ``other`` ones."""
        targets = None
        if self.targets is not None and other.targets is not None:
            targets = np.concatenate([self.targets, other.targets])
        features = np.concatenate([self.features, other.features])
        return LabelledFeatures(features, np.concatenate([self.labels, other.labels]), targets)


def labelled_features(pairing: Pairing, split: Split) -> LabelledFeatures | None:
    """Return the features of a split, and its several-class targets where it has any; None without that split."""
    found: FeatureSet | None = pairing.features(split)
    if found is None:
        return None
    images = pairing.images(split)
    return LabelledFeatures(found.features, found.labels, None if images is None else images.targets)


def fit_probe(
    part: LabelledFeatures, classes: int, strengths: Sequence[float], tolerance: float = 1e-5, iterations: int = 1000
) -> ProbeFit:
    """Fit all strengths to standardised features of one part.

    Raises
    ------
    InputError
        When the part shows fewer than two classes.
    NotApplicableError
        When a fit does not converge, see `logistic_regression`.
    """
    targets = np.eye(classes, dtype=np.int64)[part.labels] if part.targets is None else part.targets
    always = targets.all(axis=0)
    fitted = np.flatnonzero(targets.any(axis=0) & ~always)
    if not len(fitted):
        raise InputError("a linear probe needs two classes in the training split: set ground_truth=none")
    exclusive = part.targets is None
    questions = fitted[1:] if exclusive and len(fitted) == 2 else fitted
    centre, scale = _standard(part.features)
    fits = logistic_regression(
        (part.features - centre) / scale,
        targets[:, questions].astype(np.float64),
        strengths,
        "softmax" if exclusive and len(fitted) > 2 else "sigmoid",
        tolerance,
        iterations,
    )
    return ProbeFit(fits, centre, scale, np.where(always, np.inf, -np.inf), fitted)


@dataclass(frozen=True, eq=False)
class ProbeFit:
    """Fits of all strengths, and how to apply them.

    Attributes
    ----------
    fits
        To standardised features.
    centre, scale
        What standardised them.
    constant
        (C,), infinity for a class that all samples show, minus infinity for any other.
    fitted
        The classes that some samples show and some do not.
    """

    fits: Fits
    centre: Float[np.ndarray, " dim"]
    scale: Float[np.ndarray, " dim"]
    constant: Float[np.ndarray, " classes"]
    fitted: Int[np.ndarray, " fitted"]

    def scores(self, features: Float[np.ndarray, "samples dim"]) -> Float[np.ndarray, "grid samples classes"]:
        """Return decision scores; those of classes that were never (or always) seen are infinite."""
        weights = self.fits.weights / self.scale[:, None]
        logits = (features - self.centre) @ weights + self.fits.intercepts[:, None]
        if logits.shape[2] < len(self.fitted):
            logits = np.concatenate([-logits, logits], axis=2)
        scores = np.empty((len(logits), len(features), len(self.constant)))
        scores[:] = self.constant
        scores[:, :, self.fitted] = logits
        return scores

    def layer(self, samples: int) -> nn.Linear:
        """Return a layer from features (B, D) to logits (B, C) that does what the first strength does.

        Parameters
        ----------
        samples
            N of the fit: a class that none (or all) of so many samples show gets the logit minus (plus) log(N + 1).
        """
        weights, bias = self.fits.weights[0] / self.scale[:, None], self.fits.intercepts[0]
        bias = bias - self.centre @ weights
        if len(bias) < len(self.fitted):  # two classes share the one logit
            weights, bias = np.concatenate([-weights, weights], axis=1) / 2, np.concatenate([-bias, bias]) / 2
        layer = nn.Linear(len(weights), len(self.constant))
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(torch.from_numpy(np.sign(self.constant) * np.log(samples + 1)))
            layer.weight[self.fitted] = torch.from_numpy(weights.T).float()
            layer.bias[self.fitted] = torch.from_numpy(bias).float()
        return layer


def _standard(
    features: Float[np.ndarray, "samples dim"],
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Return mean and standard deviation of each feature, 1 for one that is constant but for rounding."""
    exact = features.astype(np.float64)
    centre, spread = exact.mean(axis=0), exact.std(axis=0)
    rounding = 8 * np.finfo(features.dtype).eps * np.abs(exact).max(axis=0)
    return centre, np.where(spread > rounding, spread, 1.0)
