"""Pretraining of the built-in pool on a small scale, and the pool that ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from studies import builtin_pool
from transfer_exp.model_pool.checkpoints import checkpoints

WEIGHTS = Path(builtin_pool.__file__).parents[1] / "transfer_exp" / "model_pool" / "weights"
MANIFEST = json.loads((WEIGHTS / "manifest.json").read_text())


def test_pretraining_is_reproducible_and_its_files_can_be_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin_pool, "_TRAIN_IMAGES", 90)
    monkeypatch.setattr(builtin_pool, "_TEST_IMAGES", 60)
    plan = replace(builtin_pool.POOL[7], steps=2)
    entries = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        entries.append(builtin_pool.pretrain(plan, folder))
        (folder / "manifest.json").write_text(json.dumps({plan.name: entries[-1]}))
    first, second = (checkpoints(str(tmp_path / name)).candidates[0].load() for name in ("first", "second"))
    assert first.identity == second.identity
    assert entries[0] == entries[1]
    assert 0 <= entries[0]["source_accuracy"] <= 1
    assert f"| `{plan.name}` |" in builtin_pool.model_card({plan.name: entries[0]})


def test_the_manifest_and_model_card_match_the_training_plans():
    assert list(MANIFEST) == [plan.name for plan in builtin_pool.POOL]
    for plan in builtin_pool.POOL:
        entry = MANIFEST[plan.name]
        assert entry["architecture"] == plan.architecture
        assert entry["arguments"] == plan.constructor
        assert entry["training"]["steps"] == plan.steps
        assert entry["training"]["learning_rate"] == plan.learning_rate
    assert (WEIGHTS / "MODEL_CARD.md").read_text() == builtin_pool.model_card(MANIFEST)


def test_the_shipped_pool_is_small_and_varied():
    files = sorted(WEIGHTS.glob("*.safetensors"))
    assert [f.stem for f in files] == sorted(MANIFEST)
    assert sum(f.stat().st_size for f in files) <= 10 * 1024**2
    assert len({e["architecture"] for e in MANIFEST.values()}) >= 12
    assert len({e["source_dataset"] for e in MANIFEST.values()}) == 4
    accuracies = [e["source_accuracy"] for e in MANIFEST.values()]
    assert min(accuracies) < 0.5 < 0.95 < max(accuracies), "trained to different degrees"


@pytest.mark.parametrize("name", MANIFEST)
def test_all_weights_are_finite_in_half_precision(name):
    import numpy as np

    assert all(np.isfinite(v.astype(np.float32)).all() for v in load_file(WEIGHTS / f"{name}.safetensors").values())
