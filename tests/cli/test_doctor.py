"""``transfer-exp doctor``: what works is said, what is broken is found, and the exit code tells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from transfer_exp import __version__
from transfer_exp.cli.doctor import machine, main
from transfer_exp.cli.doctor.folders import _size, downloads, store_at
from transfer_exp.store import Store

ROOT = Path(__file__).parents[2]
OFFLINE = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Stand in a folder of its own, with a home of its own and no network."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**OFFLINE, "HOME": str(tmp_path), "TORCH_HOME": str(tmp_path / "torch")}.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_API_KEY", "NETRC", "TRANSFER_EXP_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_in_a_process_of_its_own_it_says_everything(tmp_path):
    command = [sys.executable, "-m", "transfer_exp", "doctor"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split(":")[0] for line in done.stdout.splitlines()]
    for name in ("transfer_exp", "Python", "libraries", "device cpu", "store", "torch hub", "W&B login", "W&B runs"):
        assert name in names
    assert not list(tmp_path.iterdir()), "looking changes nothing"


def test_all_that_is_needed_is_said_to_be_there(capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"transfer_exp: {__version__} in {ROOT / 'transfer_exp'}\n")
    assert f"torch {torch.__version__}" in said
    assert "BROKEN" not in said


def test_what_is_broken_is_marked_and_ends_with_exit_code_1(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main([]) == 1
    said = capsys.readouterr()
    assert "BROKEN torch: cannot be loaded (" in said.out
    assert said.err == "transfer_exp: 1 thing(s) that a run needs are broken: see the lines that begin with BROKEN\n"


def test_nonsense_gets_one_line(capsys):
    assert main(["--all"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "transfer_exp: unrecognized arguments: --all: see transfer-exp doctor --help\n"


def libraries(monkeypatch, *needed):
    extras = SimpleNamespace(get_all=lambda name: ["slurm", "ray"])
    monkeypatch.setattr(machine, "requires", lambda name: list(needed))
    monkeypatch.setattr(machine, "metadata", lambda name: extras)
    return {fact.name: (fact.text, fact.broken) for fact in machine.libraries()}


def test_a_library_that_is_missing_or_too_old_is_broken(monkeypatch):
    found = libraries(monkeypatch, "numpy>=1", "scipy>=99", "no-such-library>=2")
    assert found["libraries"][0].startswith("numpy ")
    assert "," not in found["libraries"][0]
    assert found["scipy"][1]
    assert found["scipy"][0].endswith(", needed is scipy>=99: pip install 'scipy>=99'")
    assert found["no-such-library"] == (
        "missing, needed is no-such-library>=2: pip install 'no-such-library>=2'",
        True,
    )


def test_an_extra_that_is_missing_is_no_fault_and_says_how_to_have_it(monkeypatch):
    found = libraries(monkeypatch, "numpy", "no-such-library; extra == 'slurm'", "scipy>=1; extra == 'ray'")
    assert found["extra slurm"] == ("without no-such-library (missing): pip install 'transfer-exp[slurm]'", False)
    assert found["extra ray"] == ("present", False)


def test_what_another_python_needs_is_no_matter(monkeypatch):
    assert "no-such-library" not in libraries(monkeypatch, "no-such-library; python_version < '3'")


def test_a_package_that_is_not_installed_is_broken(monkeypatch):
    monkeypatch.setattr(machine, "_PACKAGE", "no-such-package")
    (fact,) = machine.libraries()
    assert fact.broken
    assert fact.text.startswith("no-such-package is not installed")


def test_every_gpu_is_named_with_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    known = SimpleNamespace(name="H200", total_memory=140 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: known)
    found = {fact.name: fact.text for fact in machine.devices()}
    assert found["device cuda:0"] == found["device cuda:1"] == "H200, 140 GB of memory"
    assert "device cuda" not in found


def test_the_store_is_said_with_its_size_or_that_it_is_not_there(tmp_path):
    assert store_at(tmp_path / "deep" / "store").text == "deep/store, not there yet"
    store = Store(tmp_path / "store")
    store.record("accuracy", {}, lambda: {"value": 1})
    (file,) = store.root.rglob("*.json")
    assert store_at(store.root).text == f"store, 1 entries, {file.stat().st_size} B"
    for place in (file, file / "below"):
        fact = store_at(place)
        assert fact.broken
        assert "cannot be made: set store=FOLDER" in fact.text


def test_downloads_are_said_with_their_size(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "images.tar").write_bytes(b"x" * 2000)
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "hub" / "checkpoints" / "net.pth").write_bytes(b"x" * 3000)
    monkeypatch.setenv("TRANSFER_EXP_DATA", "mine")
    found = {fact.name: fact.text for fact in downloads()}
    assert found["data folder"] == "mine, 2 kB in 1 files"
    assert found["torch hub"] == "torch/hub, 3 kB in 1 files"


def test_a_file_with_a_link_to_it_is_counted_once_and_a_huge_folder_only_begun(tmp_path, monkeypatch):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(b"x" * 5000)
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "net").symlink_to("../blobs/a")
    (tmp_path / "snapshots" / "all").symlink_to("..")
    assert _size(tmp_path) == "5.01 kB in 2 files"
    monkeypatch.setattr("transfer_exp.cli.doctor.folders._MOST_FILES", 1)
    (tmp_path / "blobs" / "b").write_bytes(b"x" * 5000)
    assert _size(tmp_path / "blobs") == "more than 5 kB (1 files were looked at)"
