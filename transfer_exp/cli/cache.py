"""``transfer-exp cache``: list the entries of a store, or remove some of them."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_exp import model_pool
from transfer_exp.cli.console import Parser, format_bytes, relative_path
from transfer_exp.errors import InputError, one_line
from transfer_exp.io.text import expand_user
from transfer_exp.store.entries import INSPECTION, KINDS, SCORES, UNFINISHED, Entry, list_entries

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LISTED_NAMES = 10
_OF_MANIFEST = ("library", "architecture", "arguments")
"""Part of a model's identity that the manifest of the built-in pool has, where no two networks agree in it."""
_EXAMPLES = (
    "transfer-exp cache ls",
    "transfer-exp cache prune --older-than 30d --dry-run",
    "transfer-exp cache prune --damaged --store outputs/store",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """List or prune a store; arguments and exit code as for `Parser.run`."""
    return _parser().run(_run, arguments)


def _run(options: argparse.Namespace) -> None:
    commands = {"ls": _list, "prune": _prune}
    if options.command is None:
        raise InputError("say what to do: transfer-exp cache ls, or transfer-exp cache prune --older-than 30d")
    commands[options.command](options)


def _parser() -> Parser:
    parser = Parser(
        prog="transfer-exp cache",
        description="List the entries of the store of features and accuracies, or remove some of them.\n"
        "Options: transfer-exp cache ls --help, transfer-exp cache prune --help",
        examples=_EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", metavar="ls|prune")
    texts = {
        "ls": "count the entries of each kind, with their models and datasets",
        "prune": "remove the entries that match all options, unless a process uses them",
    }
    for name, text in texts.items():
        examples = [example for example in _EXAMPLES if f" {name}" in example]
        command = commands.add_parser(name, help=text, description=f"{text.capitalize()}.", examples=examples)
        command.add_argument("--store", default="outputs/store", metavar="FOLDER", help="default outputs/store")
    prune = commands.choices["prune"]
    prune.add_argument("--older-than", type=_parse_age, metavar="AGE", help="last written this long ago: 12h, 30d, 8w")
    kind = f"one of {', '.join(KINDS)}; can be repeated"
    prune.add_argument("--kind", choices=KINDS, action="append", default=[], metavar="KIND", help=kind)
    prune.add_argument(
        "--unfinished", action="append_const", const=UNFINISHED, dest="kind", help="interrupted training runs"
    )
    prune.add_argument("--damaged", action="store_true", help="entries that a run would not accept; reads every file")
    prune.add_argument("--dry-run", action="store_true", help="print what would be removed, and remove nothing")
    return parser


def _parse_age(text: str) -> float:
    """Return the seconds of an age such as ``30d``."""
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is not an age: write 90m, 12h, 30d or 8w")
    return float(match[1]) * _SECONDS[match[2]]


def _root(options: argparse.Namespace) -> Path:
    """Return the folder of the store; `InputError` for an object store, which cannot be listed."""
    if "://" in options.store:
        raise InputError(f"--store={options.store} is not a folder: use the tools of the object store")
    return expand_user(options.store)


def _list(options: argparse.Namespace) -> None:
    """Print one line for each kind of entry, and lines of models and datasets."""
    root = _root(options)
    listed = list(list_entries(root))
    print(f"{relative_path(root)}: {len(listed)} entries, {format_bytes(sum(entry.size for entry in listed))}")
    if not listed:
        return
    print(f"{'kind':<12}{'entries':>8}{'size':>10}  {'oldest':<12}newest")
    kinds = sorted({entry.kind for entry in listed})
    for kind in kinds:
        of_kind = [entry for entry in listed if entry.kind == kind]
        days = [time.strftime("%Y-%m-%d", time.localtime(entry.modified)) for entry in of_kind]
        size = format_bytes(sum(entry.size for entry in of_kind))
        print(f"{kind:<12}{len(of_kind):>8}{size:>10}  {min(days):<12}{max(days)}")
    models, datasets = _names(listed)
    for kind in kinds:
        contents = [entry.content for entry in listed if entry.kind == kind and entry.content]
        if contents and kind != INSPECTION:
            noun = "metrics" if kind == SCORES else "models"
            print(one_line(f"{kind}: {noun} {_most_common(_name(content, models) for content in contents)}"))
            print(one_line(f"{kind}: datasets {_most_common(_dataset(content, datasets) for content in contents)}"))


def _prune(options: argparse.Namespace) -> None:
    """Remove the matching entries, or print which would be removed."""
    if options.older_than is None and not options.kind and not options.damaged:
        raise InputError(
            "prune needs to know what to remove: give --older-than 30d, --kind KIND, --unfinished or --damaged; "
            "see transfer-exp cache prune --help"
        )
    verb, removed = "would remove" if options.dry_run else "removed", list[Entry]()
    listed = list(list_entries(_root(options)))
    models, _ = _names(listed)
    for entry in [entry for entry in listed if _matches(entry, options)]:
        name = f" of {_name(entry.content, models)}" if entry.content else ""
        days = max(time.time() - entry.modified, 0) / _SECONDS["d"]
        line = f"{entry.kind}{name}, {format_bytes(entry.size)}, {days:.1f} days old: {relative_path(entry.path)}"
        is_removed = not entry.is_in_use() if options.dry_run else entry.remove()
        removed += [entry] if is_removed else []
        print(one_line(f"{verb if is_removed else 'kept, because a process uses it,'} {line}"))
    note = " (nothing was removed: run again without --dry-run)" if options.dry_run and removed else ""
    print(f"{verb} {len(removed)} entries, {format_bytes(sum(entry.size for entry in removed))}{note}")


def _matches(entry: Entry, options: argparse.Namespace) -> bool:
    """Return whether an entry matches all options; the check for damage comes last, because it reads the file."""
    return (
        (not options.kind or entry.kind in options.kind)
        and (options.older_than is None or time.time() - entry.modified > options.older_than)
        and (not options.damaged or entry.is_damaged())
    )


def _names(listed: Iterable[Entry]) -> tuple[dict[str, str], dict[str, str]]:
    """Return names of models in their pools by identity, and of datasets by the digests of their splits.

    They are those of the built-in pool, and of the records of accuracies.
    """
    manifest = json.loads((Path(model_pool.__file__).parent / "weights" / "manifest.json").read_text())
    models, datasets = {_identity(network, _OF_MANIFEST): name for name, network in manifest.items()}, dict[str, str]()
    for entry in (entry for entry in listed if entry.kind == "accuracy"):
        key, row = _part(entry.content, "key"), _part(entry.content, "value", "row")
        models |= {_identity(_part(key, "model")): str(row["model"])} if "model" in row else {}
        datasets |= {str(key.get(split)): str(row["dataset"]) for split in ("train", "test") if "dataset" in row}
    return models, datasets


def _identity(model: Mapping[str, Any], fields: Iterable[str] | None = None) -> str:
    """Return the identity of a model as text, or some of its fields."""
    return json.dumps(dict(model) if fields is None else {name: model.get(name) for name in fields}, sort_keys=True)


def _name(content: Mapping[str, Any], models: Mapping[str, str]) -> str:
    """Return the name of the model, or else its architecture; for scores, which cover many models, of the metric."""
    row, model, names = _part(content, "value", "row"), _part(content, "key", "model"), _part(content, "key", "names")
    pool_name = models.get(_identity(model)) or models.get(_identity(model, _OF_MANIFEST))
    return str(row.get("model") or pool_name or model.get("architecture") or names.get("metric") or "unknown")


def _dataset(content: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the name of the dataset, or the start of the digest of its images."""
    key, row = _part(content, "key"), _part(content, "value", "row")
    images = str(key.get("images") or key.get("train") or "unknown")
    return str(row.get("dataset") or key.get("dataset") or names.get(images) or images[:8])


def _part(content: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a mapping inside mappings, empty where there is none."""
    for name in names:
        value = content.get(name)
        content = value if isinstance(value, dict) else {}
    return content


def _most_common(names: Iterable[str]) -> str:
    """Return the most frequent names with their counts."""
    counts = Counter(names).most_common()
    listed = ", ".join(f"{name} ({count})" for name, count in counts[:_LISTED_NAMES])
    return listed + (f" and {len(counts) - _LISTED_NAMES} more" if len(counts) > _LISTED_NAMES else "")
