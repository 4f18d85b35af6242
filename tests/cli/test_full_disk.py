"""A full or read-only disk ends a command in one line, without half-written files; later the command continues."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.command import run_command

QUICK = ["model_pool.names=[resnet_glyphs,vit_shapes]", "tracker=none", "ground_truth=none"]


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 64 KiB in memory, or skip."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small tmpfs, which takes root: run the tests as root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def run(folder, *arguments):
    return run_command(folder, *arguments, *QUICK)


def assert_refused(process, message):
    assert process.returncode == 1
    assert "Traceback" not in process.stderr + process.stdout
    assert message in process.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_a_full_store_holds_only_complete_files(small_disk, tmp_path):
    process = run(tmp_path, f"store={small_disk}/store")
    assert_refused(process, "check space and access, or set store=FOLDER")
    assert "No space left on device" in process.stderr
    files = [path for path in small_disk.rglob("*") if path.is_file() and path.suffix != ".safetensors"]
    assert all(path.suffix == ".json" and json.loads(path.read_text()) for path in files)
    shutil.rmtree(small_disk / "store")
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert run(tmp_path, f"store={small_disk}/store").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["hydra.run.dir={disk}/run"], ["-m", "seed=0,1,2,3", "hydra.sweep.dir={disk}/s"]]
)
def test_a_full_disk_for_results_ends_a_run_and_a_sweep_in_one_line(small_disk, tmp_path, arguments):
    (small_disk / "fill").write_bytes(bytes(40 * 1024))
    arguments = [argument.format(disk=small_disk) for argument in arguments]
    assert_refused(
        run(tmp_path, *arguments), "(No space left on device): make room, or name another folder with --out FOLDER"
    )


@pytest.mark.slow
def test_a_read_only_store_with_all_entries_is_enough(small_disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    store = f"store={small_disk}/store"
    assert run(tmp_path, store).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    again = run(tmp_path, store)
    assert again.returncode == 0, again.stderr
    assert "2 read from the store, 0 computed" in again.stdout
    assert_refused(
        run(tmp_path, store, "dataset.scoring_set_size=30"),
        "(Read-only file system): check space and access, or set store=",
    )
    assert_refused(
        run(tmp_path, f"hydra.run.dir={small_disk}/run"),
        "(Read-only file system): name another folder with --out FOLDER",
    )
