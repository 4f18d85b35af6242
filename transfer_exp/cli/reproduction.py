"""Write the page of a reproduction: ``python -m transfer_exp.cli.reproduction SCORES.csv --pool POOL``.

Beside the scores, which a sweep ``paper_...`` writes; with it ``measures.csv``, every measure of every cell.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from transfer_exp.cli.console import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page of a reproduction, and return the exit code.

    Parameters
    ----------
    arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when the scores cannot be used or the page cannot be written.
    """
    parser = Parser(prog="python -m transfer_exp.cli.reproduction", description=__doc__)
    parser.add_argument("scores", type=Path, metavar="SCORES.csv", help="rows of a grid of scores")
    parser.add_argument("--pool", required=True, help="of the published accuracies, group1_supervised_cnn11 say")
    return parser.run(_write, arguments)


def _write(asked: Namespace) -> None:
    from transfer_exp.report.published_comparison import write_published_comparison

    for path in write_published_comparison(asked.scores, asked.pool):
        print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
