"""Weights & Biases: one run per job or per sweep, with config, summary, tables, images and artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from transfer_exp.errors import InputError, escape_all, suggestion
from transfer_exp.tracker.tracker import REPORT, Artifact, TrackedRun, further_labels

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
_MODES = {"run": "online", "dryrun": "offline"}
"""Current name of a mode, by the old name that ``WANDB_MODE`` may still have."""
_LONGEST_NAME = 100
_LONGEST_TAG, _LONGEST_PROJECT, _NOT_IN_PROJECT = 64, 128, "/\\#?%:"
"""Limits of W&B, which it checks when a run starts."""


@dataclass(frozen=True)
class WandbTracker:
    """Record runs with W&B, below the folder of the run or online.

    Attributes:
        project, entity: W&B project and account. None is ``WANDB_PROJECT`` and ``WANDB_ENTITY``, or else the project
            ``transfer_exp`` and the default account of the user. An agent of a W&B sweep overrides both.
        mode: ``offline`` writes files that ``wandb sync`` uploads later, and needs neither account nor network.
            ``online`` uploads at once, and asks for a key if there is none and a user is at the terminal. None is
            ``WANDB_MODE``, which may also be ``disabled``, or else ``offline``.
        per: ``cell`` records every job. ``sweep`` records one run per sweep, with a table of its jobs. A job without a
            sweep is always recorded.
        artifacts: Kinds of artifacts to record. ``tables``: the files of a ranking. ``features``: references to
            features, which stay in the store.
        tags: Labels of the run. Config values are better for grouping and filtering.

    Raises:
        InputError: If ``mode``, ``per``, ``artifacts`` or ``WANDB_MODE`` has another value.
    """

    project: str | None = None
    entity: str | None = None
    mode: str | None = None
    per: str = "cell"
    artifacts: Sequence[str] = ("tables",)
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.mode == "disabled":
            raise InputError("tracker.mode=disabled is not a way to record: set tracker=none")
        for option, choices in _CHOICES.items():
            value = getattr(self, option)
            for choice in [value] if isinstance(value, str) else value or ():
                if choice not in choices:
                    raise InputError(f"tracker.{option}={choice} is unknown: {suggestion(str(choice), choices)}")
        if self.effective_mode not in ("offline", "online", "disabled"):
            raise InputError(f"WANDB_MODE={self.effective_mode} is unknown: set it to offline, online or disabled")
        _check_project(*self._project)
        if self.entity is not None and (not self.entity.strip() or "/" in self.entity):
            raise InputError(
                f"tracker.entity='{self.entity}' is not an account: set tracker.entity and tracker.project"
            )
        for tag in self.tags:
            if not 1 <= len(tag.strip()) <= len(tag) <= _LONGEST_TAG:
                raise InputError(f"tracker.tags has '{tag}' of {len(tag)} characters: W&B takes 1 to {_LONGEST_TAG}")

    @property
    def effective_mode(self) -> str:
        """The mode that is set as an option, or in the environment, or ``offline``."""
        is_disabled = os.environ.get("WANDB_DISABLED", "").strip().casefold() in ("true", "1", "yes", "on")
        mode = self.mode or ("disabled" if is_disabled else os.environ.get("WANDB_MODE", "").strip()) or "offline"
        return _MODES.get(mode, mode)

    @property
    def _project(self) -> tuple[str, str]:
        """The project, and the name of its setting in messages."""
        if self.project is not None:
            return self.project, "tracker.project"
        return os.environ.get("WANDB_PROJECT", "").strip() or "transfer_exp", "WANDB_PROJECT"

    def record(self, run: TrackedRun, folder: Path) -> str | None:
        """Record one run below ``folder/wandb`` or ``WANDB_DIR``; its config holds the cell labels under ``cell``.

        Returns:
            The folder of an offline run (for ``wandb sync``) or the address of an online run; None if ``per`` excludes
            the run, or ``WANDB_MODE`` is ``disabled``.

        Raises:
            InputError: If W&B refuses the run (no login, no network).
        """
        is_included = self.per == "sweep" if run.stage == REPORT else self.per == "cell" or run.group is None
        if not is_included or self.effective_mode == "disabled":
            return None
        with _usable_environment(self.effective_mode):
            return self._record(run, folder)

    def _record(self, run: TrackedRun, folder: Path) -> str | None:
        import wandb  # Imported late, because the import is slow.

        texts = {name: escape_all(getattr(run, name)) for name in ("cell", "config", "group", "tables")}
        run = replace(run, **texts)  # W&B cannot send bytes that are not UTF-8
        try:
            with self._open(run, folder) as wandb_run, _staging_folder(Path(wandb_run.dir).parent):
                images = {name: wandb.Image(str(path)) for name, path in run.images.items()}
                tables = {name: _table(rows) for name, rows in run.tables.items()}
                wandb_run.log({**tables, **images})
                wandb_run.summary.update(dict(run.summary))
                for artifact in self._wandb_artifacts(run.output_artifacts):
                    wandb_run.log_artifact(artifact)
                for artifact in self._wandb_artifacts(run.input_artifacts):
                    # `use_artifact` refuses offline runs, but the call behind it records them just as well.
                    wandb_run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
                return wandb_run.url if self.effective_mode == "online" else str(Path(wandb_run.dir).parent)
        except wandb.Error as error:
            reason = str(error).strip().splitlines()[0]
            fix = "run `wandb login`, or record with tracker.mode=offline and `wandb sync` later"
            raise InputError(f"tracker=wandb in mode {self.effective_mode}: {reason} ({fix})") from error
        except ValidationError as error:
            problem = error.errors()[0]
            name = "_".join(map(str, problem["loc"]))
            raise InputError(
                f"W&B refuses its setting {name}: {problem['msg']}; look at WANDB_{name.upper()}"
            ) from error

    def _open(self, run: TrackedRun, folder: Path) -> Run:
        """Open a W&B run without touching other runs of this process."""
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        # The agent of a W&B sweep sets project, account and id through the environment.
        is_agent = "WANDB_SWEEP_ID" in os.environ
        return wandb.init(
            project=None if is_agent else self._project[0],
            entity=None if is_agent else self.entity,
            id=None if is_agent else run_id(run),
            mode="online" if self.effective_mode == "online" else "offline",
            tags=[str(tag) for tag in self.tags],
            dir=os.environ.get("WANDB_DIR") or str(folder),
            resume="allow",
            name=_display_name(run)[:_LONGEST_NAME],
            group=run.group,
            job_type=run.stage,
            config={**run.config, "cell": dict(run.cell)},
            reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )

    def _wandb_artifacts(self, artifacts: Sequence[Artifact]) -> Iterator[wandb.Artifact]:
        """Yield the artifacts of the selected kinds as W&B artifacts."""
        import wandb

        for artifact in artifacts:
            if ("features" if artifact.type == "features" else "tables") not in self.artifacts:
                continue
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", artifact.name)[:_LONGEST_NAME]
            wandb_artifact = wandb.Artifact(name, artifact.type, metadata=escape_all(artifact.metadata))
            for path in artifact.files:
                wandb_artifact.add_file(str(path))
            for label, address in artifact.addresses.items():
                # Files of the store are named after their content, so reading them for a checksum is not needed.
                wandb_artifact.add_reference(address, name=label, checksum=False)
            yield wandb_artifact


@contextmanager
def _staging_folder(folder: Path) -> Iterator[None]:
    """Let W&B stage its copies of files in a folder, unless the user has set another one.

    The default of W&B is a folder in the user's home, where the files of offline runs are never deleted.
    """
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    with _set_environment("WANDB_DATA_DIR", str(folder)):
        yield


@contextmanager
def _usable_environment(mode: str) -> Iterator[None]:
    """Let W&B see the mode, and no variables that are set to nothing, which it would refuse.

    In the mode ``offline`` it also does not report its errors to its authors.
    """
    before = dict(os.environ)
    for name in [name for name, value in before.items() if name.startswith("WANDB_") and not value.strip()]:
        del os.environ[name]
    os.environ |= {"WANDB_MODE": mode} | ({"WANDB_ERROR_REPORTING": "false"} if mode == "offline" else {})
    os.environ.pop("WANDB_DISABLED", None)  # the mode is decided
    try:
        yield
    finally:
        os.environ |= {name: value for name, value in before.items() if name.startswith("WANDB_")}
        for name in ("WANDB_MODE", "WANDB_ERROR_REPORTING"):
            if name not in before:
                os.environ.pop(name, None)


@contextmanager
def _set_environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ.update({} if before is None else {name: before})


def _check_project(project: str, setting: str) -> None:
    """Raise InputError for a project that W&B would refuse once the work is done."""
    if not 1 <= len(project.strip()) <= len(project) <= _LONGEST_PROJECT or set(project) & set(_NOT_IN_PROJECT):
        raise InputError(
            f"{setting}='{project}' is not the name of a project: write up to {_LONGEST_PROJECT} characters without "
            f"{' '.join(_NOT_IN_PROJECT)}, and the account as tracker.entity"
        )


def run_id(run: TrackedRun) -> str:
    """Return 16 hex digits that identify the run: equal for a repeated run, different for other data, config or sweep.

    ``config["tracker"]`` is left out: tracking does not change the result.
    """
    config = {key: value for key, value in run.config.items() if key != "tracker"}
    text = json.dumps([dict(run.cell), config, run.group, run.data], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _display_name(run: TrackedRun) -> str:
    """Return a name for lists of runs."""
    if run.stage == REPORT:
        return str(run.group)
    fields = ("metric", "perturbation", "dataset") if run.stage in ("score", "rank") else ("models", "dataset")
    labels = [*(run.cell[field] for field in fields if field in run.cell), *further_labels(run.cell)]
    return " ".join(labels if run.stage == "score" else [run.stage, *labels])


def _table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    import wandb

    columns: list[str | int] = list(rows[0])
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows])
