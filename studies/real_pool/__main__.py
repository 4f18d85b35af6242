"""Build the page of the study from its rows: ``python -m studies.real_pool docs/results/real_pool.md``.

The page names its rows: ``<!-- study: accuracies=FILE.csv scores=FILE.csv control=TARGET -->``, relative to the page. A
generated block begins with ``<!-- table: NAME -->`` or ``<!-- table: NAME REGIME -->`` and ends with ``<!-- end -->``.
Two figures, and CSV files with every tau_w, every comparison and every mean accuracy, are written next to the page.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from studies.document_tables import fill_tables
from studies.real_pool.data import Study, read_study
from studies.real_pool.tables import CSV_FILES, TABLES
from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest, write_atomically, write_text
from transfer_exp.io.text import read_text

_STUDY = re.compile(r"<!-- study: ([^>]*) -->")


def sources(page: Path) -> tuple[Path, Path, str]:
    """Return the files of accuracies and scores that a page names, and its control target.

    Raises:
        InputError: When the page does not name them.
    """
    match = _STUDY.search(read_text(page))
    fields = {name: value for name, _, value in (item.partition("=") for item in match[1].split())} if match else {}
    if not (fields.get("accuracies") and fields.get("scores")):
        raise InputError(f"{page} does not name its rows: add <!-- study: accuracies=FILE.csv scores=FILE.csv -->")
    return page.parent / fields["accuracies"], page.parent / fields["scores"], fields.get("control", "")


def source_digest(page: Path) -> str:
    """Return the digest of a page's rows; its figures carry it as metadata."""
    accuracies, scores, control = sources(page)
    return digest({"accuracies": accuracies.read_text(), "scores": scores.read_text(), "control": control})


def fill_page(page: Path, study: Study) -> str:
    """Return the text of a page with its blocks filled.

    Raises:
        InputError: When a block has an unknown name.
    """
    return fill_tables(page, {name: partial(maker, study) for name, maker in TABLES.items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Build pages and return the exit code.

    Args:
        arguments: Command line without the program's name; by default the one of the process.

    Returns:
        0; 1 after one line on stderr, when a page or its rows cannot be read or written.
    """
    parser = Parser(prog="python -m studies.real_pool", description=__doc__)
    parser.add_argument("pages", type=Path, nargs="+", metavar="PAGE.md")
    return parser.run(_build, arguments)


def _build(options: Namespace) -> None:
    from studies.real_pool.figures import before_after, heat_map

    for page in options.pages:
        study = read_study(*sources(page))
        write_text(page, fill_page(page, study))
        for name, make_rows in CSV_FILES.items():
            table = page.with_name(f"{page.stem}_{name}.csv")
            write_atomically(table, partial(make_rows(study).to_csv, index=False, lineterminator="\n"))
        source = source_digest(page)
        heat_map(study, page.with_name(f"{page.stem}_heat_map.png"), source)
        before_after(study, page.with_name(f"{page.stem}_before_after.png"), source)


if __name__ == "__main__":
    sys.exit(main())
