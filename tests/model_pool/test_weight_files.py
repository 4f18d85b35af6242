"""A network larger than its weight file is refused before it takes memory."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from transfer_exp.model_pool.weight_files import SizeLimit, read_weight_file
from transfer_exp.vision import timm, torchvision


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: timm.create_model("vit_tiny_patch16_224"),
        lambda: timm.create_model("swin_tiny_patch4_window7_224"),
        lambda: torchvision.models.densenet121(),
    ],
)
def test_a_network_as_large_as_its_file_is_built_unchanged(build):
    torch.manual_seed(0)
    expected = build().state_dict()
    size = sum(value.nbytes for value in expected.values())
    torch.manual_seed(0)
    with SizeLimit(size):
        state = build().state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    "allocate", [lambda: nn.Linear(10**6, 10**9), lambda: torch.zeros(10**15), lambda: torch.randn(10**14)]
)
def test_a_tensor_of_terabytes_is_refused(allocate):
    with pytest.raises(ValueError, match="far more numbers than its file"), SizeLimit(1000):
        allocate()


@pytest.mark.slow
def test_many_small_layers_are_refused_by_their_total():
    with pytest.raises(ValueError, match="far more numbers than its file"), SizeLimit(1000):
        [nn.Linear(10_000, 1000) for _ in range(10**9)]


@pytest.mark.parametrize("levels", [40, 300])
def test_lists_in_lists_are_read_in_the_time_of_their_file(tmp_path, levels):
    content = [torch.ones(2)]
    for _ in range(levels):
        content = [content, content]
    torch.save({"state_dict": content}, tmp_path / "net.pth")
    assert read_weight_file(tmp_path / "net.pth").keys() == {"state_dict"}


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "net.pth")
    with pytest.raises(ValueError, match="not a regular file"):
        read_weight_file(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", ["pth", "bin", "ckpt", "safetensors", ""])
@pytest.mark.parametrize("save", [save_file, torch.save], ids=["safetensors", "torch"])
def test_the_content_decides_the_format(tmp_path, save, suffix):
    path = tmp_path / f"net.{suffix}"
    save({"weight": torch.arange(6.0)}, path)
    assert torch.equal(read_weight_file(path)["weight"], torch.arange(6.0))
