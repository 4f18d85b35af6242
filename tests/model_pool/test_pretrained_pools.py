"""timm and torchvision pools load their weights from local caches; nothing is downloaded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import save_file
from torch_helpers import cache_random_weights

from transfer_exp.cli.option_files import CONF
from transfer_exp.errors import InputError
from transfer_exp.model_pool.timm import timm as timm_pool
from transfer_exp.model_pool.torchvision import _DENSELAYER
from transfer_exp.model_pool.torchvision import torchvision as torchvision_pool
from transfer_exp.vision import timm, torchvision

pytestmark = pytest.mark.slow

REVISION = "0" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the hub clients to an empty cache in offline mode."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("timm.models._hub.get_cache_dir", lambda *a: str(tmp_path / "timm"), raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def _cache_on_hub(root: Path, repository: str, files: dict[str, object]) -> None:
    """Write files in the cache layout of the hub's client: a ref with a revision, and its snapshot folder."""
    base = root / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = base / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(REVISION)
    for name, content in files.items():
        if isinstance(content, dict) and name.endswith(".safetensors"):
            save_file(content, snapshot / name)
        else:
            (snapshot / name).write_text(json.dumps(content))


def test_a_timm_model_loads_from_the_cache_with_its_preprocessing(hub):
    name = "test_resnet.r160_in1k"
    network = timm.create_model(name, pretrained=False).eval()
    _cache_on_hub(hub, f"timm/{name}", {"model.safetensors": network.state_dict()})
    (candidate,) = timm_pool([name]).candidates
    loaded = candidate.load()
    image = loaded.transform(Image.new("RGB", (200, 180), (10, 200, 90)))[None]
    assert image.shape == (1, *network.pretrained_cfg["input_size"])
    with torch.inference_mode():
        torch.testing.assert_close(loaded.backbone.features_and_logits(image)[1], network(image))


def test_a_hub_model_follows_the_config_of_its_repository(hub):
    network = timm.create_model("test_vit", num_classes=4, img_size=64).eval()
    config = {
        "architecture": "test_vit",
        "num_classes": 4,
        "model_args": {"img_size": 64},
        "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.1, 0.1, 0.1], "std": [1, 1, 1]},
    }
    _cache_on_hub(hub, "someone/pets", {"config.json": config, "model.safetensors": network.state_dict()})
    loaded = timm_pool(["hf-hub:someone/pets"]).candidates[0].load()
    image = loaded.transform(Image.new("RGB", (64, 64)))
    torch.testing.assert_close(image, torch.full((3, 64, 64), -0.1))
    assert loaded.backbone.features_and_logits(image[None])[1].shape == (1, 4)


def test_missing_weights_are_reported_with_the_model_and_the_fix(hub):
    with pytest.raises(InputError, match=r"test_resnet.*model_pool=checkpoints") as refusal:
        timm_pool(["test_resnet"]).candidates[0].load()
    assert "\n" not in str(refusal.value)


def test_unknown_names_get_near_matches():
    with pytest.raises(InputError, match="did you mean resnet18"):
        timm_pool(["resnet1"])
    with pytest.raises(InputError, match="did you mean resnet50"):
        torchvision_pool(["resnet51"])
    with pytest.raises(InputError, match="IMAGENET1K_V1"):
        torchvision_pool(["resnet50"], weights="IMAGENET1K_V9")


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5"])
def test_a_torchvision_model_loads_from_the_cache_with_its_preprocessing(hub, name):
    network = cache_random_weights(hub / "torch", name)
    loaded = torchvision_pool([name], weights="IMAGENET1K_V1").candidates[0].load()
    image = loaded.transform(Image.new("RGB", (300, 260), (50, 60, 70)))[None]
    assert image.shape == (1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.backbone.features_and_logits(image)[1], network(image))


def test_a_pickle_in_the_torchvision_cache_is_refused(hub):
    choice = torchvision.models.get_model_weights("squeezenet1_1")["IMAGENET1K_V1"]
    path = hub / "torch" / "hub" / "checkpoints" / choice.url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True)
    torch.save({"weight": Path.touch}, path)
    with pytest.raises(InputError, match="more than tensors"):
        torchvision_pool(["squeezenet1_1"]).candidates[0].load()


def test_old_densenet_keys_are_renamed():
    modern = set(torchvision.models.densenet121(weights=None).state_dict())
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", key) for key in modern}
    assert len(old - modern) > 100
    assert {_DENSELAYER.sub(r"\1", key) for key in old} == modern


def test_the_default_pool_of_rank_has_published_weights_and_licences():
    names = OmegaConf.load(CONF / "model_pool" / "everyday.yaml").names
    assert len(set(names)) == len(names)
    assert set(names) <= set(timm.list_pretrained())
    assert all(timm.get_pretrained_cfg(name).license for name in names)
