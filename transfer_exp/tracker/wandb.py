"""One Weights & Biases run per cell: config, a table of the models, correlations as summary, the scatter plot."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_exp.types import CellResult, InputError

if TYPE_CHECKING:
    from wandb import Run, Table

COLUMNS: list[str | int] = ["model", "score", "accuracy", "score_rank", "accuracy_rank", "reason"]
QUIET: dict[str, Any] = {
    "console": "off",
    "silent": True,
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
    "init_timeout": 30.0,
}


@dataclass(frozen=True)
class WandbTracker:
    """Record to W&B, in the run's folder unless asked to upload.

    Attributes
    ----------
    project, entity
        Where the run belongs; None as entity is the default of whoever is logged in.
    mode
        ``offline`` needs neither account nor network and leaves files that ``wandb sync`` uploads later; ``online``
        uploads at once, and asks for a key when there is none and someone sits at the terminal.
    tags
        Labels of the run. Group and filter by config, not by these.
    """

    project: str = "transfer_exp"
    entity: str | None = None
    mode: str = "offline"
    tags: Sequence[str] = ()

    def record(
        self,
        result: CellResult,
        config: Mapping[str, Any],
        group: str | None,
        figure: Path | None,
        folder: Path,
    ) -> str | None:
        """Write one run below ``folder/wandb``; the cell's fields are in its config under ``cell``.

        Returns
        -------
        str or None
            Offline the folder of the run (to give to ``wandb sync``), online its address.

        Raises
        ------
        InputError
            When ``mode`` is neither of the two, or W&B refuses the run (no login, no network).
        """
        import wandb  # Slow to import, so only when a run is recorded.

        try:
            run = self._start(result, config, group, folder)
            with run:
                images = {} if figure is None else {"scatter": wandb.Image(str(figure))}
                run.log({"models": _table(result), **images})
                run.summary.update(summary(result))
                return run.url if self.mode == "online" else str(Path(run.dir).parent)
        except wandb.Error as error:
            line = str(error).strip().splitlines()[0]
            way_out = "run `wandb login`, or record with tracker.mode=offline and `wandb sync` later"
            raise InputError(f"tracker=wandb in mode {self.mode}: {line} ({way_out})") from error

    def _start(self, result: CellResult, config: Mapping[str, Any], group: str | None, folder: Path) -> Run:
        """Open the run, leaving alone any other run of this process."""
        import wandb

        if self.mode not in ("offline", "online"):
            raise InputError(f"tracker.mode={self.mode} is unknown: use offline or online, or tracker=none")
        folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=self.project,
            entity=self.entity,
            mode="online" if self.mode == "online" else "offline",
            tags=[str(tag) for tag in self.tags],
            dir=str(folder),
            # An agent of a W&B sweep has already chosen the id.
            id=None if "WANDB_SWEEP_ID" in os.environ else run_id(result, config, group),
            resume="allow",
            name=" ".join(result.cell[key] for key in ("metric", "perturbation", "dataset") if key in result.cell),
            group=group,
            job_type="score",
            config={**config, "cell": dict(result.cell)},
            reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )


def run_id(result: CellResult, config: Mapping[str, Any], group: str | None) -> str:
    """Return 16 hex digits that name the run: the same for a repeated run, different for another config or sweep.

    How a run is tracked does not change what it is, so ``config["tracker"]`` is left out.
    """
    studied = {key: value for key, value in config.items() if key != "tracker"}
    text = json.dumps([dict(result.cell), studied, group], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def summary(result: CellResult) -> dict[str, float | int | bool]:
    """Return the final numbers by name: every measure, the null band's ends, how many models were compared."""
    numbers: dict[str, float | int | bool] = {
        **result.measures,
        "models_compared": result.compared,
        "tied": result.tied,
    }
    if result.null_band is not None:
        numbers["null_band_low"], numbers["null_band_high"] = result.null_band
    return numbers


def _table(result: CellResult) -> Table:
    """Return the ranking as a W&B table."""
    import wandb

    lines: list[Iterable[Any]] = [
        [r.result.model, r.result.score, r.result.accuracy, r.score_rank, r.accuracy_rank, r.result.reason]
        for r in result.ranking()
    ]
    return wandb.Table(columns=COLUMNS, data=lines)
