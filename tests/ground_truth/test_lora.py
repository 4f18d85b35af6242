"""LoRA: which layers change, and how a network without such layers or wrong options are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_helpers import fake_pairing

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.lora import LoraFineTuning, find_layers
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.model_pool.backbone import Backbone
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.progress import silent
from transfer_exp.vision import timm

pytestmark = pytest.mark.slow

PROTOCOL = Protocol(steps=30, batch_size=12, learning_rates=(1e-3,), weight_decays=(0.0,), head="random")
IMAGE = torch.zeros(1, 3, 32, 32)


def backbone(name):
    return builtin((name,)).candidates[0].load().backbone.eval()


class Convolutions(Backbone):
    """A network of 3x3 convolutions, and a linear layer that never runs."""

    def __init__(self):
        super().__init__()
        self.first, self.depthwise = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1, groups=4)
        self.classifier = nn.Linear(4, 2)

    def forward(self, images):
        return self.depthwise(self.first(images)).mean((2, 3))


def test_the_projections_of_a_transformer_change():
    layers = find_layers(backbone("vit_shapes"), IMAGE)
    projections = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert layers == tuple(f"network.blocks.{block}.{name}" for block in range(6) for name in projections)


def test_pointwise_convolutions_change_and_a_cut_off_classifier_does_not():
    network = backbone("efficientnet_gn_shapes")
    modules = dict(network.named_modules())
    layers = [modules[name] for name in find_layers(network, IMAGE)]
    assert len(layers) == 11
    assert all(layer.kernel_size == (1, 1) and layer.groups == 1 for layer in layers)


def test_layers_are_chosen_by_the_end_of_their_names():
    network = backbone("vit_shapes")
    assert len(find_layers(network, IMAGE, ("qkv",))) == 6
    assert find_layers(network, IMAGE, ("5.mlp.fc1", "patch_embed.proj")) == (
        "network.patch_embed.proj",
        "network.blocks.5.mlp.fc1",
    )
    with pytest.raises(NotApplicableError, match=r"no layer of this network is named 'qvk': .*qkv"):
        find_layers(network, IMAGE, ("proj", "qvk"))
    with pytest.raises(NotApplicableError, match="named 'kv'"):
        find_layers(network, IMAGE, ("kv",))


def test_weights_that_a_network_reads_itself_are_left_out():
    """The attention of BEiT adds its bias to ``qkv`` by hand, so that a change of the module would have no effect."""
    network = timm.create_model("beit_base_patch16_224", img_size=32, depth=1, embed_dim=48, num_heads=2).eval()
    assert isinstance(network.blocks[0].attn.qkv, nn.Linear)
    assert "blocks.0.attn.proj" in find_layers(network, IMAGE)
    assert "blocks.0.attn.qkv" not in find_layers(network, IMAGE)


def test_a_network_without_linear_layers_is_not_applicable():
    with pytest.raises(NotApplicableError, match="linear layers and pointwise convolutions, and this network has nei"):
        find_layers(Convolutions(), IMAGE)
    assert find_layers(Convolutions(), IMAGE, ("first",)) == ("first",)


@pytest.mark.parametrize(
    "option",
    [{"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"target_modules": ()}, {"target_modules": ("qkv", "")}],
)
def test_an_option_out_of_range_is_refused_by_name(option):
    with pytest.raises(InputError, match=f"ground_truth.{next(iter(option))}=.*: need "):
        LoraFineTuning(PROTOCOL, **option)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'transfer-exp\[lora\]'"):
        LoraFineTuning(PROTOCOL)


@pytest.mark.parametrize("name", ["vit_shapes", "nfnet_fractals"])
def test_training_starts_from_the_pretrained_features(name):
    model = builtin((name,)).candidates[0].load()
    part = LoraFineTuning(PROTOCOL).select_part(model, backbone(name), IMAGE)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(part.network(images), model.backbone.eval()(images))


def test_a_small_change_learns(dataset):
    model = builtin(("vit_shapes",)).candidates[0].load()
    pairing = fake_pairing("net", dataset, model, images=lambda split: getattr(dataset, split))
    assert LoraFineTuning(PROTOCOL)(pairing, silent).value > 0.6, "three colours; chance is a third"


def test_a_layer_that_peft_cannot_change_is_named():
    model = builtin(("resnet_glyphs",)).candidates[0].load()
    network = Convolutions().eval()
    with pytest.raises(NotApplicableError, match="LoRA cannot change this network: "):
        LoraFineTuning(PROTOCOL, rank=3, target_modules=("depthwise",)).select_part(model, network, IMAGE)
