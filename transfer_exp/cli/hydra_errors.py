"""One-line explanations of the errors that Hydra, OmegaConf and YAML raise over many lines."""

from __future__ import annotations

import re

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from transfer_exp.cli.option_files import CONF
from transfer_exp.errors import one_line, suggestion

UNREADABLE_OPTIONS = (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError)
"""Errors that Hydra raises for arguments and option files, which `explain` puts into one line."""
# Hydra knows a launcher only once the plugin that defines it is installed.
_EXTRAS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
_USER_GROUPS = ("metric", "perturbation", "dataset", "model_pool", "ground_truth", "protocol", "sweep")
"""Config groups to which users add options."""
_TWICE = re.compile(r"Multiple values for (\S+)\. To override a value use 'override \S+: (.*)'")
_SEVERAL = re.compile(r"Ambiguous value for argument '(.*)'\n|Sweep parameters '(.*)' requires --multirun")
_MERGING = re.compile(r"Error merging override (\S+)")
_RESOLVING = re.compile(r"^\w+ raised while resolving interpolation: ")


def explain(error: BaseException) -> str:
    """Return one line about an error, with the nearest names where something does not exist."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if group == "hydra/launcher" and option in _EXTRAS:
            return f"launcher '{option}' is not installed: pip install 'transfer-exp[{_EXTRAS[option]}]'"
        advice = suggestion(option, error.options or ())
        if advice.startswith("available:") and group in _USER_GROUPS:
            advice += f"; one of yours needs --config-dir FOLDER with {group}/{option}.yaml"
        return f"{group or 'config'} has no option '{option}': {advice}"
    if isinstance(error, OverrideParseException):
        reason = str(error).partition("\n")[0]
        return one_line(f"cannot read '{error.override}' ({reason}): write KEY=VALUE, in quotes for the shell")
    if isinstance(error, YAMLError):
        return one_line(f"cannot read the YAML file of an option: {error}: correct it")
    if isinstance(error, UnicodeDecodeError):
        before = error.object[max(0, error.start - 40) : error.start].decode(errors="replace")
        return one_line(f"the file of an option is not UTF-8 text after '{before}': save it as UTF-8")
    if several := _SEVERAL.match(str(error)):
        return one_line(f"{several[1] or several[2]} has several values: add -m to run each")
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        settings = [str(key) for key in cause.parent_node if not str(key).startswith("_")]
        group = str(cause.full_key).rpartition(".")[0] or "the config"
        if advice := _options_with(group, str(cause.key)):
            return f"{group} has no setting '{cause.key}', which is of {advice}: choose that, or leave it out"
        return f"{group} has no setting '{cause.key}': {suggestion(str(cause.key), settings)}"
    if twice := _TWICE.match(str(error)):
        return f"{twice[1]} has two values: write {twice[1]}={twice[2]}, without +"
    if (merging := _MERGING.match(str(error))) and cause is not None:
        return one_line(f"cannot set {merging[1]} ({explain(cause)}): correct the value")
    lines = [_RESOLVING.sub("", line.strip()) for line in str(error).splitlines()]
    # Hydra adds pointers into its own config tree, which mean nothing to a user.
    lines = [line for line in lines if line and not line.startswith(("full_key:", "object_type="))]
    text = one_line(" ".join(lines))
    return text or (explain(cause) if cause is not None else type(error).__name__)


def _options_with(group: str, setting: str) -> str:
    """Return up to three options of a config group that have a setting, those that require it first; empty if none."""
    line = re.compile(rf"^ *{re.escape(setting)}:( \?\?\?)?", re.M)
    files = (CONF / group).glob("*.yaml") if group.isidentifier() else ()
    matches = {file.stem: line.search(file.read_text("utf-8")) for file in files}
    names = sorted((not match[1], name) for name, match in matches.items() if match)
    return " or ".join([f"{group}={name}" for _, name in names[:3]])
