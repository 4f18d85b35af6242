"""A store with damaged files returns the right value, read or computed again."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.bad_input.damaged_store import is_read, valid_file
from tests.bad_input.strategies import damaged, truncated, with_flipped_bit

KINDS = ("arrays", "record")


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_stored_is_found(kind):
    assert is_read(kind, valid_file(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_file_that_is_cut_off_gives_no_wrong_number(kind, data):
    is_read(kind, data.draw(truncated(valid_file(kind))))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate])
@given(data=st.data())
def test_a_file_with_other_bytes_gives_no_wrong_number(kind, data):
    is_read(kind, data.draw(with_flipped_bit(valid_file(kind)) | damaged(valid_file(kind))))
