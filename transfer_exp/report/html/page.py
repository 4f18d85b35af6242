"""What a page shows, as plain data, gathered from the records and notes of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from transfer_exp.report.html.projection import Samples, Side
from transfer_exp.report.html.run_details import Notes, read_notes
from transfer_exp.report.ranking_table import against_chance
from transfer_exp.report.record import read_record
from transfer_exp.report.sweep_cells import cell_fields, collect
from transfer_exp.results.cell import CellResult

_SIDES = 400
"""Pictures in a page at most, of about ten kilobytes each."""
_FULL = "left out of so large a sweep: python -m transfer_exp.report with the folder of the cell shows it"
_Shared = TypeVar("_Shared")


@dataclass(frozen=True)
class ShownModel:
    """A line of a leaderboard; ranks as `RankedModel`, seconds as `Notes`, which may remark on it in ``reason``."""

    name: str
    score: float | None
    accuracy: float | None
    score_rank: float | None
    accuracy_rank: float | None
    reason: str
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class ShownCell:
    """A cell of a study.

    Attributes
    ----------
    fields
        What identifies it.
    state, reason
        ``done``, or why there is nothing more to show.
    tau, band, level, chance
        Weighted tau, its null band with its level, and where it lies in words; None and empty without ground truth.
    compared
        Models with both score and accuracy.
    measures
        Other agreement of the two rankings, by name.
    models
        Best score first.
    before
        Position of the cell that differs in nothing but that its perturbation is ``none``.
    command, versions
        Of the run.
    samples
        Position of what the views share, in `Page`.
    views
        By model, the positions of its sides before and after the perturbation, in `Page`.
    left_out
        Why there are no views.
    verdict
        What a search says of its models, line by line.
    """

    fields: Mapping[str, str]
    state: str
    reason: str = ""
    tau: float | None = None
    band: tuple[float, float] | None = None
    level: float = 0.95
    chance: str = ""
    compared: int = 0
    measures: Mapping[str, float] = field(default_factory=dict)
    models: Sequence[ShownModel] = ()
    before: int | None = None
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    samples: int | None = None
    views: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    left_out: str = ""
    verdict: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """All that a page shows.

    Attributes
    ----------
    kind
        ``run`` or ``sweep``.
    title
        What the page is called.
    varying
        The fields in which cells differ, the metric apart.
    command
        What was typed; empty where nobody kept it.
    cells
        One of a run.
    samples, sides
        What cells refer to by position, each once however many cells show it.
    """

    kind: str
    title: str
    varying: Sequence[str]
    command: str
    cells: Sequence[ShownCell]
    samples: Sequence[Samples]
    sides: Sequence[Side]


def page_of(folder: Path, frame: pd.DataFrame | None = None) -> Page:
    """Gather the page of a run, or of a sweep, from its folder.

    Parameters
    ----------
    folder
        With a ``result.json`` in it, or with such folders below it.
    frame
        Its cells where they are collected already.

    Raises
    ------
    InputError
        As `collect`, `read_record` and `read_notes`.
    """
    cells = collect(folder) if frame is None else frame
    names = cell_fields(cells)
    rows: list[dict[str, Any]] = [{str(n): value for n, value in row.items()} for row in cells.to_dict("records")]
    places = {tuple(row[n] for n in names): i for i, row in enumerate(rows) if row["state"] == "done"}
    samples: dict[Samples, int] = {}
    sides: dict[Side, int] = {}
    shown = []
    for row in rows:
        fields = {n: row[n] for n in names if row[n] != "?"}
        if row["state"] != "done":
            shown.append(ShownCell(fields, row["state"], row["reason"]))
            continue
        at = folder / row["folder"]
        control = tuple("none" if n == "perturbation" else row[n] for n in names)
        before = places.get(control) if row["perturbation"] != "none" else None
        shown.append(_cell(fields, read_record(at / "result.json"), read_notes(at), before, samples, sides))
    if rows[0]["folder"] == "." and len(rows) == 1:
        title = " / ".join(shown[0].fields.get(n, "?") for n in ("dataset", "perturbation", "metric"))
        return Page("run", title, [], shown[0].command, shown, [*samples], [*sides])
    varying = [n for n in names if n != "metric" and cells[n].nunique() > 1]
    title = f"Sweep {folder.resolve().name}"
    return Page("sweep", title, varying, read_notes(folder).command, shown, [*samples], [*sides])


def _cell(
    fields: Mapping[str, str],
    result: CellResult,
    notes: Notes,
    before: int | None,
    samples: dict[Samples, int],
    sides: dict[Side, int],
) -> ShownCell:
    """Return a finished cell, and keep what others may show as well."""
    models = []
    for line in result.ranking():
        model = line.result
        ranks = (line.score_rank, line.accuracy_rank)
        seconds = notes.seconds.get(model.model, {})
        reason = model.reason or notes.remarks.get(model.model, "")
        models.append(ShownModel(model.model, model.score, model.accuracy, *ranks, reason, seconds))
    measures = {name: value for name, value in result.measures.items() if name != "weighted_tau"}
    full = len(sides) >= _SIDES
    views = {} if full else notes.views
    return ShownCell(
        fields,
        "done",
        tau=result.measures.get("weighted_tau"),
        band=result.null_band,
        level=result.null_level,
        chance=against_chance(result) if "weighted_tau" in result.measures else "",
        compared=result.compared,
        measures=measures,
        models=models,
        before=before,
        command=notes.command,
        versions=notes.versions,
        samples=_place(samples, notes.samples) if notes.samples is not None and not full else None,
        views={
            name: (_place(sides, view.before), None if view.after is None else _place(sides, view.after))
            for name, view in views.items()
        },
        left_out=_FULL if full else notes.left_out,
        verdict=notes.verdict,
    )


def _place(known: dict[_Shared, int], new: _Shared) -> int:
    return known.setdefault(new, len(known))
