"""A store that an older version wrote is read: ``old_store`` holds features, an accuracy and scores from a real run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tests.command import run_command
from transfer_exp.store import Store
from transfer_exp.store.entries import list_entries

OLD_STORE = Path(__file__).parent / "old_store"


@pytest.fixture
def old_store(tmp_path):
    return Store(shutil.copytree(OLD_STORE, tmp_path / "store"))


def fail_to_compute():
    raise AssertionError("computed a cached value")


def test_features_are_read(old_store):
    (path,) = OLD_STORE.glob("features/*/*")
    with safe_open(path, framework="numpy") as file:
        key = json.loads(file.metadata()["key"])
    assert old_store.has("features", key)
    arrays, was_cached = old_store.get_or_compute_arrays("features", key, fail_to_compute)
    assert was_cached
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(arrays[name], array)
    assert arrays["features"].shape == (200, 64)
    (batch,) = old_store.iter_batches("features", key, "features", 200)
    np.testing.assert_array_equal(batch, arrays["features"])


@pytest.mark.parametrize("kind", ["accuracy", "scores"])
def test_records_are_read(old_store, kind):
    (path,) = OLD_STORE.glob(f"{kind}/*/*")
    content = json.loads(path.read_text())
    assert old_store.has(kind, content["key"])
    assert old_store.get_or_compute_record(kind, content["key"], fail_to_compute) == (content["value"], True)
    assert old_store.read_record(kind, content["key"]) == content["value"]


def test_entries_are_listed_and_intact(old_store):
    entries = list(list_entries(old_store.root))
    assert [entry.kind for entry in entries] == ["accuracy", "features", "scores"]
    assert not any(entry.is_damaged() for entry in entries)


@pytest.mark.slow
def test_a_run_computes_neither_features_nor_accuracies_again(old_store, tmp_path):
    arguments = ["model_pool.names=[vit_shapes]", "ground_truth=last_block", "tracker=none", f"store={old_store.root}"]
    done = run_command(tmp_path, *arguments, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "accuracy: 1 read from the store, 0 computed" in done.stdout
    assert "features of scoring_set: 1 read from the store, 0 computed" in done.stdout
    (model,) = json.loads((tmp_path / "run" / "result.json").read_text())["models"]
    assert model["accuracy"] == 0.37319974953036944
    assert model["score"] == pytest.approx(-0.14207092958395778, rel=1e-12)  # computed again
