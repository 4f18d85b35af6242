"""Images decoded once for all models: the same features to the bit, from fewer readings, in bounded memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from transfer_exp.errors import InputError
from transfer_exp.experiment.precompute import Precomputation
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.pixels import Pixels
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.progress import silent

SIDE, SIZE = 8, 5
ONE = SIDE * SIDE * 3
"""Bytes of an image."""


class Middle:
    """Cuts out the middle of an image."""

    def __init__(self, side=SIDE):
        self.side = side

    def __call__(self, image):
        return image.crop((2, 2, 2 + self.side, 2 + self.side))

    def __repr__(self):
        return f"Middle({self.side})"


@pytest.fixture
def readings():
    """Count how often each image is read."""
    return Counter()


@pytest.fixture
def images(dataset, readings):
    return counted(dataset.train, readings)


def counted(images, readings):
    def read(i):
        readings[i] += 1
        return images.read(i)

    return replace(images, read=read)


def of(pixels, images, geometry=None, size=SIZE, workers=0):
    return list(pixels.batches(images, geometry or Middle(), size, workers))


def expected(images):
    return torch.stack([torch.from_numpy(np.array(Middle()(images.read(i)))) for i in range(len(images))])


def same(batches, images):
    assert [len(batch) for batch in batches] == [SIZE] * 7 + [1], "36 images, by five"
    return torch.equal(torch.cat(batches), expected(images))


def test_who_asks_again_gets_the_same_batches_and_nothing_is_read(dataset, images, readings):
    pixels = Pixels()
    assert same(of(pixels, images), dataset.train)
    assert same(of(pixels, images), dataset.train)
    assert readings == Counter(range(36))
    assert pixels.nbytes == 36 * ONE


@pytest.mark.parametrize("room", [0, 1, 5, 7, 17, 35, 36])
def test_what_does_not_fit_is_read_again_and_the_bound_holds(room, dataset, images, readings):
    pixels = Pixels(room * ONE)
    for _ in range(3):
        for _ in pixels.batches(images, Middle(), SIZE, 0):
            assert pixels.nbytes <= room * ONE
    assert same(of(pixels, images), dataset.train)
    kept = 36 if room == 36 else room // SIZE * SIZE
    assert pixels.nbytes == kept * ONE <= room * ONE
    assert readings == Counter({i: 1 if i < kept else 4 for i in range(36)})


@pytest.mark.parametrize(
    "other",
    [
        lambda images: (replace(images, fingerprint=lambda i: b"other"), Middle(), SIZE),
        lambda images: (images.subset(np.arange(36)[::-1]), Middle(), SIZE),
        lambda images: (images, Middle(7), SIZE),
        lambda images: (images, Middle(), SIZE + 1),
    ],
    ids=["images", "order", "geometry", "batch size"],
)
def test_pixels_of_anything_else_are_read_anew(other, images, readings):
    pixels = Pixels()
    of(pixels, images)
    changed, geometry, size = other(images)
    found = of(pixels, changed, geometry, size)
    assert set(readings.values()) == {2}
    first = torch.from_numpy(np.array(geometry(changed.read(0))))
    assert torch.equal(found[0][0], first)
    assert len(found[0]) == size


def test_room_is_made_by_forgetting_what_was_not_asked_for_longest(dataset, images, readings):
    pixels = Pixels(80 * ONE)
    first, second, third = (replace(images, fingerprint=lambda i, name=name: name) for name in (b"1", b"2", b"3"))
    for split in (first, second, first, third):
        assert same(of(pixels, split), dataset.train)
    assert set(readings.values()) == {3}
    of(pixels, first)
    assert set(readings.values()) == {3}, "the second made room"
    assert same(of(pixels, second), dataset.train)
    assert set(readings.values()) == {4}
    assert pixels.nbytes <= 80 * ONE


def test_an_interrupted_pass_leaves_what_it_read_and_no_more(dataset, images, readings):
    def fails(i):
        if i == 12:
            raise InputError("picture 12 is not readable")
        return images.read(i)

    pixels = Pixels()
    with pytest.raises(InputError, match="picture 12"):
        of(pixels, replace(images, read=fails))
    assert same(of(pixels, images), dataset.train)
    assert readings == Counter({i: 2 if i in (10, 11) else 1 for i in range(36)}), "two batches were whole"


def test_two_at_once_do_not_mix(dataset, images):
    pixels = Pixels()
    passes = [pixels.batches(images, Middle(), SIZE, 0) for _ in range(2)]
    ours, theirs = zip(*zip(*passes, strict=True), strict=True)
    assert same(ours, dataset.train)
    assert same(theirs, dataset.train)
    assert same(of(pixels, images), dataset.train)


@pytest.mark.slow  # starts processes
def test_other_processes_decode_the_same_and_nothing_stays_in_the_memory_they_share(dataset, images, readings):
    pixels = Pixels()
    assert same(of(pixels, images, workers=2), dataset.train)
    kept = of(pixels, images)
    assert same(kept, dataset.train)
    assert not readings, "all were read elsewhere"
    assert not any(batch.is_shared() for batch in kept)


@pytest.fixture(scope="module")
def models():
    """Return networks of which three see images alike but for normalisation, and one sees larger ones."""
    alike = {"input_size": (3, 32, 32), "crop_pct": 1.0, "interpolation": "bicubic"}
    own = ({}, {"mean": (0.4, 0.5, 0.6)}, {"std": (0.3, 0.2, 0.1)}, {"input_size": (3, 40, 40)})
    found = {}
    for name in ("resnet_glyphs", "efficientnet_glyphs"):
        model = builtin((name,)).candidates[0].load()
        for settings in own:
            transform, _ = create_transforms(model.backbone.network, {**alike, **settings})
            found[f"{name} {settings}"] = replace(model, transform=transform)
    return found


@pytest.mark.parametrize("room", [0, 3 * 7 * 32 * 32, 3 * 20 * 32 * 32, 2**31])
def test_features_are_to_the_bit_those_of_separate_passes(room, models, images, store):
    extractor = Extractor(store, "cpu", 7, 0, silent, Pixels(room))
    for name, model in models.items():
        whole = replace(model, transform=lambda image, model=model: model.transform(image))
        shared, separate = (extractor.compute(name, own, images) for own in (model, whole))
        assert shared.keys() == separate.keys() == {"features", "source_probabilities"}
        for part in shared:
            np.testing.assert_array_equal(shared[part], separate[part])


def test_the_jobs_of_a_sweep_in_one_process_decode_once(models, dataset, readings, store):
    own = replace(counted(dataset.train, readings), fingerprint=lambda i: b"of these jobs alone")
    target = replace(dataset, train=own, scoring_set=own)
    for name, model in models.items():
        candidate = Candidate(name, lambda own=model, name=name: replace(own, identity={"weights": name}))
        Precomputation(ModelPool("one", (candidate,)), target, store, "cpu", 64, 0).features(("scoring_set",))
    assert readings == Counter(dict.fromkeys(range(36), 2)), "once for each of two input sizes"
