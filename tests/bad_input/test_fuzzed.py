"""Readers of users' files under random damage return a valid value or refuse in one line, and do nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_input.fuzzed import READERS


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=[reader.name.replace(" ", "_") for reader in READERS])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_reader_returns_a_valid_value_or_refuses_in_one_line(reader, data):
    reader.accepts(data.draw(reader.inputs))
