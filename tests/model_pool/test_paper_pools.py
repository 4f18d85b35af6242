"""The pools that published tables of accuracies are of: the same names, the weights of their time, their own inputs."""

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
from transfer_exp.model_pool.backbone import SourceLogits, backbone_of
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
def test_the_supervised_pool_is_that_of_the_published_accuracies(option):
    assert {c.name for c in pool(option).candidates} == set(published(CNN)["model"])
    assert pool(option).name == option


def test_the_pool_of_vits_is_that_of_the_published_accuracies():
    assert {c.name for c in pool("vit").candidates} == set(published("vit13")["model"])


def test_timm_has_weights_of_nine_of_the_thirteen_vits():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        of_timm, _ = compose("config", overrides=["model_pool=vit"]).model_pool.pools
    assert set(of_timm.names.values()) <= set(timm.list_pretrained())
    assert len(of_timm.names) == 9
    assert not timm.list_pretrained("*moco*")
    assert {name.partition("_v2")[0] for name in timm.list_models("pvt*")} == {"pvt"}, "version 2 only"


@pytest.mark.parametrize(("baseline", "printed"), [("imagenet accuracy", 0.654), ("parameter count", 0.578)])
def test_baselines_that_need_no_features_reach_what_is_known_of_them(baseline, printed):
    truth = published(CNN).pivot_table(index="dataset", columns="model", values="accuracy")
    facts = {name: torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].meta for name in truth.columns}
    of = {
        "imagenet accuracy": lambda meta: meta["_metrics"]["ImageNet-1K"]["acc@1"],
        "parameter count": lambda meta: float(meta["num_params"]),
    }[baseline]
    scores = np.array([of(facts[name]) for name in truth.columns])
    taus = [weighted_tau(scores, row) for row in truth.to_numpy()]
    assert len(taus) == 11
    assert np.mean(taus) == pytest.approx(printed, abs=5e-4)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Fill torch's cache with networks of random weights, under the names of the published files."""

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return partial(cache_random_weights, tmp_path)


def load(option, name):
    (candidate,) = (c for c in pool(option).candidates if c.name == name)
    return candidate.load()


@pytest.mark.slow
def test_inception_sees_its_own_size_and_the_release_shows_it_another(cached):
    cached("inception_v3")
    picture = Image.new("RGB", (400, 320), (10, 20, 30))
    assert load("supervised_cnn", "inception_v3").transform(picture).shape == (3, 299, 299)
    released = load("supervised_cnn_released", "inception_v3")
    assert released.transform(picture).shape == (3, 224, 224)
    assert released.augmented(picture).shape == (3, 224, 224)


def test_the_release_scores_logits_and_keeps_the_shorter_side_whole(cached):
    network = cached("mobilenet_v2")
    own, released = (load(option, "mobilenet_v2") for option in ("supervised_cnn", "supervised_cnn_released"))
    image = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features, logits = released.backbone.features_and_logits(image)
        torch.testing.assert_close(features, network(image))
        torch.testing.assert_close(released.backbone(image), features)
        torch.testing.assert_close(logits, features)
        assert own.backbone(image).shape == (2, 1280)
    assert own.identity != released.identity, "other features are other entries of the store"
    # White to the very edge of the shorter side, where resizing to 256 would have cut it off.
    picture = Image.new("RGB", (300, 240))
    picture.paste((255, 255, 255), (0, 0, 300, 3))
    assert released.transform(picture)[:, 0].min() > own.transform(picture)[:, 0].max()
    assert released.transform(picture).shape == (3, 224, 224)


def test_logits_of_a_network_without_a_head_and_a_size_of_nothing_are_refused():
    headless = backbone_of(timm.create_model("test_resnet", num_classes=0).eval())
    with pytest.raises(NotApplicableError, match="no head"):
        SourceLogits(headless)(torch.randn(1, 3, 32, 32))
    with pytest.raises(InputError, match="input_size=0"):
        torchvision_pool(["resnet18"], input_size=0)


def test_a_timm_model_goes_by_the_name_it_is_given():
    named = pool("vit")
    assert named.name == "vit"
    assert named.candidates[0].name == "deit_tiny"
    assert named.candidates[0].load.args == ("deit_tiny_patch16_224.fb_in1k",)
