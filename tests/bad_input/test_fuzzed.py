"""Readers of strangers' files under random damage: a sound value, or a refusal in one line, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_input.fuzzed import FUZZED


@pytest.mark.parametrize("fuzzed", FUZZED, ids=[f.name.replace(" ", "_") for f in FUZZED])
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_reader_gives_a_sound_value_or_refuses_in_one_line(fuzzed, data):
    fuzzed.accepted(data.draw(fuzzed.inputs))
