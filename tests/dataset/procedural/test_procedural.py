"""Source and target tasks have no class in common, and a drawing depends only on its seed."""

from __future__ import annotations

import numpy as np
import pytest

from transfer_exp.dataset.procedural import fractals, glyphs, shapes, textures

TASKS = [fractals, glyphs, shapes, textures]
NAMES = ["fractals", "glyphs", "shapes", "textures"]


@pytest.mark.parametrize("module", TASKS, ids=NAMES)
def test_source_and_target_have_no_class_in_common(module):
    assert not set(module.SOURCE.class_names) & set(module.TARGET.class_names)
    assert len(module.TARGET.class_names) == 10


def test_glyphs_have_no_font_in_common_and_no_digits():
    assert not set(glyphs.SOURCE_FONTS) & set(glyphs.TARGET_FONTS)
    assert not any(name.isdigit() for name in glyphs.SOURCE.class_names)


@pytest.mark.parametrize("module", TASKS, ids=NAMES)
def test_a_drawing_depends_only_on_its_generator(module):
    for task in (module.SOURCE, module.TARGET):
        first, repeated, different = (task.draw(3, np.random.default_rng(seed)) for seed in (5, 5, 6))
        np.testing.assert_array_equal(first, repeated)
        assert (first != different).any()
        assert first.std() > 5, "a drawing must not be uniform"


@pytest.mark.parametrize("name", NAMES)
def test_the_dataset_is_balanced_and_its_splits_are_disjoint(name):
    dataset = getattr({"fractals": fractals, "glyphs": glyphs, "shapes": shapes, "textures": textures}[name], name)(
        train_per_class=3, test_per_class=2, scoring_set_size=20, seed=1
    )
    assert np.bincount(dataset.train.labels).tolist() == [3] * 10
    assert len(dataset.scoring_set) == 20
    train = {dataset.train.read(i).tobytes() for i in range(len(dataset.train))}
    test = {dataset.test.read(i).tobytes() for i in range(len(dataset.test))}
    assert len(train) == 30
    assert not train & test


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_classes_can_be_distinguished(name):
    module = dict(zip(NAMES, TASKS, strict=True))[name]
    task = module.TARGET
    draw = lambda label, i: np.asarray(task.draw(label, np.random.default_rng([i, label])), float).mean(2)  # noqa: E731
    spectrum = lambda image: np.abs(np.fft.fft2((image - image.mean()) / image.std()))  # noqa: E731
    means = [np.mean([spectrum(draw(c, i)) for i in range(30)], axis=0) for c in range(10)]
    is_correct = [
        np.argmin([np.abs(spectrum(draw(c, i)) - mean).sum() for mean in means]) == c
        for c in range(10)
        for i in range(100, 108)
    ]
    assert np.mean(is_correct) > 0.25, "amplitude spectra must be better than chance, which is 0.1"
