"""``transfer-exp cache`` lists the entries of a store, and removes only those that match its options."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from transfer_exp.cli.cache import _EXAMPLES, main
from transfer_exp.cli.console import format_bytes
from transfer_exp.store import Lock, Store, open_backend


def write_record(store, name, dataset, digest):
    row = {"model": name, "dataset": dataset}
    key = {"model": {"architecture": "x"}, "train": digest, "seed": name}
    store.get_or_compute_record("accuracy", key, lambda: {"row": row})


def write_features(store, architecture, digest):
    key = {"model": {"architecture": architecture}, "images": digest}
    store.get_or_compute_arrays("features", key, lambda: {"features": np.ones((50, 10))})


@pytest.fixture
def root(tmp_path):
    """Return a store with features of two models on two datasets; one dataset has an accuracy, and so a name."""
    store = Store(tmp_path / "store")
    for architecture in ("resnet", "vit"):
        write_features(store, architecture, "1234567890")
    write_features(store, "vit", "abcdefghijk")
    write_record(store, "my_vit", "pets", "1234567890")
    store.unfinished_backend({"n": 1}).write("state", lambda path: path.write_bytes(b"x" * 5000))
    return store.root


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def run_cache(root, capsys, *arguments):
    code = main([*arguments, "--store", str(root)])
    output = capsys.readouterr()
    assert code == (1 if output.err else 0)
    return (output.err or output.out).replace(str(root), "STORE").splitlines()


def test_ls_counts_entries_by_kind_and_names_models_and_datasets(root, capsys):
    key = {"dataset": "pets", "names": {"metric": "sfda", "perturbation": "pca"}}
    Store(root).update_record("scores", key, {"of one model": [0.5]})
    for path in root.rglob("*.safetensors"):
        os.utime(path, (86400 * 365.5, 86400 * 365.5))
    lines = run_cache(root, capsys, "ls")
    size = sum(path.stat().st_size for path in files(root))
    assert lines[0] == f"STORE: 6 entries, {size / 1000:.3g} kB"
    assert lines[1].split() == ["kind", "entries", "size", "oldest", "newest"]
    today = time.strftime("%Y-%m-%d")
    assert [line.split()[0] for line in lines[2:6]] == ["accuracy", "features", "scores", "unfinished"]
    table = {line.split()[0]: line.split()[1:] for line in lines[2:6]}
    assert table["features"][0] == "3"
    assert table["features"][-2:] == ["1971-01-01", "1971-01-01"]
    assert table["unfinished"] == ["1", "5", "kB", today, today]
    assert lines[6:] == [
        "accuracy: models my_vit (1)",
        "accuracy: datasets pets (1)",
        "features: models vit (2), resnet (1)",
        "features: datasets pets (2), abcdefgh (1)",
        "scores: metrics sfda (1)",
        "scores: datasets pets (1)",
    ]


def test_models_have_the_names_of_their_pool(tmp_path, capsys):
    store = Store(tmp_path / "store")
    network = {"library": "timm", "architecture": "test_resnet", "arguments": {"num_classes": 34}, "weights": "abc"}
    others = [network | {"architecture": "vit", "weights": weights} for weights in ("one", "two")]
    for model in (network, *others):
        store.get_or_compute_arrays("features", {"model": model, "images": "x"}, lambda: {"features": np.ones((2, 2))})
    row = {"row": {"model": "mine", "dataset": "pets"}}
    store.get_or_compute_record("accuracy", {"model": others[0], "train": "x"}, lambda: row)
    lines = run_cache(store.root, capsys, "ls")
    (line,) = [line for line in lines if line.startswith("features: models ")]
    assert set(line.removeprefix("features: models ").split(", ")) == {"resnet_glyphs (1)", "mine (1)", "vit (1)"}
    assert any(
        "features of resnet_glyphs" in line for line in run_cache(store.root, capsys, "prune", "--kind=features")
    )


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (3_141_593, "3.14 MB")]
)
def test_a_size_has_three_digits_and_a_unit(count, text):
    assert format_bytes(count) == text


def test_ls_works_on_a_damaged_store(root, capsys):
    for path in files(root):
        path.write_bytes(b'{"key": [], "value": {"row": 3}}')
    assert "accuracy: models unknown (1)" in run_cache(root, capsys, "ls")


KINDS_REMOVED = {
    ("--kind", "features"): ["features"] * 3,
    ("--unfinished",): ["unfinished"],
    ("--unfinished", "--kind", "accuracy"): ["accuracy", "unfinished"],
    ("--older-than", "2d"): ["accuracy"],
    ("--older-than", "2d", "--kind", "features"): [],
    ("--older-than", "0m"): ["accuracy", "features", "features", "features", "unfinished"],
    ("--damaged",): [],
}


@pytest.mark.parametrize("options", KINDS_REMOVED)
def test_prune_removes_entries_that_match_all_options_and_a_dry_run_lists_the_same(root, capsys, options):
    (old,) = root.rglob("*.json")
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    before = files(root)
    dry_run = run_cache(root, capsys, "prune", *options, "--dry-run")
    assert files(root) == before
    lines = run_cache(root, capsys, "prune", *options)
    assert [line.replace("would remove", "removed") for line in dry_run[:-1]] == lines[:-1]
    assert sorted(line.split()[1].strip(",") for line in lines[:-1]) == KINDS_REMOVED[options]
    assert lines[-1].startswith(f"removed {len(KINDS_REMOVED[options])} entries, ")
    assert len(files(root)) == len(before) - len(KINDS_REMOVED[options])


def test_prune_of_damaged_entries_keeps_the_valid_ones(root, capsys):
    damaged = next(root.rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-3])
    lines = run_cache(root, capsys, "prune", "--damaged")
    assert lines[0].endswith(f"days old: STORE/{damaged.relative_to(root)}")
    assert len(lines) == 2
    assert len(files(root)) == 4
    assert not damaged.exists()


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_prune_keeps_an_entry_that_a_process_uses(root, capsys, dry_run):
    (record,) = root.rglob("*.json")
    with Lock(open_backend(record.parent), f"{record.stem}.lock"):
        lines = run_cache(root, capsys, "prune", "--kind", "accuracy", *dry_run)
    assert lines[0].startswith("kept, because a process uses it, accuracy of my_vit, ")
    assert lines[1].endswith("0 entries, 0 B")
    assert record.exists()


WRONG_ARGUMENTS = {
    (): "say what to do: transfer-exp cache ls, or transfer-exp cache prune --older-than 30d",
    ("prune",): "see transfer-exp cache prune --help",
    ("prune", "--older-than", "soon"): "'soon' is not an age: write 90m, 12h, 30d or 8w",
    ("prune", "--older-than", "-1d"): "argument --older-than",
    ("prune", "--kind", "features/.."): "--kind: there is no 'features/..': did you mean features",
    ("list",): "there is no 'list': did you mean ls? (see transfer-exp cache --help)",
    ("ls", "--store", "/no/such"): "no store /no/such",
    ("ls", "--dry-run"): "unrecognized arguments: --dry-run",
}


@pytest.mark.parametrize("arguments", WRONG_ARGUMENTS)
def test_wrong_arguments_get_one_line_and_exit_code_1(arguments, capsys):
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("transfer_exp: ")
    assert output.err.count("\n") == 1
    assert WRONG_ARGUMENTS[arguments] in output.err


def test_a_store_that_cannot_be_read_is_not_called_empty(root, capsys, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", deny)
    assert run_cache(root, capsys, "ls") == [
        "transfer_exp: cannot read STORE (Permission denied): check its permissions"
    ]


def test_an_object_store_is_refused(capsys):
    assert main(["ls", "--store", "s3://bucket/store"]) == 1
    assert "s3://bucket/store is not a folder" in capsys.readouterr().err


def test_a_fifo_is_a_damaged_entry_that_can_be_removed(root, capsys):
    path = next(root.rglob("*.json"))
    path.unlink()
    os.mkfifo(path)
    assert any(line.startswith("accuracy") for line in run_cache(root, capsys, "ls"))
    assert run_cache(root, capsys, "prune", "--damaged")[-1].startswith("removed 1 entries")
    assert not path.exists()


@pytest.mark.parametrize("example", [example for example in _EXAMPLES if "prune" in example])
def test_each_example_of_the_help_finds_something_to_remove(root, capsys, example):
    next(root.rglob("*.json")).write_text("{")
    for path in [*root.rglob("*"), root]:
        os.utime(path, (0, 0))
    arguments = example.removeprefix("transfer-exp cache ").replace(" --store outputs/store", "").split()
    assert "0 entries" not in run_cache(root, capsys, *arguments)[-1]
