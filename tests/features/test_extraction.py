"""Extraction: features equal those of the bare network, and everything that decides them is in the cache key."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from transfer_exp.errors import InputError, ModelFailureError, SharedInputError
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import pair
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.layers import HEAD_INPUT
from transfer_exp.model_pool.pool import Candidate, ModelPool
from transfer_exp.progress import silent
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return builtin(("resnet_glyphs",)).candidates[0].load()


@pytest.fixture
def extractor(store):
    return Extractor(store, device="cpu", batch_size=5, workers=0, track=silent)


def test_features_are_those_of_the_bare_network(model, dataset, extractor):
    features, is_cached = extractor("resnet_glyphs", model, dataset.train)
    images = torch.stack([model.transform(dataset.train.read(i)) for i in range(len(dataset.train))])
    with torch.inference_mode():
        network = model.backbone.network
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        probabilities = network(images).softmax(1)
    assert not is_cached
    np.testing.assert_allclose(features.features, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(features.source_probabilities, probabilities, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(features.labels, dataset.train.labels)


def test_a_second_pass_reads_the_features_of_the_first(model, dataset, extractor):
    first, _ = extractor("resnet_glyphs", model, dataset.train)
    second, is_cached = extractor("resnet_glyphs", model, dataset.train)
    assert is_cached
    np.testing.assert_array_equal(first.features, second.features)


@pytest.mark.parametrize(
    "changed",
    [
        lambda m, d: (replace(m, identity={**m.identity, "weights": "other"}), d.train),
        lambda m, d: (replace(m, identity={**m.identity, "arguments": {"pad_type": "same"}}), d.train),
        lambda m, d: (replace(m, transform=builtin(("vit_shapes",)).candidates[0].load().transform), d.test),
        lambda m, d: (m, d.train.subset(np.arange(20))),
        lambda m, d: (m, d.train.subset(np.arange(len(d.train))[::-1].copy())),
    ],
    ids=["weights", "arguments", "images", "subset", "order"],
)
def test_everything_that_decides_the_features_is_in_their_cache_key(model, dataset, extractor, changed):
    extractor("resnet_glyphs", model, dataset.train)
    _, is_cached = extractor("resnet_glyphs", *changed(model, dataset))
    assert not is_cached


def test_preprocessing_is_in_the_cache_key(model, dataset, extractor):
    from transfer_exp.model_pool.preprocessing import create_transforms

    extractor("resnet_glyphs", model, dataset.train)
    transform, _ = create_transforms(model.backbone.network, {"input_size": (3, 32, 32), "mean": (0.4, 0.5, 0.5)})
    assert not extractor("resnet_glyphs", replace(model, transform=transform), dataset.train)[1]


def test_the_batch_size_is_not_in_the_cache_key(model, dataset, extractor):
    small, _ = extractor("resnet_glyphs", model, dataset.train)
    large, is_cached = replace(extractor, batch_size=64)("resnet_glyphs", model, dataset.train)
    assert is_cached
    np.testing.assert_array_equal(small.features, large.features)


def test_a_network_that_returns_nan_is_a_failure_of_the_model(dataset, extractor):
    broken = builtin(("resnet_glyphs",)).candidates[0].load()
    for parameter in broken.backbone.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(ModelFailureError, match="its features are NaN or infinite, first for image 0"):
        extractor("resnet_glyphs", replace(broken, identity={"weights": "nan"}), dataset.train)


def test_a_system_without_room_for_the_locks_of_workers_gets_one_line(model, dataset, extractor, monkeypatch):
    monkeypatch.setattr("multiprocessing.Lock", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(
        SharedInputError, match=r"decode images \(No space left on device, for locks\): set features.wo"
    ):
        replace(extractor, workers=1)("resnet_glyphs", model, dataset.train)


def test_an_unreadable_image_is_an_input_error_with_and_without_workers(model, dataset, extractor):
    def refuse(index):
        raise InputError(f"picture {index} is not a readable image")

    images = replace(dataset.train, read=refuse, fingerprint=lambda i: b"refused")
    for workers in (0, 1):
        with pytest.raises(InputError, match="picture 0 is not a readable image"):
            replace(extractor, workers=workers)("resnet_glyphs", model, images)


def test_a_pairing_loads_its_network_once_and_records_its_cache_hits(dataset, extractor):
    pairing = pair(builtin(("vit_shapes",)).candidates[0], dataset, extractor)
    assert pairing.model is pairing.model
    assert pairing.features("validation") is None
    pairing.features("scoring_set")
    pairing.features("train")
    assert pairing.cache_hits == {"features of scoring_set": False, "features of train": True}, (
        "the scoring set equals the training split here"
    )


def test_streamed_statistics_equal_those_of_the_features(model, dataset, extractor, monkeypatch):
    features, _ = extractor("resnet_glyphs", model, dataset.test)
    expected = class_statistics(np.tile(features.features, (3, 1)), np.tile(features.labels, 3))
    in_memory, is_cached = extractor.statistics("resnet_glyphs", model, dataset.test)
    assert is_cached
    monkeypatch.setattr("transfer_exp.features.extraction._STREAMED_ROWS", 7)
    monkeypatch.setattr(Extractor, "__call__", lambda *a: pytest.fail("loaded all features at once"))
    streamed, is_cached = extractor.statistics("resnet_glyphs", model, dataset.test)
    assert is_cached
    for name in ("counts", "mean", "offsets", "squares", "within"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(in_memory, name), rtol=1e-9, atol=1e-9)
        scale = 1 if name in ("mean", "offsets") else 3
        np.testing.assert_allclose(getattr(expected, name), scale * getattr(in_memory, name), rtol=1e-6, atol=1e-6)


def test_statistics_of_missing_or_damaged_features_are_computed_again(model, dataset, extractor, monkeypatch, caplog):
    monkeypatch.setattr("transfer_exp.features.extraction._STREAMED_ROWS", 7)
    first, is_cached = extractor.statistics("resnet_glyphs", model, dataset.test)
    assert not is_cached
    path = next(extractor.store.root.rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    again, is_cached = extractor.statistics("resnet_glyphs", model, dataset.test)
    assert not is_cached
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(again.offsets, first.offsets)


def test_the_message_of_an_unreadable_image_has_no_traceback_of_the_worker_process(model, dataset, extractor):
    def unreadable(i):
        raise InputError(f"image {i} is not readable: remove it")

    images = replace(dataset.train, read=unreadable, fingerprint=lambda i: b"unreadable")
    with pytest.raises(InputError) as refusal:
        replace(extractor, workers=1)("resnet_glyphs", model, images)
    assert str(refusal.value) == "image 0 is not readable: remove it"


def test_a_later_reader_returns_nothing_for_a_damaged_file(model, dataset, extractor):
    extractor("resnet_glyphs", model, dataset.train)
    read = extractor.reader(model, dataset.train)
    assert read(1 << 30).features.shape[0] == len(dataset.train)
    (path,) = extractor.store.root.glob("features/*/*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert read(1 << 30) is None


def count_passes(model, monkeypatch):
    """Return a list that grows by the number of images of each forward pass."""
    sizes = []
    forward = type(model.backbone).forward
    both = type(model.backbone).features_and_logits
    monkeypatch.setattr(type(model.backbone), "forward", lambda s, x: sizes.append(len(x)) or forward(s, x))
    monkeypatch.setattr(type(model.backbone), "features_and_logits", lambda s, x: sizes.append(len(x)) or both(s, x))
    return sizes


def test_several_layers_are_extracted_in_one_pass_and_equal_each_alone(
    model, dataset, extractor, tmp_path, monkeypatch
):
    candidate = ModelPool("one", (Candidate("resnet_glyphs", lambda: model),)).candidates[0]
    pairing = pair(candidate, dataset, replace(extractor, layer="all"))
    sizes = count_passes(model, monkeypatch)
    layers = pairing.one_per_layer()
    assert [layer.layer for layer in layers] == ["act1", "layer1", "layer2", "layer3", "layer4", "head_input"]
    together = {layer.layer: layer.features("scoring_set") for layer in layers}
    assert sum(sizes) == len(dataset.scoring_set)
    assert pairing.cache_hits == {"features of scoring_set": False}
    assert {split for split, _ in pairing.used_features} == {"scoring_set"}
    assert len(list(pairing.cache_references())) == 6
    for name, features in together.items():
        alone = replace(extractor, store=Store(tmp_path / "alone"), layer=name)
        expected, is_cached = alone("resnet_glyphs", pairing.model, dataset.scoring_set)
        assert not is_cached
        np.testing.assert_array_equal(features.features, expected.features)
        assert (features.source_probabilities is None) == (name != "head_input")
        statistics, is_cached = layers[0].at_layer(name).extractor.statistics("", pairing.model, dataset.scoring_set)
        assert is_cached
        np.testing.assert_array_equal(statistics.counts, [12, 12, 12])


def test_layers_that_the_store_has_are_not_extracted_again(model, dataset, extractor, monkeypatch):
    for layer in (1, "layer4", HEAD_INPUT):
        replace(extractor, layer=layer)("resnet_glyphs", model, dataset.train)
    sizes = count_passes(model, monkeypatch)
    chosen = ("layer1", "layer4", "layer2", HEAD_INPUT)
    for layer in chosen:
        extractor.at_layer(layer, chosen)("resnet_glyphs", model, dataset.train)
    assert sum(sizes) == len(dataset.train)


def test_a_layer_with_infinite_values_does_not_spoil_the_others(dataset, extractor):
    broken = builtin(("resnet_glyphs",)).candidates[0].load()
    broken.backbone.network.layer4[-1].register_forward_hook(lambda module, inputs, output: output / 0)
    broken = replace(broken, identity={"weights": "infinite"})
    chosen = ("layer1", "layer2", "layer4")
    assert np.isfinite(extractor.at_layer("layer1", chosen)("resnet", broken, dataset.train)[0].features).all()
    assert extractor.at_layer("layer2").is_cached(broken, dataset.train)
    with pytest.raises(ModelFailureError, match="its features are NaN or infinite, first for image 0"):
        extractor.at_layer("layer4")("resnet", broken, dataset.train)


def test_layer_and_pooling_are_in_the_cache_key_and_that_of_the_head_input_is_the_old_one(model, dataset, extractor):
    assert extractor.cache_key(model, dataset.train) == {
        "version": 1,
        "model": dict(model.identity),
        "layer": "head_input",
        "transform": repr(model.transform),
        "images": dataset.train.digest,
        "precision": "float32",
    }
    settings = [(3, None), ("layer3", None), ("layer3", "mean"), ("layer3", "max"), ("layer4", None)]
    keys = [
        str(replace(extractor, layer=layer, pooling=pooling).cache_key(model, dataset.train))
        for layer, pooling in settings
    ]
    assert keys[0] == keys[1], "a block by number is the block by name"
    assert len(set(keys)) == 4
