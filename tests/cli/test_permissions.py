"""A file or folder that may not be read is named as such, in one line, by every command."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command import run_command
from transfer_exp.cli.console import cannot_write

pytestmark = pytest.mark.slow

_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2
"""Capabilities with which root reads files that their permissions deny."""


@contextmanager
def permissions_apply() -> Iterator[None]:
    """Let permissions apply to root, too, in this thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0, os.strerror(ctypes.get_errno())
    limited = (ctypes.c_uint32 * 6)(*before)
    limited[0] &= ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    assert libc.capset(header, limited) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with images, feature files, tables and options."""
    rng = np.random.default_rng(0)
    for name in ("photos/a", "photos/b", "npz", "conf/metric", "run"):
        (tmp_path / name).mkdir(parents=True)
    for label in "ab":
        for i in range(4):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"photos/{label}/{i}.png")
        np.savez(tmp_path / f"npz/{label}.npz", features=rng.normal(size=(8, 2)), labels=np.arange(8) % 2)
    lines = "".join(f"photos/{label}/{i}.png,{label}\n" for label in "ab" for i in range(4))
    (tmp_path / "list.csv").write_text(f"file,label\n{lines}")
    (tmp_path / "s.csv").write_text("model,score\na,1\nb,2\n")
    (tmp_path / "t.csv").write_text("model,accuracy\na,0.5\nb,0.6\n")
    (tmp_path / "conf/metric/mine.yaml").write_text("_target_: transfer_exp.metric.logme.LogME\n")
    (tmp_path / "run/result.json").write_text("{}")
    return tmp_path


RANK = ("--pool", "builtin")
ARRAYS = ("model_pool=arrays", "dataset=arrays", "dataset.root=npz", "ground_truth=none", "tracker=none")
DENIED = {
    "an image": ("photos/a/0.png", 0o000, ("rank", "photos", *RANK)),
    "a class": ("photos/a", 0o000, ("rank", "photos", *RANK)),
    "a class of listed images": ("photos/a", 0o000, ("rank", "list.csv", *RANK)),
    "a folder that may be listed but not entered": ("photos", 0o444, ("rank", "photos", *RANK)),
    "a list": ("list.csv", 0o000, ("rank", "list.csv", *RANK)),
    "features": ("npz/a.npz", 0o000, ("rank", "npz")),
    "a folder of features": ("npz", 0o000, ARRAYS),
    "scores": ("s.csv", 0o000, ("evaluate", "s.csv", "t.csv")),
    "accuracies": ("t.csv", 0o000, ("evaluate", "s.csv", "t.csv")),
    "a table of a run": (
        "t.csv",
        0o000,
        (*ARRAYS[:3], "tracker=none", "ground_truth=table", "ground_truth.path=t.csv"),
    ),
    "an option": ("conf/metric/mine.yaml", 0o000, (*ARRAYS, "--config-dir", "conf", "metric=mine")),
    "a group of options": ("conf/metric", 0o000, (*ARRAYS, "--config-dir", "conf", "metric=mine")),
    "all options": ("conf", 0o000, (*ARRAYS, "--config-dir", "conf", "metric=mine")),
    "a result": ("run/result.json", 0o000, ("report", "run")),
    "a run": ("run", 0o000, ("report", "run")),
    "a run to repeat": ("run", 0o000, (*ARRAYS, "hydra.run.dir=run")),
}


@pytest.mark.parametrize("case", DENIED)
def test_what_may_not_be_read_is_named(work, case):
    path, mode, arguments = DENIED[case]
    before = (work / path).stat().st_mode
    (work / path).chmod(mode)
    try:
        with permissions_apply():
            process = run_command(work, *arguments)
    finally:
        (work / path).chmod(before)
    assert process.returncode == 1
    assert process.stderr.startswith("transfer_exp: cannot read ")
    assert path.rpartition("/")[2] in process.stderr
    assert process.stderr.count("\n") == 1


def test_what_may_not_be_written_is_called_so(tmp_path):
    tmp_path.chmod(0o500)
    with permissions_apply(), pytest.raises(PermissionError) as caught:
        (tmp_path / "t.csv").write_text("")
    with permissions_apply():
        message = cannot_write(caught.value)
    assert message.startswith(f"cannot write to {tmp_path}/t.csv (Permission denied): name another folder")
