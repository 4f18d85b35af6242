"""A cell on disk: ``result.json`` holds everything, ``ranking.csv`` is the table for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transfer_exp.errors import InputError
from transfer_exp.io.atomic import write_atomically, write_text
from transfer_exp.io.text import read_json
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.version import __version__

CSV_COLUMNS = ("score_rank", "model", "score", "accuracy", "accuracy_rank", "reason")


def write_record(result: CellResult, config: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``result.json`` and ``ranking.csv``, each in one step, so that no reader meets half a file.

    Parameters
    ----------
    result
        The cell.
    config
        The resolved configuration that led to it. What JSON has no word for is written as text.
    folder
        Made when absent.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        When a score, accuracy or measure is NaN or infinite: JSON has no such number.
    """
    paths = [folder / "result.json", folder / "ranking.csv"]
    try:
        record = json.loads(json.dumps(asdict(result), allow_nan=False, default=float))
    except ValueError as error:
        raise InputError(f"result of {dict(result.cell)} holds NaN or infinity and is not written") from error
    record |= {"config": plain(config), "package_version": __version__}
    write_text(paths[0], json.dumps(record, indent=1) + "\n")
    write_atomically(paths[1], lambda path: path.write_text(_csv(result), encoding="utf-8", newline=""))
    return paths


def read_record(path: Path) -> CellResult:
    """Read a ``result.json`` back.

    Raises
    ------
    InputError
        When the file is missing, is no JSON or is no record of a cell.
    """
    try:
        found = read_json(path)
        band = found["null_band"]
        return CellResult(
            cell={_text(name): _text(value) for name, value in found["cell"].items()},
            models=tuple(_model(model) for model in found["models"]),
            measures=_numbers(found["measures"]),
            null_band=None if band is None else (_number(band[0]), _number(band[1])),
            tied=bool(found["tied"]),
            null_level=_number(found["null_level"]),
        )
    except InputError as error:
        raise InputError(f"{error}; or delete it, and run the cell again") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is not the record of a cell ({error!r}): delete it, or run the cell again") from error


def _model(found: Mapping[str, Any]) -> ModelResult:
    """Return a model of a record, each fact of its kind."""
    score, accuracy = (None if found.get(name) is None else _number(found[name]) for name in ("score", "accuracy"))
    return ModelResult(
        _text(found["model"]), score, accuracy, _text(found.get("reason", "")), _numbers(found.get("parts", {}))
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> float:
    # A number of many digits is none that a float can hold.
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no finite number")
    return value


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {_text(name): _number(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """Return ``value`` as what strict JSON can hold; anything else, NaN and infinity included, as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)


def _csv(result: CellResult) -> str:
    """Return the ranking as CSV, then the parts of the scores; numbers in full precision, empty where there is none."""
    text = io.StringIO()
    parts = list(dict.fromkeys(name for model in result.models for name in model.parts))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CSV_COLUMNS, *parts])
    for line in result.ranking():
        model = line.result
        row = [line.score_rank, model.model, model.score, model.accuracy, line.accuracy_rank, model.reason]
        writer.writerow([*row, *(model.parts.get(name) for name in parts)])
    return text.getvalue()
