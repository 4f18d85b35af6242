"""Projections lie on the principal plane, before and after; recall, radius and gap equal those of a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.html.folders import LABELS, scoring_set
from transfer_exp.errors import InputError
from transfer_exp.perturbation.pca import pca
from transfer_exp.report.html.projection import check_size, class_separation, plotted_samples, project_features

ALL_SAMPLES = np.arange(len(LABELS))


def coordinates(projection):
    return np.array(projection.points, dtype=float).reshape(-1, 2)


def rotation(dim, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def test_the_plane_is_that_of_the_first_two_principal_components():
    features = np.random.default_rng(0).normal(size=(60, 12)) * np.arange(1, 13)
    labels = np.repeat([0, 1], 30)
    centred = features - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = 100 * (left * values)[:, :2] / np.sqrt((centred**2).sum(axis=1).mean())
    projection = project_features(features, labels, None).before
    points = coordinates(projection)
    assert projection.variance == pytest.approx(values[:2] ** 2 / (values**2).sum(), abs=1e-4)
    assert np.abs(np.abs(points) - np.abs(expected)).max() <= 0.5 + 1e-6
    assert (np.abs(np.diag(np.corrcoef(points.T, expected.T)[:2, 2:])) > 0.999).all()


@pytest.mark.parametrize("perturb", [lambda f: f @ rotation(6) + 3, lambda f: pca(f, 64), lambda f: pca(f, 3)])
def test_the_axes_stay_the_same_in_the_space_of_the_perturbed_features(perturb):
    features = scoring_set("dim").features
    view = project_features(features, LABELS, perturb(features))
    assert np.abs(coordinates(view.after) - coordinates(view.before)).max() <= 1


def test_the_scale_stays_the_same_so_that_shrinking_is_visible():
    features = scoring_set("dim").features
    view = project_features(features, LABELS, features / 4)
    assert np.abs(coordinates(view.after) - coordinates(view.before) / 4).max() <= 1


@pytest.mark.parametrize("magnitude", [1e-40, 1.0, 1e40])
def test_a_change_of_units_changes_only_distances(magnitude):
    features = scoring_set("dim").features
    plain, scaled = (
        project_features(features, LABELS, None).before,
        project_features(features * magnitude, LABELS, None).before,
    )
    assert np.abs(coordinates(plain) - coordinates(scaled)).max() <= 1
    assert plain.separation.recall == scaled.separation.recall
    assert np.array(scaled.separation.gap) == pytest.approx(np.array(plain.separation.gap) * magnitude, rel=1e-3)


@pytest.mark.parametrize(
    "features", [np.zeros((36, 6)), np.ones((36, 1)), np.arange(36.0)[:, None], np.eye(36)[:, :2]], ids=str
)
def test_features_of_fewer_than_two_dimensions_are_projected(features):
    view = project_features(features, LABELS, features[:, :1])
    for side in (view.before, view.after):
        assert np.isfinite(coordinates(side)).all()
        assert len(coordinates(side)) == 36


def test_the_same_features_give_the_same_coordinates():
    features = scoring_set("dark").features
    assert project_features(features, LABELS, features) == project_features(features.copy(), LABELS, features.copy())


def test_the_input_is_not_modified():
    features = scoring_set("dim").features
    original = features.copy()
    project_features(features, LABELS, features)
    assert (features == original).all()


@given(counts=st.lists(st.integers(1, 9), min_size=2, max_size=5), dim=st.integers(1, 8), seed=st.integers(0, 999))
def test_recall_radius_and_gap_equal_those_of_a_slow_loop(counts, dim, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    features = np.random.default_rng(seed).normal(size=(len(labels), dim)) + labels[:, None]
    result = class_separation(features, labels, np.arange(len(labels)))
    means = np.array([features[labels == c].mean(axis=0) for c in range(len(counts))])
    for c, count in enumerate(counts):
        members = np.flatnonzero(labels == c)
        other_classes = [k for k in range(len(counts)) if k != c]
        gaps = np.linalg.norm(means[c] - means[other_classes], axis=1)
        assert result.gap[c] == pytest.approx(gaps.min(), rel=1e-3)
        assert result.closest[c] == other_classes[int(gaps.argmin())]
        radius = np.sqrt(((features[members] - means[c]) ** 2).sum(axis=1).mean())
        assert result.within[c] == pytest.approx(radius, rel=1e-3, abs=1e-12)
        if count == 1:
            assert result.recall[c] is None
            assert all(c != confused for confused, _, _ in result.confused)
            continue
        nearest_classes = []
        for i in members:
            without = features[[j for j in members if j != i]].mean(axis=0)
            distances = np.linalg.norm(features[i] - means[other_classes], axis=1)
            is_right = np.linalg.norm(features[i] - without) < distances.min()
            nearest_classes.append(c if is_right else other_classes[int(distances.argmin())])
        assert result.recall[c] == pytest.approx(nearest_classes.count(c) / count, abs=1e-4)
        shares = {other: round(nearest_classes.count(other) / count, 4) for other in {*nearest_classes} - {c}}
        assert {other: share for confused, other, share in result.confused if confused == c} == pytest.approx(shares)


def test_limits_of_recall():
    separated = np.eye(6)[LABELS] * 100 + scoring_set("clear").features
    assert class_separation(separated, LABELS, ALL_SAMPLES).recall == (1.0, 1.0, 1.0)
    assert class_separation(np.ones((36, 4)), LABELS, ALL_SAMPLES).recall == (0.0, 0.0, 0.0), "a tie does not count"


def test_a_large_scoring_set_is_sampled_but_its_means_use_every_sample():
    labels = np.repeat([0, 2], [3000, 1000])
    features = np.random.default_rng(0).normal(size=(4000, 3)) + labels[:, None]
    samples = plotted_samples(labels, ("one", "absent", "two"))
    assert samples.names == ("one", "two")
    assert samples.counts == (3000, 1000)
    assert np.bincount(samples.labels).tolist() == [750, 250]
    view = project_features(features, labels, None)
    assert len(coordinates(view.before)) == 1000
    assert view.before.separation.gap[0] == pytest.approx(
        np.linalg.norm(features[:3000].mean(axis=0) - features[3000:].mean(axis=0)), rel=1e-3
    )


def test_a_scoring_set_too_large_for_a_page_is_refused():
    with pytest.raises(InputError, match="4000 samples of 3000 features"):
        check_size(np.broadcast_to(0.0, (4000, 3000)), np.arange(4000) % 2)
    with pytest.raises(InputError, match="600 classes"):
        check_size(np.zeros((1200, 2)), np.arange(1200) % 600)
    check_size(scoring_set("dim").features, LABELS)


def test_many_classes_have_confused_pairs_and_no_points():
    labels = np.arange(44) % 11
    features = np.random.default_rng(0).normal(size=(44, 5))
    assert plotted_samples(labels, tuple("abcdefghijk")).labels == ()
    projection = project_features(features, labels, features / 2).after
    assert (projection.points, projection.variance) == ((), None)
    shares = [share for _, _, share in projection.separation.confused]
    assert 0 < len(shares) <= 20
    assert shares == sorted(shares, reverse=True)
