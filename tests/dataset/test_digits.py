"""The default dataset has twenty real training images of each digit."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from transfer_exp.dataset.digits import _read_rows, digits
from transfer_exp.errors import InputError


def test_splits_are_disjoint_and_balanced():
    target = digits()
    assert np.bincount(target.train.labels).tolist() == [20] * 10
    assert len(target.test) == 1797 - 200
    prints = [{split.fingerprint(i) for i in range(len(split))} for split in (target.train, target.test)]
    assert not prints[0] & prints[1]
    assert target.validation is None


def test_images_are_the_published_pixels_in_rgb():
    target, source = digits(seed=2), load_digits()
    by_pixels = {
        np.rint(image * 255 / 16).astype(np.uint8).tobytes(): label
        for image, label in zip(source.images, source.target, strict=True)
    }
    image = target.test.read(5)
    assert (image.mode, image.size) == ("RGB", (8, 8))
    pixels = np.asarray(image)
    assert pixels.max() > 200
    assert (pixels == pixels[..., :1]).all()
    assert by_pixels[pixels[..., 0].tobytes()] == target.test.labels[5]


def test_digits_are_the_same_if_scikit_learn_has_their_file_elsewhere(monkeypatch):
    digest = digits().train.digest
    monkeypatch.setattr("transfer_exp.dataset.digits.find_spec", lambda name: None)
    _read_rows.cache_clear()
    try:
        assert digits().train.digest == digest
    finally:
        _read_rows.cache_clear()


def test_the_seed_and_the_scoring_set_size_select_images():
    target = digits(train_per_class=10, scoring_set_size=50, seed=1)
    assert np.bincount(target.scoring_set.labels).tolist() == [5] * 10
    assert target.train.digest == digits(train_per_class=10, seed=1).train.digest
    assert target.train.digest != digits(train_per_class=10, seed=2).train.digest


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (175, "dataset.train_per_class=175: class 8 has only 174 images: set at most 174"),
        (1, "dataset.train_per_class=1: need at least 2 images of each class"),
        (-1, "dataset.train_per_class=-1: need at least 2"),
    ],
)
def test_an_impossible_number_of_training_images_is_refused(amount, message):
    with pytest.raises(InputError, match=message):
        digits(train_per_class=amount)
