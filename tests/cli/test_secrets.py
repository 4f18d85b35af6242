"""Secrets are hidden in recorded command lines, and are not in any file or output of a run or a sweep."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import SMALL_DATASET
from transfer_exp.cli.redact import is_secret_name, redacted_command

ROOT = Path(__file__).parents[2]
SECRET = "deadbeef" * 5
SECRETS = {
    "WANDB_API_KEY": SECRET,
    "HF_TOKEN": "hf_PlantedTokenOfNobodyAtAll01234567",
    "netrc": "feedface" * 5,
}
SMALL = ("model_pool.names=[resnet_glyphs,vit_shapes]", "ground_truth=none", "tracker=wandb")
COMMANDS = {
    "a run": (0, SMALL_DATASET),
    "a sweep with a cell that fails": (1, ("-m", *SMALL_DATASET, "dataset.scoring_set_size=20,3")),
}


def test_a_recorded_command_can_be_pasted_into_a_shell():
    arguments = ["-m", "metric=logme,sfda", "model_pool.names=[a, 'b c']", "dataset.root=$HOME/x"]
    assert shlex.split(redacted_command(arguments)) == ["python", "-m", "transfer_exp", *arguments]


@pytest.mark.parametrize(
    "argument",
    [
        f"+tracker.api_key={SECRET}",
        f"+hub_TOKEN={SECRET}",
        f"dataset.root=/{SECRET}/x",
        SECRET,
        f"+x={SECRET}={SECRET}",
    ],
)
def test_a_secret_is_hidden_by_its_name_or_its_value(argument, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    command = redacted_command(["seed=1", argument])
    assert SECRET not in command
    assert "seed=1" in command


def test_values_that_are_not_secret_or_too_short_are_not_hidden(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("KEYBOARD_KEY", "pca")
    command = redacted_command(["perturbation=pca", "store=/home/somebody/x"])
    assert command.endswith("perturbation=pca store=/home/somebody/x")


@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=pytest.mark.slow if "sweep" in name else pytest.mark.long) for name in COMMANDS],
)
def test_no_secret_is_written_or_printed(tmp_path, command):
    exit_code, arguments = COMMANDS[command]
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    for folder in (home, temporary):
        folder.mkdir()
    netrc = home / ".netrc"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {SECRETS['netrc']}\n")
    netrc.chmod(0o600)
    planted = {name: secret for name, secret in SECRETS.items() if name != "netrc"}
    environment = {**os.environ, **planted, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "transfer_exp", *arguments, *SMALL]
    process = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert process.returncode == exit_code, process.stderr
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != netrc}
    # The search is proven to read all file types by a text that is in them: the name of a model.
    assert {".json", ".wandb", ".yaml"} <= {path.suffix for path, content in written.items() if b"resnet_gl" in content}
    for name, secret in SECRETS.items():
        assert secret.encode() not in process.stdout + process.stderr, name
        assert [path for path, content in written.items() if secret.encode() in content] == [], name


@pytest.mark.parametrize("name", ["API_TOKENS", "MY_API_KEYS", "PASSPHRASE", "DB_PASSCODE", "BEARER", "SECRETS", "JWT"])
def test_plural_and_compound_names_are_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["PATH", "KEYBOARD", "TOKENIZER", "PASSENGERS", "COLUMNS"])
def test_harmless_names_are_no_secrets(name):
    assert not is_secret_name(name)
