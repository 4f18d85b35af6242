"""Partial fine-tuning: which blocks train. `test_last_block` checks the split of each family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.ground_truth.partial import PartialFineTuning, last_blocks
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.model_pool.builtin import builtin

IMAGE = torch.zeros(1, 3, 32, 32)
PROTOCOL = Protocol(steps=1, batch_size=1, learning_rates=(1e-3,), weight_decays=(0.0,))


def load(name):
    model = builtin((name,)).candidates[0].load()
    model.backbone.eval()
    return model


@pytest.mark.parametrize(("fraction", "first"), [(0.01, 7), (0.25, 6), (0.26, 5), (0.5, 4), (1.0, 0)])
def test_a_fraction_is_rounded_up_to_whole_blocks(fraction, first):
    blocks = [f"network.blocks.{i}" for i in range(first, 8)]
    assert last_blocks(load("vit2_glyphs"), IMAGE, fraction)[: len(blocks)] == tuple(blocks)


def test_everything_that_runs_after_the_first_block_is_trained():
    modules = last_blocks(load("convnext_textures"), IMAGE, 0.3)
    assert modules[:3] == ("network.stages.2.blocks.3", "network.stages.3", "network.norm_pre")
    assert "network.head.norm" in modules
    assert not {"network.head", "network.head.fc"} & set(modules), "the classifier is cut off"


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match=r"ground_truth.fraction=.*: need a share above 0, up to 1"):
        PartialFineTuning(PROTOCOL, fraction)


def test_blocks_of_an_unknown_family_can_be_defined(tmp_path):
    model = load("resnet_glyphs")
    unknown = replace(model, identity={"library": "mine", "architecture": "odd"})
    with pytest.raises(NotApplicableError, match=r"mine/odd.*ground_truth\.definitions"):
        last_blocks(unknown, IMAGE, 0.25)
    definitions = tmp_path / "mine.yaml"
    definitions.write_text("- networks: mine/.*\n  block: [layer4]\n")
    with pytest.raises(NotApplicableError, match=r"no blocks are defined for mine/odd: name them as 'blocks'"):
        last_blocks(unknown, IMAGE, 0.25, str(definitions))
    definitions = tmp_path / "complete.yaml"
    definitions.write_text("- networks: mine/.*\n  block: [layer4]\n  blocks: [layer*]\n")
    assert last_blocks(unknown, IMAGE, 0.5, str(definitions))[:2] == ("network.layer3", "network.layer4")
