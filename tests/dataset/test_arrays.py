"""Precomputed features are read from one npz file per model."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from transfer_exp.dataset.array_conversion import convert_features
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
        ({"labels": np.full((8, 3), 0.5)}, r"labels of .*m\.npz hold 0.5 at sample 0, label 'column 0': use 0 and 1"),
        ({"labels": np.full(8, np.nan)}, r"labels of .*m\.npz hold NaN, first at 0: leave the sample out"),
        ({"labels": LABELS.astype(object)}, r"cannot read labels of .*m\.npz .*Python objects.*\.astype\(str\)"),
        (
            {"features": np.arange(40).reshape(8, 5) + 2**60},
            "hold whole numbers up to 1e.18, which look like ids: leave those out",
        ),
        ({"features": np.ones((8, 5), dtype=complex)}, "real numbers, not complex128"),
        ({"labels": np.zeros(8, dtype=int)}, "one class only"),
        ({"test_labels": np.array([5])}, "test_labels of .* hold 5, which is not among labels"),
        ({"features": None}, r"m\.npz has no array 'features', only labels"),
        ({"features": np.ones((7, 5))}, r"m\.npz has 7 rows of features but 8 labels: save one label for each row"),
        ({"features": np.ones((8, 4, 4))}, r"m\.npz: features have shape \(8, 4, 4\), need one row per image: pool or"),
        ({"features": np.ones(8)}, r"m\.npz: features have shape \(8,\), need one row .* flatten them to \(8, D\)"),
        ({"features": np.float64(1)}, r"m\.npz: features have shape \(\), need one row per image"),
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


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 4 + ["b"] * 3 + ["c"], "class 'c' has 1 training sample, and needs at least two: add .* class out$"),
        (
            [1] * 7 + [0],
            "class '0' has 1 training sample, and needs .*; numbers to predict are .* the array target of a file",
        ),
        (np.arange(8), "class '0' has 1 training sample, and needs .*; numbers to predict are the argument numbers"),
        ([True] * 7 + [False], "class 'False' has 1 training sample, and needs .* leave the class out$"),
        ([str(number / 4) for number in range(8)], r"class '0\.0' has 1 training .* numbers to predict are"),
        ([f"{number},5" for number in range(8)], "class '0,5' has 1 training .* numbers to predict are"),
        ([f"-{number}e-3" for number in range(8)], "class '-0e-3' has 1 training .* numbers to predict are"),
    ],
)
def test_a_class_of_one_sample_is_refused_and_numbers_get_advice(labels, message):
    with pytest.raises(InputError, match=f"labels of model features: {message}"):
        arrays(convert_features(np.ones((8, 2)), labels))


def test_texts_of_numbers_are_classes_if_each_has_two_samples():
    assert arrays(convert_features(np.ones((8, 2)), ["0.5", "1.5"] * 4)).class_names == ("0.5", "1.5")


SAME = {
    "list": list,
    "series": pd.Series,
    "categorical": pd.Categorical,
    "strings of pandas": lambda labels: pd.Series(labels, dtype="string"),
    "objects": lambda labels: labels.astype(object),
    "bytes": lambda labels: labels.astype("S"),
    "column": lambda labels: labels[:, None],
    "frame": lambda labels: pd.DataFrame({"label": labels}),
    "one-hot frame": pd.get_dummies,
}


@pytest.mark.parametrize("kind", SAME)
def test_labels_of_any_library_are_those_of_an_array(kind):
    names = np.where(LABELS == 3, "wren", "heron")
    expected = arrays(convert_features(np.ones((8, 2)), names))
    target = arrays(convert_features(np.ones((8, 2)), SAME[kind](names)))
    assert target.class_names == expected.class_names == ("heron", "wren")
    assert target.labels.tolist() == expected.labels.tolist()


@pytest.mark.parametrize(
    "convert",
    [
        torch.tensor,
        lambda codes: torch.tensor(codes).bool(),
        lambda codes: codes.astype(bool),
        lambda codes: [bool(code) for code in codes],
        lambda codes: np.eye(2)[codes],
        lambda codes: csr_matrix(np.eye(2)[codes]),
        lambda codes: pd.Series(codes, dtype="Int64"),
        lambda codes: codes.astype(np.uint8),
        lambda codes: list(torch.tensor(codes)),
        lambda codes: [torch.tensor(float(code), requires_grad=True).bool() for code in codes],
    ],
)
def test_labels_may_be_numbers_truth_values_or_one_hot(tmp_path, convert):
    codes = (LABELS == 7).astype(int)
    labels = convert(codes)
    assert arrays(convert_features(np.ones((8, 2)), labels)).labels.tolist() == codes.tolist()
    if isinstance(labels, np.ndarray):
        save(tmp_path / "m.npz", labels=labels)
        assert arrays(str(tmp_path / "m.npz")).labels.tolist() == codes.tolist()


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x).bfloat16(),
        lambda x: torch.tensor(x).half(),
        lambda x: torch.tensor(x).to_sparse(),
        csr_matrix,
        pd.DataFrame,
        lambda x: pd.DataFrame(x).astype("Float64"),
        lambda x: x.astype(object),
        lambda x: x.tolist(),
        lambda x: list(torch.tensor(x, requires_grad=True)),
        lambda x: np.ma.array(x, mask=np.zeros_like(x)),
    ],
)
def test_features_of_any_library_are_those_of_an_array(convert):
    features = np.random.default_rng(0).integers(-8, 8, (8, 3)) / 4
    target = arrays(convert_features({"timm/net": convert(features)}, LABELS))
    assert (target.name, target.models) == ("features", ("timm/net",))
    assert np.array_equal(target.feature_set("timm/net", "train").features, features)


FRAME = pd.DataFrame(np.ones((8, 2)))


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ({}, LABELS, "there are features of no model"),
        ({3: FRAME}, LABELS, "3 is not the name of a model"),
        (FRAME.assign(label="wren"), LABELS, "column 'label' of features of model features does not hold numbers"),
        ({"a": [["1", "2"]] * 8}, LABELS, "features of model a hold objects of type str: pass an array of numbers"),
        ({"a": None}, LABELS, "features of model a hold objects of type NoneType"),
        (np.ma.array(FRAME, mask=np.eye(8, 2)), LABELS, "features of model features have masked values"),
        (FRAME, np.ma.array(LABELS, mask=LABELS == 3), "labels have masked values"),
        (FRAME, ["wren", None] * 4, "labels have no value at position 1"),
        (FRAME, ["wren", float("nan")] * 4, "labels have no value at position 1"),
        (FRAME, pd.Series([1, None] * 4), "labels hold NaN, first at 1"),
        (FRAME, pd.Series([1, None] * 4, dtype="Int64"), "labels h.* at .*1"),
        (FRAME, ["wren", 3] * 4, "labels hold objects of type int, str: pass an array of strings or of integers"),
        (FRAME, [], "labels are empty: pass one class per sample"),
        (FRAME, pd.Series([], dtype="string"), "labels are empty"),
        (FRAME, ["wren", " "] * 4, "labels have no value at position 1"),
        (FRAME, np.array(["wren", float("nan")] * 4), "labels are 'nan' at position 1, which NumPy makes of a missing"),
        (FRAME, pd.Series(["wren", pd.NA] * 4, dtype="string"), "labels have no value at position 1"),
        (FRAME, [2**70, 1] * 4, "labels hold whole numbers of more than 64 bits"),
        (FRAME, np.full((8, 2), 2), "labels hold 2 at sample 0, label 'column 0': use 0 and 1"),
        (FRAME, LABELS * 1j, r"labels must be \(N,\) integers or strings, not \(8,\) complex128"),
        (FRAME, LABELS * 2.0, r"labels must be \(N,\) integers or strings, not \(8,\) float64: convert"),
        (FRAME, pd.date_range("2020", periods=8), r"labels must be \(N,\) integers or strings"),
        (
            FRAME,
            pd.Series(LABELS, index=range(7, -1, -1)),
            r"features of model features and labels have different indices \(row 0 is 0 and 7\): .*\.loc\[",
        ),
        (
            FRAME,
            pd.Series(LABELS, index=range(1, 9)),
            r"features and labels have different indices \(row 0 is 0 and 1\)",
        ),
        (FRAME, pd.Series(LABELS, index=list("01234576")), r"different indices \(row 6 is 6 and 7\)"),
        ({"a": FRAME, "b": FRAME[::-1]}, LABELS, "features of model a and features of model b have different indices"),
        (
            {"a": FRAME, "b": FRAME.set_axis(list("stuvwxyz")), "c": FRAME.set_axis(list("tuvwxyzs"))},
            LABELS,
            r"model b and features of model c have different indices \(row 0 is s and t\): .*\.to_numpy\(\)",
        ),
    ],
)
def test_features_and_labels_that_cannot_be_converted_are_refused(features, labels, message):
    with pytest.raises(InputError, match=message) as caught:
        arrays(convert_features(features, labels))
    assert "tmp" not in str(caught.value)


def test_all_models_must_have_the_same_samples(tmp_path):
    save(tmp_path / "a.npz")
    save(tmp_path / "b.npz", labels=LABELS[::-1])
    with pytest.raises(InputError, match=r"labels of .*b\.npz differ from those of .*a\.npz"):
        arrays(str(tmp_path))
    save(tmp_path / "b.npz", test_labels=LABELS)
    with pytest.raises(InputError, match=r"test_labels of .*b\.npz differ"):
        arrays(str(tmp_path))


def test_a_wrong_number_of_labels_is_refused_from_the_header(tmp_path):
    save(tmp_path / "a.npz")
    save(tmp_path / "b.npz", features=np.ones((7, 5)))
    with pytest.raises(InputError, match=r"b\.npz has 7 rows of features but 8 labels: save one label for each row"):
        arrays(str(tmp_path))
    save(tmp_path / "b.npz", features=np.ones((8, 5)).astype(object))
    assert arrays(str(tmp_path)).models == ("a", "b"), "a file that cannot be read is left out when it is scored"


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


def test_a_file_may_hold_source_images(tmp_path):
    source = {"source_features": np.ones((3, 5)), "source_labels": np.array([0, 2, 1])}
    save(tmp_path / "a.npz", **source, source_set_probabilities=np.eye(3))
    save(tmp_path / "b.npz", **source)
    save(tmp_path / "c.npz")
    target = arrays(str(tmp_path))
    source_set = target.source_set("a")
    assert source_set.features.shape == (3, 5)
    assert source_set.labels.tolist() == [0, 2, 1]
    assert np.array_equal(source_set.source_probabilities, np.eye(3))
    assert target.source_set("b").source_probabilities is None
    assert target.source_set("c") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_labels": None}, "no array 'source_labels'"),
        ({"source_labels": np.array(["x", "y", "z"])}, "must be .n,. integers"),
        ({"source_labels": np.array([1, 2, 3])}, "run from 1 to 3, and source_set_probabilities have 3 columns"),
        ({"source_labels": np.array([0, 1])}, "got .3, 3. and .2,."),
        ({"source_features": np.full((3, 5), np.nan)}, "source_features of .*NaN"),
    ],
)
def test_source_images_that_do_not_fit_are_refused(tmp_path, changes, message):
    source = {"source_features": np.ones((3, 5)), "source_labels": np.array([0, 2, 1])}
    save(tmp_path / "a.npz", **{**source, "source_set_probabilities": np.eye(3), **changes})
    with pytest.raises(InputError, match=message):
        arrays(str(tmp_path)).source_set("a")


def test_two_models_with_the_same_name_in_other_unicode_forms_are_refused():
    x = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(InputError, match="two models have the same name"):
        convert_features({"caf\u00e9": x, "cafe\u0301": x}, [0, 1] * 3)


def test_frames_with_equal_or_unrelated_indices_are_read():
    features = {
        "a": FRAME,
        "b": FRAME.set_axis(np.arange(8.0)),
        "c": FRAME.set_axis(list("stuvwxyz")),
        "d": FRAME.to_numpy(),
    }
    for labels in (pd.Series(LABELS), pd.Series(LABELS, index=range(10, 18)), LABELS):
        assert list(convert_features(features, labels).features) == list("abcd")


def test_a_class_may_be_called_nan_where_no_missing_value_can_be_meant(tmp_path):
    names = ["nan", "wren"] * 4
    for labels in (names, pd.Series(names, dtype=object), pd.Categorical(names)):
        assert arrays(convert_features(np.ones((8, 2)), labels)).class_names == ("nan", "wren")
    save(tmp_path / "m.npz", labels=np.array(names))
    with pytest.raises(InputError, match=r"labels of .*m\.npz are 'nan' at position 0, .*: .* write another name"):
        arrays(str(tmp_path / "m.npz"))


def test_an_empty_label_is_refused():
    with pytest.raises(InputError, match="labels have no value at position 2"):
        convert_features(np.zeros((4, 2)), ["a", "b", "", "a"])


def test_a_frame_of_labels_in_another_order_is_refused():
    frame = pd.DataFrame(np.zeros((4, 2)), index=[10, 11, 12, 13])
    labels = pd.DataFrame({"label": list("abab")}, index=[10, 11, 13, 12])
    with pytest.raises(InputError):
        convert_features(frame, labels)


def test_a_name_with_a_lone_surrogate_is_escaped():
    converted = convert_features({"a\ud800": np.zeros((4, 2))}, [0, 1, 0, 1])
    (name,) = converted.features
    assert name.encode()
