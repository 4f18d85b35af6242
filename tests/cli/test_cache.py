"""``transfer-exp cache``: what the store holds in lines, and what goes when one says so."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from transfer_exp.cli.cache import main
from transfer_exp.cli.console import in_bytes
from transfer_exp.store import FileLease, Store


def record(store, name, dataset, digest):
    row = {"model": name, "dataset": dataset}
    store.record("accuracy", {"model": {"architecture": "x"}, "train": digest, "seed": name}, lambda: {"row": row})


def features(store, architecture, digest):
    key = {"model": {"architecture": architecture}, "images": digest}
    store.arrays("features", key, lambda: {"features": np.ones((50, 10))})


@pytest.fixture
def root(tmp_path):
    """Return a store of two models on a dataset, one of which was fine-tuned, and another dataset without a name."""
    store = Store(tmp_path / "store")
    for architecture in ("resnet", "vit"):
        features(store, architecture, "1234567890")
    features(store, "vit", "abcdefghijk")
    record(store, "my_vit", "pets", "1234567890")
    store.unfinished({"n": 1}).write("state", lambda path: path.write_bytes(b"x" * 5000))
    return store.root


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def cache(root, capsys, *arguments):
    code = main([*arguments, "--store", str(root)])
    said = capsys.readouterr()
    assert code == (1 if said.err else 0)
    return (said.err or said.out).replace(str(root), "STORE").splitlines()


def test_ls_counts_by_kind_and_names_models_and_datasets(root, capsys):
    of = {"dataset": "pets", "names": {"metric": "sfda", "perturbation": "pca"}}
    Store(root).add("scores", of, {"of one model": [0.5]})
    for path in root.rglob("*.safetensors"):
        os.utime(path, (86400 * 365.5, 86400 * 365.5))
    lines = cache(root, capsys, "ls")
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


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (3_141_593, "3.14 MB")]
)
def test_a_size_has_three_digits_and_a_unit(count, shown):
    assert in_bytes(count) == shown


def test_ls_of_a_damaged_store_says_what_it_can(root, capsys):
    for path in files(root):
        path.write_bytes(b'{"key": [], "value": {"row": 3}}')
    assert "accuracy: models unknown (1)" in cache(root, capsys, "ls")


CHOICES = {
    ("--kind", "features"): ["features"] * 3,
    ("--unfinished",): ["unfinished"],
    ("--unfinished", "--kind", "accuracy"): ["accuracy", "unfinished"],
    ("--older-than", "2d"): ["accuracy"],
    ("--older-than", "2d", "--kind", "features"): [],
    ("--older-than", "0m"): ["accuracy", "features", "features", "features", "unfinished"],
    ("--damaged",): [],
}


@pytest.mark.parametrize("options", CHOICES)
def test_prune_removes_what_all_options_say_and_a_dry_run_says_the_same(root, capsys, options):
    (old,) = root.rglob("*.json")
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    before = files(root)
    told = cache(root, capsys, "prune", *options, "--dry-run")
    assert files(root) == before
    done = cache(root, capsys, "prune", *options)
    assert [line.replace("would remove", "removed") for line in told[:-1]] == done[:-1]
    assert sorted(line.split()[1].strip(",") for line in done[:-1]) == CHOICES[options]
    assert done[-1].startswith(f"removed {len(CHOICES[options])} entries, ")
    assert len(files(root)) == len(before) - len(CHOICES[options])


def test_prune_of_what_is_damaged_leaves_what_is_whole(root, capsys):
    bad = next(root.rglob("*.safetensors"))
    bad.write_bytes(bad.read_bytes()[:-3])
    told = cache(root, capsys, "prune", "--damaged")
    assert told[0].endswith(f"days old: STORE/{bad.relative_to(root)}")
    assert len(told) == 2
    assert len(files(root)) == 4
    assert not bad.exists()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_prune_keeps_what_a_process_works_on_and_says_so(root, capsys, dry):
    (record,) = root.rglob("*.json")
    with FileLease(record.with_suffix(".lease")):
        told = cache(root, capsys, "prune", "--kind", "accuracy", *dry)
    assert told[0].startswith("kept, because a process works on it, accuracy of my_vit, ")
    assert told[1].endswith("0 entries, 0 B")
    assert record.exists()


NONSENSE = {
    (): "the following arguments are required: ls|prune: see transfer-exp cache --help",
    ("prune",): "prune removes nothing unless told what",
    ("prune", "--older-than", "soon"): "'soon' is no age such as 90m, 12h, 30d or 8w",
    ("prune", "--older-than", "-1d"): "argument --older-than",
    ("prune", "--kind", "features/.."): "invalid choice: 'features/..'",
    ("list",): "invalid choice: 'list'",
    ("ls", "--store", "/no/such"): "no store /no/such",
    ("ls", "--dry-run"): "unrecognized arguments: --dry-run",
}


@pytest.mark.parametrize("arguments", NONSENSE)
def test_nonsense_gets_one_line_and_exit_code_1(arguments, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("transfer_exp: ")
    assert said.err.count("\n") == 1
    assert NONSENSE[arguments] in said.err
