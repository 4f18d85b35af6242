"""Page of a run or a sweep: one HTML file that holds its data, style and program, and loads nothing else.

A run is one cell: a pool on one dataset with one perturbation, metric, regime and seed. A sweep has many.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from transfer_exp.errors import escape_all
from transfer_exp.io.atomic import write_text
from transfer_exp.io.measures import is_error, measure_heading
from transfer_exp.report.html.answer import Answer, cell_answer, search_answer, sweep_answer
from transfer_exp.report.html.projection import PlottedSamples, Projection
from transfer_exp.report.html.run_details import RunDetails, read_run_details
from transfer_exp.report.pair_table import pair_frame
from transfer_exp.report.palette import style_variables
from transfer_exp.report.ranking_table import against_chance, notable_models, plural
from transfer_exp.report.record import plain_rows, ranking_rows, read_record, read_search
from transfer_exp.report.regime_table import regime_frame
from transfer_exp.report.sweep_cells import cell_fields, collect
from transfer_exp.report.sweep_table import SHOTS, shots_frame
from transfer_exp.results.cell import CellResult
from transfer_exp.results.folder import RECORD
from transfer_exp.results.search import SearchResult

NAME = "report.html"
_MAX_PROJECTIONS = 400
"""Most projections on one page, at about ten kilobytes each."""
_TOO_MANY = "left out of so large a sweep: transfer-exp report CELL_FOLDER draws it"
_FOLDER = Path(__file__).parent
_SHARED_SCRIPTS = ("elements.js", "tables.js", "charts.js")
_RUN_SCRIPTS = ("classes.js", "page.js")
_UNFINISHED: dict[str, Any] = {
    **dict.fromkeys(("answer", "tau", "before", "samples")),
    **dict.fromkeys(("chance", "left_out", "command"), ""),
    **{"accuracy_name": "accuracy", "smaller_is_better": False},
    **{"models": [], "named": [], "front": [], "measures": {}, "views": {}, "versions": {}, "findings": []},
}
"""Data of a cell without a result."""
_SHOTS_COLUMNS = (SHOTS, "tau", "tau_low_95", "tau_high_95", "draws")
_SWEEP_NAME = re.compile(r"\+sweep=([\w./-]+)")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")


def write_page(folder: Path, frame: pd.DataFrame | None = None) -> Path:
    """Write ``report.html`` for the run or the sweep in a folder, and return its path.

    Args:
        folder: Folder with a ``result.json``, or with such folders below it.
        frame: Cells from `collect`, if they are collected already.

    Raises:
        InputError: If the folder has no cell, or a record or details cannot be read.
    """
    path = folder / NAME
    write_text(path, render_page(page_data(folder, frame)))
    return path


def render_page(data: Mapping[str, Any], scripts: Sequence[str] = _RUN_SCRIPTS) -> str:
    """Return the HTML of a page, by default that of a run or a sweep.

    Names of models and classes are untrusted. They are inside a JSON block that no character can end, and the program
    inserts them as text only. The template escapes the title.

    Args:
        data: What the page shows, with a ``title``.
        scripts: Files of the program next to this module, besides the elements, tables and charts of all pages.
    """
    data = escape_all(data)
    environment = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # keeps the order of the records
    style = style_variables() + (_FOLDER / "page.css").read_text(encoding="utf-8")
    program = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in (*_SHARED_SCRIPTS, *scripts))
    return environment.get_template("page.html.j2").render(
        title=data["title"],
        data=data,
        # The hash admits exactly this text, so the template must not add a space to it.
        style=Markup(style),
        style_hash=_csp_hash(style),
        program=Markup(program),
        program_hash=_csp_hash(program),
    )


def page_data(folder: Path, frame: pd.DataFrame | None = None) -> dict[str, Any]:
    """Collect what the page of a run or a sweep shows; parameters and errors as `write_page`.

    Returns:
        ``kind`` (``run``, ``ranking`` or ``sweep``), ``title``, ``answer`` (of a sweep, else None), ``command``,
        ``varying`` (fields that differ between cells, without the metric), ``regimes`` (of a sweep the rows of
        `regime_frame`, of a search those of `pair_frame`), ``shots`` (of a sweep: the rows of `shots_frame`),
        ``cells``, and ``samples`` and ``sides`` (projections), which cells refer to by index so that each is stored
        once.

        Each cell has ``fields``, ``state`` and ``reason``; ``answer`` (an `Answer`, None without a result); ``tau`` and
        ``chance`` (None and empty without ground truth); ``measures``; ``accuracy_name`` and
        ``smaller_is_better`` (what the accuracies are called, and their direction); ``models`` (best first, with the
        columns of `search_frame` as far as they are known, ``accuracy_rank``, and the ``stages`` of the time);
        ``front`` (models on the front of accuracy against cost); ``named`` (models that the chart names); ``before``
        (index of the cell with perturbation ``none``), ``samples`` and ``views`` (indices by model, before and after
        the perturbation); and ``command``, ``versions``, ``left_out`` and ``findings`` of its `RunDetails`.
    """
    cells = collect(folder) if frame is None else frame
    names = cell_fields(cells)
    rows: list[dict[str, Any]] = [{str(n): value for n, value in row.items()} for row in cells.to_dict("records")]
    index_of = {tuple(row[n] for n in names): i for i, row in enumerate(rows) if row["state"] == "done"}
    samples: dict[PlottedSamples, int] = {}
    sides: dict[Projection, int] = {}
    entries = []
    for row in rows:
        fields = {n: row[n] for n in names if row[n] != "?"}
        entry = {**_UNFINISHED, "fields": fields, "state": row["state"], "reason": row["reason"]}
        if row["state"] == "done":
            baseline = tuple("none" if n == "perturbation" else row[n] for n in names)
            entry["before"] = index_of.get(baseline) if row["perturbation"] != "none" else None
            cell_folder = folder / row["folder"]
            details = read_run_details(cell_folder)
            record = cell_folder / RECORD
            entry |= _result_data(read_record(record), read_search(record), details)
            entry |= _projection_data(details, samples, sides)
        entries.append(entry)
    shared = {"cells": entries, "samples": [asdict(s) for s in samples], "sides": [asdict(s) for s in sides]}
    if rows[0]["folder"] == "." and len(rows) == 1:
        kind, title = _kind_and_title(entries[0])
        search = read_search(folder / RECORD) if kind == "ranking" else None
        pairs = _pairs_data(pair_frame(search)) if search is not None and search.pairs else []
        facts = {"kind": kind, "title": title, "answer": None, "varying": [], "command": entries[0]["command"]}
        return {**facts, "regimes": pairs, **shared}
    varying = [n for n in names if n != "metric" and cells[n].nunique() > 1]
    command, answer = read_run_details(folder).command, asdict(sweep_answer(cells))
    title = _sweep_title(folder.resolve().name, command, [n for n in names if cells[n].nunique() > 1])
    facts = {"kind": "sweep", "title": title, "answer": answer, "varying": varying, "command": command}
    regimes = _pairs_data(regime_frame(folder, cells))
    return {**facts, "regimes": regimes, "shots": _shots_data(shots_frame(cells)), **shared}


def _pairs_data(pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the pairs of model and regime that have an accuracy, with the name and the direction of its measure."""
    return [
        {**row, "accuracy_name": measure_heading(row["measure"]), "smaller_is_better": is_error(row["measure"])}
        for row in plain_rows(pairs[pairs["accuracy"].notna()])
    ]


def _shots_data(means: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of `shots_frame` for a chart: its fields but the dataset are in ``line``; None is missing."""
    fields = [] if means.empty else [n for n in means.columns[: means.columns.get_loc(SHOTS)] if n != "dataset"]
    varying = [name for name in fields if means[name].nunique() > 1] or fields[-1:]
    return [
        {"line": ", ".join(str(row[name]) for name in varying), **{n: row[n] for n in ("dataset", *_SHOTS_COLUMNS)}}
        for row in plain_rows(means)
    ]


def _kind_and_title(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind and the title of the page of one cell; the models of a ranking have a status."""
    fields, models = entry["fields"], entry["models"]
    if models and "status" in models[0]:
        return "ranking", f"{fields.get('dataset', '?')}: ranking of {plural(len(models), 'model')}"
    return "run", " / ".join(fields.get(name, "?") for name in ("dataset", "perturbation", "metric"))


def _sweep_title(folder: str, command: str, varying: list[str]) -> str:
    """Return the name of a sweep: that of its configuration, of its folder, or of the fields it varies."""
    name = _SWEEP_NAME.search(command)
    if name is not None or not _TIMESTAMP.fullmatch(folder):
        return f"Sweep {folder if name is None else name[1]}"
    return f"Sweep over {', '.join(varying).replace('_', ' ') or 'one cell'}"


def _result_data(result: CellResult, search: SearchResult | None, details: RunDetails) -> dict[str, Any]:
    """Return the result of a finished cell or search, with the details that concern it or one of its models."""
    tau = result.measures.get("weighted_tau")
    if search is None:
        # Files of searches of version 0.1.0 have their verdict in the details.
        answer = cell_answer(result) if not details.verdict else Answer(details.verdict[0], lines=details.verdict[1:])
        models = [_row_of_cell(row, details) for row in ranking_rows(result)]
    else:
        answer, models = search_answer(search), [asdict(model) for model in search.models]
    for row in models:
        row["stages"] = details.seconds.get(row["model"], {})
        row["seconds"] = sum(row["stages"].values()) or row.get("seconds")
    return {
        "answer": asdict(answer),
        "tau": tau,
        "chance": "" if tau is None else against_chance(result),
        "measures": {name: value for name, value in result.measures.items() if name != "weighted_tau"},
        "models": models,
        "accuracy_name": measure_heading(result.measure),
        "smaller_is_better": is_error(result.measure),
        "named": sorted(notable_models(result)),
        "front": [] if search is None else list(search.front),
        "command": details.command,
        "versions": details.versions,
        "findings": details.findings,
    }


def _row_of_cell(row: dict[str, Any], details: RunDetails) -> dict[str, Any]:
    """Return a model of a cell with the names of the columns of a search."""
    names = {"model": "model", "score_rank": "rank", "score": "score", "accuracy": "accuracy"}
    renamed = {new: row[old] for old, new in names.items()}
    reason = row["reason"] or details.remarks.get(row["model"], "")
    return {**renamed, "accuracy_rank": row["accuracy_rank"], "reason": reason, "layer": row.get("layer", "")}


def _projection_data(
    details: RunDetails, samples: dict[PlottedSamples, int], sides: dict[Projection, int]
) -> dict[str, Any]:
    """Return the indices of a cell's projections, and add those that no earlier cell has."""
    if len(sides) >= _MAX_PROJECTIONS:
        return {"samples": None, "views": {}, "left_out": _TOO_MANY}
    views = {
        name: [None if side is None else sides.setdefault(side, len(sides)) for side in (pair.before, pair.after)]
        for name, pair in details.views.items()
    }
    sample_index = None if details.samples is None else samples.setdefault(details.samples, len(samples))
    return {"samples": sample_index, "views": views, "left_out": details.left_out}


def _csp_hash(text: str) -> str:
    """Return the hash of a text in the form of a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
