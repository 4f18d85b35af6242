"""Folders of images without labels: every image at any depth, and nothing that needs classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from transfer_exp.dataset.image_folder import unlabelled_images
from transfer_exp.dataset.inspection import inspect_dataset
from transfer_exp.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "train/cat/b.png", "test/dog/c.png", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_all_visible_images_count_and_folders_mean_nothing(folder):
    dataset = unlabelled_images(str(folder))
    assert (dataset.target_kind, len(dataset.train), len(dataset.test)) == ("unlabelled", 3, 0)
    assert set(dataset.train.labels) == {0}
    assert sum(map(len, dataset.passed_over.values())) == 2
    assert len(unlabelled_images(str(folder), scoring_set_size=2).scoring_set) == 2


def test_the_inspection_has_no_table_of_classes_and_no_finding_about_them(folder):
    lines = inspect_dataset(unlabelled_images(str(folder))).lines
    assert "no labels, 3 images" in lines[0]
    assert not any("class" in line for line in lines[1:])


def test_fewer_than_two_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no readable image in it or in its folders: a ranking needs at least"):
        unlabelled_images(str(tmp_path))
    with pytest.raises(InputError, match="is not a folder: set it to a folder of images"):
        unlabelled_images(str(tmp_path / "absent"))


def test_damaged_images_do_not_count(folder):
    (folder / "train/cat/b.png").write_bytes(b"damaged")
    assert len(unlabelled_images(str(folder), on_unreadable="skip").train) == 2
    (folder / "test/dog/c.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match="holds one readable image in it or in its folders"):
        unlabelled_images(str(folder), on_unreadable="skip")
