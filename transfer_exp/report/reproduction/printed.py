"""Weighted taus that others printed for the pools of the lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_name("published_taus.csv")


@dataclass(frozen=True)
class Printed:
    """What was printed for one metric after one perturbation.

    Attributes
    ----------
    taus
        Weighted tau by dataset.
    printed_as
        What the source calls the row.
    source
        Repository and file.
    """

    taus: Mapping[str, float]
    printed_as: str
    source: str


def printed(pool: str, regime: str) -> dict[tuple[str, str], Printed]:
    """Return what was printed for a pool and regime, by metric and perturbation as options of ours; may be empty.

    ``SFDA`` is ``sfda_released`` and ``NLEEP`` is ``nleep(convention=released)``: both tables come with code that
    averages probabilities, not their logarithms. ``+Ours`` of PED's table is ``ped``.
    """
    rows = pd.read_csv(TABLE, dtype={"weighted_tau": float})
    own = rows[(rows["pool"] == pool) & (rows["regime"] == regime)]
    return {
        (str(metric), str(perturbation)): Printed(
            dict(zip(cell["dataset"], cell["weighted_tau"], strict=True)),
            str(cell["printed_as"].iloc[0]),
            str(cell["source"].iloc[0]),
        )
        for (metric, perturbation), cell in own.groupby(["metric", "perturbation"])
    }
