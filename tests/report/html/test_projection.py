"""Views: the plane is that of the principal components, before and after; recalls are those of a slow count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.html.folders import LABELS, scoring_set
from transfer_exp.errors import InputError
from transfer_exp.perturbation.pca import pca
from transfer_exp.report.html.class_separation import separation
from transfer_exp.report.html.projection import check_size, samples_of, view_of

EVERY = np.arange(len(LABELS))


def picture(side):
    return np.array(side.points, dtype=float).reshape(-1, 2)


def rotation(dim, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def test_the_plane_is_that_of_the_first_two_principal_components():
    features = np.random.default_rng(0).normal(size=(60, 12)) * np.arange(1, 13)
    labels = np.repeat([0, 1], 30)
    centred = features - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = 100 * (left * values)[:, :2] / np.sqrt((centred**2).sum(axis=1).mean())
    found = picture(view_of(features, labels, None).before)
    assert np.abs(np.abs(found) - np.abs(expected)).max() <= 0.5 + 1e-6
    assert (np.abs(np.diag(np.corrcoef(found.T, expected.T)[:2, 2:])) > 0.999).all()


@pytest.mark.parametrize("perturb", [lambda f: f @ rotation(6) + 3, lambda f: pca(f, 64), lambda f: pca(f, 3)])
def test_the_axes_stay_whatever_space_a_perturbation_leads_to(perturb):
    features = scoring_set("dim").features
    view = view_of(features, LABELS, perturb(features))
    assert np.abs(picture(view.after) - picture(view.before)).max() <= 1


def test_the_scale_stays_so_that_what_shrinks_is_seen_to_shrink():
    features = scoring_set("dim").features
    view = view_of(features, LABELS, features / 4)
    assert np.abs(picture(view.after) - picture(view.before) / 4).max() <= 1


@pytest.mark.parametrize("magnitude", [1e-40, 1.0, 1e40])
def test_units_do_not_matter_but_for_distances(magnitude):
    features = scoring_set("dim").features
    plain, scaled = view_of(features, LABELS, None).before, view_of(features * magnitude, LABELS, None).before
    assert np.abs(picture(plain) - picture(scaled)).max() <= 1
    assert plain.separation.recall == scaled.separation.recall
    assert np.array(scaled.separation.gap) == pytest.approx(np.array(plain.separation.gap) * magnitude, rel=1e-3)


@pytest.mark.parametrize(
    "features", [np.zeros((36, 6)), np.ones((36, 1)), np.arange(36.0)[:, None], np.eye(36)[:, :2]], ids=str
)
def test_features_of_less_than_two_dimensions_are_drawn_too(features):
    view = view_of(features, LABELS, features[:, :1])
    for side in (view.before, view.after):
        assert np.isfinite(picture(side)).all()
        assert len(picture(side)) == 36


def test_the_same_features_give_the_same_picture():
    features = scoring_set("dark").features
    assert view_of(features, LABELS, features) == view_of(features.copy(), LABELS, features.copy())


def test_input_is_left_as_it_was():
    features = scoring_set("dim").features
    kept = features.copy()
    view_of(features, LABELS, features)
    assert (features == kept).all()


@given(counts=st.lists(st.integers(1, 9), min_size=2, max_size=5), dim=st.integers(1, 8), seed=st.integers(0, 999))
def test_recall_radius_and_gap_are_those_of_a_slow_count(counts, dim, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    features = np.random.default_rng(seed).normal(size=(len(labels), dim)) + labels[:, None]
    found = separation(features, labels, np.arange(len(labels)))
    means = np.array([features[labels == c].mean(axis=0) for c in range(len(counts))])
    for c, count in enumerate(counts):
        own = np.flatnonzero(labels == c)
        others = [k for k in range(len(counts)) if k != c]
        gaps = np.linalg.norm(means[c] - means[others], axis=1)
        assert found.gap[c] == pytest.approx(gaps.min(), rel=1e-3)
        assert found.closest[c] == others[int(gaps.argmin())]
        radius = np.sqrt(((features[own] - means[c]) ** 2).sum(axis=1).mean())
        assert found.within[c] == pytest.approx(radius, rel=1e-3, abs=1e-12)
        if count == 1:
            assert found.recall[c] is None
            continue
        right = 0
        for i in own:
            without = features[[j for j in own if j != i]].mean(axis=0)
            nearest = np.linalg.norm(features[i] - means[others], axis=1).min()
            right += np.linalg.norm(features[i] - without) < nearest
        assert found.recall[c] == pytest.approx(right / count, abs=1e-4)


def test_limits_of_recall():
    apart = np.eye(6)[LABELS] * 100 + scoring_set("clear").features
    assert separation(apart, LABELS, EVERY).recall == (1.0, 1.0, 1.0)
    assert separation(np.ones((36, 4)), LABELS, EVERY).recall == (0.0, 0.0, 0.0), "a draw is no"


def test_a_large_probe_is_drawn_from_and_its_means_are_of_all():
    labels = np.repeat([0, 2], [3000, 1000])
    features = np.random.default_rng(0).normal(size=(4000, 3)) + labels[:, None]
    samples = samples_of(labels, ("one", "absent", "two"))
    assert samples.names == ("one", "two")
    assert samples.counts == (3000, 1000)
    assert np.bincount(samples.labels).tolist() == [750, 250]
    view = view_of(features, labels, None)
    assert len(picture(view.before)) == 1000
    assert view.before.separation.gap[0] == pytest.approx(
        np.linalg.norm(features[:3000].mean(axis=0) - features[3000:].mean(axis=0)), rel=1e-3
    )


def test_what_is_too_large_for_a_page_is_refused():
    with pytest.raises(InputError, match="4000 samples of 3000 features"):
        check_size(np.broadcast_to(0.0, (4000, 3000)), np.arange(4000) % 2)
    with pytest.raises(InputError, match="600 classes"):
        check_size(np.zeros((1200, 2)), np.arange(1200) % 600)
    check_size(scoring_set("dim").features, LABELS)
