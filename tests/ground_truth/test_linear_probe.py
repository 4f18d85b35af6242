"""Linear probing: agreement with scikit-learn, and separation of its splits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch_helpers import fake_pairing

from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.linear_probe import LinearProbe, fit_probe
from transfer_exp.progress import silent
from transfer_exp.statistics.feature_set import FeatureSet


def _features(samples, seed, classes=3, dim=6, noise=1.2):
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    centres = np.random.default_rng(9).normal(size=(classes, dim))
    return FeatureSet((centres[labels] + noise * rng.normal(size=(samples, dim))).astype(np.float32), labels)


def _pairing(splits, classes=3, images=None, measure="accuracy"):
    dataset = SimpleNamespace(class_names=tuple("abcdef")[:classes], n_outputs=classes, measure=measure)
    return fake_pairing(dataset=dataset, features=splits.get, images=(images or {}).get)


def test_a_probe_of_one_penalty_equals_logistic_regression_of_scikit_learn():
    splits = {"train": _features(90, 0), "validation": _features(60, 1), "test": _features(200, 2)}
    value = LinearProbe(strengths=(0.1,))(_pairing(splits), silent).value
    both = np.concatenate([splits["train"].features, splits["validation"].features])
    scaler = StandardScaler().fit(both)
    reference = LogisticRegression(C=0.1, max_iter=3000).fit(
        scaler.transform(both), np.concatenate([splits["train"].labels, splits["validation"].labels])
    )
    assert value == reference.score(scaler.transform(splits["test"].features), splits["test"].labels)


def test_the_test_labels_do_not_affect_the_chosen_penalty():
    splits = {"train": _features(30, 0), "validation": _features(300, 1), "test": _features(50, 2)}
    honest = LinearProbe()(_pairing(splits), silent)
    shuffled = FeatureSet(splits["test"].features, np.roll(splits["test"].labels, 1))
    misled = LinearProbe()(_pairing({**splits, "test": shuffled}), silent)
    assert honest.chosen == misled.chosen
    assert honest.value > misled.value


def test_without_a_validation_split_part_of_train_is_held_out():
    accuracy = LinearProbe()(_pairing({"train": _features(90, 0), "test": _features(90, 1)}), silent)
    assert 0.5 < accuracy.value <= 1
    assert accuracy.chosen["C"] in LinearProbe().strengths


def test_two_classes_have_two_columns():
    splits = {"train": _features(40, 0, classes=2), "test": _features(40, 1, classes=2)}
    assert LinearProbe()(_pairing(splits, classes=2), silent).value > 0.5


def test_a_class_absent_from_training_is_never_predicted():
    train, test = _features(60, 0), _features(60, 1)
    splits = {"train": train.subset(train.labels != 2), "test": test}
    assert LinearProbe()(_pairing(splits), silent).value <= 2 / 3


def test_multi_label_classes_are_probed_one_against_the_rest():
    splits = {"train": _features(90, 0), "test": _features(60, 1)}
    images = {
        split: LabelledImages(s.labels, str, str, np.eye(3, dtype=np.int64)[s.labels]) for split, s in splits.items()
    }
    accuracy = LinearProbe()(_pairing(splits, images=images, measure="map_11point"), silent)
    assert accuracy.measure == "map_11point"
    assert 0.5 < accuracy.value <= 1


def test_scores_equal_those_of_scikit_learn_for_two_and_more_classes():
    """Includes a constant feature, and features that are not standardised."""
    for classes in (2, 3):
        train, test = _features(60, 0, classes=classes), _features(40, 1, classes=classes)
        scaled = [FeatureSet(np.c_[s.features * 50 + 7, np.full(len(s.labels), 0.1)], s.labels) for s in (train, test)]
        fitted, held_out = (FeatureSet(s.features, s.labels) for s in scaled)
        scores = fit_probe(fitted, classes, (0.3,), 1e-8).scores(held_out.features)[0]
        scaler = StandardScaler().fit(fitted.features)
        reference = LogisticRegression(C=0.3, tol=1e-10, max_iter=10_000).fit(
            scaler.transform(fitted.features), fitted.labels
        )
        expected = reference.decision_function(scaler.transform(held_out.features))
        expected = np.stack([-expected, expected], axis=1) if classes == 2 else expected
        np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_convergence_is_reported_and_its_lack_is_an_error():
    splits = {"train": _features(90, 0), "test": _features(60, 1)}
    chosen = LinearProbe()(_pairing(splits), silent).chosen
    assert 0 < chosen["gradient"] <= 1e-5
    assert 1 < chosen["iterations"] < 100
    assert LinearProbe()(_pairing(splits), silent) == LinearProbe()(_pairing(splits), silent)
    with pytest.raises(NotApplicableError, match="did not converge"):
        LinearProbe(iterations=2)(_pairing(splits), silent)


def test_classes_that_no_or_all_samples_show_have_infinite_scores():
    train = _features(60, 0)
    targets = np.stack([train.labels == 0, np.zeros(60), np.ones(60)], axis=1).astype(np.int64)
    part = FeatureSet(train.features, train.labels, targets=targets)
    scores = fit_probe(part, 3, (0.1, 1.0)).scores(part.features)
    assert np.isfinite(scores[:, :, 0]).all()
    assert (scores[:, :, 1] == -np.inf).all()
    assert (scores[:, :, 2] == np.inf).all()


def test_a_single_class_cannot_be_probed():
    train = _features(30, 0)
    single_class = FeatureSet(train.features, np.zeros(30, dtype=np.int64))
    with pytest.raises(InputError, match="two classes"):
        LinearProbe()(_pairing({"train": single_class, "test": train}), silent)


def test_a_dataset_without_test_split_is_refused():
    with pytest.raises(InputError, match="ground_truth=none"):
        LinearProbe()(_pairing({"train": _features(30, 0)}), silent)


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), (0, 2, 3), (1, 3)], ids=["all", "all but one", "two"])
def test_the_layer_of_a_fit_predicts_the_same_classes_as_its_scores(classes):
    rng = np.random.default_rng(0)
    labels = np.resize(classes, 60)
    features = (rng.normal(size=(60, 5)) + np.eye(5)[labels] * 3).astype(np.float32)
    fit = fit_probe(FeatureSet(features, labels), 4, (0.1,))
    with torch.no_grad():
        logits = fit.as_layer(60)(torch.from_numpy(features)).numpy()
    scores = fit.scores(features)[0]
    assert (logits.argmax(axis=1) == scores.argmax(axis=1)).all()
    layer_margin, score_margin = (s[:, classes[-1]] - s[:, classes[0]] for s in (logits, scores))
    np.testing.assert_allclose(layer_margin, score_margin / (2 if len(classes) == 2 else 1), rtol=1e-4, atol=1e-4)
    assert np.allclose(np.delete(logits, classes, axis=1), -np.log(61))


@pytest.mark.parametrize("measure", ["rmse", "mae"])
def test_the_penalty_with_the_smallest_error_is_chosen_and_the_error_is_in_the_unit_of_the_numbers(measure):
    def numbers(samples, seed):
        x = np.random.default_rng(seed).normal(size=(samples, 5))
        targets = 50 + 10 * x[:, :1] + np.random.default_rng(seed + 9).normal(size=(samples, 1))
        return FeatureSet(x.astype(np.float32), np.zeros(samples, dtype=np.int64), targets=targets)

    splits = {"train": numbers(60, 0), "validation": numbers(40, 1), "test": numbers(40, 2)}
    accuracy = LinearProbe()(_pairing(splits, classes=1, measure=measure), silent)
    assert accuracy.chosen["C"] == 1.0, "nearly linear numbers need no penalty"
    assert 0.5 < accuracy.value < 1.5
