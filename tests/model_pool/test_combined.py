"""Pools as one: in order, by name, and never two of a name."""

from __future__ import annotations

import pytest

from transfer_exp.errors import InputError
from transfer_exp.model_pool.combined import joined
from transfer_exp.model_pool.pool import Candidate, ModelPool


def pool(*names):
    return ModelPool("part", tuple(Candidate(name, lambda name=name: name) for name in names))


def test_candidates_of_all_pools_come_in_order_and_load_as_they_did():
    whole = joined([pool("b", "a"), pool("c")], "whole")
    assert whole.name == "whole"
    assert [c.name for c in whole.candidates] == ["b", "a", "c"]
    assert [c.load() for c in whole.candidates] == ["b", "a", "c"]


def test_some_can_be_asked_for_by_name():
    assert [c.name for c in joined([pool("a", "b"), pool("c")], "whole", ["c", "a"]).candidates] == ["c", "a"]
    with pytest.raises(InputError, match="no model 'd' in whole"):
        joined([pool("a")], "whole", ["d"])


def test_two_of_one_name_are_refused():
    with pytest.raises(InputError, match="2 models of whole are called 'a'"):
        joined([pool("a", "b"), pool("a")], "whole")
