"""The description of code and machine for trackers."""

import os
import subprocess

import pytest

from transfer_exp.tracker import environment
from transfer_exp.tracker.environment import describe_environment, describe_git, gpu_names
from transfer_exp.version import __version__


def git(folder, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_commit_and_whether_a_tracked_file_was_changed(repository):
    (repository / "outputs").mkdir()
    (repository / "outputs" / "result.json").write_text("{}")
    assert describe_git(repository / "outputs") == {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False}
    (repository / "code.py").write_text("2\n")
    assert describe_git(repository)["dirty"] is True


def test_no_program_that_a_repository_names_is_run(repository):
    hook = repository / "hook"
    hook.write_text("#!/bin/sh\ntouch " + str(repository / "ran") + "\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    describe_git(repository)
    assert not (repository / "ran").exists()


def test_a_folder_outside_of_a_repository_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe_git(tmp_path) == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_git(tmp_path) == {}


def test_versions_and_hardware(tmp_path, monkeypatch):
    information = tmp_path / "0000:01:00.0" / "information"
    information.parent.mkdir()
    information.write_text("Model: \t\t NVIDIA H200\nIRQ:   \t\t 1\n")
    monkeypatch.setattr(environment, "_DRIVER", tmp_path)
    assert gpu_names() == ["NVIDIA H200"]
    facts = describe_environment()
    assert facts["version"]["transfer_exp"] == __version__
    assert facts["hardware"]["gpu"] == "NVIDIA H200"
    assert facts["hardware"]["cpu_count"] == os.cpu_count()
    assert facts["hardware"]["memory_gb"] > 0
