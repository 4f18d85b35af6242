"""What the store holds, and how to be rid of it: ``transfer-exp cache ls``, ``transfer-exp cache prune --dry-run``."""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_exp.cli.console import Parser, from_here, in_bytes
from transfer_exp.errors import one_line
from transfer_exp.store.entries import KINDS, SCORES, UNFINISHED, Entry, entries

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """List the store or remove from it, and return the exit code.

    Parameters
    ----------
    arguments
        The command line behind ``cache``; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when the arguments mean nothing, there is no store or it cannot be written.
    """
    return _parser().run(lambda asked: _list(asked) if asked.command == "ls" else _prune(asked), arguments)


def _parser() -> Parser:
    parser = Parser(prog="transfer-exp cache", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="ls|prune", required=True)
    ls = commands.add_parser("ls", help="what there is of each kind, of which models and datasets")
    prune = commands.add_parser("prune", help="remove what all of the options say; never what a process works on")
    for command in (ls, prune):
        command.add_argument("--store", type=Path, default=Path("outputs/store"), metavar="FOLDER")
    prune.add_argument("--older-than", type=_duration, metavar="AGE", help="not written for so long: 12h, 30d, 8w")
    prune.add_argument("--kind", choices=KINDS, action="append", default=[], help="of this kind (several may be given)")
    prune.add_argument(
        "--unfinished", action="append_const", const=UNFINISHED, dest="kind", help="training that was broken off"
    )
    prune.add_argument("--damaged", action="store_true", help="what a run would refuse to read; reads every file")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    return parser


def _duration(text: str) -> float:
    """Return the seconds of an age such as ``30d``."""
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no age such as 90m, 12h, 30d or 8w")
    return float(found[1]) * _SECONDS[found[2]]


def _list(asked: argparse.Namespace) -> None:
    """Print a line for each kind, and lines of models and datasets."""
    root = asked.store.expanduser()
    found = list(entries(root))
    print(f"{from_here(root)}: {len(found)} entries, {in_bytes(sum(entry.bytes for entry in found))}")
    if not found:
        return
    print(f"{'kind':<12}{'entries':>8}{'size':>10}  {'oldest':<12}newest")
    kinds = sorted({entry.kind for entry in found})
    for kind in kinds:
        of_kind = [entry for entry in found if entry.kind == kind]
        days = [time.strftime("%Y-%m-%d", time.localtime(entry.changed)) for entry in of_kind]
        size = in_bytes(sum(entry.bytes for entry in of_kind))
        print(f"{kind:<12}{len(of_kind):>8}{size:>10}  {min(days):<12}{max(days)}")
    known = _known_images(found)
    for kind in kinds:
        contents = [entry.content for entry in found if entry.kind == kind and entry.content]
        if contents:
            print(one_line(f"{kind}: {_what(kind)} {_most(map(_name, contents))}"))
            print(one_line(f"{kind}: datasets {_most(_dataset(content, known) for content in contents)}"))


def _prune(asked: argparse.Namespace) -> None:
    """Remove what is asked for, or say what would be."""
    if asked.older_than is None and not asked.kind and not asked.damaged:
        _parser().error("prune removes nothing unless told what: give --older-than, --kind, --unfinished or --damaged")
    verb, gone = "would remove" if asked.dry_run else "removed", list[Entry]()
    for entry in [entry for entry in entries(asked.store.expanduser()) if _is_meant(entry, asked)]:
        what = f" of {_name(entry.content)}" if entry.content else ""
        days = max(time.time() - entry.changed, 0) / _SECONDS["d"]
        line = f"{entry.kind}{what}, {in_bytes(entry.bytes)}, {days:.1f} days old: {from_here(entry.path)}"
        goes = not entry.lease.is_held() if asked.dry_run else entry.remove()
        gone += [entry] if goes else []
        print(one_line(f"{verb if goes else 'kept, because a process works on it,'} {line}"))
    end = " (nothing was removed: leave --dry-run out)" if asked.dry_run and gone else ""
    print(f"{verb} {len(gone)} entries, {in_bytes(sum(entry.bytes for entry in gone))}{end}")


def _is_meant(entry: Entry, asked: argparse.Namespace) -> bool:
    """Tell whether an entry is all of what is asked for; the last question reads it whole."""
    return (
        (not asked.kind or entry.kind in asked.kind)
        and (asked.older_than is None or time.time() - entry.changed > asked.older_than)
        and (not asked.damaged or entry.is_damaged())
    )


def _known_images(found: Iterable[Entry]) -> dict[str, str]:
    """Return the names of datasets by the digests of their splits, as far as records of accuracies tell them."""
    known = {}
    for entry in found:
        key, row = _part(entry.content, "key"), _part(_part(entry.content, "value"), "row")
        known.update({str(key.get(split)): str(row["dataset"]) for split in ("train", "test") if "dataset" in row})
    return known


def _what(kind: str) -> str:
    """Return what `_name` names."""
    return "metrics" if kind == SCORES else "models"


def _name(content: Mapping[str, Any]) -> str:
    """Return the name of the model, or else of its architecture; of scores, which are of many models, the metric's."""
    row, key = _part(_part(content, "value"), "row"), _part(content, "key")
    model, names = _part(key, "model"), _part(key, "names")
    return str(row.get("model") or model.get("architecture") or names.get("metric") or "unknown")


def _dataset(content: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Return the name of the dataset, or else the head of the digest of its images."""
    key = _part(content, "key")
    images = str(key.get("images") or key.get("train") or "unknown")
    row = _part(_part(content, "value"), "row")
    return str(row.get("dataset") or key.get("dataset") or known.get(images) or images[:8])


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object in an object; empty if there is none."""
    part = content.get(name)
    return part if isinstance(part, dict) else {}


def _most(names: Iterable[str]) -> str:
    """Return the most frequent names with their counts."""
    counted = Counter(names).most_common()
    shown = ", ".join(f"{name} ({count})" for name, count in counted[:_SHOWN])
    return shown + (f" and {len(counted) - _SHOWN} more" if len(counted) > _SHOWN else "")
