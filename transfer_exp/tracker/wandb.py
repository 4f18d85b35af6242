"""Weights & Biases: a run for each job, or one for a whole sweep, with config, summary, tables, images, artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_exp.errors import InputError, suggestion
from transfer_exp.tracker.tracker import REPORT, Artifact, TrackedRun

if TYPE_CHECKING:
    import wandb
    from wandb import Run

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
_CHOICES = {"mode": ("offline", "online"), "per": ("cell", "sweep"), "artifacts": ("tables", "features")}
_LONGEST_NAME = 100


@dataclass(frozen=True)
class WandbTracker:
    """Record to W&B, in the run's folder unless asked to upload.

    Attributes
    ----------
    project, entity
        Where the run belongs; None as entity is the default of whoever is logged in. An agent of a W&B sweep has its
        own word on both.
    mode
        ``offline`` needs neither account nor network and leaves files that ``wandb sync`` uploads later; ``online``
        uploads at once, and asks for a key when there is none and someone sits at the terminal.
    per
        ``cell`` records every job; ``sweep`` records, of the jobs of a sweep, one run with a table of them all. A job
        that is of no sweep is recorded either way.
    artifacts
        ``tables``: the files of a ranking. ``features``: references to feature sets of the store, which stay there.
    tags
        Labels of the run. Group and filter by config, not by these.

    Raises
    ------
    InputError
        When ``mode``, ``per`` or ``artifacts`` is none of these.
    """

    project: str = "transfer_exp"
    entity: str | None = None
    mode: str = "offline"
    per: str = "cell"
    artifacts: Sequence[str] = ("tables",)
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        for option, known in _CHOICES.items():
            value = getattr(self, option)
            for word in [value] if isinstance(value, str) else value:
                if word not in known:
                    raise InputError(f"tracker.{option}={word} is unknown: {suggestion(str(word), known)}")

    def record(self, run: TrackedRun, folder: Path) -> str | None:
        """Write one run below ``folder/wandb``; the fields of its cell are in its config under ``cell``.

        Returns
        -------
        str or None
            Offline the folder of the run (to give to ``wandb sync``), online its address; None for a run that ``per``
            leaves out.

        Raises
        ------
        InputError
            When W&B refuses the run (no login, no network).
        """
        wanted = self.per == "sweep" if run.stage == REPORT else self.per == "cell" or run.group is None
        if not wanted:
            return None
        import wandb  # Slow to import, so only when a run is recorded.

        try:
            with self._started(run, folder) as begun, _staged_in(Path(begun.dir).parent):
                images = {name: wandb.Image(str(path)) for name, path in run.images.items()}
                tables = {name: _table(rows) for name, rows in run.tables.items()}
                begun.log({**tables, **images})
                begun.summary.update(dict(run.summary))
                for artifact in self._kept(run.made):
                    begun.log_artifact(artifact)
                for artifact in self._kept(run.used):
                    # What `use_artifact` calls, which refuses to be called offline though its record is just as good.
                    begun._log_artifact(artifact, is_user_created=True, use_after_commit=True)
                return begun.url if self.mode == "online" else str(Path(begun.dir).parent)
        except wandb.Error as error:
            line = str(error).strip().splitlines()[0]
            way_out = "run `wandb login`, or record with tracker.mode=offline and `wandb sync` later"
            raise InputError(f"tracker=wandb in mode {self.mode}: {line} ({way_out})") from error

    def _started(self, run: TrackedRun, folder: Path) -> Run:
        """Open the run, leaving alone any other run of this process."""
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        # An agent of a W&B sweep has chosen these already.
        chosen = "WANDB_SWEEP_ID" in os.environ
        return wandb.init(
            project=None if chosen else self.project,
            entity=None if chosen else self.entity,
            id=None if chosen else run_id(run),
            mode="online" if self.mode == "online" else "offline",
            tags=[str(tag) for tag in self.tags],
            dir=str(folder),
            resume="allow",
            name=_name_of(run),
            group=run.group,
            job_type=run.stage,
            config={**run.config, "cell": dict(run.cell)},
            reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )

    def _kept(self, artifacts: Sequence[Artifact]) -> Iterator[wandb.Artifact]:
        """Yield those of a kind that was asked for, as W&B has them."""
        import wandb

        for one in artifacts:
            if ("features" if one.type == "features" else "tables") not in self.artifacts:
                continue
            name = re.sub(r"[^\w.-]+", "-", one.name)[:_LONGEST_NAME]
            artifact = wandb.Artifact(name, one.type, metadata=dict(one.metadata))
            for path in one.files:
                artifact.add_file(str(path))
            for label, address in one.addresses.items():
                # The store names files by what is in them: to read them all for a checksum would say no more.
                artifact.add_reference(address, name=label, checksum=False)
            yield artifact


@contextmanager
def _staged_in(folder: Path) -> Iterator[None]:
    """Let W&B keep its copies of files to upload with the run, where the user has not said otherwise.

    By itself it keeps them in the user's home, where those of an offline run stay for ever.
    """
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def run_id(run: TrackedRun) -> str:
    """Return 16 hex digits that name the run: the same for a repeated run, different for another config or sweep.

    How a run is tracked does not change what it is, so ``config["tracker"]`` is left out.
    """
    studied = {key: value for key, value in run.config.items() if key != "tracker"}
    text = json.dumps([dict(run.cell), studied, run.group], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name_of(run: TrackedRun) -> str:
    """Return what a person looks for in a list of runs."""
    if run.stage == REPORT:
        return str(run.group)
    fields = ("metric", "perturbation", "dataset") if run.stage in ("score", "rank") else ("models", "dataset")
    known = [run.cell[field] for field in fields if field in run.cell]
    return " ".join(known if run.stage == "score" else [run.stage, *known])


def _table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    import wandb

    columns: list[str | int] = list(rows[0])
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows])
