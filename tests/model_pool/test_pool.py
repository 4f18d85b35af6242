"""Combined pools keep the order and the names of their candidates."""

from __future__ import annotations

import pytest

from transfer_exp.errors import InputError
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.pool import Candidate, ModelPool, combine_pools
from transfer_exp.model_pool.timm import timm
from transfer_exp.model_pool.torchvision import torchvision
from transfer_exp.vision import timm as library


def example_pool(*names):
    return ModelPool("part", tuple(Candidate(name, lambda name=name: name) for name in names))


def test_a_combined_pool_has_the_candidates_of_its_pools_in_order():
    combined = combine_pools([example_pool("b", "a"), example_pool("c")], "combined")
    assert combined.name == "combined"
    assert [candidate.name for candidate in combined.candidates] == ["b", "a", "c"]
    assert [candidate.load() for candidate in combined.candidates] == ["b", "a", "c"]


def test_names_select_and_order_the_candidates_of_a_combined_pool():
    combined = combine_pools([example_pool("a", "b"), example_pool("c")], "combined", ["c", "a"])
    assert [candidate.name for candidate in combined.candidates] == ["c", "a"]
    with pytest.raises(InputError, match="no model 'd' in combined"):
        combine_pools([example_pool("a")], "combined", ["d"])


def test_two_models_with_the_same_name_are_refused():
    with pytest.raises(InputError, match="2 models of combined are called 'a': rename"):
        combine_pools([example_pool("a", "b"), example_pool("a")], "combined")


def test_the_number_of_parameters_is_known_before_a_model_is_loaded():
    candidates = [
        *builtin(("resnet_glyphs", "vit_shapes")).candidates,
        *timm({"tiny": "test_resnet", "hub": "hf-hub:owner/net"}).candidates,
        *torchvision(["squeezenet1_1"]).candidates,
    ]
    counts = {candidate.name: candidate.count_parameters() for candidate in candidates}
    assert counts.pop("hub") is None
    loaded = {candidate.name: candidate.load().parameters for candidate in candidates[:2]}
    assert sorted(loaded, key=loaded.__getitem__) == sorted(loaded, key=counts.__getitem__)
    assert {name: counts[name] for name in loaded} == pytest.approx(loaded, rel=0.01), "files of two bytes a weight"
    assert counts["tiny"] == sum(weight.numel() for weight in library.create_model("test_resnet").parameters())
    assert counts["squeezenet1_1"] == 1235496
    assert example_pool("a").candidates[0].count_parameters() is None
