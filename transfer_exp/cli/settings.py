"""Types and ranges of the settings that belong to no config group, and names that no setting may have.

Every composed config passes through `check_config`, before a folder is made and before torch is imported. Options of
the groups are checked against the signatures of their targets by `instantiate`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transfer_exp.cli.redact import is_secret_name
from transfer_exp.errors import InputError, has_credentials, is_missing, missing_value, show_value, suggestion

STAGES = ("score", "plan", "features", "grid", "finetune", "report")
SPLITS = ("scoring_set", "train", "validation", "test")
GROUPS = ("model_pool", "dataset", "perturbation", "metric", "protocol", "ground_truth", "evaluation", "tracker")
POOLINGS = (None, "cls", "mean", "gem", "max", "cls+mean")
_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
_INTERPOLATION = re.compile(r"\$\{[^}]*\}?")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
LARGEST_SEED = 2**32 - 1
"""Largest seed of NumPy's older generators, which scikit-learn uses."""


def is_whole(value: Any, least: int, most: int | float = float("inf")) -> bool:
    """Return whether a value is an int in a range; a truth value is not."""
    return type(value) is int and least <= value <= most


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_layer(value: Any) -> bool:
    return _is_name(value) or type(value) is int


def _is_list(value: Any, is_item: Callable[[Any], bool], or_null: bool = False) -> bool:
    return (or_null and value is None) or (isinstance(value, list) and bool(value) and all(map(is_item, value)))


def _whole_number(least: int, most: int | float = float("inf")) -> tuple[str, Callable[[Any], bool]]:
    text = f"at least {least}" if most == float("inf") else f"from {least} to {most}"
    return f"a whole number, {text}", lambda value: is_whole(value, least, most)


def _number(text: str, accepts: Callable[[int | float], bool]) -> tuple[str, Callable[[Any], bool]]:
    return f"a number {text}", lambda value: type(value) in (int, float) and accepts(value)


def _limit() -> tuple[str, Callable[[Any], bool]]:
    return "a number above 0, or null", lambda v: v is None or (type(v) in (int, float) and 0 < v < float("inf"))


SETTINGS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "stage": (f"one of {', '.join(STAGES)}", lambda value: value in STAGES),
    "models": ("a list of names such as [a,b], or null", lambda v: _is_name(v) or _is_list(v, _is_name, or_null=True)),
    "measure": ("the name of a measure of accuracy, or null", lambda value: value is None or _is_name(value)),
    "shots": ("a whole number, at least 1, or null", lambda value: value is None or is_whole(value, 1)),
    "seed": _whole_number(0, LARGEST_SEED),
    "device": ("auto, cpu, cuda, cuda:0 or mps", lambda value: bool(_DEVICE.fullmatch(str(value)))),
    "jobs": ("auto or a whole number, at least 1", lambda value: value == "auto" or is_whole(value, 1)),
    "store": ("a folder, or a URL such as s3://bucket/folder", _is_name),
    "features.batch_size": _whole_number(1, 1_000_000),
    "features.workers": _whole_number(0, 1024),
    "features.layer": (
        "head_input, best, mean, penultimate_block, the number of a block, the name of a module, or a list of these",
        lambda value: _is_layer(value) or _is_list(value, _is_layer),
    ),
    "features.pooling": (
        "cls, mean, gem, max, cls+mean, or null for the pooling of the network",
        POOLINGS.__contains__,
    ),
    # Settings of ``transfer-exp rank``.
    "budget": (
        "a time such as 90s, 10m, 5min or 2h, or null",
        lambda value: value is None or type(value) in (int, float, str),
    ),
    "then": ("fine-tune, or null", lambda value: value in (None, "fine-tune")),
    "regimes": (
        "a list such as [full,'lora(rank=4)'], or null",
        lambda value: _is_name(value) or _is_list(value, _is_name, or_null=True),
    ),
    "inspect": ("true or false", lambda value: isinstance(value, bool)),
    "draws": _whole_number(2, 1_000_000),
    "limits.parameters": _limit(),
    "limits.images_per_second": _limit(),
    "limits.memory": _limit(),
    "limits.licence": (
        "a list of names such as [apache-2.0,mit], or null",
        lambda value: _is_list(value, _is_name, or_null=True),
    ),
    "halving.first": _whole_number(2),
    "halving.top": _whole_number(1),
    "halving.growth": _number("above 1", lambda value: 1 < value < float("inf")),
    "halving.keep": _number("above 0 and below 1", lambda value: 0 < value < 1),
    "halving.stable": _whole_number(2),
    "halving.prior_images": _number("from 0 on", lambda value: 0 <= value < float("inf")),
    # Settings of a score matrix.
    "metrics": ("a list such as [logme,'knn(k=3)'], or null", lambda value: _is_list(value, _is_name, or_null=True)),
    "perturbations": ("a list such as [none,'pca(dim=32)']", lambda value: _is_list(value, _is_name)),
    "images_per_class": (
        "a list of whole numbers, or [null] for all",
        lambda value: _is_list(value, lambda item: item is None or is_whole(item, 1)),
    ),
    "rows": ("a CSV to write", _is_name),
    # Settings of single stages.
    "splits": (f"a list of {', '.join(SPLITS)}", lambda value: _is_list(value, SPLITS.__contains__)),
    "point": _whole_number(0),
}
"""What a setting needs to be, in words and as a predicate, by its key."""
_NO_DEVICE = "device '{}' is not available: use device=cpu, cuda, mps, or auto for the best available one"
_TOP_LEVEL_KEYS = (*GROUPS, *dict.fromkeys(key.partition(".")[0] for key in SETTINGS))


def check_overrides(overrides: Sequence[str], is_group: Callable[[str], bool]) -> None:
    """Refuse arguments that would write a secret into files, or add a setting that nothing reads.

    Args:
        overrides: Arguments in Hydra's grammar, before they are applied.
        is_group: Returns whether there is a config group of a name.

    Raises:
        InputError: The message does not contain the value.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        name = key.lstrip("+~")
        text = "".join(_INTERPOLATION.findall(value)) if name in _FOLDERS else value
        variables = re.findall(r"\w+", text) if name.startswith("hydra") else []  # variables that Hydra would set
        if any(map(is_secret_name, [name, *variables])) or has_credentials(value):
            raise InputError(
                f"{name}=... looks like a secret, and settings are written to files: set it as an environment variable"
            )
        if not name:
            raise InputError(f"cannot read '{override}': write KEY=VALUE")
        if value in ("null", "''", '""') and is_group(name):
            raise InputError(f"{override} is not an option: set {name}=NAME, see transfer-exp --help config")
        if value.startswith("[") and is_group(name):
            raise InputError(f"{override} is a list: compare options in a sweep, -m {name}=A,B")
        if name.startswith("ground_truth.protocol."):
            raise InputError(
                f"there is no setting '{name}': write {override.lstrip('+~').removeprefix('ground_truth.')}"
            )
        group, _, package = name.partition("@")
        if package and package.partition(".")[0] not in (*_TOP_LEVEL_KEYS, "_global_"):
            raise InputError(f"there is no setting '{package}': write {group}=NAME")
        top = group.partition(".")[0]
        if key.startswith("+") and top != "hydra" and top not in _TOP_LEVEL_KEYS and not is_group(top):
            raise InputError(f"there is no setting '{top}': {suggestion(top, _TOP_LEVEL_KEYS)}")


def check_config(config: Mapping[str, Any], hydra_config: Mapping[str, Any]) -> None:
    """Check a composed config as plain data with unresolved interpolations; raises `InputError` for the first problem.

    Args:
        config: Settings and config groups.
        hydra_config: Hydra's part of the config.
    """
    for group in GROUPS:
        is_needed = group != "protocol" or group in config  # only some ground truths have a protocol
        if is_needed and not isinstance(config.get(group), Mapping):
            raise InputError(f"{group} has no value: set {group}=NAME, see transfer-exp --help config")
    for key in ("stage", "models", "seed", "device", "jobs", "store", "features"):
        if key not in config or (key == "features" and config[key] is None):
            raise missing_value(key)
    for mode in ("run", "sweep"):
        if not _is_name(hydra_config.get(mode, {}).get("dir")):
            raise InputError(f"hydra.{mode}.dir has no value: set hydra.{mode}.dir=FOLDER")
    for top, value in config.items():
        nested = {f"{top}.{key}": item for key, item in value.items()} if isinstance(value, Mapping) else {}
        if any(key.startswith(f"{top}.") for key in SETTINGS):
            expected = [key for key in SETTINGS if key.startswith(f"{top}.")]
            for key in [*expected, *nested]:
                if key not in nested:
                    raise missing_value(key)
                if key not in expected:
                    names = [name.partition(".")[2] for name in expected]
                    raise InputError(f"{top} has no setting '{key.partition('.')[2]}': {suggestion(key, names)}")
                check_setting(key, nested[key])
        elif top in SETTINGS:
            check_setting(top, value)
        elif is_secret_name(top):
            raise InputError(f"{top} looks like a secret, and settings are written to files: leave it out")
    if config["features"]["layer"] == "head_input" and config["features"]["pooling"] is not None:
        pooling = config["features"]["pooling"]
        raise InputError(
            f"features.pooling={pooling} is of inner layers: name one with features.layer, or leave it out"
        )
    job = hydra_config.get("job", {})
    for name in [*job.get("env_set", {}), *job.get("env_copy", [])]:
        if is_secret_name(str(name)) or name == "TRANSFER_EXP_TRUST":
            raise InputError(f"hydra.job may not set {name}: Hydra writes it to files, so set it in the environment")


def check_required(config: Mapping[str, Any]) -> None:
    """Raise InputError for the first option of a config group that needs a value and has none.

    Args:
        config: Configuration of a job as plain data.
    """
    for group in GROUPS:
        for key, value in (config.get(group) or {}).items():
            if is_missing(f"{group}.{key}", value):
                raise missing_value(f"{group}.{key}")


def check_job(config: Mapping[str, Any]) -> None:
    """Raise InputError for a missing value or device, or arrays without their pool; torch is not imported for it.

    Args:
        config: Configuration of a job as plain data.
    """
    check_required(config)
    for device in (config["device"], config["ground_truth"].get("device")):
        kind = str(device).partition(":")[0]
        if (kind == "cuda" and not _may_have_cuda()) or (kind == "mps" and sys.platform != "darwin"):
            raise InputError(_NO_DEVICE.format(device))
    targets = [str(config[group].get("_target_")) for group in ("dataset", "model_pool")]
    is_arrays = [target.endswith(".arrays.arrays") for target in targets]
    if is_arrays[0] != is_arrays[1] and all(target.startswith("transfer_exp.") for target in targets):
        raise InputError("dataset=arrays and model_pool=arrays go together: set both or neither")


def _may_have_cuda() -> bool:
    """Return False if the installed torch was built without CUDA and ROCm, which a small file of it says."""
    spec = find_spec("torch")
    try:
        text = (Path(str(spec and spec.origin)).parent / "version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return True
    return len(re.findall(r"^(?:cuda|hip)\b.*= None$", text, re.M)) < 2


def check_setting(key: str, value: Any) -> None:
    """Raise `InputError` when the value of a setting has the wrong type or is out of range."""
    text, accepts = SETTINGS[key]
    if isinstance(value, str) and "${" in value:
        return  # resolved by the job, which checks it again
    if not accepts(value):
        if key == "stage":
            raise InputError(f"no stage '{value}': {suggestion(str(value), STAGES)}")
        if key == "device" and _is_name(value):
            raise InputError(_NO_DEVICE.format(value))
        raise InputError(f"{key}={show_value(value)}: need {text}")
