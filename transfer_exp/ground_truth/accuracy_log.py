"""Every accuracy that was measured here as a row of one table, which ``ground_truth=table`` reads back."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pandas as pd

from transfer_exp.errors import InputError
from transfer_exp.ground_truth.regime import Accuracy
from transfer_exp.io.atomic import digest
from transfer_exp.io.csv import read_table
from transfer_exp.store import Backend

TABLE = "accuracies.csv"
COLUMNS = (
    *("pool", "model", "dataset", "regime", "protocol", "seed", "accuracy", "measure", "source"),
    *("chosen", "steps", "seconds", "device", "versions", "weights", "data", "key"),
)
_LIBRARIES = ("transfer-exp", "torch", "torchvision", "timm", "numpy", "scikit-learn")


def row_of(
    accuracy: Accuracy, names: Mapping[str, str], identity: Mapping[str, Any], device: str, seconds: float
) -> dict[str, Any]:
    """Return an accuracy as a row, all columns but ``key``.

    Parameters
    ----------
    accuracy
        What was measured.
    names
        ``pool``, ``model``, ``dataset``, ``regime``, ``protocol`` and ``seed`` as tables call them.
    identity
        What decided the accuracy, see `NetworkOnImages.identity`.
    device, seconds
        Where it was trained, and how long that took.
    """
    splits = {name: identity[name] for name in ("train", "validation", "test")}
    return {
        **names,
        "accuracy": accuracy.value,
        "measure": accuracy.measure,
        "source": accuracy.source,
        "chosen": json.dumps(dict(accuracy.chosen), sort_keys=True),
        "steps": accuracy.steps,
        "seconds": round(seconds, 3),
        "device": device,
        "versions": ", ".join([f"python {platform.python_version()}", *(f"{n} {version(n)}" for n in _LIBRARIES)]),
        "weights": identity["model"]["weights"],
        "data": digest(splits),
    }


def keep_row(place: Backend, row: Mapping[str, Any]) -> None:
    """Add a row to the table of a store, unless one with its ``key`` is there.

    Raises
    ------
    InputError
        When the file there is another table.
    """
    with place.lease("accuracies.lease"):
        table = _read(place)
        if row["key"] in set(table["key"]):
            return
        text = {name: "" if row[name] is None else str(row[name]) for name in COLUMNS}
        table.loc[len(table)] = text
        place.write(TABLE, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


def _read(place: Backend) -> pd.DataFrame:
    """Read the table as text, so that what is written again is what was read."""
    if not place.has(TABLE):
        return pd.DataFrame(columns=list(COLUMNS))
    with place.reading(TABLE) as path:
        table = read_table(path, dtype=str, keep_default_na=False)
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{place}/{TABLE} is not a table of accuracies of this version: move it away")
    return table
