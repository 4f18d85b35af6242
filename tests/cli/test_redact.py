"""A command line may be written down: it is what was typed, but for secrets."""

from __future__ import annotations

import shlex

import pytest

from transfer_exp.cli.redact import typed

SECRET = "deadbeef" * 5


def test_a_command_is_one_the_shell_reads_as_it_was_typed():
    arguments = ["-m", "metric=logme,sfda", "model_pool.names=[a, 'b c']", "dataset.root=$HOME/x"]
    assert shlex.split(typed(arguments, {})) == ["python", "-m", "transfer_exp", *arguments]


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
def test_a_secret_is_hidden_by_its_name_or_its_value(argument):
    shown = typed(["seed=1", argument], {"WANDB_API_KEY": SECRET, "HOME": "/root"})
    assert SECRET not in shown
    assert "seed=1" in shown


def test_what_is_no_secret_or_too_short_to_be_one_stays():
    environment = {"HOME": "/home/somebody", "KEYBOARD_KEY": "pca"}
    assert typed(["perturbation=pca", "store=/home/somebody/x"], environment).endswith(
        "perturbation=pca store=/home/somebody/x"
    )
