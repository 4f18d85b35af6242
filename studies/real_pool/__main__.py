"""Rebuild the page of a study from its rows: ``python -m studies.real_pool docs/results/real_pool.md``.

The page says where its rows are, as ``<!-- study: accuracies=FILE.csv scores=FILE.csv control=TARGET -->`` (paths
beside it). A block begins with ``<!-- table: NAME -->``, or ``<!-- table: NAME REGIME -->``, and ends with
``<!-- end -->``. Beside the page it writes two figures, and every tau_w of the study as CSV.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from studies.document_tables import with_tables
from studies.real_pool.data import Study, read_study
from studies.real_pool.score_tables import every_tau
from studies.real_pool.tables import TABLES
from transfer_exp.cli.console import Parser
from transfer_exp.errors import InputError
from transfer_exp.io.atomic import digest, write_atomically, write_text
from transfer_exp.io.text import read_text

_STUDY = re.compile(r"<!-- study: ([^>]*) -->")


def sources(page: Path) -> tuple[Path, Path, str]:
    """Return where a page's accuracies and scores are, and its control.

    Raises
    ------
    InputError
        When the page does not say.
    """
    found = _STUDY.search(read_text(page))
    said = {name: value for name, _, value in (item.partition("=") for item in found[1].split())} if found else {}
    if not (said.get("accuracies") and said.get("scores")):
        raise InputError(f"{page} does not say its rows: add <!-- study: accuracies=FILE.csv scores=FILE.csv -->")
    return page.parent / said["accuracies"], page.parent / said["scores"], said.get("control", "")


def source_digest(page: Path) -> str:
    """Return a digest of a page's rows, which its figures carry."""
    accuracies, scores, control = sources(page)
    return digest({"accuracies": accuracies.read_text(), "scores": scores.read_text(), "control": control})


def filled(page: Path, study: Study) -> str:
    """Return the text of a page with its blocks filled.

    Raises
    ------
    InputError
        For a block of an unknown name.
    """
    return with_tables(page, {name: partial(maker, study) for name, maker in TABLES.items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild pages, and return the exit code.

    Parameters
    ----------
    arguments
        The command line without the program's name; by default that of the process.

    Returns
    -------
    int
        0, or 1 after one line on stderr when a page or its rows cannot be used or written.
    """
    parser = Parser(prog="python -m studies.real_pool", description=__doc__)
    parser.add_argument("pages", type=Path, nargs="+", metavar="PAGE.md")
    return parser.run(_rebuild, arguments)


def _rebuild(asked: Namespace) -> None:
    from studies.real_pool.figures import before_after, heat_map

    for page in asked.pages:
        study = read_study(*sources(page))
        write_text(page, filled(page, study))
        taus = every_tau(study)
        beside = page.with_name(f"{page.stem}_taus.csv")
        write_atomically(beside, partial(taus.to_csv, index=False, lineterminator="\n"))
        source = source_digest(page)
        heat_map(study, page.with_name(f"{page.stem}_heat_map.png"), source)
        before_after(study, page.with_name(f"{page.stem}_before_after.png"), source)


if __name__ == "__main__":
    sys.exit(main())
