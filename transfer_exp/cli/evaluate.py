"""Compare scores with accuracies: ``transfer-exp evaluate SCORES.csv ACCURACIES.csv``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError
from transfer_exp.io.text import expand_user

_EXAMPLES = (
    "transfer-exp evaluate scores.csv accuracies.csv",
    "transfer-exp evaluate scores.csv accuracies.csv --unit percent --against pca --out measures.csv",
    "transfer-exp evaluate scores.csv published --pool group1_supervised_cnn11",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the agreement of scores with accuracies; arguments and exit code as for `Parser.run`."""
    return _parser().run(_evaluate, arguments)


def _evaluate(options: Namespace) -> None:
    if options.k < 1:
        raise InputError(f"--k={options.k} chooses no model: set it to 1 or more")
    if options.top < 0:
        raise InputError(f"--top={options.top} is negative: set it to 0 for all rows")
    if not options.scores.exists():
        raise InputError(
            f"no scores {options.scores}: give a CSV with columns model and score, or the rows of a score_matrix"
        )

    # Imported here because they are slow, and neither the help nor a mistake needs them.
    from transfer_exp.evaluation.ranking import Ranking
    from transfer_exp.evaluation.score_files import read_scores
    from transfer_exp.evaluation.score_table import check_measures_target, join_regimes, read_accuracies, write_measures
    from transfer_exp.io.accuracies import PUBLISHED
    from transfer_exp.report.evaluation_table import evaluation_report, select_control
    from transfer_exp.terminal import Terminal

    path = PUBLISHED if options.accuracies == "published" else expand_user(options.accuracies)
    inputs = (options.scores, path)
    if options.out is not None:
        check_measures_target(options.out, inputs)
    scores = read_scores(options.scores)
    accuracies = read_accuracies(path, options.pool, options.regime, options.unit, options.unsound)
    control = select_control(scores, options.against)
    tables, notes = join_regimes(scores, accuracies, Ranking(k=options.k))
    # Without a terminal rich assumes 80 columns, which would fold the table.
    console = Terminal(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True, style="yellow")
    for table in tables:
        console.print()
        for line in evaluation_report(table, options.k, control, options.top):
            console.print(line)
    if options.out is not None:
        print(f"wrote {options.out} ({write_measures(tables, options.out, inputs)} rows)")


def _parser() -> Parser:
    parser = Parser(
        prog="transfer-exp evaluate",
        description="Compare scores from any source with accuracies, your own or published ones.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "scores", type=expand_user, metavar="SCORES.csv", help="columns model, score, and any that name a row"
    )
    parser.add_argument("accuracies", metavar="ACCURACIES.csv", help="columns model, dataset, accuracy; or 'published'")
    parser.add_argument("--pool", help="pool of the accuracies, if the table has several")
    parser.add_argument("--regime", nargs="+", default=[], metavar="NAME", help="regimes (default all of the pool)")
    parser.add_argument("--unit", default="fraction", help="unit of the accuracies: fraction (default) or percent")
    parser.add_argument("--unsound", action="store_true", help="also use accuracies that are marked as unsound")
    parser.add_argument("--k", type=int, default=3, help="top models in rel@k and recall@k (default 3)")
    parser.add_argument("--against", metavar="NAME", help="control perturbation (default none, if present)")
    parser.add_argument("--top", type=int, default=30, metavar="N", help="rows to show, 0 for all (default 30)")
    parser.add_argument(
        "--out", type=expand_user, metavar="ROWS.csv", help="write every measure of every cell to this file"
    )
    return parser
