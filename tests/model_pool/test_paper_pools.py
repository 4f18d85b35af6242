"""The pools of the published accuracy tables have the published models, weights and input sizes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from torch_helpers import cache_random_weights

from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.model_pool.backbone import LogitsBackbone, wrap_network
from transfer_exp.model_pool.torchvision import torchvision as torchvision_pool
from transfer_exp.vision import timm, torchvision

CONF = Path(__file__).parents[2] / "conf"
CNN = "group1_supervised_cnn11"


def published(pool):
    rows = pd.read_csv(PUBLISHED)
    return rows[(rows["pool"] == pool) & (rows["regime"] == "vanilla_ft")]


def pool(option):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"model_pool={option}"])
    return build("model_pool", OmegaConf.to_container(config.model_pool, resolve=True))


@pytest.mark.parametrize("option", ["supervised_cnn", "supervised_cnn_released"])
def test_the_supervised_pool_has_the_models_of_the_published_accuracies(option):
    assert {c.name for c in pool(option).candidates} == set(published(CNN)["model"])
    assert pool(option).name == option


def test_the_vit_pool_has_the_models_of_the_published_accuracies():
    assert {c.name for c in pool("vit").candidates} == set(published("vit13")["model"])


def test_timm_has_weights_for_nine_of_the_thirteen_vits():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        timm_pool, _ = compose("config", overrides=["model_pool=vit"]).model_pool.pools
    assert set(timm_pool.names.values()) <= set(timm.list_pretrained())
    assert len(timm_pool.names) == 9
    assert not timm.list_pretrained("*moco*")
    assert {name.partition("_v2")[0] for name in timm.list_models("pvt*")} == {"pvt"}, "timm has only version 2 of PVT"


@pytest.mark.parametrize(("baseline", "expected"), [("imagenet accuracy", 0.654), ("parameter count", 0.578)])
def test_baselines_without_features_reach_their_published_tau(baseline, expected):
    truth = published(CNN).pivot_table(index="dataset", columns="model", values="accuracy")
    facts = {name: torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].meta for name in truth.columns}
    read_score = {
        "imagenet accuracy": lambda meta: meta["_metrics"]["ImageNet-1K"]["acc@1"],
        "parameter count": lambda meta: float(meta["num_params"]),
    }[baseline]
    scores = np.array([read_score(facts[name]) for name in truth.columns])
    taus = [weighted_tau(scores, row) for row in truth.to_numpy()]
    assert len(taus) == 11
    assert np.mean(taus) == pytest.approx(expected, abs=5e-4)


@pytest.fixture
def cache_weights(tmp_path, monkeypatch):
    """Return a function that caches random weights of a network under the name of its published file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return partial(cache_random_weights, tmp_path)


def load(option, name):
    (candidate,) = (c for c in pool(option).candidates if c.name == name)
    return candidate.load()


@pytest.mark.slow
def test_inception_uses_299_pixels_and_the_released_code_224(cache_weights):
    cache_weights("inception_v3")
    picture = Image.new("RGB", (400, 320), (10, 20, 30))
    assert load("supervised_cnn", "inception_v3").transform(picture).shape == (3, 299, 299)
    released = load("supervised_cnn_released", "inception_v3")
    assert released.transform(picture).shape == (3, 224, 224)
    assert released.augmented(picture).shape == (3, 224, 224)


@pytest.mark.slow
def test_the_released_code_uses_logits_and_crops_only_the_longer_side(cache_weights):
    network = cache_weights("mobilenet_v2")
    standard, released = (load(option, "mobilenet_v2") for option in ("supervised_cnn", "supervised_cnn_released"))
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features, logits = released.backbone.features_and_logits(image)
        torch.testing.assert_close(features, network(image))
        torch.testing.assert_close(released.backbone(image), features)
        torch.testing.assert_close(logits, features)
        assert standard.backbone(image).shape == (2, 1280)
    assert standard.identity != released.identity, "different features need different cache keys"
    # White rows at the edge of the shorter side, which a resize to 256 and a crop to 224 would cut off.
    picture = Image.new("RGB", (300, 240))
    picture.paste((255, 255, 255), (0, 0, 300, 3))
    assert released.transform(picture)[:, 0].min() > standard.transform(picture)[:, 0].max()
    assert released.transform(picture).shape == (3, 224, 224)


def test_logits_without_a_head_and_an_input_size_of_zero_are_refused():
    headless = wrap_network(timm.create_model("test_resnet", num_classes=0).eval())
    with pytest.raises(NotApplicableError, match="no head"):
        LogitsBackbone(headless)(torch.randn(1, 3, 32, 32))
    with pytest.raises(InputError, match="input_size=0"):
        torchvision_pool(["resnet18"], input_size=0)


def test_a_mapping_of_names_renames_timm_models():
    vit = pool("vit")
    assert vit.name == "vit"
    assert vit.candidates[0].name == "deit_tiny"
    assert vit.candidates[0].load.args == ("deit_tiny_patch16_224.fb_in1k",)
