"""Copies of a picture are found in every format and size, and different pictures are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfer_exp.dataset.findings import LEVELS, MIN_RANGE, create_thumbnail, group_equal, group_similar


def photo(seed, side=128):
    """Return a smooth random picture, similar to a photo."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def reencode(image, **options):
    """Return a picture after writing it to a file format."""
    file = io.BytesIO()
    image.save(file, **options)
    return Image.open(file).convert("RGB")


def test_a_thumbnail_is_the_mean_colours_of_a_grid():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
    means = pixels.reshape(8, 3, 8, 2, 3).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(create_thumbnail(Image.fromarray(pixels)), means, atol=1)


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: reencode(image, format="JPEG", quality=75),
        lambda image: reencode(image, format="WEBP", quality=80),
        lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
        lambda image: image.resize((200, 300), Image.Resampling.BILINEAR),
    ],
    ids=["jpeg", "webp", "smaller", "stretched"],
)
def test_a_copy_of_a_picture_is_similar_and_different_pictures_are_not(copy):
    pictures = [photo(seed) for seed in range(30)]
    thumbs = np.stack([create_thumbnail(image) for image in [*pictures, copy(pictures[7])]])
    assert group_similar(thumbs) == [(7, 30)]


def test_a_mirrored_picture_is_different():
    image = photo(0)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert group_similar(np.stack([create_thumbnail(image), create_thumbnail(mirrored)])) == []


def example_thumbnails(*values):
    """Return thumbnails that are not plain and differ in one value."""
    thumbs = np.tile(np.linspace(50, 200, 192).astype(np.uint8), (len(values), 1))
    thumbs[:, 0] = values
    return thumbs


def test_thumbnails_within_the_limit_are_similar():
    assert group_similar(example_thumbnails(100, 100 + LEVELS)) == [(0, 1)]
    assert group_similar(example_thumbnails(100, 101 + LEVELS)) == []


def test_an_image_similar_to_one_of_a_group_belongs_to_it():
    assert group_similar(example_thumbnails(40, 200, 50, 45, 206)) == [(0, 2, 3)]


def test_plain_images_are_not_compared():
    plain = np.full((2, 192), 90, dtype=np.uint8)
    plain[:, 0] += MIN_RANGE - 1
    assert group_similar(plain) == []
    plain[:, 0] += 1
    assert group_similar(plain) == [(0, 1)]
    assert group_similar(plain[:1]) == group_similar(plain[:0]) == []


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 3))
def test_groups_equal_those_of_comparing_all_pairs(seed, images, spread):
    rng = np.random.default_rng(seed)
    thumbs = example_thumbnails(*range(60, 60 + images))
    thumbs[:, :4] = rng.integers(0, 8 * spread, (images, 4)) + 60
    near = (np.abs(thumbs[:, None].astype(int) - thumbs[None]).max(axis=2) <= LEVELS).astype(int)
    is_connected = np.linalg.matrix_power(near, images) > 0
    expected = {tuple(np.flatnonzero(row).tolist()) for row in is_connected}
    # The eight nearest neighbours suffice if each thumbnail has at most eight similar ones.
    if near.sum(axis=1).max() <= 9:
        assert set(group_similar(thumbs)) == {group for group in expected if len(group) > 1}


def test_many_copies_of_one_picture_are_one_group():
    assert [len(group) for group in group_similar(example_thumbnails(*[100] * 5000))] == [5000]


def test_equal_entries_are_grouped_in_order():
    assert group_equal(["a", "b", "c", "b", "a", "b"]) == [(0, 4), (1, 3, 5)]
