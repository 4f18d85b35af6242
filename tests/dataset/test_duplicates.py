"""The same picture is found however it is written, and no other."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfer_exp.dataset.duplicates import LEVELS, PLAIN, copies, look_alikes, thumbnail


def photo(seed, side=128):
    """A smooth picture of its own, as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def written(image, **how):
    """The picture as it comes back from a file of a format."""
    file = io.BytesIO()
    image.save(file, **how)
    return Image.open(file).convert("RGB")


def test_a_thumbnail_is_the_mean_colours_of_a_grid():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
    means = pixels.reshape(8, 3, 8, 2, 3).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(thumbnail(Image.fromarray(pixels)), means, atol=1)


@pytest.mark.parametrize(
    "again",
    [
        lambda image: written(image, format="JPEG", quality=75),
        lambda image: written(image, format="WEBP", quality=80),
        lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
        lambda image: image.resize((200, 300), Image.Resampling.BILINEAR),
    ],
    ids=["jpeg", "webp", "smaller", "stretched"],
)
def test_a_picture_that_is_written_again_looks_the_same_and_another_does_not(again):
    pictures = [photo(seed) for seed in range(30)]
    thumbs = np.stack([thumbnail(image) for image in [*pictures, again(pictures[7])]])
    assert look_alikes(thumbs) == [(7, 30)]


def test_a_mirrored_picture_is_another():
    image = photo(0)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert look_alikes(np.stack([thumbnail(image), thumbnail(mirrored)])) == []


def rows(*values):
    """Thumbnails of which one value is given and the others are the same, and not plain."""
    thumbs = np.tile(np.linspace(50, 200, 192).astype(np.uint8), (len(values), 1))
    thumbs[:, 0] = values
    return thumbs


def test_the_distance_counts_to_the_level():
    assert look_alikes(rows(100, 100 + LEVELS)) == [(0, 1)]
    assert look_alikes(rows(100, 101 + LEVELS)) == []


def test_who_looks_like_one_of_a_group_belongs_to_it():
    assert look_alikes(rows(40, 200, 50, 45, 206)) == [(0, 2, 3)]


def test_plain_images_are_not_compared():
    plain = np.full((2, 192), 90, dtype=np.uint8)
    plain[:, 0] += PLAIN - 1
    assert look_alikes(plain) == []
    plain[:, 0] += 1
    assert look_alikes(plain) == [(0, 1)]
    assert look_alikes(plain[:1]) == look_alikes(plain[:0]) == []


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 3))
def test_groups_are_those_of_comparing_all_with_all(seed, images, spread):
    rng = np.random.default_rng(seed)
    thumbs = rows(*range(60, 60 + images))
    thumbs[:, :4] = rng.integers(0, 8 * spread, (images, 4)) + 60
    near = (np.abs(thumbs[:, None].astype(int) - thumbs[None]).max(axis=2) <= LEVELS).astype(int)
    reached = np.linalg.matrix_power(near, images) > 0
    expected = {tuple(np.flatnonzero(row).tolist()) for row in reached}
    # With at most nine thumbnails within reach of each, none is too many for the nearest eight.
    if near.sum(axis=1).max() <= 9:
        assert set(look_alikes(thumbs)) == {group for group in expected if len(group) > 1}


def test_many_of_one_picture_are_one_group_without_comparing_all_pairs():
    assert [len(group) for group in look_alikes(rows(*[100] * 5000))] == [5000]


def test_copies_are_equal_entries_in_order():
    assert copies(["a", "b", "c", "b", "a", "b"]) == [(0, 4), (1, 3, 5)]
