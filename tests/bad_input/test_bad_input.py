"""Bad input of every kind ends in one line that names the problem, and exit code 1."""

from __future__ import annotations

import pytest

from tests.bad_input.kind import Kind, run_kind
from tests.bad_input.kinds import KINDS


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name.replace(" ", "_") for kind in KINDS])
def test_bad_input_gets_one_line_and_exit_code_1(kind: Kind, tmp_path, capfd):
    code, stderr = run_kind(kind, tmp_path)
    assert code == 1, stderr
    assert stderr.startswith("transfer_exp: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert kind.message in stderr
    assert capfd.readouterr().err == ""
    assert not list(tmp_path.rglob("trace")), "code in the input was run"


def test_there_are_at_least_forty_kinds_with_different_names():
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40
