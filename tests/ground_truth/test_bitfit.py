"""BitFit: biases and norms of every kind of network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer_exp.errors import NotApplicableError
from transfer_exp.ground_truth.bitfit import BitFit, biases_and_norms
from transfer_exp.ground_truth.network import PartlyTrained, use_channels_last
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.model_pool.backbone import HeadlessBackbone
from transfer_exp.model_pool.builtin import builtin

IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize("name", ["vit_shapes", "resnet_glyphs", "nfnet_fractals", "efficientnet_evos_textures"])
def test_biases_and_norms_train_and_no_matrix_does(name):
    network = builtin((name,)).candidates[0].load().backbone.eval()
    modules = dict(network.named_modules())
    trained = biases_and_norms(network, IMAGE)
    partly = PartlyTrained(network, trained)
    parameters = {n: p for n, p in partly.named_parameters() if p.requires_grad}
    assert len(parameters) > 10
    assert all(p.squeeze().ndim <= 1 for p in parameters.values())
    norms = {n for n, m in modules.items() if isinstance(m, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d)}
    assert {n for n in norms if list(modules[n].parameters(recurse=False))} <= set(trained)
    classifier = network.network.get_classifier()
    assert not any(p.requires_grad for p in classifier.parameters()), "the classifier is cut off"


def test_norms_train_in_training_mode_and_dropout_stays_off():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())
    partly = PartlyTrained(network.eval(), biases_and_norms(network, IMAGE)).train()
    assert [module.training for module in network] == [False, True, False, False]
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["1.weight", "1.bias"]
    assert partly.training


def test_a_network_without_biases_and_norms_is_not_applicable():
    model = builtin(("resnet_glyphs",)).candidates[0].load()
    network = HeadlessBackbone(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten()))
    protocol = Protocol(steps=1, batch_size=1, learning_rates=(1e-3,), weight_decays=(0.0,))
    with pytest.raises(NotApplicableError, match="biases and norms, and the network has neither"):
        BitFit(protocol).select_part(model, network, IMAGE)


def test_a_group_norm_after_a_frozen_convolution_has_the_gradient_of_any_other():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.GroupNorm(2, 8), nn.Flatten()).eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network(images).square().sum().backward()
    expected = network[1].weight.grad.clone()
    use_channels_last(network)
    partly = PartlyTrained(network, biases_and_norms(network, IMAGE)).train()
    partly.zero_grad()
    partly(images.to(memory_format=torch.channels_last)).square().sum().backward()
    torch.testing.assert_close(network[1].weight.grad, expected)
