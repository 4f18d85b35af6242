"""Damage to the store's files: the right value comes back, found or computed again."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.bad_input.damaged_store import comes_back, stored
from tests.bad_input.drawn import cut_off, flipped, spoiled

KINDS = ("arrays", "record")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_stored_is_found(kind):
    assert comes_back(kind, stored(kind))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_file_that_is_cut_off_gives_no_wrong_number(kind, data):
    comes_back(kind, data.draw(cut_off(stored(kind))))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None, database=None, phases=[Phase.generate])
@given(data=st.data())
def test_a_file_with_other_bytes_gives_no_wrong_number(kind, data):
    comes_back(kind, data.draw(flipped(stored(kind)) | spoiled(stored(kind))))
