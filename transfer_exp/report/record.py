"""Result files: ``result.json`` and ``ranking.csv`` of a cell, ``rank.csv`` of a search, and CSV rows of a sweep.

A cell is a pool on one dataset with one perturbation, metric, regime (``ground_truth``) and seed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from transfer_exp.errors import InputError, escape_all, escape_controls, escape_surrogates
from transfer_exp.io.atomic import write_atomically, write_text
from transfer_exp.io.csv import check_target, to_entry, write_table
from transfer_exp.io.measures import measure_name
from transfer_exp.io.text import read_json
from transfer_exp.report.pair_table import pair_frame
from transfer_exp.report.record_checks import check_cell, check_search, check_status
from transfer_exp.report.search_table import verdict
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.folder import RECORD, STATUS, cell_folders
from transfer_exp.results.search import ACCURACY_LEVEL, RANK_LEVEL, SCORE_LEVEL, SearchResult
from transfer_exp.version import __version__

_RANKING_COLUMNS = ("score_rank", "model", "score", "accuracy", "accuracy_rank", "reason")
CELL_COLUMNS = ("model_pool", "dataset", "perturbation", "metric", "ground_truth", "seed")
MODEL_COLUMNS = ("model", "score", "accuracy", "reason")
_COST_COLUMNS = ("trainable_parameters", "training_seconds")
_SIZE_COLUMNS = ("parameters", "multiply_adds", "peak_memory", "file_bytes")
_INTEGER_COLUMNS = ("rank", "best_rank_95", "worst_rank_95", "images", *_SIZE_COLUMNS)
_TEXT_COLUMNS = ("model", "status", "reason", "layer", "licence", "source_dataset")


def write_record(
    result: CellResult, config: Mapping[str, Any], folder: Path, findings: Sequence[str] = ()
) -> list[Path]:
    """Write ``result.json`` (everything) and ``ranking.csv`` (the table for a spreadsheet), and return their paths.

    Args:
        result: The scored cell.
        config: Resolved configuration of the run. Values that JSON cannot hold are written as text.
        folder: Folder of the run, created if missing.
        findings: Possible faults of the images, line by line.

    Raises:
        InputError: If a score, accuracy or measure is NaN or infinite, which JSON cannot hold.
    """
    table = folder / "ranking.csv"
    record = _write_json(asdict(result), config, folder, findings)
    write_atomically(table, lambda temporary: temporary.write_text(_ranking_csv(result), encoding="utf-8", newline=""))
    return [record, table]


def write_search_record(
    search: SearchResult, config: Mapping[str, Any], folder: Path, findings: Sequence[str] = ()
) -> list[Path]:
    """Write ``result.json``, ``rank.csv`` and ``rank.parquet`` of a search, and return their paths.

    All three have the models of `search_frame`, and ``result.json`` also `search_facts`. A search with pairs of model
    and regime also gets ``regimes.csv``, see `pair_frame`. Parameters and errors are those of `write_record`.
    """
    record = {**search_facts(search), **asdict(last_round_as_cell(search))}
    record["models"] = [asdict(model) for model in search.models]
    return [_write_json(record, config, folder, findings), *_write_search_tables(search, folder)]


def _write_json(record: Mapping[str, Any], config: Mapping[str, Any], folder: Path, findings: Sequence[str]) -> Path:
    """Write ``result.json`` and return its path; `InputError` if the record holds NaN or infinity."""
    path = folder / RECORD
    try:
        content = json.loads(json.dumps(escape_all(record), allow_nan=False, default=float))
    except ValueError as error:
        raise InputError(f"result of {dict(record['cell'])} holds NaN or infinity and is not written") from error
    content |= {"config": to_json_value(config), "package_version": __version__, "findings": to_json_value(findings)}
    write_text(path, json.dumps(content, indent=1) + "\n")
    (folder / STATUS).unlink(missing_ok=True)  # of an earlier attempt that failed
    return path


def read_record(path: Path) -> CellResult:
    """Read a ``result.json`` of a cell or a search.

    Raises `InputError` if the file is missing, not JSON, or has a value that is missing or impossible.
    """
    try:
        record = read_json(path)
        band = record["null_band"]
        result = CellResult(
            cell={_text(name): _text(value) for name, value in record["cell"].items()},
            models=tuple(_model(model) for model in record["models"]),
            measures=_numbers(record["measures"]),
            null_band=None if band is None else (_number(band[0]), _number(band[1])),
            tied=bool(record["tied"]),
            null_level=_number(record["null_level"]),
            measure=measure_name(_text(record.get("measure", "accuracy")), str(path)),
        )
        check_cell(result)
    except InputError as error:
        raise InputError(f"{error}; or delete it, and run the cell again") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is not the record of a cell ({error!r}): delete it, or run the cell again") from error
    return result


def read_search(path: Path) -> SearchResult | None:
    """Read the search from a ``result.json``; None for the record of a cell that was not searched.

    Raises `InputError` if the file is missing, not JSON, or has a value that is missing or impossible.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "stop_reason" not in record:
        return None
    from pydantic import TypeAdapter, ValidationError  # slow to import, and runs only write the file

    names = {field.name for field in fields(SearchResult)}
    try:
        content = escape_all({name: value for name, value in record.items() if name in names})
        content["cell"] = {name: value for name, value in content["cell"].items() if name != "ground_truth"}
        search = TypeAdapter(SearchResult).validate_json(json.dumps(content), strict=True)
        search = replace(search, measure=measure_name(search.measure, str(path)))
        check_search(search)
    except InputError:
        raise
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} is not the record of a search ({location}: {first['msg']}): rank again") from error
    except (KeyError, AttributeError) as error:
        raise InputError(f"{path} is not the record of a search (it has no cell): rank again") from error
    except ValueError as error:
        raise InputError(f"{path} is not the record of a search ({error}): rank again") from error
    return search


def ranking_rows(result: CellResult) -> list[dict[str, Any]]:
    """Return a row for each model, best score first: its result, ``score_rank`` and ``accuracy_rank``."""
    return [
        {
            "model": line.result.model,
            "score": line.result.score,
            "accuracy": line.result.accuracy,
            "score_rank": line.score_rank,
            "accuracy_rank": line.accuracy_rank,
            "reason": line.result.reason,
            **({"layer": line.result.layer} if result.has_layers else {}),
        }
        for line in result.ranking()
    ]


def to_json_value(value: Any) -> Any:
    """Return a value as strict JSON can hold it in UTF-8; other types, NaN and infinity become text."""
    if isinstance(value, Mapping):
        return {escape_surrogates(str(key)): to_json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [to_json_value(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return escape_surrogates(str(value))


def search_frame(search: SearchResult) -> pd.DataFrame:
    """Return a row for each model of a search, best first, with the fields of `SearchedModel` as columns.

    The attribute ``attrs`` of the frame holds `search_facts`.
    """
    frame = pd.DataFrame([asdict(model) for model in search.models])
    float_columns = frame.columns.difference([*_INTEGER_COLUMNS, *_TEXT_COLUMNS])
    frame = frame.astype(dict.fromkeys(_INTEGER_COLUMNS, "Int64") | dict.fromkeys(float_columns, "float64"))
    frame.attrs.update(search_facts(search))
    return frame


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame with plain values; missing ones are None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(column): value for column, value in row.items()} for row in plain.to_dict("records")]


def search_facts(search: SearchResult) -> dict[str, Any]:
    """Return what a search found about the pool as a whole, as plain values by name.

    These are the fields of `SearchResult` other than ``models``, the lines of the verdict, the models that may be the
    best, those to fine-tune, those on the front of accuracy against cost, and the levels of the intervals.
    """
    facts = {field.name: getattr(search, field.name) for field in fields(search) if field.name != "models"}
    return {
        "verdict": verdict(search),
        **facts,
        "cell": dict(search.cell),
        "notes": list(search.notes),
        "pairs": [asdict(pair) for pair in search.pairs],
        "best": list(search.best),
        "recommended": list(search.recommended),
        "front": list(search.front),
        "levels": {"score": SCORE_LEVEL, "rank": RANK_LEVEL, "expected_accuracy": ACCURACY_LEVEL},
    }


def _write_search_tables(search: SearchResult, folder: Path) -> list[Path]:
    frame, paths = search_frame(search), [folder / "rank.csv", folder / "rank.parquet"]
    write_table(paths[0], frame)
    write_atomically(paths[1], lambda path: frame.to_parquet(path, index=False))
    if search.pairs:
        paths.append(folder / "regimes.csv")
        write_table(paths[-1], pair_frame(search))
    return paths


def last_round_as_cell(search: SearchResult) -> CellResult:
    """Return the models of a search's last round as a cell without ground truth; other models have no score."""
    models = [
        ModelResult(m.model, m.score if m.status == "finalist" else None, m.accuracy, m.reason, layer=m.layer)
        for m in search.models
    ]
    return CellResult({**search.cell, "ground_truth": "none"}, tuple(models), measure=search.measure)


def check_rows_target(path: Path) -> None:
    """Raise `InputError` if `write_result_rows` would replace a file that it did not write, such as a record."""
    check_target(path, (), (*CELL_COLUMNS, *MODEL_COLUMNS), "models and cells")


def write_result_rows(sweep: Path, path: Path) -> int:
    """Write a CSV row for each model of each finished cell below a folder, and return the number of cells.

    Raises:
        InputError: If no cell finished, or `check_rows_target` refuses the file.
    """
    check_rows_target(path)
    records = [folder / RECORD for folder in cell_folders(sweep) if (folder / RECORD).is_file()]
    results = [read_record(record) for record in records]
    if not results:
        raise InputError(f"no finished cell below {sweep}: give the folder that a sweep wrote")
    rows = [
        {key: result.cell.get(key, "") for key in CELL_COLUMNS}
        | {key: getattr(model, key) for key in (*MODEL_COLUMNS, *_COST_COLUMNS)}
        | {"measure": result.measure}
        for result in results
        for model in result.models
    ]
    frame = pd.DataFrame(rows, columns=[*CELL_COLUMNS, *MODEL_COLUMNS, *_COST_COLUMNS, "measure"])
    frame = frame.astype({"trainable_parameters": "Int64"})
    frame = frame.sort_values(list(CELL_COLUMNS), kind="stable")
    write_table(path, frame)
    return len(results)


def _model(entry: Mapping[str, Any]) -> ModelResult:
    """Return one model of a record after checking the type of each field.

    Of a search, only the models of the last round count, because others were scored on fewer images.
    """
    status = entry.get("status", "finalist")
    check_status(_text(entry["model"]), status)
    if status != "finalist":
        entry = {**entry, "score": None}
    score, accuracy = (None if entry.get(name) is None else _number(entry[name]) for name in ("score", "accuracy"))
    reason, layer = _text(entry.get("reason", "")), _text(entry.get("layer", ""))
    parts, layer_scores = _numbers(entry.get("parts", {})), _numbers(entry.get("layer_scores", {}))
    count, seconds = (entry.get(name) for name in _COST_COLUMNS)
    if count is not None and type(count) is not int:
        raise TypeError(f"{count!r} is not a whole number")
    seconds = None if seconds is None else _number(seconds)
    return ModelResult(_text(entry["model"]), score, accuracy, reason, parts, layer, layer_scores, count, seconds)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return escape_controls(value)


def _number(value: Any) -> float:
    # math.isfinite raises OverflowError for an integer of many digits.
    if type(value) not in (int, float) or not -sys.float_info.max <= value <= sys.float_info.max:
        raise TypeError(f"{value!r:.40} is not a finite number")
    return float(value)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {_text(name): _number(value) for name, value in values.items()}


def _ranking_csv(result: CellResult) -> str:
    """Return the ranking in full precision, with the parts of the scores as last columns; missing values are empty.

    There is a column ``layer`` if the features of some model are of another layer than the input of the head.
    """
    text = io.StringIO()
    parts_by_model = {model.model: model.parts for model in result.models}
    names = list(dict.fromkeys(name for parts in parts_by_model.values() for name in parts))
    writer = csv.writer(text, lineterminator="\n")
    columns = [*_RANKING_COLUMNS, *(["layer"] if result.has_layers else [])]
    writer.writerow(map(to_entry, [*columns, *names]))
    for row in ranking_rows(result):
        parts = parts_by_model[row["model"]]
        entries = [*(row[column] for column in columns), *(parts.get(name) for name in names)]
        writer.writerow(map(to_entry, entries))
    return text.getvalue()
