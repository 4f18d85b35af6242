"""EMMS equals a literal version of the released algorithm, stays in its bounds and checks files of embeddings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_exp.errors import InputError
from transfer_exp.metric.emms import EMMS, emms, project_onto_simplex, read_embeddings


def labelled_features(seed=0, samples=150, dim=12, classes=3, signal=1.2):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, samples - classes)])
    return rng.standard_normal((samples, dim)) + signal * rng.standard_normal((classes, dim))[labels], labels


def slow_simplex(v):
    """Bisect the threshold that makes max(v - threshold, 0) sum to 1."""
    low, high = v.min() - 1, v.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(v - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(v - low, 0)


def slow_emms(features, labels, embeddings, rounds):
    def standardised(a):
        deviation = a.std(axis=0)
        return np.where(deviation > 1e-12, a - a.mean(axis=0), 0) / np.where(deviation > 1e-12, deviation, 1)

    x = standardised(features)
    y = [standardised(e[labels]) for e in embeddings]
    t = np.full(len(y), 1 / len(y))
    for _ in range(rounds):
        mixed = sum(w * target for w, target in zip(t, y, strict=True))
        fit = x @ np.linalg.lstsq(x, mixed, rcond=None)[0]
        t = slow_simplex(
            np.linalg.lstsq(np.stack([target.ravel() for target in y], axis=1), fit.ravel(), rcond=None)[0]
        )
    mixed = sum(w * target for w, target in zip(t, y, strict=True))
    return -np.mean((fit - mixed) ** 2)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(4, 60),
    st.integers(1, 80),
    st.integers(2, 4),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 10**6),
)
def test_score_equals_the_literal_algorithm(samples, dim, classes, foundations, width, rounds, seed):
    features, labels = labelled_features(seed, samples, dim, classes)
    embeddings = np.random.default_rng(seed + 1).standard_normal((foundations, classes, width))
    score = emms(features, labels, embeddings, rounds)
    assert score == pytest.approx(slow_emms(features, labels, embeddings, rounds), rel=1e-7, abs=1e-9)
    assert -4 <= score <= 0


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_simplex_projection_is_the_nearest_point(values):
    weights = project_onto_simplex(np.array(values))
    np.testing.assert_allclose(weights, slow_simplex(np.array(values)), atol=1e-9)
    assert weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(150, 12), (150, 80), (40, 90)])
@pytest.mark.parametrize("foundations", [None, 2])
def test_score_has_the_declared_invariances(shape, foundations):
    features, labels = labelled_features(2, *shape)
    rng = np.random.default_rng(3)
    embeddings = None if foundations is None else rng.standard_normal((foundations, 3, 5))
    score = emms(features, labels, embeddings)
    order = rng.permutation(len(labels))
    mixing = np.linalg.qr(rng.standard_normal((shape[1], shape[1])))[0] * np.linspace(0.5, 2, shape[1])
    for transformed in (features @ mixing + 3, 1.7 * features, 1e-8 * features, 1e8 * features):
        assert emms(transformed, labels, embeddings) == pytest.approx(score, rel=1e-9, abs=1e-12)
    assert emms(features[order], labels[order], embeddings) == pytest.approx(score, rel=1e-9, abs=1e-12)
    assert emms(features.astype(np.float16), labels, embeddings) == pytest.approx(score, rel=0.05, abs=1e-9)
    renamed, names = np.array([5, 1, 3])[labels], np.array([5, 1, 3])
    renamed_embeddings = None if embeddings is None else np.zeros((foundations, 6, 5))
    if renamed_embeddings is not None:
        renamed_embeddings[:, names] = embeddings
    assert emms(features, renamed, renamed_embeddings) == pytest.approx(score, rel=1e-9, abs=1e-12)


def test_one_hot_labels_give_the_bounds_for_constant_and_perfect_features():
    labels = np.repeat(np.arange(4), 6)
    assert emms(np.ones((24, 2)), labels) == pytest.approx(-1.0, abs=1e-12)
    assert emms(np.eye(4)[labels], labels) == pytest.approx(0.0, abs=1e-12)
    features, labels = labelled_features(4, 40, 90)
    assert emms(features, labels) == 0.0


def test_a_constant_column_of_an_embedding_adds_nothing():
    features, labels = labelled_features(11)
    embeddings = np.random.default_rng(12).standard_normal((2, 3, 4))
    embeddings[:, :, 3] = 0.1
    # The score is a mean over four columns, and this one adds zero.
    expected = 0.75 * emms(features, labels, embeddings[:, :, :3])
    assert emms(features, labels, embeddings) == pytest.approx(expected, rel=1e-9)


def test_real_labels_score_higher_than_shuffled_labels():
    features, labels = labelled_features(5)
    shuffled = [emms(features, np.random.default_rng(s).permutation(labels)) for s in range(5)]
    assert emms(features, labels) > max(shuffled)


def test_embeddings_are_read_from_a_file(tmp_path):
    features, labels = labelled_features(8)
    arrays = {"clip": np.random.default_rng(9).standard_normal((3, 4)), "bert": np.ones((3, 4), dtype=np.float32)}
    np.savez(tmp_path / "names.npz", **arrays)
    metric = EMMS(embeddings=str(tmp_path / "names.npz"))
    np.testing.assert_array_equal(read_embeddings(metric.embeddings), np.stack([arrays["bert"], arrays["clip"]]))
    assert metric(features, labels) == emms(features, labels, np.stack([arrays["bert"], arrays["clip"]]))
    assert EMMS()(features, labels) == emms(features, labels)


def test_invalid_files_and_embeddings_are_rejected(tmp_path):
    features, labels = labelled_features(10)
    np.savez(tmp_path / "mixed.npz", a=np.ones((3, 4)), b=np.ones((3, 5)))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    np.save(tmp_path / "single.npy", np.ones((3, 4)))
    np.savez(tmp_path / "short.npz", a=np.ones((2, 4)))
    for name in ("mixed.npz", "pickled.npz", "single.npy", "missing.npz"):
        with pytest.raises(InputError, match=f"{name} of emms"):
            EMMS(embeddings=str(tmp_path / name))(features, labels)
    with pytest.raises(InputError, match="cover 2 classes, but labels reach 2"):
        EMMS(embeddings=str(tmp_path / "short.npz"))(features, labels)
    with pytest.raises(InputError, match="hold NaN"):
        emms(features, labels, np.full((1, 3, 2), np.nan))
    with pytest.raises(InputError, match="must be numbers"):
        emms(features, labels, np.zeros((1, 3, 0)))
    with pytest.raises(InputError, match="rounds=0"):
        EMMS(rounds=0)(features, labels)
