"""Options of the small datasets: parts of their classes, noise, rotation, other alphabets and systems."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from transfer_exp.dataset.digits import digits
from transfer_exp.dataset.procedural import fractals, glyphs, shapes, textures
from transfer_exp.dataset.target_dataset import add_noise, select_classes
from transfer_exp.errors import InputError

SMALL = {"train_per_class": 2, "test_per_class": 1, "scoring_set_size": None, "seed": 0}
PROCEDURAL = {
    "fractals": fractals.fractals,
    "glyphs": glyphs.glyphs,
    "shapes": shapes.shapes,
    "textures": textures.textures,
}
DIGESTS = {
    "digits": "1a25b5a6",
    "fractals": "a9916dce",
    "glyphs": "e0629e24",
    "shapes": "9ece4101",
    "textures": "5d69955b",
}
"""First digits of the digest of the scoring set, from before these options existed."""


@pytest.mark.parametrize("name", DIGESTS)
def test_the_defaults_give_the_images_from_before_the_options_existed(name):
    dataset = digits() if name == "digits" else PROCEDURAL[name](**SMALL)
    assert dataset.scoring_set.digest.startswith(DIGESTS[name])


@pytest.mark.parametrize("name", PROCEDURAL)
def test_noise_changes_each_image_by_its_deviation(name):
    clean, noisy = (PROCEDURAL[name](**SMALL, noise=noise) for noise in (0.0, 0.1))
    assert clean.class_names == noisy.class_names
    for i in range(len(clean.train)):
        difference = np.asarray(noisy.train.read(i), float) - np.asarray(clean.train.read(i), float)
        assert 0.04 < difference.std() / 255 < 0.12, "clipping reduces the deviation"


@pytest.mark.parametrize(
    ("dataset", "classes"),
    [
        (shapes.shapes, ("fish", "arrow")),
        (textures.textures, ("bricks", "rings_3", "cells_8")),
        (glyphs.glyphs, ("Ю", "Б")),
    ],
)
def test_a_part_of_the_classes_in_the_given_order(dataset, classes):
    target = dataset(**SMALL, classes=classes)
    assert target.class_names == classes
    assert np.bincount(target.train.labels).tolist() == [2] * len(classes)


def test_a_part_of_the_classes_has_the_drawings_of_these_classes():
    part = shapes.shapes(**SMALL, classes=("fish", "arrow"))
    rng = np.random.default_rng([0, 0])
    np.testing.assert_array_equal(np.asarray(part.train.read(0)), shapes.TARGET.draw(7, rng))
    assert shapes.TARGET.class_names[7] == "fish"


def test_no_alphabet_shares_a_letter_with_the_source_task_or_another_alphabet():
    letters = [*glyphs.SOURCE.class_names, *(name for task in glyphs.TARGETS.values() for name in task.class_names)]
    assert len(letters) == len(set(letters))
    assert {len(task.class_names) for task in glyphs.TARGETS.values()} == {10}


@pytest.mark.parametrize("alphabet", glyphs.TARGETS)
def test_every_font_has_every_letter(alphabet):
    for font in glyphs.TARGET_FONTS:
        render = partial(glyphs._render, font=font)
        drawn = [
            render(letter, rng=np.random.default_rng(0)).tobytes() for letter in glyphs.TARGETS[alphabet].class_names
        ]
        assert len(set(drawn)) == 10, "a missing letter is drawn as the same box"


def test_families_of_fractals_have_different_systems():
    first, second = (fractals.fractals(**SMALL, family=family, n_classes=3) for family in (7001, 7002))
    assert first.class_names == ("ifs_7001_0", "ifs_7001_1", "ifs_7001_2")
    assert not set(first.class_names) & set(second.class_names)
    assert first.train.digest != second.train.digest


def test_digits_of_some_classes_keep_their_pixels():
    part, whole = digits(classes=(8, 3)), digits()
    assert part.class_names == ("8", "3")
    known = {whole.train.read(i).tobytes() for i in range(len(whole.train)) if whole.train.labels[i] in (3, 8)}
    known |= {whole.test.read(i).tobytes() for i in range(len(whole.test)) if whole.test.labels[i] in (3, 8)}
    assert {part.train.read(i).tobytes() for i in range(len(part.train))} <= known


@pytest.mark.slow
def test_changed_digits():
    plain, inverted, rotated = digits(), digits(inverted=True), digits(rotation=90.0)
    np.testing.assert_array_equal(255 - np.asarray(plain.train.read(3)), np.asarray(inverted.train.read(3)))
    assert rotated.train.read(0).size == (32, 32)
    assert len({digits(rotation=90.0, noise=0.2).train.digest for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(digits, classes=(3, 3)), "names '3' twice"),
        (partial(digits, classes=(3, 10)), "no class '10'"),
        (partial(digits, classes=(3,)), "at least two classes"),
        (partial(digits, noise=1.5), "noise=1.5"),
        (partial(digits, rotation=-1.0), "rotation=-1"),
        (partial(shapes.shapes, **SMALL, classes=("fisch", "arrow")), "no class 'fisch'.*fish"),
        (partial(shapes.shapes, **SMALL, noise=float("nan")), "noise=nan"),
        (partial(glyphs.glyphs, **SMALL, alphabet="greeek"), "greek"),
        (partial(fractals.fractals, **SMALL, family=2020), "family=2020.*source task"),
        (partial(fractals.fractals, **SMALL, n_classes=1), "n_classes=1"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_select_classes_and_add_noise():
    assert select_classes(("a", "b", "c"), None) == (0, 1, 2)
    assert select_classes(("a", "b", "c"), ("c", "a")) == (2, 0)
    grey = np.full((50, 50), 128, np.uint8)
    noisy = add_noise(grey, 0.1, np.random.default_rng(0)).astype(float)
    assert abs(noisy.std() - 25.5) < 2
