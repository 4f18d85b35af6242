"""Costs of networks: exact counts on a plain network, records in the store, and the fastest measured speed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from transfer_exp.features.cost import count_cost
from transfer_exp.features.extraction import Extractor
from transfer_exp.model_pool.backbone import HeadlessBackbone
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.loaded_model import LoadedModel
from transfer_exp.progress import silent


@pytest.fixture
def extractor(store):
    return Extractor(store, device="cpu", batch_size=5, workers=0, track=silent)


def test_operations_and_memory_of_a_plain_network_are_exact():
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    model = LoadedModel(HeadlessBackbone(nn.Sequential(*layers)).eval(), lambda image: torch.zeros(3, 16, 16), {})
    cost = count_cost(model)
    assert cost["multiply_adds"] == 3 * 8 * 9 * 16 * 16 + 8 * 5
    assert cost["activation_bytes"] == 2 * 8 * 16 * 16 * 4, "the map before and after the ReLU"
    assert cost["parameters"] == 3 * 8 * 9 + 8 + 8 * 5 + 5
    assert cost["weight_bytes"] == cost["file_bytes"] == 4 * cost["parameters"]


def test_attention_counts_as_its_two_products():
    network = nn.MultiheadAttention(16, 2, batch_first=True, bias=False).eval()

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, images):
            tokens = images.flatten(2).mT.repeat(1, 1, 6)[..., :16]
            return self.inner(tokens, tokens, tokens, need_weights=False)[0].mean(1)

    model = LoadedModel(HeadlessBackbone(Attention()).eval(), lambda image: torch.zeros(3, 4, 4), {})
    tokens, width = 16, 16
    assert count_cost(model)["multiply_adds"] == 4 * tokens * width**2 + 2 * tokens**2 * width


def test_costs_are_stored_with_the_fastest_speed(dataset, extractor):
    model = builtin(("resnet_glyphs",)).candidates[0].load()
    before = extractor.cost("net", model)
    assert (before.images_per_second, before.batch_size) == (None, None)
    assert before.parameters == model.parameters == 375_986
    assert before.licence == "Apache-2.0"
    assert before.source_dataset == "source_glyphs"
    assert before.file_bytes < before.weight_bytes, "the file has half precision"
    assert before.peak_memory(10) == before.weight_bytes + 10 * before.activation_bytes
    extractor("net", model, dataset.train)
    measured = extractor.cost("net", model)
    assert measured.images_per_second > 0
    assert measured.batch_size == 5
    extractor.speeds["net"] = measured.images_per_second / 2
    assert extractor.cost("net", model) == measured, "a slower pass does not count"
    extractor.speeds["net"] = measured.images_per_second * 2
    assert extractor.cost("net", model).images_per_second == measured.images_per_second * 2
    assert replace(extractor, speeds={}).cost("net", model).images_per_second == measured.images_per_second * 2


def test_the_cost_of_a_network_that_takes_no_blank_image_is_unknown(extractor):
    class Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("no")

    model = LoadedModel(HeadlessBackbone(Broken()), lambda image: torch.zeros(3, 4, 4), {})
    assert extractor.cost("net", model) is None
