"""Precomputed features are read from one npz file per model."""

import numpy as np
import pytest

from transfer_exp.dataset.arrays import arrays
from transfer_exp.errors import InputError

LABELS = np.array([3, 7, 3, 7, 7, 3, 3, 7])


def save(path, **changes):
    """Save a valid file with some arrays changed, or left out if None."""
    rng = np.random.default_rng(len(path.name))
    content = {"features": rng.normal(size=(8, 5)).astype(np.float32), "labels": LABELS, **changes}
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return content


def test_a_folder_has_one_model_per_file(tmp_path):
    small = save(tmp_path / "resnet.npz")
    save(
        tmp_path / "a_vit.npz",
        features=np.ones((8, 2), dtype=np.float16),
        source_probabilities=np.full((8, 4), 0.25),
    )
    target = arrays(str(tmp_path))
    assert (target.models, target.class_names, target.name) == (
        ("a_vit", "resnet"),
        ("3", "7"),
        tmp_path.name,
    )
    feature_set = target.feature_set("resnet", "train")
    assert np.array_equal(feature_set.features, small["features"])
    assert feature_set.labels.tolist() == [0, 1, 0, 1, 1, 0, 0, 1]
    assert feature_set.source_probabilities is None
    assert target.feature_set("a_vit", "train").source_probabilities.shape == (8, 4)
    assert target.feature_set("a_vit", "train").features.dtype.kind == "f"


def test_one_file_is_one_model_with_a_stratified_scoring_set(tmp_path):
    content = save(tmp_path / "mine.npz", source_probabilities=np.eye(8))
    target = arrays(str(tmp_path / "mine.npz"), scoring_set_size=4, seed=1)
    scoring_set = target.feature_set("mine", "scoring_set")
    assert target.name == "mine"
    assert np.bincount(scoring_set.labels).tolist() == [2, 2]
    assert np.array_equal(scoring_set.features, content["features"][target.scoring_set])
    assert np.array_equal(scoring_set.source_probabilities, np.eye(8)[target.scoring_set])


def test_labels_may_be_strings_and_files_may_have_a_test_part(tmp_path):
    names = np.where(LABELS == 3, "wren", "heron")
    save(tmp_path / "m.npz", labels=names, test_features=np.ones((2, 5)), test_labels=names[[1, 0]])
    target = arrays(str(tmp_path))
    assert target.class_names == ("heron", "wren")
    feature_set = target.feature_set("m", "test")
    assert feature_set.labels.tolist() == [0, 1]
    assert feature_set.features.shape == (2, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, r"m\.npz has no array 'labels', only features"),
        ({"labels": LABELS.astype(float)}, r"labels of .*m\.npz must be \(N,\) integers or strings"),
        ({"labels": LABELS[:, None]}, r"labels of .*m\.npz must be \(N,\)"),
        ({"labels": LABELS.astype(object)}, r"cannot read labels of .*m\.npz .*allow_pickle=False"),
        ({"labels": np.zeros(8, dtype=int)}, "one class only"),
        ({"test_labels": np.array([5])}, "test_labels of .* hold 5, which is not among labels"),
        ({"features": None}, r"m\.npz has no array 'features', only labels"),
        ({"features": np.ones((7, 5))}, r"features of .*m\.npz: need features"),
        ({"features": np.full((8, 5), np.nan)}, r"features of .*m\.npz: features hold NaN .* row 0"),
        ({"features": np.ones((8, 5)).astype(object)}, r"cannot read features of .*m\.npz"),
        ({"source_probabilities": np.ones((8, 4))}, r"m\.npz: .*sum"),
        ({"source_probabilities": np.ones((7, 1))}, r"m\.npz: need "),
    ],
)
def test_an_invalid_array_is_reported_by_name(tmp_path, changes, message):
    save(tmp_path / "m.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        arrays(str(tmp_path)).feature_set("m", "train")
    assert "\n" not in str(caught.value)


def test_all_models_must_have_the_same_samples(tmp_path):
    save(tmp_path / "a.npz")
    save(tmp_path / "b.npz", labels=LABELS[::-1])
    with pytest.raises(InputError, match=r"labels of .*b\.npz differ from those of .*a\.npz"):
        arrays(str(tmp_path))
    save(tmp_path / "b.npz", test_labels=LABELS)
    with pytest.raises(InputError, match=r"test_labels of .*b\.npz differ"):
        arrays(str(tmp_path))


def test_training_and_test_features_must_have_the_same_width(tmp_path):
    save(tmp_path / "m.npz", test_features=np.ones((2, 4)), test_labels=LABELS[:2])
    with pytest.raises(InputError, match=r"features and test_features of .*m\.npz differ in width"):
        arrays(str(tmp_path)).feature_set("m", "test")


def test_missing_files_models_and_parts_are_reported(tmp_path):
    with pytest.raises(InputError, match="is neither an npz file nor a folder of them"):
        arrays(str(tmp_path))
    np.save(tmp_path / "single.npy", np.ones(3))
    with pytest.raises(InputError, match=r"single\.npy is a single array"):
        arrays(str(tmp_path / "single.npy"))
    (tmp_path / "m.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match=r"cannot read the names of .*m\.npz"):
        arrays(str(tmp_path / "m.npz"))
    save(tmp_path / "m.npz")
    target = arrays(str(tmp_path))
    with pytest.raises(InputError, match="has no model 'n'"):
        target.feature_set("n", "train")
    with pytest.raises(InputError, match=r"m\.npz has no test_features and test_labels"):
        target.feature_set("m", "test")
