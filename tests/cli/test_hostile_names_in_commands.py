"""Hostile names of models, datasets, classes, sweeps and files pass through whole commands as escaped text."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.command import run_command
from tests.test_hostile_names import NASTY, UNSAFE
from transfer_exp.io.csv import read_table
from transfer_exp.io.text import clean_name

FURTHER = [
    "\u200b",
    "\u00a0",
    "-",
    ".",
    "nan",
    "None",
    "~",
    "???",
    "a=b",
    "{a: b}",
    "[a,b]",
    "null",
    "\\",
    "!",
    "a:b@c",
]
NAMES = [*NASTY, *FURTHER]
GROUPS = 2


def as_file_name(name: str) -> str:
    """Return a name that the file system accepts, which is not hidden."""
    name = re.sub("[/\0\ud800-\udc7f]", "_", name)
    while len(os.fsencode(name)) > 200:
        name = name[:-1]
    return f"_{name}" if name.startswith(".") else name


def find_texts(data) -> Iterator[str]:
    """Yield every text inside plain data."""
    if isinstance(data, dict):
        data = [*data, *data.values()]
    if isinstance(data, str):
        yield data
    for item in data if isinstance(data, list) else ():
        yield from find_texts(item)


def check(process) -> bool:
    """Return whether a command succeeded; else it must have said why in one line. Nothing unsafe is printed."""
    text = process.stdout + process.stderr
    assert UNSAFE.search(text.replace("\t", "")) is None, text  # Hydra prints tabs
    assert "Traceback" not in text
    if process.returncode != 0:
        assert process.returncode == 1
        assert process.stderr.startswith("transfer_exp: ")
        assert process.stderr.count("\n") == 1
    return process.returncode == 0


def check_files(folder: Path) -> str:
    """Check the tables and pages below a folder, and return the pages."""
    pages = ""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".csv", ".html"):
            content = path.read_text(encoding="utf-8")
            assert UNSAFE.search(content) is None, path
            assert path.suffix == ".html" or not re.search(r'(^|,|\n)"?[=+@-][^\d.]', content), path
            pages += content if path.suffix == ".html" else ""
    return pages


@pytest.mark.long
@pytest.mark.parametrize("group", range(GROUPS))
def test_names_are_escaped_text_in_every_command(group, tmp_path):
    names = NAMES[group::GROUPS]
    files = list(dict.fromkeys(map(as_file_name, names)))
    root, sweep = tmp_path / files[0], f"{files[1]} sweep"
    root.mkdir()
    classes = np.array([name.replace("\0", "") for name in names[:3]])
    labels = classes[np.arange(36) % 3]
    rng = np.random.default_rng(group)
    for i, name in enumerate(files):
        features = rng.normal(size=(36, 4)) + (1 + i) * (np.arange(36) % 3)[:, None]
        np.savez(root / f"{name}.npz", features=features, labels=labels)
    shown = {clean_name(name).strip() for name in files}

    rank = run_command(tmp_path, "rank", str(root), "halving.first=36", "hydra.run.dir=ranked", COLUMNS="400")
    assert check(rank), rank.stderr
    assert {name.strip() for name in read_table(tmp_path / "ranked/rank.csv")["model"]} == shown
    page = check_files(tmp_path / "ranked")
    data = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1]
    texts = list(find_texts(json.loads(data)))
    assert all(any(name in text for text in texts) for name in shown)
    assert all(name[:20] in rank.stdout for name in shown)

    arrays = ["model_pool=arrays", "dataset=arrays", f"dataset.root='{root.name}'", "tracker=none", "ground_truth=none"]
    if check(run_command(tmp_path, *arrays, f"hydra.run.dir='run {files[2]}'")):
        check_files(tmp_path / f"run {files[2]}")
    if check(run_command(tmp_path, "-m", *arrays, "seed=0,1", f"hydra.sweep.dir='{sweep}'")):
        check_files(tmp_path / sweep)
        assert check(run_command(tmp_path, "report", sweep))

    (tmp_path / "out").mkdir()
    with (tmp_path / "s.csv").open("w", newline="") as scores, (tmp_path / "t.csv").open("w", newline="") as truth:
        rows = [(clean_name(name), clean_name(names[-1]), i) for i, name in enumerate(names)]
        csv.writer(scores).writerows(
            [("model", "dataset", "metric", "score"), *((m, d, names[0], i) for m, d, i in rows)]
        )
        csv.writer(truth).writerows([("model", "dataset", "accuracy"), *((m, d, i / 20) for m, d, i in rows)])
    check(run_command(tmp_path, "evaluate", "s.csv", "t.csv", "--out", "out/rows.csv"))
    check_files(tmp_path / "out")
