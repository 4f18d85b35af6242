"""Features are the input of the classifier head for networks of every library."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.model_pool.backbone import HeadlessBackbone, is_clip_projection, wrap_network
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.vision import timm, torchvision

pytestmark = pytest.mark.slow

TIMM_MODELS = [
    "test_resnet",
    "test_vit",
    "test_convnext",
    "test_nfnet",
    "test_efficientnet",
    "test_byobnet",
    "test_mambaout",
]
# The heads of these normalise, convolve, have several layers, or average two classifiers.
UNUSUAL_HEADS = ["levit_128s", "pit_ti_distilled_224", "resnetv2_18"]
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
FAMILIES = sorted({timm.models.model_entrypoint(name).__module__.rpartition(".")[2] for name in timm.list_models()})
# By name, because building every network to count its weights takes many minutes.
_SMALL = "test_ femto atto pico nano xxs xxtiny _xs xtiny tiny _ti_ _t0 _s0 b0 _n0 mini _t_ _m0 small _s_ 18 10 050 _s"


def _smallest(family):
    """Return a small network of a module of timm."""
    names = [n for n in timm.list_models() if timm.models.model_entrypoint(n).__module__.endswith(f".{family}")]
    usual = [n for n in names if not re.search("384|448|512|large|huge", n)] or names
    return min(usual, key=lambda n: next((i for i, hint in enumerate(_SMALL.split()) if hint in n), len(_SMALL)))


@pytest.mark.parametrize("name", [*TIMM_MODELS, *UNUSUAL_HEADS])
def test_the_logits_of_a_timm_network_are_its_own_output(name):
    size = timm.models.get_pretrained_cfg(name).input_size[-1]
    network = timm.create_model(name, num_classes=7).eval()
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        features, logits = wrap_network(network).features_and_logits(images)
        torch.testing.assert_close(logits, network(images))
    assert features.shape[0] == 2
    assert features.ndim == 2


@pytest.mark.families
@pytest.mark.parametrize("family", FAMILIES)
def test_features_and_logits_of_every_timm_family(family):
    """The smallest network of each module of timm, with random weights; takes minutes."""
    name = _smallest(family)
    settings = timm.models.get_pretrained_cfg(name)
    with torch.device("meta"):
        if settings.input_size[-1] > 512 or sum(p.numel() for p in timm.create_model(name).parameters()) > 1e8:
            pytest.skip(f"{name} is the smallest and takes minutes alone")
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=1000).eval()
    images = torch.randn(2, *settings.input_size)
    with torch.inference_mode():
        backbone = wrap_network(network, source_classes=1000)
        for _ in range(2):  # the first call checks the head
            features, logits = backbone.features_and_logits(images)
            torch.testing.assert_close(logits, network(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(features, backbone(images))
        head = network.get_classifier()
        if isinstance(head, nn.Linear) and family != "volo":  # VOLO adds the output of a second classifier
            torch.testing.assert_close(head(features), logits, rtol=1e-4, atol=1e-5)
    assert features.shape == (
        2,
        network.head_hidden_size if hasattr(network, "head_hidden_size") else features.shape[1],
    )
    assert backbone.logits_key == ("" if isinstance(head, nn.Linear) else "own output")


def _described(settings):
    """Return a network that has only the description of a timm network."""
    network = nn.Module()
    network.num_classes, network.pretrained_cfg = settings.num_classes, settings.to_dict()
    return network


def test_the_projection_of_clip_is_not_a_classifier():
    names = timm.list_pretrained()
    described = {name: timm.models.get_pretrained_cfg(name) for name in names}
    projections = {name for name, settings in described.items() if is_clip_projection(_described(settings))}
    # No set of labels that timm publishes has fewer than 1,000 classes, or between 1,000 and 10,000.
    assert projections == {n for n, s in described.items() if 0 < s.num_classes < 10_000 and s.num_classes != 1000}
    assert len(projections) > 100


@pytest.mark.parametrize(
    ("source_classes", "num_classes", "has_logits"),
    [(None, 512, False), (None, 37, True), (512, 512, True), (0, 37, False)],
)
def test_the_manifest_can_say_whether_the_output_is_a_classifier(source_classes, num_classes, has_logits):
    network = timm.create_model("vit_xsmall_patch16_clip_224", num_classes=num_classes, depth=1).eval()
    backbone = wrap_network(network, source_classes)
    with torch.inference_mode():
        features, logits = backbone.features_and_logits(torch.randn(2, 3, 224, 224))
    assert features.shape == (2, 256)
    assert (logits is not None) == has_logits
    assert backbone.logits_key == ("" if has_logits else "none")


class _OwnForward(type(timm.create_model("test_resnet"))):
    """A network whose output is not what its parts give."""

    def forward(self, x):
        return 3 * super().forward(x)


def test_the_output_of_the_network_counts_where_its_head_gives_another():
    network = timm.create_model("test_resnet", num_classes=5).eval()
    network.__class__ = _OwnForward
    images, backbone = torch.randn(2, 3, 32, 32), wrap_network(network)
    with torch.inference_mode():
        for _ in range(2):
            torch.testing.assert_close(backbone.features_and_logits(images)[1], network(images))


def test_a_timm_network_without_a_head_gives_no_logits():
    network = timm.create_model("test_resnet", num_classes=0).eval()
    features, logits = wrap_network(network).features_and_logits(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 96)
    assert logits is None


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


def test_weights_are_those_of_all_layers_and_the_head_maps_features_to_logits():
    model = builtin(["vit_shapes"]).candidates[0].load()
    weights = model.weights
    assert all(layer.ndim == 2 for layer in weights.layers)
    counted = sum(layer.size for layer in weights.layers) + sum(array.size for array in weights.head)
    assert 0.9 * model.parameters < counted < model.parameters, "biases, norms and positions are left out"
    with torch.no_grad():
        features, logits = model.backbone.features_and_logits(torch.rand(2, 3, 32, 32))
    probabilities = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(weights.logits(features.numpy(), probabilities), logits.numpy(), atol=1e-4)
    assert model.source_dataset == "source_shapes"


def test_a_network_without_a_head_has_weights_without_a_head():
    model = LoadedModel(HeadlessBackbone(nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten())), str, {})
    assert [layer.shape for layer in model.weights.layers] == [(4, 12)]
    assert model.weights.head is None
