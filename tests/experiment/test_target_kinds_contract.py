"""Every metric scores images with several labels, and numbers, or is refused by name before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from transfer_exp.cli.instantiate import build
from transfer_exp.dataset.array_conversion import convert_features
from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import SharedInputError
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.features.model_on_target import ModelArrays
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.pca import Pca
from transfer_exp.progress import silent

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf" / "metric"
RNG = np.random.default_rng(0)
FLAGS = np.maximum(np.eye(3, dtype=np.int64)[np.arange(60) % 3], RNG.random((60, 3)) < 0.3).astype(np.int64)
NUMBERS = RNG.uniform(1, 90, 60)
LABELS = {"multi_label": FLAGS, "regression": NUMBERS}
SCORED = {
    "multi_label": {"cka", "h_score", "knn", "lfc", "linear_classifier", "logme", "logme_regression", "parc", "ridge"}
    | {"recommended"},
    "regression": {"cka", "etran", "h_score", "knn", "logme", "logme_regression", "ridge"},
}
UNLABELLED = {"alpha_req", "parameter_count", "rankme", "random", "imagenet_accuracy", "stable_rank"}
# They need a head, a network or a table, which arrays do not have.
NEED_MORE = {"atc", "entropy", "free_energy", "max_softmax", "rest", "static_rank", "weight_alpha", "learned_fusion"}
NEED_MORE |= {"imagenet_accuracy", "parameter_count"}


def pairing(kind, signal=0.0):
    columns = (FLAGS if kind == "multi_label" else NUMBERS[:, None] / 20).astype(float)
    features = np.random.default_rng(1).standard_normal((60, 20))
    features[:, : columns.shape[1]] += signal * columns
    return ModelArrays("features", arrays(convert_features(features, LABELS[kind])))


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("option", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_metric_has_a_score_or_is_refused_by_name(kind, option):
    if option in NEED_MORE:
        return
    config = OmegaConf.create({"seed": 0, "metric": OmegaConf.load(CONF / f"{option}.yaml")})
    metric = build("metric", OmegaConf.to_container(config, resolve=True)["metric"])
    scoring = Scoring(metric, NoPerturbation(), seed=0)
    if option in SCORED[kind] | UNLABELLED:
        parts = [scoring.compute_parts(pairing(kind, signal), NoGroundTruth()) for signal in (0.0, 3.0)]
        weak, strong = scoring.combine(parts)
        assert np.isfinite([weak, strong]).all()
        assert option not in SCORED[kind] or strong > weak, "features that show the labels have the higher score"
    else:
        words = {"multi_label": "images with several labels", "regression": "numbers as labels"}[kind]
        with pytest.raises(SharedInputError, match=f"{metric.name} on model features: not applicable to {words}"):
            scoring.compute_parts(pairing(kind), NoGroundTruth())


@pytest.mark.parametrize("kind", LABELS)
def test_perturbations_that_move_classes_are_refused(kind):
    metric = build("metric", {"_target_": "transfer_exp.metric.logme.LogME"})
    assert np.isfinite(
        Scoring(metric, Pca(), 0).combine([Scoring(metric, Pca(), 0).compute_parts(pairing(kind), NoGroundTruth())])
    )
    with pytest.raises(SharedInputError, match="perturbation attract moves classes, and is not applicable to"):
        Scoring(metric, Attract(), 0).compute_parts(pairing(kind), NoGroundTruth())


@pytest.mark.parametrize(("kind", "chance"), [("multi_label", 0.7), ("regression", 0.3)])
def test_a_linear_probe_learns_labels_and_numbers(kind, chance, tmp_path):
    rng = np.random.default_rng(1)
    columns = (FLAGS if kind == "multi_label" else NUMBERS[:, None] / 20).astype(float)
    features = rng.standard_normal((60, 6))
    features[:, : columns.shape[1]] += 4 * columns
    labels, path = LABELS[kind], tmp_path / "m.npz"
    np.savez(path, features=features[:40], labels=labels[:40], test_features=features[40:], test_labels=labels[40:])
    accuracy = LinearProbe()(ModelArrays("m", arrays(str(path))), silent)
    assert accuracy.measure == {"multi_label": "mean_average_precision", "regression": "r2"}[kind]
    assert chance < accuracy.value <= 1
