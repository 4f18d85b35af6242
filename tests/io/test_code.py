"""Every file of code outside of the package that decides a value changes its key; code of the package does not."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from functools import partial

import pytest

from transfer_exp.ground_truth.full import FullFineTuning
from transfer_exp.ground_truth.last_block import LastBlockFineTuning
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.io import code
from transfer_exp.io.code import outside_code, script_digest
from transfer_exp.model_pool.builtin import builtin

REGIME = """
import numpy, dataclasses
from helper_of_lab import LEVEL
@dataclasses.dataclass(frozen=True)
class Mine:
    level: int = LEVEL
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A module of the user's, which imports a module of the user's, which imports a package of the user's."""
    (tmp_path / "mine_of_lab.py").write_text(REGIME)
    (tmp_path / "helper_of_lab.py").write_text("import deep_of_lab\nLEVEL = 1\n")
    (tmp_path / "deep_of_lab").mkdir()
    (tmp_path / "deep_of_lab" / "__init__.py").write_text("")
    (tmp_path / "deep_of_lab" / "inner.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "_digests", {})
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_of_lab")]:
        del sys.modules[name]


@pytest.mark.parametrize("edited", ["mine_of_lab.py", "helper_of_lab.py", "deep_of_lab/inner.py"])
def test_an_edit_of_any_file_of_the_user_changes_the_key(lab, edited, monkeypatch):
    mine = importlib.import_module("mine_of_lab").Mine()
    before, script = outside_code(mine), script_digest(lab / "mine_of_lab.py")
    assert outside_code(mine) == before == outside_code(partial(type(mine), level=3))
    with (lab / edited).open("a") as file:
        file.write("# another value\n")
    monkeypatch.setattr(code, "_digests", {})  # another process
    assert outside_code(mine) != before
    assert script_digest(lab / "mine_of_lab.py") != script


def test_an_edit_while_the_process_runs_is_never_taken_for_either_version(lab, monkeypatch):
    mine = importlib.import_module("mine_of_lab").Mine()
    before = outside_code(mine)
    (lab / "helper_of_lab.py").write_text("LEVEL = 2\n")
    during = outside_code(mine)
    monkeypatch.setattr(code, "_digests", {})
    assert len({str(key) for key in (before, during, outside_code(mine))}) == 3


@dataclass(frozen=True)
class _Outer:
    inner: object


def test_the_code_of_a_field_counts(lab):
    mine = importlib.import_module("mine_of_lab")
    assert outside_code(_Outer(mine.Mine())) != outside_code(_Outer(1)) != {}


def test_objects_of_the_package_have_no_outside_code(tmp_path):
    protocol = Protocol(steps=2, batch_size=2, learning_rates=(0.1,), weight_decays=(0.0,))
    assert outside_code(FullFineTuning(protocol)) == {} == outside_code(builtin(("vit_shapes",)).candidates[0].load)
    definitions = tmp_path / "blocks.yaml"
    definitions.write_text("- networks: a\n")
    regime = LastBlockFineTuning(protocol, definitions=str(definitions))
    before = outside_code(regime)
    definitions.write_text("- networks: b\n")
    assert {} != before != outside_code(regime)
    assert outside_code(LastBlockFineTuning(protocol)) == {}
