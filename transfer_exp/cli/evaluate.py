"""How well scores made elsewhere rank models: ``python -m transfer_exp.cli.evaluate scores.csv accuracies.csv``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from transfer_exp.cli.console import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how well the scores agree with the accuracies, and return the exit code.

    Parameters
    ----------
    arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when a table cannot be used or written.
    """
    return _parser().run(_evaluate, arguments)


def _evaluate(asked: Namespace) -> None:
    """Read, join, write and print."""
    # Slow to import: --help needs none of it.
    from rich.console import Console

    from transfer_exp.evaluation.accuracy_source import read_truths
    from transfer_exp.evaluation.ranking import Ranking
    from transfer_exp.evaluation.score_file import read_score_file
    from transfer_exp.evaluation.score_table import join_all, write_measures
    from transfer_exp.io.accuracies import PUBLISHED
    from transfer_exp.report.evaluation_table import control_of, shown

    scores = read_score_file(asked.scores.expanduser())
    table = PUBLISHED if asked.accuracies == "published" else Path(asked.accuracies).expanduser()
    truths = read_truths(table, asked.pool, asked.regime, asked.unit, asked.unsound)
    against = control_of(scores, asked.against)
    joined, notes = join_all(scores, truths, Ranking(k=asked.k))
    # A pipe has no width of its own, and its 80 columns would fold the table.
    console = Console(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True, style="yellow")
    for part in joined:
        console.print()
        for line in shown(part, asked.k, against, asked.top):
            console.print(line)
    if asked.out is not None:
        print(f"wrote {asked.out} ({write_measures(joined, asked.out)} rows)")


def _parser() -> Parser:
    parser = Parser(prog="python -m transfer_exp.cli.evaluate", description=__doc__)
    parser.add_argument("scores", type=Path, metavar="SCORES.csv", help="model, score and what else says what a row is")
    parser.add_argument("accuracies", metavar="ACCURACIES.csv", help="model, dataset, accuracy; or the word published")
    parser.add_argument("--pool", help="of the accuracies; may go unsaid where there is one")
    parser.add_argument("--regime", nargs="+", default=[], metavar="NAME", help="default: every one that the pool has")
    parser.add_argument("--unit", default="fraction", help="of the accuracies: fraction (default) or percent")
    parser.add_argument("--unsound", action="store_true", help="use accuracies that are marked as unsound, too")
    parser.add_argument("--k", type=int, default=3, help="of rel@k and recall@k (default 3)")
    parser.add_argument("--against", metavar="NAME", help="perturbation to compare with (default none, if present)")
    parser.add_argument("--top", type=int, default=30, metavar="N", help="rows to show, 0 for all (default 30)")
    parser.add_argument("--out", type=Path, metavar="ROWS.csv", help="write every measure of every cell there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
