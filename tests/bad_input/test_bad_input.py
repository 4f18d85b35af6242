"""Bad input of every kind, put before the command line: one line that names the culprit, and exit code 1."""

from __future__ import annotations

import pytest

from tests.bad_input.kind import Kind, complaint
from tests.bad_input.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name.replace(" ", "_") for kind in KINDS])
def test_it_gets_one_line_and_exit_code_1(kind: Kind, tmp_path, capfd):
    code, said = complaint(kind, tmp_path)
    assert code == 1, said
    assert said.startswith("transfer_exp: "), said
    assert said.count("\n") == 1, said
    assert kind.message in said
    assert capfd.readouterr().err == ""
    assert not list(tmp_path.rglob("trace")), "code in the input was run"


def test_there_are_many_and_each_has_a_name_of_its_own():
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40
