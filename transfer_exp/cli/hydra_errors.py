"""Options of config groups by name, and one line about what Hydra could not compose."""

from __future__ import annotations

import re
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, OmegaConfBaseException
from omegaconf.resolvers import oc
from yaml import YAMLError  # type: ignore[import-untyped]

from transfer_exp.cli.redact import SECRET
from transfer_exp.errors import InputError, one_line, suggestion

# Hydra finds a launcher once the plugin that has it is installed.
_EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
_RESOLVING = re.compile(r"^\w+ raised while resolving interpolation: ")
_NAMED = re.compile(r"(?P<option>\w+)(?:\((?P<changes>[^()]*)\))?")


def redact_secrets() -> None:
    """Let configs read the environment, as ``${oc.env:NAME}``, but for secrets: settings are kept with every result."""
    OmegaConf.register_new_resolver("oc.env", _environment, replace=True)


def _environment(name: str, *default: str | None) -> str | None:
    if SECRET.search(name.upper()):
        raise ValueError(f"{name} looks like a secret, and settings are written down: leave it to whoever needs it")
    return oc.env(name, *default)


def options_of(group: str) -> list[str]:
    """Return the names of all options of a group."""
    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def named_option(group: str, text: str, seed: int) -> dict[str, Any]:
    """Return the config of one option of a group, as tables of results call it: ``pca``, or ``pca(dim=32)``.

    Parameters
    ----------
    group, text
        Such as ``perturbation`` and ``released(alpha=0.1, dim=32)``: the option, and what differs from its file.
    seed
        Of the run, which some options repeat.

    Raises
    ------
    InputError
        When there is no such option, or it has no such key.
    """
    named = _NAMED.fullmatch(text.strip())
    if named is None:
        raise InputError(f"{group} '{text}' is no name of an option: write NAME or NAME(KEY=VALUE, ...)")
    changes = [change.strip() for change in (named["changes"] or "").split(",") if change.strip()]
    # In quotes, because an option is a name even where it reads like a number or a truth value.
    overrides = [f"{group}='{named['option']}'", f"seed={seed}", *(f"{group}.{change}" for change in changes)]
    try:
        config = hydra.compose("config", overrides=overrides)
        chosen: dict[str, Any] = OmegaConf.to_container(config[group], resolve=True)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(problem(error)) from error
    return chosen


def problem(error: BaseException) -> str:
    """Say in one line what is wrong; what does not exist, with the near ones that do."""
    if isinstance(error, MissingConfigException):
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if group == "hydra/launcher" and option in _EXTRAS:
            return f"launcher '{option}' is not installed: pip install 'transfer-exp[{_EXTRAS[option]}]'"
        return f"{group or 'config'} has no option '{option}': {suggestion(option, error.options or ())}"
    if isinstance(error, OverrideParseException):
        reason = str(error).partition("\n")[0]
        return one_line(f"cannot read '{error.override}' ({reason}): write KEY=VALUE, in quotes for the shell")
    if isinstance(error, YAMLError):
        return one_line(f"an option's file is not YAML of plain data: {error}: correct it")
    if isinstance(error, UnicodeDecodeError):
        before = error.object[max(0, error.start - 40) : error.start].decode(errors="replace")
        return one_line(f"an option's file is not UTF-8 text after '{before}': save it as UTF-8")
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        known = [str(key) for key in cause.parent_node if not str(key).startswith("_")]
        group = str(cause.full_key).rpartition(".")[0] or "the config"
        return f"{group} has no option '{cause.key}': {suggestion(str(cause.key), known)}"
    # Without Hydra's pointers into its own config tree.
    lines = [_RESOLVING.sub("", line.strip()) for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type="))]
    return one_line(" ".join(kept)) or type(error).__name__
