"""Layers inside networks: names as timm has them, and outputs equal to timm's own and to plain modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from transfer_exp.errors import ModelFailureError
from transfer_exp.model_pool.backbone import wrap_network
from transfer_exp.model_pool.layers import HEAD_INPUT, MEAN, block_names, read_layers, select_layers
from transfer_exp.vision import timm, torchvision

pytestmark = pytest.mark.slow

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TIMM = {
    "test_vit": {"img_size": 32, "patch_size": 8},
    "test_vit2": {"img_size": 32, "patch_size": 8},
    "test_resnet": {},
    "test_efficientnet": {},
    "test_convnext": {},
    "test_mambaout": {},
    "test_nfnet": {},
}


@pytest.fixture(scope="module")
def timm_networks():
    torch.manual_seed(0)
    return {name: timm.create_model(name, **arguments).eval() for name, arguments in TIMM.items()}


def read(network, layers, pooling=None, images=IMAGES):
    with torch.inference_mode(), read_layers(network, layers, pooling) as vectors:
        network(images)
        return vectors()


def channels_first(network, output):
    return output.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "") == "NHWC" else output


@pytest.mark.parametrize("name", TIMM)
def test_blocks_are_the_intermediate_outputs_of_timm(timm_networks, name):
    network = timm_networks[name]
    blocks = block_names(network)
    with torch.inference_mode():
        expected = network.forward_intermediates(IMAGES, intermediates_only=True, output_fmt="NCHW")
    values = read(network, blocks, "mean")
    assert len(blocks) == len(expected)
    for block, output in zip(blocks, expected, strict=True):
        torch.testing.assert_close(values[block], output.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_tokens_are_pooled_as_asked(timm_networks):
    network, last = timm_networks["test_vit"], "blocks.5"
    with torch.inference_mode():
        ((patches, prefix),) = network.forward_intermediates(
            IMAGES, indices=[5], intermediates_only=True, return_prefix_tokens=True, output_fmt="NLC"
        )
    expected = {
        "cls": prefix[:, 0],
        "mean": patches.mean(1),
        "max": patches.amax(1),
        "gem": patches.clamp(min=1e-6).pow(3).mean(1).pow(1 / 3),
        "cls+mean": torch.cat([prefix[:, 0], patches.mean(1)], 1),
        None: prefix[:, 0],
    }
    for pooling, vectors in expected.items():
        torch.testing.assert_close(read(network, [last], pooling)[last], vectors)


def test_a_network_that_averages_its_tokens_is_pooled_so_by_default(timm_networks):
    network = timm_networks["test_vit2"]
    torch.testing.assert_close(read(network, ["blocks.7"])["blocks.7"], read(network, ["blocks.7"], "mean")["blocks.7"])


def test_late_class_tokens_are_not_taken_for_patches():
    torch.manual_seed(0)
    network = timm.create_model("cait_xxs24_224", img_size=32, depth=2, embed_dim=48).eval()
    outputs = {}
    network.blocks[1].register_forward_hook(lambda module, inputs, output: outputs.update(last=output))
    torch.testing.assert_close(read(network, ["blocks.1"])["blocks.1"], outputs["last"].mean(1))


def test_the_mean_is_over_all_blocks(timm_networks):
    network = timm_networks["test_vit"]
    blocks = block_names(network)
    values = read(network, [*blocks, MEAN])
    torch.testing.assert_close(values[MEAN], torch.stack([values[block] for block in blocks]).mean(0))
    with pytest.raises(ModelFailureError, match=r"blocks of one width, and its blocks differ \(\d+, .*layer=best"):
        read(timm_networks["test_resnet"], [MEAN])


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (lambda: torchvision.models.resnet18(), ["layer1", "layer2", "layer3", "layer4"]),
        (lambda: torchvision.models.mobilenet_v3_small(), [f"features.{i}" for i in range(13)]),
        (lambda: torchvision.models.squeezenet1_0(), [f"features.{i}" for i in (3, 4, 5, 7, 8, 9, 10, 12)]),
        (
            lambda: torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32),
            [f"encoder.layers.encoder_layer_{i}" for i in range(3)],
        ),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), ["0", "2"]),
    ],
    ids=["resnet", "mobilenet", "squeezenet", "vit", "plain"],
)
def test_blocks_of_other_networks_are_the_children_of_their_largest_part(network, expected):
    with torch.device("meta"):
        assert block_names(network()) == expected


def test_layers_of_torchvision_equal_its_own_extractor():
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    names = ["layer2", "layer3.0.bn1", "layer4"]
    extract = torchvision.models.feature_extraction.create_feature_extractor(network, names)
    with torch.inference_mode():
        # A convolution reads the output of bn1 after it was changed in place, so the vectors are compared before.
        expected = {name: value.mean((2, 3)) for name, value in extract(IMAGES).items() if name != "layer3.0.bn1"}
        stem = network.maxpool(network.relu(network.bn1(network.conv1(IMAGES))))
        block = network.layer3[0]
        expected["layer3.0.bn1"] = block.bn1(block.conv1(network.layer2(network.layer1(stem)))).mean((2, 3))
    values = read(wrap_network(network).library_network, names)
    for name in names:
        torch.testing.assert_close(values[name], expected[name], rtol=1e-4, atol=1e-5)


def test_torchvision_transformers_have_a_class_token():
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32).eval()
    name = "encoder.layers.encoder_layer_1"
    outputs = {}
    network.get_submodule(name).register_forward_hook(lambda module, inputs, output: outputs.update(last=output))
    torch.testing.assert_close(read(network, [name])[name], outputs["last"][:, 0])
    torch.testing.assert_close(read(network, [name], "mean")[name], outputs["last"][:, 1:].mean(1))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (HEAD_INPUT, (HEAD_INPUT,)),
        (2, ("blocks.2",)),
        (-1, ("blocks.5",)),
        ("penultimate_block", ("blocks.4",)),
        ("blocks.3.mlp", ("blocks.3.mlp",)),
        ((0, "blocks.0", "norm", HEAD_INPUT), ("blocks.0", "norm", HEAD_INPUT)),
        ("all", (*(f"blocks.{i}" for i in range(6)), HEAD_INPUT)),
        ("best", (*(f"blocks.{i}" for i in range(6)), HEAD_INPUT)),
    ],
)
def test_settings_name_layers(timm_networks, setting, expected):
    assert select_layers(timm_networks["test_vit"], setting) == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (6, r"no layer 6 in a network of 6 blocks: blocks\.0, .*blocks\.5"),
        (-7, "no layer -7"),
        ("block.3", r"no layer 'block\.3': did you mean blocks\.3"),
        ("bst", "did you mean .*best"),
        (("blocks.1", "blocks_2"), r"no layer 'blocks_2': did you mean blocks\.2"),
    ],
)
def test_wrong_layers_are_refused_with_near_matches(timm_networks, setting, message):
    with pytest.raises(ModelFailureError, match=message):
        select_layers(timm_networks["test_vit"], setting)


@pytest.mark.parametrize(
    ("layer", "pooling", "message"),
    [
        ("layer1", "cls", "needs a class token"),
        ("layer1", "cls+mean", "needs a class token"),
    ],
)
def test_class_tokens_of_maps_are_refused(timm_networks, layer, pooling, message):
    with pytest.raises(ModelFailureError, match=message):
        read(timm_networks["test_resnet"], [layer], pooling)


class Odd(nn.Module):
    """Network of a user with a layer that gives two values, and one that never runs."""

    def __init__(self):
        super().__init__()
        self.pair, self.unused, self.last = nn.LSTM(3, 4, batch_first=True), nn.Linear(3, 3), nn.Linear(4, 2)

    def forward_features(self, images):
        return self.pair(images.flatten(2).mT)[0].mean(1)

    def forward(self, images):
        return self.last(self.forward_features(images))


def test_layers_of_a_users_network():
    torch.manual_seed(0)
    network = wrap_network(Odd().eval(), 2).library_network
    values = read(network, ["pair", "last"])
    np.testing.assert_allclose(values["pair"], network.forward_features(IMAGES).detach(), rtol=1e-5)
    np.testing.assert_allclose(values["last"], network(IMAGES).detach(), rtol=1e-5)
    with pytest.raises(ModelFailureError, match="'unused' takes no part in the forward pass"):
        read(network, ["unused"])
    assert not network.unused._forward_hooks, "hooks are removed after an error too"


def test_outputs_without_one_vector_per_image_are_refused(timm_networks):
    class Whole(nn.Module):
        def forward(self, images):
            return {"maps": images}

    network = nn.Sequential(Whole())
    with pytest.raises(ModelFailureError, match="the layer gives dict"):
        read(network, ["0"])
