"""Vision transformers load from every published layout, and equal independent implementations."""

from __future__ import annotations

import math
import re

import pytest
import torch
from PIL import Image

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.model_pool.pvt import DEPTHS, PVT, rename_weight
from transfer_exp.model_pool.vit_files import vit_files
from transfer_exp.vision import timm

IMAGES = torch.sin(torch.arange(3 * 224 * 224, dtype=torch.float64) * 0.01).float().reshape(1, 3, 224, 224)


def to_authors_key(key):
    """Return the key in the authors' files of a weight of PVT."""
    key = re.sub(r"^stages\.(\d)\.(patch_embed|pos_embed|block)", lambda m: f"{m[2]}{int(m[1]) + 1}", key)
    return key.removeprefix("stages.3.")


def create_weights(network):
    """Return weights of a PVT under the authors' keys; each is a sine wave."""
    shapes = sorted((to_authors_key(key), value.shape) for key, value in network.state_dict().items())
    waves = (
        torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * 0.7 + n) for n, (_, shape) in enumerate(shapes)
    )
    return {key: (0.1 * wave).float().reshape(shape) for (key, shape), wave in zip(shapes, waves, strict=True)}


def load(folder, name):
    return vit_files(str(folder), [name]).candidates[0].load()


@pytest.mark.parametrize(("name", "millions"), [("pvt_tiny", 13.2), ("pvt_small", 24.5), ("pvt_medium", 44.2)])
def test_a_pvt_has_the_size_in_its_paper(name, millions):
    with torch.device("meta"):
        network = PVT(DEPTHS[name])
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_weights_are_renamed_from_the_keys_of_the_authors():
    with torch.device("meta"):
        keys = {to_authors_key(key) for key in PVT(DEPTHS["pvt_tiny"]).state_dict()}
    assert {"patch_embed1.proj.weight", "patch_embed4.norm.bias", "pos_embed1", "pos_embed4", "cls_token"} <= keys
    assert {"block1.0.attn.q.bias", "block2.1.attn.kv.weight", "block3.0.attn.sr.weight"} <= keys
    assert {"block1.1.attn.norm.weight", "block4.0.mlp.fc2.bias", "norm.weight", "head.bias"} <= keys
    assert not any(key.startswith("block4") and ".sr." in key for key in keys), "the last stage is not reduced"
    assert to_authors_key(rename_weight("cls_token")) == "cls_token"


@pytest.mark.slow
@pytest.mark.parametrize("holder", [None, "model"])
def test_a_pvt_file_gives_the_logits_of_an_independent_implementation(tmp_path, holder):
    state = create_weights(PVT(DEPTHS["pvt_tiny"]))
    torch.save(state if holder is None else {holder: state, "epoch": 300}, tmp_path / "pvt_tiny.pth")
    model = load(tmp_path, "pvt_tiny")
    with torch.inference_mode():
        features, logits = model.backbone.features_and_logits(IMAGES)
        torch.testing.assert_close(model.backbone(IMAGES), features)
    assert features.shape == (1, 512)
    # Logits of PvtForImageClassification of transformers 5.23 with these weights.
    expected = torch.tensor([1.2842999, 1.8336709, 2.2816724, 2.5712969, 2.6592693, 2.5302267])
    torch.testing.assert_close(logits[0, :6], expected, atol=1e-5, rtol=0)
    assert model.identity["architecture"] == "pvt_tiny"


def write_moco_file(folder, layout):
    """Write a checkpoint of MoCo v3, and return its network."""
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch16_224", num_classes=0, num_heads=12).eval()
    weights = network.state_dict()
    if layout == "converted":
        torch.save({"model": weights}, folder / "mocov3_small.pth")
        return network
    state = {f"module.base_encoder.{key}": value for key, value in weights.items()}
    state |= {f"module.momentum_encoder.{key}": value + 1 for key, value in weights.items()}
    state |= {"module.base_encoder.head.0.weight": torch.zeros(2), "module.predictor.0.weight": torch.zeros(2)}
    torch.save(
        {"epoch": 300, "arch": "vit_small", "state_dict": state, "optimizer": {}}, folder / "mocov3_small.pth.tar"
    )
    return network


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["published", "converted"])
def test_a_file_of_moco_v3_is_loaded_exactly_and_without_a_head(tmp_path, layout):
    network = write_moco_file(tmp_path, layout)
    model = load(tmp_path, "mocov3_small")
    with torch.inference_mode():
        features, logits = model.backbone.features_and_logits(IMAGES)
        torch.testing.assert_close(features, network(IMAGES), atol=0, rtol=0)
    assert (features.shape, logits) == ((1, 384), None)
    assert model.identity["arguments"] == {"num_heads": 12}
    assert network.blocks[0].attn.num_heads == model.backbone.network.blocks[0].attn.num_heads == 12


@pytest.mark.slow
def test_images_are_cropped_as_by_the_authors(tmp_path):
    write_moco_file(tmp_path, "published")
    model = load(tmp_path, "mocov3_small")
    picture = Image.new("RGB", (512, 256))
    picture.paste((255, 255, 255), (0, 0, 512, 17))
    image = model.transform(picture)
    assert image.shape == (3, 224, 224)
    assert image[:, 0].min() > image[:, 4].max(), "the crop removes the first 16 of 256 rows"
    assert model.augmented(picture).shape == (3, 224, 224)


def test_a_missing_file_makes_a_model_not_applicable(tmp_path):
    with pytest.raises(NotApplicableError, match=r"pvt_small\.pth \(or .*\): get pvt_small\.pth from https://github"):
        load(tmp_path, "pvt_small")


@pytest.mark.parametrize("content", [{}, {"state_dict": {"conv1.weight": torch.zeros(2)}}, torch.zeros(2)])
def test_a_file_of_a_different_network_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "pvt_tiny.pth")
    with pytest.raises(InputError, match=r"pvt_tiny\.pth does not fit pvt_tiny"):
        load(tmp_path, "pvt_tiny")
