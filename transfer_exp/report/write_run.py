"""Write the files of a finished run or search and record it with the tracker, the most valuable files first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from transfer_exp.errors import IncompleteOutputError, first_line
from transfer_exp.report.html.page import write_page
from transfer_exp.report.html.run_details import collect_run_details, write_run_details
from transfer_exp.report.record import last_round_as_cell, write_record, write_search_record
from transfer_exp.report.scatter import scatter
from transfer_exp.report.tracked_results import cell_results, search_results
from transfer_exp.results.cell import CellResult
from transfer_exp.results.search import SearchResult
from transfer_exp.statistics.feature_set import FeatureSet
from transfer_exp.tracker.tracker import TrackedResults

if TYPE_CHECKING:
    from transfer_exp.features.extraction import FeatureReader  # imports torch, which saved runs do not need
    from transfer_exp.features.model_on_target import CacheReference

T = TypeVar("T")
_log = logging.getLogger(__name__)
Finish: TypeAlias = Callable[[TrackedResults], "str | None"]
"""Gives the results to the tracker, and returns the path or address of its entry; see `LiveRun.finish`."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """Facts about a run that its tracker and page need in addition to the result.

    Attributes:
        config: Resolved configuration as plain values.
        sweep: Name of the sweep that the run belongs to, or None for a single run.
        command: Command line that repeats the run, without secrets.
        seconds: Seconds by model, then by stage.
        class_names: Classes of the target, in the order of its labels.
        scoring_sets: Readers of the features on the scoring set (the images that scores are computed on), by model.
        perturb: Returns the perturbed features (N, D'), or None without a perturbation.
        cache_references: Cached features that the run used.
        findings: Possible faults of the images, line by line.
    """

    config: Mapping[str, Any]
    sweep: str | None
    command: str
    seconds: Mapping[str, Mapping[str, float]]
    class_names: tuple[str, ...]
    scoring_sets: Mapping[str, FeatureReader]
    perturb: Callable[[FeatureSet], np.ndarray | None]
    cache_references: Sequence[CacheReference] = ()
    findings: Sequence[str] = ()


class Output:
    """Files that show a result, written one by one: a step that fails does not stop the others.

    Args:
        records: Files of the result itself, which are already written.

    Attributes:
        written: Files that users open, and the path or address of the tracker's entry if there is one.
    """

    def __init__(self, records: Sequence[Path]) -> None:
        self.records, self.written, self.problems = records, list[Path | str](records), list[str]()

    def add(self, name: str, write: Callable[[], T]) -> T | None:
        """Call a function that writes a file or an entry and returns its path; return None and go on if it fails."""
        try:
            path = write()
        except Exception as error:  # hours of computing must not be lost to a library that draws
            _log.debug("%s", name, exc_info=True)
            reason = error.strerror if isinstance(error, OSError) else None
            self.problems.append(f"{name} ({reason or first_line(error)})")
            return None
        self.written += [path] if isinstance(path, Path | str) else []
        return path

    @property
    def problem(self) -> IncompleteOutputError | None:
        """The error about the steps that failed; None if there are none."""
        return IncompleteOutputError(self.records, self.problems) if self.problems else None


def write_run(result: CellResult, context: RunContext, folder: Path, finish: Finish | None) -> Output:
    """Write record, figure, details, page and tracker entry of a scored cell, in this order.

    The results are written first. A failure at a later step keeps all other steps. A cell of a sweep gets no page,
    because the page of the sweep shows all cells, and a figure only for a tracker.

    Args:
        result: The scored cell, which is a pool on one dataset with one perturbation, metric, regime and seed.
        context: Other facts about the run.
        folder: Folder of the run, created if missing.
        finish: Ends the run of the tracker; None without a tracker.

    Returns:
        What was written, and the problem if a step after the record failed.

    Raises:
        InputError: If the result holds NaN or infinity.
    """
    records = write_record(result, context.config, folder, context.findings)
    output = Output(records)
    figure = None
    if context.sweep is None or finish is not None:
        figure = output.add("figure", lambda: scatter(result, folder / "scatter.png"))
    output.add("details of the page", lambda: write_run_details(collect_run_details(result, context), folder))
    if context.sweep is None:
        output.add("page", lambda: write_page(folder))
    if finish is not None:
        results = cell_results(result, context.cache_references, figure, records)
        output.add("entry of the tracker", lambda: finish(results))
    return output


def write_search(search: SearchResult, context: RunContext, folder: Path, finish: Finish) -> Output:
    """Write record, tables, details, page and tracker entry of a search; parameters and errors as `write_run`."""
    records = write_search_record(search, context.config, folder, context.findings)
    output, cell, recommended = Output(records), last_round_as_cell(search), search.recommended
    output.add(
        "details of the page", lambda: write_run_details(collect_run_details(cell, context, recommended), folder)
    )
    output.add("page", lambda: write_page(folder))
    output.add("entry of the tracker", lambda: finish(search_results(search, records)))
    return output
