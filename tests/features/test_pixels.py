"""Pixel cache: bit-identical features, images decoded once for all models, bounded memory."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.torch_helpers import cached_bytes
from transfer_exp.errors import InputError
from transfer_exp.experiment.precompute import Precomputation
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.pixels import PixelCache
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.model_pool.preprocessing import create_transforms
from transfer_exp.progress import silent

SIDE, BATCH_SIZE = 8, 5
IMAGE_BYTES = SIDE * SIDE * 3


class CenterCrop:
    """Crop the centre of an image."""

    def __init__(self, side=SIDE):
        self.side = side

    def __call__(self, image):
        return image.crop((2, 2, 2 + self.side, 2 + self.side))

    def __repr__(self):
        return f"CenterCrop({self.side})"


@pytest.fixture
def reads():
    """Return how often each image was read."""
    return Counter()


@pytest.fixture
def images(dataset, reads):
    return count_reads(dataset.train, reads)


def count_reads(images, reads):
    def read(i):
        reads[i] += 1
        return images.read(i)

    return replace(images, read=read)


def batches_of(pixels, images, geometry=None, size=BATCH_SIZE, workers=0):
    return list(pixels.batches(images, geometry or CenterCrop(), size, workers))


def expected(images):
    return torch.stack([torch.from_numpy(np.array(CenterCrop()(images.read(i)))) for i in range(len(images))])


def same(batches, images):
    assert [len(batch) for batch in batches] == [BATCH_SIZE] * 7 + [1], "36 images in batches of five"
    return torch.equal(torch.cat(batches), expected(images))


def test_a_second_pass_gets_the_same_batches_and_reads_no_image(dataset, images, reads):
    pixels = PixelCache()
    assert same(batches_of(pixels, images), dataset.train)
    assert same(batches_of(pixels, images), dataset.train)
    assert reads == Counter(range(36))
    assert cached_bytes(pixels) == 36 * IMAGE_BYTES


@pytest.mark.parametrize("capacity", [0, 1, 5, 7, 17, 35, 36])
def test_images_that_do_not_fit_are_read_again_and_the_size_limit_holds(capacity, dataset, images, reads):
    pixels = PixelCache(capacity * IMAGE_BYTES)
    for _ in range(3):
        for _ in pixels.batches(images, CenterCrop(), BATCH_SIZE, 0):
            assert cached_bytes(pixels) <= capacity * IMAGE_BYTES
    assert same(batches_of(pixels, images), dataset.train)
    cached = 36 if capacity == 36 else capacity // BATCH_SIZE * BATCH_SIZE
    assert cached_bytes(pixels) == cached * IMAGE_BYTES <= capacity * IMAGE_BYTES
    assert reads == Counter({i: 1 if i < cached else 4 for i in range(36)})


@pytest.mark.parametrize(
    "change",
    [
        lambda images: (replace(images, fingerprint=lambda i: b"other"), CenterCrop(), BATCH_SIZE),
        lambda images: (images.subset(np.arange(36)[::-1]), CenterCrop(), BATCH_SIZE),
        lambda images: (images, CenterCrop(7), BATCH_SIZE),
        lambda images: (images, CenterCrop(), BATCH_SIZE + 1),
    ],
    ids=["images", "order", "geometry", "batch size"],
)
def test_other_images_order_geometry_or_batch_size_miss_the_cache(change, images, reads):
    pixels = PixelCache()
    batches_of(pixels, images)
    changed, geometry, size = change(images)
    batches = batches_of(pixels, changed, geometry, size)
    assert set(reads.values()) == {2}
    first = torch.from_numpy(np.array(geometry(changed.read(0))))
    assert torch.equal(batches[0][0], first)
    assert len(batches[0]) == size


def test_the_least_recently_used_split_is_dropped_first(dataset, images, reads):
    pixels = PixelCache(80 * IMAGE_BYTES)
    first, second, third = (replace(images, fingerprint=lambda i, name=name: name) for name in (b"1", b"2", b"3"))
    for split in (first, second, first, third):
        assert same(batches_of(pixels, split), dataset.train)
    assert set(reads.values()) == {3}
    batches_of(pixels, first)
    assert set(reads.values()) == {3}, "the second split was dropped"
    assert same(batches_of(pixels, second), dataset.train)
    assert set(reads.values()) == {4}
    assert cached_bytes(pixels) <= 80 * IMAGE_BYTES


def test_an_interrupted_pass_caches_its_complete_batches(dataset, images, reads):
    def fails(i):
        if i == 12:
            raise InputError("picture 12 is not readable")
        return images.read(i)

    pixels = PixelCache()
    with pytest.raises(InputError, match="picture 12"):
        batches_of(pixels, replace(images, read=fails))
    assert same(batches_of(pixels, images), dataset.train)
    assert reads == Counter({i: 2 if i in (10, 11) else 1 for i in range(36)}), "two batches were complete"


def test_two_simultaneous_passes_do_not_mix_their_batches(dataset, images):
    pixels = PixelCache()
    passes = [pixels.batches(images, CenterCrop(), BATCH_SIZE, 0) for _ in range(2)]
    first, second = zip(*zip(*passes, strict=True), strict=True)
    assert same(first, dataset.train)
    assert same(second, dataset.train)
    assert same(batches_of(pixels, images), dataset.train)


def test_simultaneous_passes_of_threads_use_what_the_cache_has(dataset, images, reads):
    pixels = PixelCache()
    batches_of(pixels, images)
    with ThreadPoolExecutor(4) as threads:
        passes = threads.map(lambda _: batches_of(pixels, images), range(8))
        assert all(same(batches, dataset.train) for batches in passes)
    assert set(reads.values()) == {1}


@pytest.mark.slow  # starts processes
def test_worker_processes_decode_the_same_pixels_and_none_stay_in_shared_memory(dataset, images, reads):
    pixels = PixelCache()
    assert same(batches_of(pixels, images, workers=2), dataset.train)
    cached = batches_of(pixels, images)
    assert same(cached, dataset.train)
    assert not reads, "the worker processes read all images"
    assert not any(batch.is_shared() for batch in cached)


@pytest.fixture(scope="module")
def models():
    """Return two networks with four transforms: three differ in normalisation only, one has a larger input."""
    shared = {"input_size": (3, 32, 32), "crop_pct": 1.0, "interpolation": "bicubic"}
    variants = ({}, {"mean": (0.4, 0.5, 0.6)}, {"std": (0.3, 0.2, 0.1)}, {"input_size": (3, 40, 40)})
    models = {}
    for name in ("resnet_glyphs", "efficientnet_glyphs"):
        model = builtin((name,)).candidates[0].load()
        for settings in variants:
            transform, _ = create_transforms(model.backbone.network, {**shared, **settings})
            models[f"{name} {settings}"] = replace(model, transform=transform)
    return models


@pytest.mark.slow
@pytest.mark.parametrize("capacity", [0, 3 * 7 * 32 * 32, 3 * 20 * 32 * 32, 2**31])
def test_features_are_bit_identical_to_those_of_separate_decoding(capacity, models, images, store):
    extractor = Extractor(store, "cpu", 7, 0, silent, PixelCache(capacity))
    for name, model in models.items():
        opaque = replace(model, transform=lambda image, model=model: model.transform(image))
        shared, separate = (extractor.compute(name, variant, images) for variant in (model, opaque))
        assert shared.keys() == separate.keys() == {"features", "source_probabilities"}
        for part in shared:
            np.testing.assert_array_equal(shared[part], separate[part])


@pytest.mark.slow
def test_jobs_in_one_process_decode_each_image_once_per_input_size(models, dataset, reads, store):
    images = replace(count_reads(dataset.train, reads), fingerprint=lambda i: b"images of this test only")
    target = replace(dataset, train=images, scoring_set=images)
    for name, model in models.items():
        candidate = Candidate(name, lambda model=model, name=name: replace(model, identity={"weights": name}))
        settings = {"store": store, "device": "cpu", "batch_size": 64, "workers": 0, "seed": 0, "inspect": False}
        work = Precomputation(ModelPool("test", (candidate,)), target, **settings)
        work.extract_features(("scoring_set",))
    assert reads == Counter(dict.fromkeys(range(36), 2)), "there are two input sizes"
