"""Last blocks of every family: they exist, end the network, are the only part that trains, and can be split off."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import transfer_exp.model_pool.builtin as builtin_pool
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.last_block import find_last_block
from transfer_exp.ground_truth.network import PartlyTrained, split_at
from transfer_exp.ground_truth.partial import last_blocks
from transfer_exp.model_pool.backbone import Backbone, wrap_network
from transfer_exp.model_pool.checkpoints import checkpoints
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.model_pool.pvt import DEPTHS, PVT
from transfer_exp.vision import timm, torchvision

pytestmark = pytest.mark.slow

BUILTIN = json.loads((Path(builtin_pool.__file__).parent / "weights" / "manifest.json").read_text())
PAPER = [*(f"resnet{depth}" for depth in (34, 50, 101, 152)), *(f"densenet{depth}" for depth in (121, 169, 201))]
PAPER += ["mnasnet1_0", "mobilenet_v2", "googlenet", "inception_v3"]
# One of each block structure is enough for every check, and `make families` checks the others; that names exist is
# checked on all.
FEW = ["resnet34", "densenet121", "mnasnet1_0", "mobilenet_v2", "googlenet", "inception_v3", "squeezenet1_1"]
# With arguments that make a network small where it does not take images of any size.
TIMM = {
    "vit_tiny_patch16_224": {"img_size": 64},
    "deit_tiny_patch16_224": {"img_size": 64},
    "coatnet_0_rw_224": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 2, "embed_dim": 24},
}
TIMM |= {name: {} for name in ("resnet18.a1_in1k", "resnetv2_50", "densenet121", "mobilenetv1_100", "mobilenetv2_035")}
TIMM |= {name: {} for name in ("efficientnet_b0", "convnext_atto", "mambaout_femto", "pvt_v2_b0")}
ASSETS = ["mobilenet_v1_025_people", "mobilenet_v1_100_224", "mobilenet_v2_035_keras", "squeezenet1_0_tf"]
ASSETS += ["squeezenet1_0_caffe", "mobilenet_v2_100_gluon", "resnet50v2_trunk", "cifar10_resnet20", "tiny_darknet"]
ASSETS += ["cifar100_densenet_bc100_12", "doodlenet_quickdraw"]
# One of each kind is part of every run, and `make families` checks the others.
ALWAYS_OF_THE_PAPER = ("resnet34", "densenet121", "mobilenet_v2", "googlenet", "squeezenet1_1")
ALWAYS_OF_TIMM = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "efficientnet_b0", "convnext_atto")
ALWAYS_OF_ASSETS = ("mobilenet_v1_025_people", "cifar10_resnet20", "tiny_darknet")


def _parameters(names, always):
    return [pytest.param(name, marks=[] if name in always else pytest.mark.families) for name in names]


class Bare(Backbone):
    """Two layers that match no definition."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 2)


def _model(library, architecture, **arguments):
    if library == "timm":
        network = timm.create_model(architecture, pretrained=False, **arguments)
    else:
        plain = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
        network = torchvision.models.get_model(architecture, weights=None, **plain)
    identity = {"library": library, "architecture": architecture}
    return LoadedModel(wrap_network(network.eval()), str, identity)


def _embedded(name):
    return _model("timm", BUILTIN[name]["architecture"], **BUILTIN[name]["arguments"]), 32


def _images(size, count=2):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


class _Uses(TorchFunctionMode):
    """Lists the parameters that computations use, in the order of first use."""

    def __init__(self, network):
        super().__init__()
        self.names = {id(parameter): name for name, parameter in network.named_parameters()}
        self.order = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") != "__get__":
            arguments = [self.names.get(id(value)) for value in (*args, *(kwargs or {}).values())]
            self.order += [name for name in arguments if name and name not in self.order]
        return function(*args, **(kwargs or {}))


def _check(model, size):
    """Check the last block, and the last half of the blocks: the split, and what changes in one step of training."""
    model.backbone.eval()
    _check_part(model, size, find_last_block(model))
    _check_part(model, size, last_blocks(model, _images(size, 1), 0.5))


def _check_part(model, size, block):
    backbone, images = copy.deepcopy(model.backbone), _images(size)
    network = PartlyTrained(backbone, block)
    trained = [n for n, p in backbone.named_parameters() if p.requires_grad]
    with torch.no_grad(), _Uses(backbone) as uses:
        expected = network.eval()(images)
    order = uses.order
    assert 0 < len(trained) < len(order)
    assert set(order[-len(trained) :]) == set(trained), "the block is a complete suffix of the network"
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    _check_split(backbone, block, images, expected)
    network.train().eval()
    nn.Sequential(network).train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(images).square().mean().backward()
    optimizer.step()
    inside = tuple(f"{name}." for name in block)
    moved = {n for n, value in backbone.state_dict().items() if not torch.equal(value, before[n])}
    assert all(name.startswith(inside) for name in moved)
    assert any(name in moved for name in trained)
    assert {n for n in before if n.endswith("running_mean") and n.startswith(inside)} <= moved, (
        "norms of the block do change"
    )


def _check_split(backbone, block, images, expected):
    trunk, rest = split_at(backbone, block, images[:1])
    activations = trunk(images)
    copied = activations.clone()
    rest(activations)
    assert torch.equal(activations, copied), "activations can be reused"
    assert not activations.requires_grad
    with torch.no_grad():  # attention uses another kernel when gradients are required
        assert torch.equal(rest(activations), expected)
    trained = [p for p in backbone.parameters() if p.requires_grad]
    assert {id(p) for p in rest.parameters() if p.requires_grad} == {id(p) for p in trained}
    gradients = [
        torch.autograd.grad(n(x).square().mean(), trained) for n, x in ((rest, activations), (backbone, images))
    ]
    assert all(torch.equal(left, right) for left, right in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", BUILTIN)
def test_the_last_block_of_each_embedded_network(name):
    _check(*_embedded(name))


@pytest.mark.parametrize("architecture", _parameters(FEW, ALWAYS_OF_THE_PAPER))
def test_the_last_block_of_each_family_of_the_paper(architecture):
    _check(_model("torchvision", architecture), 96 if architecture == "inception_v3" else 64)


@pytest.mark.parametrize("architecture", _parameters(TIMM, ALWAYS_OF_TIMM))
def test_the_last_block_of_families_of_timm(architecture):
    _check(_model("timm", architecture, **TIMM[architecture]), 64)


def test_the_last_block_of_the_first_pvt():
    network = PVT(DEPTHS["pvt_tiny"]).eval()
    model = LoadedModel(wrap_network(network), str, {"library": "pvt", "architecture": "pvt_tiny"})
    model.backbone.eval()
    # Its earlier stages round sizes, so they cannot be traced; a quarter of the blocks is the last stage.
    for block in (find_last_block(model), last_blocks(model, _images(224, 1), 0.25)):
        _check_part(model, 224, block)


@pytest.mark.assets
@pytest.mark.parametrize("name", _parameters(ASSETS, ALWAYS_OF_ASSETS))
def test_the_last_block_of_each_family_of_real_networks(shared, name):
    folder = shared / "assets" / "weights"
    pool = checkpoints(str(folder), (name,), str(shared / "assets" / "nets.py"))
    _check(pool.candidates[0].load(), json.loads((folder / "manifest.json").read_text())[name]["input_size"])


@pytest.mark.parametrize("architecture", PAPER)
def test_the_eleven_networks_of_the_paper_have_a_last_block(architecture):
    with torch.device("meta"):
        model = _model("torchvision", architecture)
    block = {n.removeprefix("trunk.") for n in find_last_block(model)}
    assert block <= set(dict(model.backbone.trunk.named_modules()))


@pytest.mark.assets
def test_every_real_network_matches_a_definition(shared):
    """The backbone is a stand-in without modules, so the error must be a missing module, not a missing definition."""
    entries = json.loads((shared / "assets" / "weights" / "manifest.json").read_text())
    for entry in entries.values():
        with pytest.raises(NotApplicableError, match="has no module"):
            find_last_block(LoadedModel(Bare(), str, entry))


def test_dropout_and_norms_of_the_frozen_part_stay_in_evaluation_mode():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.9), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9)))
    partly = PartlyTrained(network, ["2"]).train()
    assert [m.training for m in network] == [False, False, True]
    assert partly.training
    assert [m.training for m in copy.deepcopy(partly).eval().train().network] == [False, False, True]
    with pytest.raises(InputError, match="no module '3'"):
        PartlyTrained(network, ["3"])


def test_a_family_without_definition_is_refused_until_it_is_defined(tmp_path):
    model = LoadedModel(Bare(), str, {"library": "mine", "architecture": "Odd"})
    with pytest.raises(NotApplicableError, match=r"mine/Odd.*last_blocks\.yaml.*ground_truth\.definitions"):
        find_last_block(model)
    definitions = tmp_path / "mine.yaml"
    definitions.write_text("- networks: mine/.*\n  block: [last, 'extra?']\n")
    assert find_last_block(model, str(definitions)) == ("last",)
    assert find_last_block(_embedded("resnet_glyphs")[0], str(definitions)) == ("network.layer4",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("networks: a", "must be a list"),
        ("- networks: a", "block: Field required"),
        ("- networks: (\n  block: [a]", "valid regular expression"),
        ("- [", "cannot read the YAML file"),
        ("- networks: .*\n  block: ['layer4.x:']", r"'layer4.x:' in the last block of .* a slice"),
        (None, "no file"),
    ],
)
def test_bad_definitions_are_refused(tmp_path, text, message):
    path = tmp_path / "own.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        find_last_block(_embedded("resnet_glyphs")[0], str(path))


def test_a_network_whose_block_depends_on_two_values_is_not_split():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.last(self.a(x)) + self.b(x)

    with pytest.raises(NotApplicableError, match="a second value crosses"):
        split_at(Two().eval(), ["last"], torch.ones(1, 3, 1, 2))
