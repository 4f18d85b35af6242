"""Aggregate a finished or broken-off sweep, or make the page of a run, again: ``python -m transfer_exp.report DIR``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from transfer_exp.cli.console import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a sweep, write its CSV, figure and page, and return the exit code.

    Parameters
    ----------
    arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when there is nothing to aggregate. Failed cells are listed on stderr but are
        no failure of this command.
    """
    parser = Parser(prog="python -m transfer_exp.report", description=__doc__)
    parser.add_argument("sweep_dir", type=Path, metavar="SWEEP_DIR", help="folder that a sweep or a run wrote")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="write every model of every cell there as well")
    return parser.run(_show, arguments)


def _show(asked: Namespace) -> None:
    # Slow to import, and so are pandas and matplotlib: --help needs none of them.
    from rich.console import Console

    from transfer_exp.report.record import write_result_rows
    from transfer_exp.report.sweep import show_sweep

    failed = show_sweep(asked.sweep_dir, Console())
    if asked.rows is not None:
        print(f"wrote {asked.rows} ({write_result_rows(asked.sweep_dir, asked.rows)} cells)")
    for line in failed:
        print(f"not done: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
