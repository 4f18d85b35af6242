"""A reproduction on disk: from the scores of a grid to its page and its measures."""

from __future__ import annotations

from pathlib import Path

from transfer_exp.evaluation.accuracy_source import read_truths
from transfer_exp.evaluation.ranking import Ranking
from transfer_exp.evaluation.score_file import read_score_file
from transfer_exp.evaluation.score_table import join_all, write_measures
from transfer_exp.io.accuracies import PUBLISHED
from transfer_exp.io.atomic import write_text
from transfer_exp.report.reproduction.page import page


def write_reproduction(scores: Path, pool: str) -> list[Path]:
    """Write ``reproduction.md`` and ``measures.csv`` beside the scores of a pool, and return their paths.

    Parameters
    ----------
    scores
        Rows of a grid; the perturbations ``none`` and ``pca``, where they are there, are compared with.
    pool
        Of the published accuracies; sound ones only.

    Raises
    ------
    InputError
        When the scores cannot be read, or share no target and two models with the accuracies.
    """
    joined, notes = join_all(read_score_file(scores), read_truths(PUBLISHED, pool), Ranking())
    command = f"python -m transfer_exp.report.reproduction {scores.name} --pool {pool}"
    text, measures = scores.with_name("reproduction.md"), scores.with_name("measures.csv")
    write_measures(joined, measures)
    write_text(text, page(joined, pool, notes, command))
    return [text, measures]
