"""``transfer-exp report``: write the report of a sweep, a run or a reproduction again from its files."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError
from transfer_exp.io.text import expand_user, read_json

_EXAMPLES = (
    "transfer-exp report outputs/sweeps/2026-01-31_12-00-00",
    "transfer-exp report outputs/sweeps/2026-01-31_12-00-00 --rows rows.csv",
    "transfer-exp report outputs/paper_supervised/scores.csv --published group1_supervised_cnn11",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a report; arguments and exit code as for `Parser.run`."""
    parser = Parser(
        prog="transfer-exp report",
        description="Write the tables, figure and page of a sweep (finished or not), a run or a ranking again.\n"
        "For scores of a score matrix: write the page that compares them with published accuracies.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "path", type=expand_user, metavar="PATH", help="folder of a sweep, run or ranking, or a CSV of scores"
    )
    parser.add_argument(
        "--rows", type=expand_user, metavar="FILE.csv", help="also write every model of every cell there"
    )
    parser.add_argument("--published", metavar="POOL", help="pool of the published accuracies; PATH is a CSV of scores")
    return parser.run(_report, arguments)


def _report(arguments: Namespace) -> None:
    # pandas and matplotlib are slow to import, and neither the help nor a mistake needs them.
    if arguments.published is None and not arguments.path.is_dir():
        problem = "is a file" if arguments.path.exists() else "does not exist"
        advice = "give the folder of a run, a ranking or a sweep, or a CSV of scores with --published POOL"
        raise InputError(f"{arguments.path} {problem}: {advice}")
    if arguments.published is not None:
        from transfer_exp.report.published_comparison import write_published_comparison

        for path in write_published_comparison(arguments.path, arguments.published):
            print(f"wrote {path}")
        return

    from transfer_exp.report.html.page import write_page
    from transfer_exp.report.record import check_rows_target, read_search, write_result_rows
    from transfer_exp.report.search_table import search_table
    from transfer_exp.report.sweep import show_sweep
    from transfer_exp.results.folder import RECORD
    from transfer_exp.terminal import Terminal

    if arguments.rows is not None:
        check_rows_target(arguments.rows)
    record = arguments.path / RECORD
    _check_origin(record)
    search = read_search(record) if record.is_file() else None
    if search is None:
        failed, error = show_sweep(arguments.path, Terminal())
    else:
        failed, error = list[str](), None
        Terminal().print(search_table(search))
        print(f"wrote {write_page(arguments.path)}")
    if arguments.rows is not None:
        print(f"wrote {arguments.rows} ({write_result_rows(arguments.path, arguments.rows)} cells)")
    for line in failed:
        print(f"not done: {line}", file=sys.stderr)
    if error is not None:
        raise error


def _check_origin(record: Path) -> None:
    """Raise InputError for a file ``result.json`` of another program, which has neither a cell nor models."""
    if not record.is_file():
        return
    content = read_json(record)
    if isinstance(content, dict) and not {"cell", "models"} & content.keys():
        raise InputError(f"{record} was not written by transfer-exp: give the folder of a run, a ranking or a sweep")
