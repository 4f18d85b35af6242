"""What a command line asks for: what is fixed, and along which axes it varies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (p / "config.yaml").is_file())
"""Folder of the configs: beside the package in a checkout, inside it once installed."""
_WITHOUT_VALUE = ("-m", "--multirun", "-r", "--run")


@dataclass(frozen=True)
class CommandLine:
    """Arguments of the application, without its name.

    Attributes
    ----------
    arguments
        As they were typed.
    conf
        Folder of the configs.
    """

    arguments: Sequence[str]
    conf: Path

    @property
    def stage(self) -> str:
        """The stage asked for, empty when none is."""
        return next((a.removeprefix("stage=") for a in reversed(self.arguments) if a.startswith("stage=")), "")

    @cached_property
    def flags(self) -> list[str]:
        """Options that begin with a dash, with their values."""
        return [argument for argument, is_flag in self._kinds() if is_flag]

    @cached_property
    def overrides(self) -> list[str]:
        """All that is no flag."""
        return [argument for argument, is_flag in self._kinds() if not is_flag]

    @cached_property
    def axes(self) -> dict[str, str]:
        """What each override with several values varies, by the override."""
        return {o.input_line or "": o.key_or_group for o in _parsed(self.overrides) if o.is_sweep_override()}

    @cached_property
    def fixed(self) -> list[str]:
        """Overrides of the experiment with one value."""
        return [o for o in self.overrides if o not in self.axes and not o.lstrip("~+").startswith("hydra")]

    @cached_property
    def axes_of_file(self) -> dict[str, str]:
        """Values along each axis of a sweep file, by what it varies; what is given by hand as well is no such axis."""
        by_hand = {o.key_or_group for o in _parsed(self.overrides)}
        params = self.composed([], return_hydra_config=True).hydra.sweeper.get("params") or {}
        return {str(key): str(values) for key, values in params.items() if str(key) not in by_hand}

    def composed(self, point: Sequence[str], return_hydra_config: bool = False) -> DictConfig:
        """Return the config at a point of the axes, given as overrides."""
        name = "config"
        for before, flag in zip(("", *self.flags), self.flags, strict=False):
            if before in ("-cn", "--config-name"):
                name = flag
            elif flag.startswith("--config-name="):
                name = flag.partition("=")[2]
        with hydra.initialize_config_dir(str(self.conf), version_base="1.3"):
            return hydra.compose(name, [*self.fixed, *point], return_hydra_config=return_hydra_config)

    def points(self, along: Callable[[str], bool]) -> Iterator[tuple[str, ...]]:
        """Yield the points of the axes that ``along`` takes, as overrides; one without any where it takes none."""
        lines = [*self.axes, *(f"{key}={values}" for key, values in self.axes_of_file.items())]
        sweeps = [o for o in _parsed(lines) if along(o.key_or_group)]
        values = [
            [f"{o.key_or_group}={value}" for value in o.sweep_string_iterator()]
            if o.is_sweep_override()
            else [o.input_line or ""]
            for o in sweeps
        ]
        return product(*values)

    def _kinds(self) -> Iterator[tuple[str, bool]]:
        for before, argument in zip(("", *self.arguments), self.arguments, strict=False):
            is_value = before.startswith("-") and "=" not in before and before not in _WITHOUT_VALUE
            yield argument, argument.startswith("-") or is_value


def _parsed(overrides: Sequence[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))
