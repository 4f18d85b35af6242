"""``transfer-exp rank``: rank the models of a pool for a dataset within a time budget.

It searches the pool: all models are scored on few images, and only the better ones on more.
"""

from __future__ import annotations

import logging
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.console import Parser, relative_path
from transfer_exp.cli.instantiate import build, build_all, check_needs, check_regime, with_trust
from transfer_exp.cli.job_labels import cell_labels, resolve_settings, to_plain, varied_settings
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.output import Outcome, OutputOptions, add_output_options
from transfer_exp.cli.overrides import quote, quote_path, refuse_settings_as_flags
from transfer_exp.cli.redact import redacted_command
from transfer_exp.cli.regimes import build_regimes, compare_regimes, compose_regimes, regimes_setting
from transfer_exp.cli.run import run_context
from transfer_exp.cli.settings import check_job
from transfer_exp.cli.tracked_job import describe_job
from transfer_exp.deprecated_names import current_overrides
from transfer_exp.errors import InputError, NoModelError
from transfer_exp.io.text import expand_user
from transfer_exp.progress import hide_bars, phase
from transfer_exp.tracker.live_run import LiveRun

if TYPE_CHECKING:
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.experiment.search import PoolSearch
    from transfer_exp.report.write_run import RunContext
    from transfer_exp.results.search import SearchResult
    from transfer_exp.statistics.feature_set import FeaturesInMemory

# Other modules are imported when the job runs: help and typing errors must not wait for torch.

_log = logging.getLogger(__name__)
_TIME = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?) ?([a-z]*)")
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
FINE_TUNE = "fine-tune"
"""Value of ``then``."""
_LIMITS = {
    "--max-params": "parameters",
    "--min-throughput": "images_per_second",
    "--max-memory": "memory",
    "--licence": "licence",
}
"""Settings of the limits by option."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_TABLES = (".csv", ".tsv", ".txt")
_SEARCH_SETTINGS = ("budget", "draws", "halving", "limits", "then", "regimes", "models", "ground_truth", "hydra")
"""Settings of a search that a run does not have, or that the command for fine-tuning sets itself."""
_RUN_DEFAULTS = {"model_pool": "", "perturbation": "none", "metric": "logme", "tracker": "wandb"}
"""Groups with another default in ``transfer-exp rank``, and the option that the command need not name."""
_LABEL_FREE = {"metric": "rankme", "perturbation": "none"}
"""Options of a search without labels, unless the user chooses others."""
_PLAIN_VALUE = re.compile(r"[A-Za-z_./][\w./-]*")
_NOT_TEXT = ("null", "true", "false", "nan", "inf")
"""Words that Hydra does not read as text unless they are in quotes."""
_ARRAYS_IN_MEMORY = ["dataset=arrays", "model_pool=arrays", "dataset.root=arrays_in_memory"]
"""Overrides for arrays that the caller passes; `build_search` replaces ``root`` by these arrays."""
_EXAMPLES = (
    "transfer-exp rank photos --budget 10m",
    "transfer-exp rank photos --then fine-tune --regimes full,lora --budget 30m",
    "transfer-exp rank photos --unlabelled",
    "transfer-exp rank owner/name --pool timm 'model_pool.names=[resnet18.a1_in1k,deit_tiny_patch16_224.fb_in1k]'",
)


def rank_overrides(arguments: Sequence[str]) -> list[str]:
    """Translate the arguments of ``transfer-exp rank`` to those of ``transfer-exp run``.

    Raises:
        InputError: When the target does not exist or is not a dataset, or an option does not exist.
        SystemExit: After printing the help.
    """
    own_options = ("-h", "--help", "--budget", "--then", "--regimes", "--pool", "--unlabelled", *_LIMITS)
    refuse_settings_as_flags(arguments)
    arguments = list(arguments)
    for option in ("--budget", *_LIMITS):
        if option in arguments[:-1]:  # in one argument, because a negative number would be taken for an option
            position = arguments.index(option)
            arguments[position : position + 2] = [f"{option}={arguments[position + 1]}"]
    # The name of a folder may begin with a dash.
    options = _rank_parser().parse_intermixed_args(
        [f"./{a}" if a.startswith("-") and a not in own_options and Path(a).exists() else a for a in arguments]
    )
    for stray in (setting for setting in options.settings if "=" not in setting and not setting.startswith("~")):
        raise InputError(f"rank takes one PATH, and '{stray}' is a second one: leave it out, or write KEY=VALUE")
    settings = [*options.settings, *([f"then={options.then}"] if options.then else [])]
    settings += [regimes_setting(options.regimes)] if options.regimes is not None else []
    for budget in (options.budget, *(s.removeprefix("budget=") for s in settings if s.startswith("budget="))):
        _check_unit(budget)
    settings += _limit_settings(vars(options))
    return search_overrides(options.target, options.budget, options.pool, settings, options.unlabelled)


def _rank_parser() -> Parser:
    """Return the parser of the arguments of ``transfer-exp rank``."""
    parser = Parser(
        prog="transfer-exp rank",
        description="Rank pretrained models for your images within a time budget, and show how certain the order is.",
        examples=_EXAMPLES,
    )
    parser.add_argument("target", metavar="PATH", help="folder of images by class, CSV (file,label), npz, or hub id")
    parser.add_argument(
        "--budget",
        metavar="TIME",
        help="time for images, features and scores, without the start of Python and the files of the result: "
        "90s, 10m, 5min or 2h; none for no limit (default 10m)",
    )
    parser.add_argument("--then", choices=[FINE_TUNE], help="measure the accuracy of the recommended models")
    parser.add_argument(
        "--regimes",
        metavar="NAMES",
        help="ways to fine-tune, such as full,lora,last_block: as many models with each as the budget allows",
    )
    parser.add_argument("--pool", metavar="NAME", help="model_pool=NAME (default everyday)")
    parser.add_argument(
        "--unlabelled", action="store_true", help="all images below a folder, whose labels are unknown or ignored"
    )
    parser.add_argument("--max-params", metavar="N", help="only models of at most N parameters, such as 30M")
    parser.add_argument("--min-throughput", metavar="N", help="only models of N images a second in earlier searches")
    parser.add_argument("--max-memory", metavar="SIZE", help="only models of at most SIZE in use, such as 2GB")
    parser.add_argument("--licence", metavar="NAMES", help="only weights of these licences, such as apache-2.0,mit")
    parser.add_argument(
        "settings", metavar="KEY=VALUE", nargs="*", default=[], help="any setting of transfer-exp run -cn rank"
    )
    add_output_options(parser)  # for the help: the options themselves were taken off the command line before
    return parser


def _limit_settings(options: Mapping[str, str | None]) -> list[str]:
    """Return the settings of the limits on the command line, with sizes as numbers."""
    settings = list[str]()
    for option, setting in _LIMITS.items():
        value = options[option.removeprefix("--").replace("-", "_")]
        if value is not None and setting == "licence":
            settings.append(f"limits.licence=[{','.join(quote(name.strip()) for name in value.split(','))}]")
        elif value is not None:
            settings.append(f"limits.{setting}={parse_size(option, value)!r}")
    return settings


def parse_size(option: str, text: str) -> float:
    """Return the number of a text such as ``30M``, ``2GB``, ``1.5GiB`` or ``200``; InputError if it is not a size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmg]?)(i?)b?", text.strip(), re.IGNORECASE)
    number = float(match[1]) * (1024 if match[3] else 1000) ** "_kmg".find(match[2].lower() or "_") if match else 0.0
    if number <= 0:
        raise InputError(f"{option}={text} is not a size: write a number such as 200, 30M or 2GB")
    return number


def search_overrides(
    target: str | None, budget: str | None, pool: str | None, settings: Sequence[str], unlabelled: bool = False
) -> list[str]:
    """Return the arguments of ``transfer-exp run`` that rank the models of a pool for a dataset.

    Args:
        target: Path of the dataset, or its id on the hub; None if `build_search` gets arrays instead.
        budget: Text for `parse_budget`; None for the default of ``conf/rank.yaml``.
        pool: Option of the group ``model_pool``; None for the default.
        settings: Further overrides.
        unlabelled: Whether to rank without labels, by default with the metric of `_LABEL_FREE`.

    Raises:
        InputError: When the target does not exist or is not a dataset, or not a folder of images without labels.
    """
    overrides = list(_ARRAYS_IN_MEMORY) if target is None else _target_overrides(target)
    if unlabelled:
        if overrides[0] != "dataset=image_folder":
            raise InputError(f"--unlabelled needs a folder of images, not {target}: give one, or leave it out")
        keys = {setting.partition("=")[0] for setting in settings}
        defaults = [f"{group}={option}" for group, option in _LABEL_FREE.items() if group not in keys]
        overrides = ["dataset=unlabelled_images", *overrides[1:], *defaults]
    if "metric=recommended" in settings and not any(s.startswith("perturbation=") for s in settings):
        overrides.append("perturbation=none")  # the evidence recommends it on unperturbed features
    key_of_path = next(o.partition("=")[0] for o in overrides if o.startswith("dataset."))
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "dataset" and target is not None:
            _check_takes_path(value, key_of_path)
        if key.lstrip("+") == key_of_path and target is not None:
            raise InputError(f"{setting} and PATH both name the images: leave one out")
        if key in ("pool", "--pool", "target"):
            raise InputError(
                f"there is no setting '{key}': write {'PATH first' if key == 'target' else f'--pool {value}'}"
            )
    keys = {setting.partition("=")[0] for setting in settings} | ({"model_pool"} if pool is not None else set())
    overrides = [override for override in overrides if override.partition("=")[0] not in keys]
    if budget is not None:
        parse_budget(None if budget == "none" else budget)
        overrides.append(f"budget={'null' if budget == 'none' else budget}")
    if pool is not None:
        overrides.append(f"model_pool={pool}")
    return current_overrides(["-cn", "rank", *overrides, *settings])


def _check_takes_path(option: str, key_of_path: str) -> None:
    """Raise InputError if an option of ``dataset`` does not have the setting that is for the path."""
    file, key = CONF / "dataset" / f"{option}.yaml", key_of_path.removeprefix("dataset.")
    if file.is_file() and not re.search(rf"^ *{key}:", file.read_text("utf-8"), re.M):
        advice = f"leave it out, or write transfer-exp run dataset={option}"
        raise InputError(f"dataset={option} reads no PATH, which rank takes the images from: {advice}")


def _target_overrides(target: str) -> list[str]:
    """Return the overrides that choose the dataset for a path or the id of a hub."""
    path, value = expand_user(target), quote_path(target)
    suffix = path.suffix.lower()
    if not target.strip():
        raise InputError("PATH is empty: give a folder of images, CSV, npz or id of a hub")
    try:
        if suffix == ".npz" or (path.is_dir() and _holds_arrays(path)):
            return ["dataset=arrays", "model_pool=arrays", f"dataset.root={value}"]
        if path.is_file() and suffix in _TABLES:
            return ["dataset=image_table", f"dataset.path={value}"]
        if path.is_dir():
            return ["dataset=image_folder", f"dataset.root={value}"]
        exists = path.exists()
    except OSError as error:
        raise InputError(f"cannot read {target} ({error.strerror}): correct it or check its permissions") from error
    if not exists and _HUB_ID.fullmatch(target):
        return ["dataset=huggingface", f"dataset.id={value}"]
    if exists:
        advice = f"use a file with suffix npz or {', '.join(_TABLES)}"
    else:
        close = get_close_matches(path.name, sorted(entry.name for entry in path.parent.glob("*")), n=1)
        advice = f"did you mean {path.parent / close[0]}?" if close else "give a path that exists"
    raise InputError(f"{target} is not a folder of images, CSV, npz or id of a hub: {advice}")


def _holds_arrays(folder: Path) -> bool:
    """Return whether a folder has npz files, and not two folders with images, which would be classes."""
    if not any(folder.glob("*.npz")):
        return False
    from transfer_exp.dataset.image_file import is_image

    with_images = (entry for entry in folder.iterdir() if entry.is_dir() and any(map(is_image, entry.iterdir())))
    return len(list(islice(with_images, 2))) < 2


def search_pool(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Inspect the images, search the pool, fine-tune its best models if asked, and write the files; a `main.Job`."""
    from transfer_exp.experiment.budget import Budget

    labels = {**cell_labels(config)[0], **varied_settings(config)}
    del labels["ground_truth"]
    tracker, composed = build("tracker", to_plain(config.tracker)), compose_regimes(config)
    budget = Budget(parse_budget(config.budget))
    try:
        search, regimes = build_search(config, _log.info), build_regimes(composed)
        budget = budget.with_at_least_half_left()  # as that of the search
        cell = search.cell(labels)
        run = describe_job(config, to_plain(config), cell, sweep, tracker, search.dataset, trains=False)
        with LiveRun(tracker, run, folder) as live_run:
            result, run_log = search.run(labels)
            result = replace(add_evidence(result), command=fine_tune_command(result, HydraConfig.get()))
            if config.then == FINE_TUNE and not result.recommended:
                note = f"then={FINE_TUNE} trained nothing, because no model is recommended"
                result = replace(result, notes=(*result.notes, note))
            elif config.then == FINE_TUNE:
                _show_ranking(result, run_log, config, folder)
                result = (
                    compare_regimes(regimes, search, result, budget) if regimes else fine_tune(config, search, result)
                )
            return _write_files(result, run_context(to_plain(config), sweep, search, run_log), folder, live_run)
    except NoModelError as error:
        raise _with_offline_advice(error, config) from error


def _write_files(result: SearchResult, context: RunContext, folder: Path, live_run: LiveRun) -> Outcome:
    """Write the files of a search, and return what to print."""
    from transfer_exp.report.search_table import search_table
    from transfer_exp.report.write_run import write_search

    output = write_search(result, context, folder, live_run.finish)
    summary = partial(search_table, result, Path(relative_path(folder)))
    return Outcome(summary, "ranked", output.written, output.problem, result.command)


def _show_ranking(result: SearchResult, run_log: RunLog, config: DictConfig, folder: Path) -> None:
    """Write and print a ranking before its models are trained, which takes longer, so that it is not lost."""
    from transfer_exp.report.record import write_search_record
    from transfer_exp.report.search_table import search_table
    from transfer_exp.terminal import Terminal

    write_search_record(result, to_plain(config), folder, run_log.findings)
    with hide_bars():
        Terminal().print(search_table(result, Path(relative_path(folder)), OutputOptions.top))


def _with_offline_advice(error: NoModelError, config: DictConfig) -> InputError:
    """Return an error about a pool without weights, offline with the command that ranks the built-in one."""
    from transfer_exp.io.hub import is_offline

    dataset = config.dataset.get("root") or config.dataset.get("path") or config.dataset.get("id")
    if not is_offline() or HydraConfig.get().runtime.choices["model_pool"] in ("builtin", "checkpoints", "arrays"):
        return error
    command = f"transfer-exp rank {shlex.quote(str(dataset))} --pool builtin"
    pool = HydraConfig.get().runtime.choices["model_pool"]
    return InputError(
        f"the cache has no weights of {pool}, and the hub is not reached: rank the built-in pool offline, {command}"
    )


def build_search(
    config: DictConfig, log: Callable[[str], object], arrays: FeaturesInMemory | None = None
) -> PoolSearch:
    """Build the objects of a search.

    Args:
        config: Composed from ``conf/rank.yaml``.
        log: Prints one line; called with each remark about the images.
        arrays: Features and labels in memory, instead of the files of ``dataset=arrays``.
    """
    from transfer_exp.experiment.budget import Budget
    from transfer_exp.ground_truth.regime import NoGroundTruth
    from transfer_exp.store import Store

    plain = to_plain(config)
    check_job(plain)
    check_regime(plain["ground_truth"])
    if arrays is not None:
        plain["dataset"]["root"] = plain["model_pool"]["root"] = arrays
    budget = Budget(parse_budget(plain["budget"]))
    store = Store(plain["store"])
    store.check()
    parts = _build_what_needs_no_torch(plain)
    dataset, limit = parts["dataset"], "" if budget.seconds is None else f" within {plain['budget']}"
    from transfer_exp.dataset.inspection import describe_kind

    # The first line, before the seconds that torch takes.
    _log.info("ranking models for %s (%s)%s", dataset.name, describe_kind(dataset), limit)
    phase("loading torch")
    resolved = resolve_settings(config)
    parts |= build_all(("ground_truth",), resolved)
    if plain["then"] and not (parts["ground_truth"].trains or isinstance(parts["ground_truth"], NoGroundTruth)):
        raise InputError(f"then={plain['then']} needs a ground_truth that trains: full, last_block or linear_probe")

    from transfer_exp.evaluation.halving import Halving
    from transfer_exp.experiment.limits import Limits
    from transfer_exp.experiment.regime_comparison import RANKING_SHARE
    from transfer_exp.experiment.search import PoolSearch

    if plain["regimes"] and budget.seconds is not None:
        budget = replace(budget, seconds=RANKING_SHARE * budget.seconds)
    limits: dict[str, Any] = dict(plain["limits"])
    limits["licence"] = limits["licence"] and tuple(limits["licence"])
    return PoolSearch(
        **parts,
        halving=Halving(**plain["halving"]),
        budget=budget.with_at_least_half_left(),
        store=store,
        **{name: resolved[name] for name in ("draws", "device", "seed", "jobs", "inspect")},
        **plain["features"],
        limits=Limits(**limits),
        report=log,
    )


def _build_what_needs_no_torch(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Build pool, perturbation, metric and dataset of a search; raise InputError if they do not fit together."""
    phase("reading the model pool")
    pool = build("model_pool", plain["model_pool"]).select(plain["models"])  # first, because it imports the least
    phase("reading the dataset")
    parts = build_all(("perturbation", "metric", "dataset"), plain) | {"pool": pool}

    from transfer_exp.dataset.arrays import FeatureArrays  # after the images are read: it imports pandas

    check_needs(parts["metric"], plain["ground_truth"])
    if isinstance(parts["dataset"], FeatureArrays):
        parts["dataset"].check_metric(parts["metric"].name, parts["metric"].inputs)
    if plain["then"]:
        _check_trainable(parts["dataset"], plain["then"])
    return parts


def _check_trainable(dataset: object, then: str) -> None:
    """Raise InputError if a dataset has no images or no labels to fine-tune on."""
    from transfer_exp.dataset.target_dataset import TargetDataset

    if not isinstance(dataset, TargetDataset):
        raise InputError(f"then={then} needs images: arrays come without networks, leave it out")
    if dataset.target_kind == "unlabelled":
        raise InputError(f"then={then} needs labels: leave it out, or label the images")


def add_evidence(result: SearchResult) -> SearchResult:
    """Return a result, with a note on how well its metric ranks models if the search had no labels."""
    if result.target_kind != "unlabelled":
        return result
    from transfer_exp.leaderboard.standings import evidence_without_labels

    note = evidence_without_labels(result.cell["metric"], result.cell["perturbation"])
    return replace(result, notes=(*result.notes, note))


def fine_tune(config: DictConfig, search: PoolSearch, result: SearchResult) -> SearchResult:
    """Fine-tune the recommended models of a search, and return its result with their accuracies.

    The regime is ``ground_truth``, and ``full`` if that is ``none``.
    """
    labels, protocol = cell_labels(config)
    if not search.ground_truth.trains:
        config = config.copy()
        OmegaConf.update(config, "ground_truth", OmegaConf.load(CONF / "ground_truth" / "full.yaml"), force_add=True)
        labels["ground_truth"], protocol = "full", str(HydraConfig.get().runtime.choices["protocol"])
    regime = build("ground_truth", resolve_settings(config)["ground_truth"])
    return search.fine_tune(result, regime, labels["ground_truth"], protocol)


def fine_tune_command(result: SearchResult, run: HydraConf | DictConfig) -> str:
    """Return the command that fine-tunes the recommended models of a search; empty without these, networks or labels.

    Args:
        result: The search.
        run: Hydra's part of the configuration of the search.
    """
    choices = run.runtime.choices
    if choices["model_pool"] == "arrays" or result.target_kind == "unlabelled" or not result.recommended:
        return ""
    folders = [s.path for s in run.runtime.config_sources if s.provider == "command-line"]
    arguments = ["run", *(f"--config-dir={folder}" for folder in folders), f"dataset={choices['dataset']}"]
    for override in run.overrides.task:
        key, _, value = override.lstrip("+").partition("=")
        if key.partition(".")[0] not in _SEARCH_SETTINGS and key not in ("dataset", *_RUN_DEFAULTS):
            arguments.append(f"{key}={_unquote(value)}")
    for group, default in _RUN_DEFAULTS.items():
        if choices[group] != default:
            arguments.append(f"{group}={choices[group]}")
    names = [name if _PLAIN_VALUE.fullmatch(name) else quote(name) for name in result.recommended]
    arguments += ["ground_truth=full", f"models=[{','.join(names)}]"]
    return with_trust(redacted_command(arguments).replace("python -m transfer_exp", "transfer-exp", 1))


def _unquote(value: str) -> str:
    """Return a value of Hydra's grammar without its quotes where it has the same meaning."""
    inner = value[1:-1] if value[:1] == value[-1:] == '"' else value
    return inner if _PLAIN_VALUE.fullmatch(inner) and inner.lower() not in _NOT_TEXT else value


def parse_budget(budget: str | int | float | None) -> float | None:
    """Return the seconds of a number or a text such as ``90s``, ``10m``, ``5min`` or ``2h``; None means no limit.

    Raises `InputError` when the text is not a time, or the time is not positive.
    """
    if budget is None or budget == "none":
        return None
    match = _TIME.fullmatch(str(budget).strip().lower())
    seconds = float(match[1]) * _SECONDS.get(match[2], math.nan) if match else math.nan
    if not -math.inf < seconds < math.inf or seconds <= 0:
        problem = "must be more than 0" if seconds <= 0 else "is not a time"
        raise InputError(f"budget={budget} {problem}: write 90s, 10m (or 10min) or 2h, or none for no limit")
    return seconds


def _check_unit(budget: str | None) -> None:
    """Raise InputError for a time of the command line without a unit, which may be meant as minutes."""
    match = _TIME.fullmatch((budget or "").strip())
    if match is not None and not match[2] and float(match[1]) > 0:
        time = match[1]
        raise InputError(f"budget={budget} has no unit: write {time}s, {time}m or {time}h, or none for no limit")
