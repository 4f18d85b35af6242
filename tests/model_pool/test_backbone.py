"""Features are the input of the classifier head for networks of every library."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.vision import timm, torchvision

TIMM_MODELS = [
    "test_resnet",
    "test_vit",
    "test_convnext",
    "test_nfnet",
    "test_efficientnet",
    "test_byobnet",
    "test_mambaout",
]
TORCHVISION_DIMENSIONS = {
    "resnet18": 512,
    "densenet121": 1024,
    "mobilenet_v2": 1280,
    "mnasnet0_5": 1280,
    "googlenet": 1024,
    "squeezenet1_1": 512,
    "shufflenet_v2_x0_5": 1024,
    "mobilenet_v3_small": 1024,
    "vgg11": 4096,
}
_ARGUMENTS = {"googlenet": {"init_weights": False}}


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_the_head_of_a_timm_network_turns_its_features_into_its_logits(name):
    size = timm.create_model(name).default_cfg["input_size"][-1]
    network = timm.create_model(name, num_classes=7).eval()
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        features, logits = wrap_network(network).features_and_logits(images)
        torch.testing.assert_close(logits, network(images))
    assert features.shape[0] == 2
    assert features.ndim == 2


def test_a_timm_network_without_a_head_gives_no_logits():
    network = timm.create_model("test_resnet", num_classes=0).eval()
    features, logits = wrap_network(network).features_and_logits(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 96)
    assert logits is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dim"), TORCHVISION_DIMENSIONS.items())
def test_the_head_of_a_torchvision_network_turns_its_features_into_its_logits(name, dim):
    network = torchvision.models.get_model(name, weights=None, **_ARGUMENTS.get(name, {})).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = network(images)
        backbone = wrap_network(network).eval()
        features, logits = backbone.features_and_logits(images)
    assert features.shape == (2, dim)
    torch.testing.assert_close(logits, expected)


def test_auxiliary_heads_are_removed_for_training():
    network = torchvision.models.googlenet(weights=None, init_weights=False)
    features = wrap_network(network).train()(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, 1024)


class _CustomNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 4)

    def forward_features(self, images):
        return images.mean((2, 3)).repeat(1, 2)[:, :5]

    def forward(self, images):
        return self.fc(self.forward_features(images))


def test_a_custom_network_gives_logits_only_if_it_has_a_head():
    images = torch.randn(3, 3, 8, 8)
    features, logits = wrap_network(_CustomNetwork(), source_classes=4).features_and_logits(images)
    assert features.shape == (3, 5)
    assert logits.shape == (3, 4)
    assert wrap_network(_CustomNetwork(), source_classes=0).features_and_logits(images)[1] is None


def test_a_network_without_a_linear_head_is_not_applicable():
    with pytest.raises(NotApplicableError, match="no linear classifier head"):
        wrap_network(nn.Sequential(nn.Conv2d(3, 4, 1)))
