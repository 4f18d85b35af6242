"""Weights & Biases: one run per job or per sweep, with config, summary, tables, images and artifacts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from transfer_exp.errors import InputError, escape_all, suggestion
from transfer_exp.tracker.tracker import TRAINING_STEP, Artifact, TrackedResults, TrackedRun, is_recorded, run_id

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

    def start(self, run: TrackedRun, folder: Path) -> WandbRun | None:
        """Start a run below ``folder/wandb`` or ``WANDB_DIR``; None if ``per`` or ``WANDB_MODE=disabled`` excludes it.

        Its config holds the settings, the cell labels under ``cell``, and versions, git commit and hardware.

        Raises:
            InputError: If W&B refuses the run (no login, no network).
        """
        if not is_recorded(run, self.per) or self.effective_mode == "disabled":
            return None
        with _usable_environment(self.effective_mode), _explain_errors(self.effective_mode):
            return WandbRun(self._open(run, folder), self)

    def _open(self, run: TrackedRun, folder: Path) -> Run:
        """Open a W&B run without touching other runs of this process."""
        import wandb  # Imported late, because the import is slow.

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
            name=escape_all(run.name)[:_LONGEST_NAME] or None,
            group=None if run.group is None else escape_all(run.group),
            job_type=run.stage,
            config=escape_all(run.settings),  # W&B cannot send bytes that are not UTF-8
            reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )

    def wandb_artifacts(self, artifacts: Sequence[Artifact]) -> Iterator[wandb.Artifact]:
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


class WandbRun:
    """A run of W&B in progress, see `ActiveRun`.

    Args:
        run: The run of the library.
        tracker: Tracker that has started it.
    """

    def __init__(self, run: Run, tracker: WandbTracker) -> None:
        self._run, self._tracker = run, tracker
        self._names = set[str]()

    def log(self, axis: str, position: float | int, values: Mapping[str, float | int | str]) -> None:
        """Record values; see `ActiveRun.log`."""
        values = {escape_all(name).replace("*", "_"): value for name, value in values.items()}
        for name in values.keys() - self._names:
            # The summary holds the results, and none of the many last points of curves. A dot would mean nesting.
            pattern = name.replace("\\", "\\\\").replace(".", "\\.")
            self._run.define_metric(pattern, step_metric=axis, summary="none" if axis == TRAINING_STEP else None)
            self._names.add(name)
        self._run.log({axis: position, **values})

    def finish(self, results: TrackedResults) -> str | None:
        """Record the results; return the folder of an offline run (for ``wandb sync``) or the address of an online run.

        Raises:
            InputError: If W&B refuses the record (no network).
        """
        import wandb

        run, exit_code, mode = self._run, 1, self._tracker.effective_mode
        with _usable_environment(mode), _explain_errors(mode), _staging_folder(Path(run.dir).parent):
            try:
                images = {name: wandb.Image(str(path)) for name, path in results.images.items()}
                tables = {name: _table(escape_all(rows)) for name, rows in results.tables.items()}
                if tables or images:  # otherwise a row without values
                    run.log({**tables, **images})
                run.summary.update(dict(results.summary))
                for artifact in self._tracker.wandb_artifacts(results.output_artifacts):
                    run.log_artifact(artifact)
                for artifact in self._tracker.wandb_artifacts(results.input_artifacts):
                    # `use_artifact` refuses offline runs, but the call behind it records them just as well.
                    run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
                exit_code = 0
            finally:
                run.finish(exit_code=exit_code)
        return run.url if mode == "online" else str(Path(run.dir).parent)

    def fail(self, reason: str) -> None:
        """End the run as failed, with the reason as ``error`` in the summary."""
        self._run.summary.update({"error": escape_all(reason)})
        self._run.finish(exit_code=1)


@contextmanager
def _explain_errors(mode: str) -> Iterator[None]:
    """Raise errors of W&B as one line with a fix."""
    import wandb

    try:
        yield
    except wandb.Error as error:
        reason = str(error).strip().splitlines()[0]
        fix = "run `wandb login`, or record with tracker.mode=offline and `wandb sync` later"
        raise InputError(f"tracker=wandb in mode {mode}: {reason} ({fix})") from error
    except ValidationError as error:
        problem = error.errors()[0]
        name = "_".join(map(str, problem["loc"]))
        raise InputError(f"W&B refuses its setting {name}: {problem['msg']}; look at WANDB_{name.upper()}") from error


@contextmanager
def _staging_folder(folder: Path) -> Iterator[None]:
    """Let W&B stage its copies of files in a folder, unless the user has set another one.

    The default of W&B is a folder in the user's home, where the files of offline runs are never deleted.
    """
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder)
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


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


def _check_project(project: str, setting: str) -> None:
    """Raise InputError for a project that W&B would refuse once the work is done."""
    if not 1 <= len(project.strip()) <= len(project) <= _LONGEST_PROJECT or set(project) & set(_NOT_IN_PROJECT):
        raise InputError(
            f"{setting}='{project}' is not the name of a project: write up to {_LONGEST_PROJECT} characters without "
            f"{' '.join(_NOT_IN_PROJECT)}, and the account as tracker.entity"
        )


def _table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    import wandb

    columns: list[str | int] = list(rows[0])
    return wandb.Table(columns=columns, data=[list(row.values()) for row in rows])
