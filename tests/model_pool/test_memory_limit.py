"""A network of a stranger's arguments: built where its file can fill it, refused before it takes memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer_exp.model_pool.memory_limit import SizeBound
from transfer_exp.vision import timm, torchvision


@pytest.mark.parametrize(
    "make",
    [
        lambda: timm.create_model("vit_tiny_patch16_224"),
        lambda: timm.create_model("swin_tiny_patch4_window7_224"),
        lambda: torchvision.models.densenet121(),
    ],
)
def test_a_network_whose_file_is_there_is_built_as_ever(make):
    torch.manual_seed(0)
    expected = make().state_dict()
    size = sum(value.nbytes for value in expected.values())
    torch.manual_seed(0)
    with SizeBound(size):
        built = make().state_dict()
    assert all(torch.equal(built[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(10**6, 10**9), lambda: torch.zeros(10**15), lambda: torch.randn(10**14)]
)
def test_terabytes_are_refused_at_once(make):
    with pytest.raises(ValueError, match="far more numbers than its file"), SizeBound(1000):
        make()


def test_many_small_layers_are_refused_together():
    with pytest.raises(ValueError, match="far more numbers than its file"), SizeBound(1000):
        [nn.Linear(10_000, 1000) for _ in range(10**9)]
