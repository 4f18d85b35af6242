"""The file of calibrations that the package brings along."""

from __future__ import annotations

import json

from studies.calibration.error_tables import ANCHORS
from studies.calibration.held_out import calibrated
from studies.calibration.rows import Rows
from transfer_exp.evaluation.expectations import COLUMNS, NO_ANCHOR, as_row


def shipped(rows: Rows, digest: str) -> str:
    """Return the file: what it was fitted to, then a line for each calibration.

    Parameters
    ----------
    rows
        Of the pool to calibrate on; all targets but the control.
    digest
        Of those rows.
    """
    lines = [
        json.dumps(as_row((regime, anchor or NO_ANCHOR, cell.perturbation, cell.metric), calibration))
        for regime in rows.accuracies
        for anchor in ANCHORS
        for cell in sorted(rows.cells(), key=lambda c: (c.perturbation, c.metric))
        for calibration in (calibrated(rows, regime, cell, anchor),)
    ]
    about = {"digest": digest, "models": len(rows.models), "targets": list(rows.averaged), "columns": list(COLUMNS)}
    head = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in about.items())
    return f'{{\n{head},\n"rows": [\n' + ",\n".join(lines) + "\n]\n}\n"
