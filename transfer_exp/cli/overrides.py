"""The command line of the application: flags of Hydra, and overrides with one or with several values.

A flag begins with a dash. An override is ``key=value`` or ``group=choice`` in Hydra's grammar. Overrides with several
values are the axes of a sweep, which runs a job at every point; a point has one value for each axis. A sweep file (the
group ``sweep``) may name axes too, under ``hydra.sweeper.params``.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, Quote, QuotedString, RangeSweep
from omegaconf import DictConfig

from transfer_exp.cli import option_files
from transfer_exp.cli.console import Parser, is_allowed
from transfer_exp.cli.hydra_errors import UNREADABLE_OPTIONS, explain
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.output import add_output_options
from transfer_exp.errors import InputError

option_files.install()  # checks the option files that Hydra reads from now on
_UNGROUPED_SETTINGS = ("seed", "device", "store", "models", "jobs", "shots", "measure", "stage", "draws", "inspect")
"""Settings outside the groups that users may mistake for flags."""
MOST_JOBS = 100_000
"""Largest number of jobs of a sweep."""


@dataclass(frozen=True)
class CommandLine:
    """Arguments of ``transfer-exp run``: flags of Hydra and overrides."""

    arguments: Sequence[str]

    @cached_property
    def options(self) -> Namespace:
        """Values of Hydra's flags, with all overrides under ``overrides``; a wrong one raises an `InputError`."""
        refuse_settings_as_flags(self.arguments)
        parser = get_args_parser()
        parser.prog = "transfer-exp run"
        # `take_output_options` has removed the flags for output; a misspelt one gets a suggestion here.
        add_output_options(parser)
        # A wrong flag raises an InputError instead of ending the process.
        parser.error = partial(Parser.error, parser)  # type: ignore[method-assign, arg-type]
        options = parser.parse_intermixed_args(self.arguments)
        _check_form(options.overrides)
        _check_repeated_keys(options.overrides, can_sweep=options.config_name in (None, "config"))
        if options.config_dir is not None and not Path(options.config_dir).is_dir():
            raise InputError(
                f"--config-dir {options.config_dir} is not a folder: give the one that holds metric/, sweep/ ..."
            )
        if options.config_dir is not None and not is_allowed(options.config_dir, os.R_OK | os.X_OK):
            raise InputError(f"cannot read --config-dir {options.config_dir}: check its permissions")
        modes = (options.run, options.multirun, options.cfg, options.info, options.shell_completion)
        if sum(map(bool, modes)) > 1:
            raise InputError("--run, --multirun, --cfg, --info, --shell-completion exclude each other: give only one")
        if options.resolve and not options.cfg and not options.help:
            raise InputError("--resolve has no effect without --cfg: add --cfg job")
        if options.experimental_rerun is not None:
            raise InputError("--experimental-rerun would run code from its file: repeat the command of the run instead")
        return options

    @property
    def flags(self) -> list[str]:
        """Flags with their values; Hydra wants them before the overrides."""
        return [argument for argument in self.arguments if argument not in self.overrides]

    @property
    def overrides(self) -> list[str]:
        """Arguments that are not flags."""
        return self.options.overrides

    @property
    def stage(self) -> str:
        """Value of ``stage=`` (see `transfer_exp.cli.stages`), empty where it is not set."""
        return next((o.removeprefix("stage=") for o in reversed(self.overrides) if o.startswith("stage=")), "")

    @cached_property
    def axis_keys(self) -> dict[str, str]:
        """Key or group of each override with several values, by its text; `InputError` for too many jobs."""
        varied = [o for o in _parse(self.overrides) if o.is_sweep_override()]
        check_number_of_jobs(varied)
        return {o.input_line or "": o.key_or_group for o in varied}

    @cached_property
    def fixed(self) -> list[str]:
        """Overrides with one value, without those of Hydra itself."""
        return [o for o in self.overrides if o not in self.axis_keys and not o.lstrip("~+").startswith("hydra")]

    @cached_property
    def file_axes(self) -> dict[str, str]:
        """Values along each axis of the sweep file, by key or group, without those that the command line sets.

        Raises `InputError` if the config cannot be composed.
        """
        on_command_line = {o.key_or_group for o in _parse(self.overrides)}
        params = self.compose([], return_hydra_config=True).hydra.sweeper.get("params") or {}
        return {str(key): str(values) for key, values in params.items() if str(key) not in on_command_line}

    def compose(self, point: Sequence[str], return_hydra_config: bool = False) -> DictConfig:
        """Return the config at a point, or at some of its overrides; `InputError` if it cannot be composed."""
        directory = self.options.config_dir
        search = [f"hydra.searchpath=[file://{Path(directory).absolute()}]"] if directory else []
        try:
            with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
                name, overrides = self.options.config_name or "config", [*search, *self.fixed, *point]
                return hydra.compose(name, overrides, return_hydra_config=return_hydra_config)
        except UNREADABLE_OPTIONS as error:
            raise InputError(explain(error)) from error

    def points(self, is_selected: Callable[[str], bool]) -> Iterator[tuple[str, ...]]:
        """Yield the points of the axes that a predicate selects by key or group; if there are none, one empty point.

        Raises `InputError` if there are too many points, or their values cannot be listed.
        """
        lines = [*self.axis_keys, *(f"{key}={values}" for key, values in self.file_axes.items())]
        selected = [o for o in _parse(lines) if is_selected(o.key_or_group)]
        check_number_of_jobs(selected)
        return product(*map(self._single_values, selected))

    def _single_values(self, override: Override) -> list[str]:
        """Return an override with one value for each value of ``override``."""
        value, text = override.value(), override.input_line or ""
        if not override.is_sweep_override():
            return [text]
        check_listable(override)
        if isinstance(value, Glob):
            directories = [str(CONF), *filter(None, [self.options.config_dir])]
            files = (file for path in directories for file in Path(path, override.key_or_group).glob("*.yaml"))
            choices = value.filter(sorted({file.stem for file in files}))
            if not choices:
                raise InputError(f"{text} matches no choice: see transfer-exp --help config")
        else:
            choices = list(override.sweep_string_iterator())
        return [f"{override.get_key_element()}={choice}" for choice in choices]


def refuse_settings_as_flags(arguments: Sequence[str]) -> None:
    """Raise InputError for a setting that is written as a flag, such as ``--metric logme``."""
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()}
    for position, argument in enumerate(arguments):
        key, has_value, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and key in {*groups, *_UNGROUPED_SETTINGS} - {"hydra"}:
            value = value if has_value else next(iter(arguments[position + 1 :]), "NAME")
            raise InputError(f"no option --{key}: write {'+' if key == 'sweep' else ''}{key}={value}")


def _check_form(overrides: Sequence[str]) -> None:
    """Raise InputError for an argument that is not ``KEY=VALUE``, with what it may stand for."""
    previous, following = ["", *overrides], [*overrides[1:], ""]
    for before, override, after in zip(previous, overrides, following, strict=False):
        key, equals, value = override.partition("=")
        if equals and not key and before and "=" not in before:
            raise InputError(f"write {before}={value or after or 'VALUE'}, without blanks around =")
        if equals or override.startswith("~"):
            continue
        if after.startswith("="):  # the next turn refuses ``KEY = VALUE``
            continue
        if before.endswith("="):
            raise InputError(f"write {before}{override}, without blanks around =")
        groups = [
            f"{g.name}={override}" for g in CONF.iterdir() if re.fullmatch(r"\w+", override) and _has(g, override)
        ]
        if Path(override).is_dir():
            command = f"transfer-exp rank {shlex.quote(override)}"
            raise InputError(f"'{override}' is a folder: {command}, or dataset=image_folder dataset.root={override}")
        advice = f"did you mean {', '.join(groups[:3])}?" if groups else "write the name of the setting before it"
        raise InputError(f"'{override}' is not KEY=VALUE: {advice}")


def _check_repeated_keys(overrides: Sequence[str], can_sweep: bool) -> None:
    """Raise InputError if a key has a value in two overrides, of which Hydra would use the last one.

    Keys of two packages differ, such as ``metric@a`` and ``metric@b``. Hydra's ``extend_list`` is for repeated keys.
    """
    keys = set[str]()
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.strip().lstrip("+")
        if key.startswith("~") or value.lstrip().startswith("extend_list("):
            continue
        if key in keys:
            is_axis = can_sweep and key != "sweep" and not key.startswith("hydra")
            advice = f", or compare both in a sweep, -m {key}=A,B" if is_axis else ""
            raise InputError(f"{key} is given twice: leave one out{advice}")
        keys.add(key)


def _has(group: Path, choice: str) -> bool:
    """Return whether a config group has a choice of this name."""
    return (group / f"{choice}.yaml").is_file()


def expand_trackers(arguments: Sequence[str]) -> list[str]:
    """Return arguments with ``tracker=[a,b]``, which Hydra cannot compose, as the overrides of ``tracker=several``.

    A list with one name becomes that name.
    """
    expanded: list[str] = []
    for argument in arguments:
        match = re.fullmatch(r"tracker=\[([\w, ]*)\]", argument)
        names = [name.strip() for name in match[1].split(",") if name.strip()] if match else []
        if len(names) > 1:
            expanded += ["tracker=several", *(f"+tracker@tracker.trackers.{name}={name}" for name in names)]
        else:
            expanded.append(f"tracker={names[0]}" if names else argument)
    return expanded


def check_number_of_jobs(overrides: Sequence[Override]) -> None:
    """Raise InputError if a sweep has too many jobs, before its values are listed.

    Args:
        overrides: Overrides of the sweep; those with a single value do not count.
    """
    jobs = 1.0
    for override in overrides:
        n_values = _count_values(override)
        jobs *= n_values
        if n_values > MOST_JOBS:
            raise InputError(
                f"{override.input_line} has {n_values:,.0f} values, and a sweep at most {MOST_JOBS:,} jobs: give fewer"
            )
    if jobs > MOST_JOBS:
        raise InputError(f"the sweep has {jobs:,.0f} jobs, and may have at most {MOST_JOBS:,}: give fewer values")


def check_listable(override: Override) -> None:
    """Raise InputError for an ``interval(...)``, whose values cannot be listed."""
    if isinstance(override.value(), IntervalSweep):
        key = override.key_or_group
        raise InputError(f"{override.input_line} has values without end: list some, such as {key}=0,1")


def _count_values(override: Override) -> float:
    """Return the number of values of an override without listing them; a range may have infinitely many.

    Sweeps other than ranges and lists, such as ``glob(...)``, count as one value. Raises InputError for a range with a
    step of 0 or without a number.
    """
    value = override.value() if override.is_sweep_override() else None
    if isinstance(value, RangeSweep):
        assert value.start is not None
        assert value.stop is not None
        steps = (value.stop - value.start) / value.step if value.step else math.nan
        if math.isnan(steps):
            key = override.key_or_group
            raise InputError(f"{override.input_line} is not a range: write {key}=range(START,STOP,STEP), STEP not 0")
        return float(max(math.ceil(steps) if math.isfinite(steps) else steps, 0))
    return float(len(value.list)) if isinstance(value, ChoiceSweep) else 1.0


def quote(text: str) -> str:
    """Return a text as a quoted value in Hydra's grammar; a ``${...}`` in it is resolved when it is read."""
    return QuotedString(text, Quote.double).with_quotes()


def quote_path(path: str) -> str:
    """Return a path as a quoted value in Hydra's grammar, which is read back as the same path."""
    text = f"./{path}" if path == "???" else path  # OmegaConf's mark of a missing value
    # Escape ``${``, and double the backslashes before it.
    return quote(re.sub(r"(\\*)\$\{", lambda match: 2 * match[1] + r"\${", text))


def _parse(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))
