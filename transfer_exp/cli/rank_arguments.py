"""``transfer-exp rank PATH``: what was typed, as the overrides that mean the same to the application."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError

_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """Return the command line of the application for the words after ``rank``.

    Raises
    ------
    InputError
        When the target is not there or is nothing that could be ranked on, and for options that do not exist.
    SystemExit
        After the help.
    """
    parser = Parser(
        prog="transfer-exp rank",
        description="Rank pretrained models for your images, and say how sure the order is.",
        epilog="Any KEY=VALUE of `python -m transfer_exp -cn rank --help` may follow.",
    )
    parser.add_argument("target", metavar="PATH", help="folder of images by class, CSV (file,label), npz, or hub id")
    parser.add_argument("--budget", metavar="TIME", default=None, help="10m, 90s, 2h; none is no bound (default 10m)")
    parser.add_argument("--pool", metavar="NAME", default=None, help="model_pool=NAME (default everyday)")
    parser.add_argument("settings", metavar="KEY=VALUE", nargs="*", help="any setting of the application")
    asked = parser.parse_intermixed_args(arguments)
    own = [*_target(asked.target)]
    if asked.budget is not None:
        own.append(f"budget={'null' if asked.budget == 'none' else asked.budget}")
    if asked.pool is not None:
        own.append(f"model_pool={asked.pool}")
    return ["-cn", "rank", *own, *asked.settings]


def _target(target: str) -> list[str]:
    """Return the overrides that choose a target by where it is."""
    path = Path(target).expanduser()
    value = _quoted(str(path))
    if path.suffix == ".npz" or (path.is_dir() and any(path.glob("*.npz"))):
        return ["dataset=arrays", "model_pool=arrays", f"dataset.root={value}"]
    if path.is_file() and path.suffix == ".csv":
        return ["dataset=image_table", f"dataset.path={value}"]
    if path.is_dir():
        return ["dataset=image_folder", f"dataset.root={value}"]
    if not path.exists() and _HUB.fullmatch(target):
        return ["dataset=huggingface", f"dataset.id={_quoted(target)}"]
    raise InputError(f"{target} is no folder of images, CSV, npz or id of a hub: give a path that is there")


def _quoted(text: str) -> str:
    """Return a text as a value in Hydra's grammar, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
