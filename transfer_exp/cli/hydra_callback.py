"""Callback of Hydra: check the jobs before the first one, lock their folder, and report a sweep."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from transfer_exp.cli.console import cannot_write, relative_path
from transfer_exp.cli.job_labels import AXES, to_plain
from transfer_exp.cli.overrides import check_listable, check_number_of_jobs, quote
from transfer_exp.cli.redact import redacted_command
from transfer_exp.cli.settings import SETTINGS, check_required, check_setting
from transfer_exp.cli.tracked_job import SweepRun, describe_sweep
from transfer_exp.errors import IncompleteOutputError, InputError, one_line
from transfer_exp.io.text import expand_user
from transfer_exp.results.folder import create_folder, lock_folder, move_results

RESOURCES = ExitStack()
"""Locks of the folders that this process writes to, and the run of the tracker for a sweep, to be closed at the end."""
_sweep_run: SweepRun | None = None
"""Run of the tracker for the sweep of this process."""


def check_choices(sweeper: Sweeper, batch: Sequence[Sequence[str]]) -> None:
    """Compose the configs of the first job, and of the jobs that differ from it in the option of one config group.

    This replaces ``Sweeper.validate_batch_is_legal``, which composes all jobs before the first one starts, at a tenth
    of a second each. These few already contain every mistake in an option; settings outside the groups are checked for
    all jobs. Raises ``HydraException`` or `InputError` for a mistake.
    """
    assert sweeper.hydra_context is not None
    assert sweeper.config is not None
    if not batch:
        raise InputError("the sweep has no jobs: an axis has no values")
    _check_folders(_template(sweeper.config, "sweep", "subdir"), batch)
    for override in OverridesParser.create().parse_overrides(list(dict.fromkeys(o for job in batch for o in job))):
        if override.key_or_group in SETTINGS and not override.is_delete():
            check_setting(override.key_or_group, override.value())
    loader, first = sweeper.hydra_context.config_loader, batch[0]
    for job in batch:
        changed = [override for override, of_first in zip(job, first, strict=True) if override != of_first]
        keys = [override.partition("=")[0].lstrip("+") for override in changed]
        if not keys or (len(keys) == 1 and loader.get_group_options(keys[0])):
            _check_required(loader.load_sweep_config(master_config=sweeper.config, sweep_overrides=list(job)))
    _start_run(sweeper.config, len(batch))


def _check_required(config: DictConfig) -> None:
    """Raise InputError for an option that needs a value and has none."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    check_required(plain)


def _start_run(config: DictConfig, jobs: int) -> None:
    """Start the run of the tracker for a sweep as a whole, unless there is one; options that vary have their default.

    A sweep of score matrices is not recorded: its rows hold all its results. Raises `InputError` if the tracker refuses
    the run.
    """
    global _sweep_run
    if "rows" in config or _sweep_run is not None:
        return
    from transfer_exp.cli.instantiate import build

    folder = Path(relative_path(str(config.hydra.sweep.dir)))
    active = build("tracker", to_plain(config.tracker)).start(
        describe_sweep(config, _swept_axes(config.hydra), folder), folder
    )
    if active is not None:
        _sweep_run = SweepRun(active, folder, len(Path(_template(config, "sweep", "subdir")).parts), jobs)
        RESOURCES.callback(_sweep_run.fail)


def _check_folders(template: str, batch: Sequence[Sequence[str]]) -> None:
    """Raise InputError if several jobs would write to one folder.

    Args:
        template: The setting ``hydra.sweep.subdir``.
        batch: Overrides of each job, with the axes in one order.
    """
    if any(name in template for name in ("job.num", "job.id", "job.override_dirname")):
        return
    for overrides in zip(*batch, strict=True):
        key = overrides[0].partition("=")[0].lstrip("+~")
        names = (f"${{{key}}}", f"runtime.choices.{key}}}", f"${{oc.select:{key}}}")
        if len(set(overrides)) > 1 and not any(name in template for name in names):
            raise InputError(
                f"hydra.sweep.subdir={template} gives jobs that differ in {key} one folder: add ${{hydra:job.num}}"
            )


class HydraCallback(Callback):
    """Lock the folder of a run or a sweep; report a sweep after its last job, with exit code 1 when a job failed.

    A job that fails writes a ``status.json`` instead of raising, because Hydra skips this callback after an exception.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare and lock the folder of a single run."""
        HydraConfig.instance().set_config(config)  # the name of the folder depends on it
        try:
            _check_required(config)
        except InputError as error:  # Hydra would only print a warning
            _end(error)
        _prepare_folder(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Prepare and lock the folder of a sweep, and set Hydra's config here; Hydra only sets it in the jobs."""
        HydraConfig.instance().set_config(config)
        try:
            _check_axes(config.hydra)
        except InputError as error:  # Hydra would only print a warning
            _end(error)
        _prepare_folder(config, "sweep")
        axes = ",".join(map(quote, sorted(_swept_axes(config.hydra))))
        with read_write(config.hydra):  # The jobs compose their configs from these overrides.
            config.hydra.overrides.hydra.append(f"+hydra.{AXES}=[{axes}]")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Discard the config of a finished job, because the launcher keeps what each job of a sweep returns."""
        job_return.cfg = job_return.hydra_cfg = None

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the tables of a sweep and write its files.

        Raises `SystemExit` with code 1 when a job did not finish or the sweep could not be reported. Hydra turns other
        exceptions of a callback into warnings, and the command would end with exit code 0.
        """
        folder = Path(relative_path(str(config.hydra.sweep.dir)))
        try:
            unfinished, error = _report(config, folder)
            _finish_run(folder, scores=config.stage == "score")
        except (InputError, OSError) as error:
            _end(error)
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(1) from error
        if unfinished:
            print(*unfinished, sep="\n", file=sys.stderr)
            advice = "run the same command again to repeat only these"
            print(f"{len(unfinished)} job(s) did not finish: {advice}", file=sys.stderr)
        if error is not None:
            _end(error)
        if unfinished:
            raise SystemExit(1)


def _prepare_folder(config: DictConfig, mode: str) -> None:
    """Create and lock the folder ``hydra.run.dir`` or ``hydra.sweep.dir``; end the process where that fails.

    A folder that is named after the time is always new. In any other, the results of another command are moved away.
    """
    try:
        folder = Path(str(config.hydra[mode].dir))
        template = _template(config, mode, "dir")
        if template.startswith("~"):
            folder, template = expand_user(folder), str(expand_user(template))
            _set_folder(config, mode, template)
        if "${" in str(folder.absolute()):
            raise InputError(
                f"{folder.absolute()} cannot hold results, as Hydra replaces ${{...}} in names: name another folder"
            )
        if folder.is_file():
            raise InputError(f"{folder} is a file: name a folder with --out FOLDER")
        if "${now:" in template:
            created = create_folder(folder)
            if created != folder:
                _set_folder(config, mode, template + created.name.removeprefix(folder.name))
                folder = created
        folder.mkdir(parents=True, exist_ok=True)
        lock_folder(folder, RESOURCES)
        recorded = folder / ("multirun.yaml" if mode == "sweep" else f"{config.hydra.output_subdir}/hydra.yaml")
        if _recorded_command(recorded) == _command(config):
            return
        earlier = move_results(folder, len(Path(_template(config, mode, "subdir")).parts) if mode == "sweep" else 0)
        if earlier is not None:
            print(f"{relative_path(folder)} held the results of another command: moved to {relative_path(earlier)}")
    except (InputError, OSError, OmegaConfBaseException) as error:  # Hydra would only print a warning
        _end(error)


def _set_folder(config: DictConfig, mode: str, template: str) -> None:
    """Set the folder in a config, and in those that the jobs of a sweep compose again."""
    with read_write(config.hydra):
        config.hydra[mode].dir = template
        config.hydra.overrides.hydra.append(f"hydra.{mode}.dir={quote(template)}")


def _template(config: DictConfig, mode: str, name: str) -> str:
    """Return a path in Hydra's part of the config without replacing its interpolations."""
    options: Any = OmegaConf.to_container(config.hydra[mode], resolve=False)
    return str(options[name])


def _command(config: DictConfig) -> tuple[Any, ...]:
    """Return what distinguishes one command from another: the name of the config and the overrides."""
    overrides = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    return config.hydra.job.config_name, overrides


def _recorded_command(path: Path) -> tuple[Any, ...] | None:
    """Return the `_command` in a file that Hydra wrote; None if there is none, or it cannot be read."""
    try:
        return _command(OmegaConf.load(path))  # type: ignore[arg-type]
    except (OSError, ValueError, AttributeError, YAMLError, OmegaConfBaseException):
        return None


def _end(error: Exception) -> NoReturn:
    reason = cannot_write(error) if isinstance(error, OSError) else one_line(str(error))
    print(f"transfer_exp: {reason}", file=sys.stderr)
    raise SystemExit(1) from error


def _report(config: DictConfig, folder: Path) -> tuple[Sequence[str], IncompleteOutputError | None]:
    """Print and write the report for the kind of jobs of the sweep.

    Returns:
        One line for each job that failed or left files out, and the error about files of the report itself.
    """
    # pandas and matplotlib are slow to import, and a single run does not need this module's report.
    from transfer_exp.report.html.run_details import RunDetails, library_versions, write_run_details
    from transfer_exp.report.sweep import show_precompute, show_score_matrix, show_sweep
    from transfer_exp.terminal import Terminal

    console = Terminal()
    if config.stage != "score":
        return show_precompute(folder, console), None
    if "rows" in config:
        published = config.hydra.runtime.choices.ground_truth == "published"
        pool = config.ground_truth.pool if published else None
        return show_score_matrix(folder, expand_user(str(config.rows)), pool, console), None
    write_run_details(RunDetails(redacted_command(sys.argv[1:]), library_versions()), folder)
    return show_sweep(folder, console)


def _finish_run(folder: Path, scores: bool) -> None:
    """End the run of the tracker for the sweep, even if jobs failed; raises `InputError` if the tracker refuses it."""
    from transfer_exp.report.tracked_results import sweep_results

    if _sweep_run is not None:
        entry = _sweep_run.finish(sweep_results(folder, scores))
        if entry is not None:
            print(f"wrote {entry}")


def _check_axes(hydra: DictConfig) -> None:
    """Raise InputError if the axes of the command line and the sweep's config file cannot be listed, or are too long.

    Only Hydra's own sweeper lists the values of an axis.
    """
    typed = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    keys = {override.key_or_group for override in typed}
    of_file = [f"{key}={values}" for key, values in (hydra.sweeper.get("params") or {}).items() if key not in keys]
    axes = [*typed, *OverridesParser.create().parse_overrides(of_file)]
    check_number_of_jobs(axes)
    if str(hydra.sweeper._target_).endswith(".BasicSweeper"):
        for axis in axes:
            check_listable(axis)


def _swept_axes(hydra: DictConfig) -> set[str]:
    """Return the overrides that vary, from the command line and from the sweep's config file."""
    typed_overrides = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    swept = {override.key_or_group for override in typed_overrides if override.is_sweep_override()}
    swept |= {str(axis) for axis in hydra.sweeper.get("params") or {}}
    return {axis.lstrip("+~") for axis in swept}
