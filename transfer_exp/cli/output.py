"""Options of the output of ``run`` and ``rank``, such as ``--json``, and printing of their results."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_exp.cli.console import Parser, relative_path
from transfer_exp.errors import IncompleteOutputError, InputError
from transfer_exp.io.text import expand_user
from transfer_exp.results.folder import RECORD

if TYPE_CHECKING:
    from rich.console import RenderableType

_PAGES = ("report.html", "leaderboard.html")
_RECORDS = (RECORD, "leaderboard.json")


@dataclass(frozen=True)
class OutputOptions:
    """Options of the output.

    Attributes:
        json: Print the file ``result.json`` instead of tables; everything else goes to stderr.
        quiet: Print the answer only: no progress, remarks or paths.
        open: Open the page of the result in a browser.
        top: Number of rows to show, 0 for all; the models that may be the best are always shown.
        out: Folder of the results; None for the default.
    """

    json: bool = False
    quiet: bool = False
    open: bool = False
    top: int = 20
    out: str | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        summary: Function of the number of rows to show that returns what to print; None if there is nothing.
        headline: One line for a job of a sweep.
        written: Files that users open, and the path or address of the tracker's entry.
        problem: Why some of the files are missing; raised after the result is printed.
        command: Command of the next step, printed below the summary; empty for none.
    """

    summary: Callable[[int], RenderableType] | None = None
    headline: str = ""
    written: Sequence[Path | str] = ()
    problem: IncompleteOutputError | None = None
    command: str = ""


def add_output_options(parser: argparse.ArgumentParser, top: int = OutputOptions.top) -> None:
    """Add `OutputOptions` to a parser; ``top`` is the default number of rows."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print the result as JSON; the rest goes to stderr")
    group.add_argument("--quiet", action="store_true", help="print the answer only, without progress and remarks")
    group.add_argument("--open", action="store_true", help="open the page of the result in a browser")
    group.add_argument(
        "--top",
        type=_row_count,
        default=top,
        metavar="N",
        help=f"rows to show, and others that may be the best; 0: all (default {top})",
    )
    group.add_argument("--out", metavar="DIR", help="folder of the results (default outputs/runs/TIME_...)")


def _row_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of rows: write 10, or 0 for all")
    return int(text)


def take_output_options(
    arguments: Sequence[str], top: int = OutputOptions.top, command: str = "run"
) -> tuple[OutputOptions, list[str]]:
    """Return the options of the output among the arguments of a command, and the others.

    Args:
        arguments: Arguments after the name of the command.
        top: Default number of rows.
        command: Name of the command, for messages.

    Raises:
        InputError: If an option has a wrong value.
    """
    parser = Parser(prog=f"transfer-exp {command}", add_help=False, allow_abbrev=False)
    add_output_options(parser, top)
    options, remaining = parser.parse_known_args(arguments)
    if options.out is not None and not options.out.strip():
        raise InputError("--out is empty: give the folder of the results, or leave it out")
    if options.out is not None and expand_user(options.out).is_file():
        raise InputError(f"--out {options.out} is a file: name a folder")
    return OutputOptions(**vars(options)), remaining


def show_outcome(outcome: Outcome, output: OutputOptions, in_sweep: bool) -> None:
    """Print a result; raise the problem of its files, if any."""
    from transfer_exp.terminal import Terminal  # Imported late: the help needs the options only.

    console = Terminal()
    if in_sweep:
        if outcome.headline and not output.quiet:
            console.print(f"    {outcome.headline}")
    elif outcome.summary is None:
        if outcome.headline:
            console.print(outcome.headline)
    elif not output.json:
        console.print(outcome.summary(output.top))
        if outcome.command:
            console.print(f"  {outcome.command}", soft_wrap=True)  # a line break would end the command
    if not (in_sweep or output.quiet or output.json):
        for path in outcome.written:
            console.print(f"  {relative_path(path)}", style="dim", soft_wrap=True)
    if outcome.problem is not None:
        raise outcome.problem


def print_record(folder: Path) -> None:
    """Print the result of a run as one JSON document; raises `InputError` if the command computes no single result."""
    record = next((folder / name for name in _RECORDS if (folder / name).is_file()), None)
    if record is None:
        raise InputError("--json is for results of run, rank and leaderboard: this command wrote none")
    print(record.read_text("utf-8").rstrip())


def open_page(folder: Path) -> None:
    """Open the page of a run or a sweep in a browser; name its path if there is none."""
    page = next((folder / name for name in _PAGES if (folder / name).is_file()), None)
    if page is None:
        print(f"transfer_exp: no page was written in {relative_path(folder)}", file=sys.stderr)
    elif not webbrowser.open(page.absolute().as_uri()):
        print(f"transfer_exp: cannot find a browser: open {relative_path(page)}", file=sys.stderr)
