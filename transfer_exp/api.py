"""The Python interface: `rank` does in one call what ``transfer-exp rank`` does."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

from transfer_exp.errors import InputError, show_value, suggestion

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike
    from omegaconf import DictConfig

    from transfer_exp.statistics.feature_set import FeaturesInMemory

_SEARCHES = Lock()
"""Held during a search: Hydra has one state per process, and two searches would share the time of the processor."""

_COMMAND = "it is for the command transfer-exp"
_WITHOUT_EFFECT = {
    "tracker": "log the returned table yourself, or run the command transfer-exp rank",
    "stage": _COMMAND,
    "point": _COMMAND,
    "splits": _COMMAND,
    "sweep": "call rank for each value",
    "hydra": _COMMAND,
    "regimes": _COMMAND,
    "then": "no model is trained, run the command transfer-exp rank PATH --then fine-tune",
    "protocol": "no model is trained",
    "evaluation": "nothing is compared with accuracies",
}
"""Settings of jobs that `rank` does not run, with the advice to the user."""
_SAME_AS_RANK = ("tracker=none", "stage=score", "then=null")
"""Settings among these with the values that `rank` uses anyway."""
_NOT_TRAINING = ("none", "table", "published")
"""Options of ``ground_truth`` with accuracies that a metric may read."""
_AS_ARGUMENTS = {"pool": "pool='{}'", "target": "the dataset as the first argument"}
"""Arguments of `rank` that are no settings, and how to write them."""
_OF_IMAGES = ("dataset", "model_pool", "dataset.root", "model_pool.root")
"""Settings that choose images or models, besides all of ``features`` and ``limits``."""

# Other modules are imported in the call: `import transfer_exp` must not wait for torch.


def rank(
    target: str | os.PathLike[str] | Mapping[str, ArrayLike] | ArrayLike,
    labels: Sequence[Any] | ArrayLike | None = None,
    *,
    numbers: Sequence[float] | ArrayLike | None = None,
    pool: str | None = None,
    budget: str | int | float | None = "10m",
    settings: str | Sequence[str] = (),
    unlabelled: bool = False,
    **others: NoReturn,
) -> pd.DataFrame:
    """Rank pretrained models for a target dataset, best first.

    Args:
        target: A dataset: the path of a folder with one folder of images per class, of a CSV with columns file and
            label, or of npz files; or its id on the Hugging Face hub. Or features: a mapping of model names to (N, D),
            or a single (N, D). They may be arrays, data frames, tensors or sparse matrices.
        labels: Class of each sample (N,), as integers, strings or truth values, or one-hot (N, C). With
            features, either these or ``numbers`` are required; not allowed with a path.
        numbers: Number to predict for each sample (N,), such as an age, instead of ``labels``.
        pool: Option of the config group ``model_pool``, by default ``everyday``. Not allowed with features.
        budget: Time limit for images, features and scores, in seconds or as a text: ``"90s"``, ``"10m"``, ``"2h"``;
            None for no limit.
        settings: Other settings, written as on the command line: ``["metric=sfda", "halving.top=5"]``; or a single one.
            Those of trackers, sweeps, stages and Hydra are refused, because they have no effect here.
        unlabelled: Whether the images of the folder have no labels, or have labels that are to be ignored. A metric
            that reads no labels then ranks the models, which is far less certain.
        **others: Refused by name: other options are ``settings``.

    Returns:
        One row for each model, best first, with the fields of `SearchedModel` as columns. Among them are ``model``,
        ``rank`` (from 1), ``expected_accuracy`` and ``score``. The attribute ``attrs`` of the frame holds what concerns
        the pool as a whole: ``verdict`` (lines to read), ``best``, ``recommended``, ``stop_reason``,
        ``expected_regret`` and the other fields of `SearchResult`.

    Raises:
        InputError: When an argument, a setting or a file cannot be used.

    Note:
        Searches of several threads run one after the other.

    Examples:
        Features of two models on a dataset of two classes. The classes are further apart in the second model:

        >>> import numpy as np
        >>> from transfer_exp import rank
        >>> rng, labels = np.random.default_rng(0), np.repeat(["cat", "dog"], 40)
        >>> noise = rng.normal(size=(80, 6))
        >>> features = {"weak": noise, "strong": noise + 3 * (labels == "dog")[:, None]}
        >>> frame = rank(features, labels)
        >>> list(frame["model"])
        ['strong', 'weak']
        >>> frame.attrs["verdict"][-1]
        'Fine-tune this model: strong'

        A folder of images with one folder for each class, and the models of the built-in pool:

        >>> frame = rank("photos", pool="builtin", budget="5m")  # doctest: +SKIP
    """
    if others:
        raise InputError(_explain_argument(*next(iter(others.items()))))
    if not isinstance(pool, str | None):
        raise InputError(f"pool={pool!r}: need the name of an option of model_pool, such as 'builtin'")
    if not isinstance(unlabelled, bool):
        raise InputError(f"unlabelled={unlabelled!r}: need True or False")
    if isinstance(target, str | os.PathLike):
        if labels is not None or numbers is not None:
            raise InputError("labels are for features: a path already has labels, leave them out")
        return _search(os.fspath(target), None, pool, budget, settings, unlabelled)
    if unlabelled:
        raise InputError("unlabelled=True is for a folder of images: leave it out, or pass a path")
    if (labels is None) == (numbers is None):
        given = "have both labels and numbers" if numbers is not None else "need labels"
        raise InputError(f"features {given}: rank(features, labels), or rank(features, numbers=...) to predict numbers")
    if pool is not None:
        raise InputError(f"pool={pool!r} is for images, and features need no models: leave it out")
    from transfer_exp.dataset.array_conversion import convert_features

    return _search(None, convert_features(target, labels, numbers), None, budget, settings)


def _explain_argument(name: str, value: object) -> str:
    """Return one line on an argument that `rank` does not have, with the setting or the argument to write."""
    from transfer_exp.cli.settings import GROUPS, SETTINGS

    if name == "model_pool":
        return f"rank() has no argument 'model_pool': write pool={value!r}"
    if name in (*GROUPS, *SETTINGS):
        return f"rank() has no argument '{name}': write settings=['{name}={show_value(value)}']"
    arguments = [argument for argument in signature(rank).parameters if argument != "others"]
    return f"rank() has no argument '{name}': {suggestion(name, arguments)}"


def _check_setting(setting: object, has_features: bool) -> None:
    """Raise InputError for anything but ``KEY=VALUE`` or an option folder, and for a key without effect on `rank`."""
    if not isinstance(setting, str) or "=" not in setting or re.match("-(?!-config-dir=|cd=)", setting):
        raise InputError(f"settings has {setting!r}: write a text KEY=VALUE")
    if more := re.search(r"\s[\w./+]+=", setting):
        first, second = setting[: more.start()], setting[more.start() :].strip()
        raise InputError(f"settings has {setting!r}: write one text for each, [{first!r}, {second!r}]")
    key, _, value = setting.lstrip("+~").partition("=")
    if key in _AS_ARGUMENTS:
        raise InputError(f"settings has {setting}, which is an argument: write {_AS_ARGUMENTS[key].format(value)}")
    if key == "ground_truth" and value not in _NOT_TRAINING:
        raise InputError(f"settings has {setting}, which has no effect on rank(): {_WITHOUT_EFFECT['protocol']}")
    top = key.partition(".")[0].partition("/")[0].partition("@")[0]
    if top in _WITHOUT_EFFECT and setting not in _SAME_AS_RANK:
        raise InputError(f"settings has {setting}, which has no effect on rank(): {_WITHOUT_EFFECT[top]}")
    if has_features and (key in _OF_IMAGES or top in ("features", "limits")):
        raise InputError(f"settings has {setting}, and features are given: leave it out, or pass a path")


def _compose(arguments: Sequence[str]) -> DictConfig:
    """Compose the config of a search with Hydra's part, and leave Hydra as the calling program has it."""
    from hydra.core.global_hydra import GlobalHydra

    from transfer_exp.cli.hydra_errors import UNREADABLE_OPTIONS, explain
    from transfer_exp.cli.overrides import CommandLine

    application = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        line = CommandLine(arguments)
        if line.axis_keys:
            axis = next(iter(line.axis_keys))
            raise InputError(f"settings has several values in {axis}: choose one, and call rank for each")
        return line.compose([], return_hydra_config=True)
    except UNREADABLE_OPTIONS as error:
        raise InputError(explain(error)) from error
    finally:
        GlobalHydra.instance().hydra = application


def _search(
    target: str | None,
    features: FeaturesInMemory | None,
    pool: str | None,
    budget: str | int | float | None,
    settings: str | Sequence[str],
    unlabelled: bool = False,
) -> pd.DataFrame:
    """Compose the config of the command, and run its search for a path or features without writing files."""
    from omegaconf import open_dict

    from transfer_exp.cli.instantiate import read_trust
    from transfer_exp.cli.job_labels import cell_labels
    from transfer_exp.cli.rank import add_evidence, build_search, fine_tune_command, search_overrides
    from transfer_exp.cli.redact import forbid_secrets_in_configs
    from transfer_exp.report.record import search_frame

    read_trust()
    forbid_secrets_in_configs()
    if not isinstance(settings, Sequence | None):
        raise InputError(f"settings={settings!r}: write a list of texts KEY=VALUE")
    settings = [settings] if isinstance(settings, str) else list(settings or ())
    for setting in settings:
        _check_setting(setting, has_features=features is not None)
    keys = Counter(setting.partition("=")[0].lstrip("+") for setting in settings)
    if keys and max(keys.values()) > 1:
        raise InputError(f"settings has {keys.most_common(1)[0][0]} more than once: choose one value")
    arguments = search_overrides(target, "none" if budget is None else str(budget), pool, settings, unlabelled)
    with _SEARCHES:
        config = _compose(arguments)
        hydra_config = config.hydra
        with open_dict(config):
            del config["hydra"]
        labels, _ = cell_labels(config, hydra_config)
        del labels["ground_truth"]  # a search measures no accuracies
        result, _ = build_search(config, print, features).run(labels)
        result = replace(add_evidence(result), command=fine_tune_command(result, hydra_config))
    return search_frame(result)
