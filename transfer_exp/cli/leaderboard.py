"""``transfer-exp leaderboard``: where a metric stands among all metrics after all perturbations.

A variant is a metric after a perturbation. The variants are compared on the built-in networks and on 23 real networks.
Scores, accuracies and costs of both ship with the package. ``--paper`` adds torchvision's CNNs on the targets of the
paper (Khoba et al., WACV 2025), with scores in the file ``paper_scores``. Only what has no rows is scored.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from transfer_exp.cli.console import Parser, relative_path
from transfer_exp.cli.instantiate import build, build_all
from transfer_exp.cli.job_labels import cell_labels, command_line, compose_group, resolve_settings, to_plain
from transfer_exp.cli.output import Outcome, add_output_options
from transfer_exp.cli.overrides import quote_path
from transfer_exp.deprecated_names import current_overrides
from transfer_exp.errors import InputError, first_line
from transfer_exp.io.text import expand_user
from transfer_exp.progress import phase
from transfer_exp.version import __version__

if TYPE_CHECKING:
    from transfer_exp.leaderboard.rows import PoolRows, Variant
    from transfer_exp.model_pool.pool import ModelPool

# Other modules are imported when the job runs: help and typing errors must not wait for torch.

NAME = "leaderboard"
PAPER_POOL = ("model_pool=supervised_cnn",)
"""Settings of torchvision's CNNs, for ``--paper``."""
TOP = 15
"""Default number of rows to show."""
_SECONDS_OF_COST = 2.0
"""Seconds after which the cost of a variant is not measured again."""
_FIXED = (
    *("model_pool", "models", "dataset", "seed", "evaluation", "features.layer", "features.pooling"),
    *("ground_truth", "protocol", "shots", "measure"),
)
"""Settings that decide the stored rows."""
_EXAMPLES = (
    "transfer-exp leaderboard",
    "transfer-exp leaderboard --config-dir my_conf metric=mine",
    "transfer-exp leaderboard metric=lda 'perturbation.dim=32' perturbation=pca --targets digits signs",
    "transfer-exp leaderboard metric=lda --paper data --download",
)
_log = logging.getLogger(__name__)


def leaderboard_overrides(arguments: Sequence[str]) -> list[str]:
    """Translate the arguments of ``transfer-exp leaderboard`` to those of ``transfer-exp run``.

    Raises:
        InputError: When an option does not exist, or a setting is not KEY=VALUE.
        SystemExit: After printing the help.
    """
    parser = Parser(
        prog="transfer-exp leaderboard",
        description="Show where a metric stands among all metrics after all perturbations. Only what has no stored "
        "rows is scored; without a metric or perturbation nothing is.",
        examples=_EXAMPLES,
        allow_abbrev=False,
    )
    parser.add_argument(
        "settings", metavar="KEY=VALUE", nargs="*", default=[], help="metric=NAME, perturbation=NAME, or any setting"
    )
    parser.add_argument("--targets", nargs="+", metavar="NAME", help="use only these targets of the built-in pool")
    parser.add_argument(
        "--assets",
        metavar="DIR",
        help="with a metric or perturbation: score it on the real networks in DIR too; its nets.py is code that runs",
    )
    parser.add_argument(
        "--paper", metavar="DIR", help="score torchvision's CNNs too, on the images of the paper's targets in DIR"
    )
    parser.add_argument(
        "--download", action="store_true", help="with --paper: download missing images and weights (50 GB)"
    )
    parser.add_argument("-cd", "--config-dir", metavar="DIR", help="folder with option files of your own")
    add_output_options(parser, TOP)  # for the help: the options themselves were taken off the command line before
    options, rest = parser.parse_known_intermixed_args(arguments)
    for unknown in rest:
        if unknown.startswith("-"):
            parser.error(f"unrecognized arguments: {unknown}")
    targets = [name for name in options.targets or () if "=" not in name]
    settings = [*options.settings, *rest, *(name for name in options.targets or () if "=" in name)]
    for setting in settings:
        if "=" not in setting and not setting.startswith("~"):
            raise InputError(f"'{setting}' is not a setting: write KEY=VALUE, such as metric={setting}")
    _refuse_fixed(settings)  # before the config is composed, in which such a setting may lack a value
    settings += [f"only=[{','.join(targets)}]"] if targets else []
    settings += [f"assets={quote_path(options.assets)}"] if options.assets else []
    settings += [f"paper={quote_path(options.paper)}"] if options.paper else []
    settings += ["download=true"] if options.download else []
    flags = ["--config-dir", options.config_dir] if options.config_dir else []
    return [*flags, "-cn", NAME, *current_overrides(settings)]


def show_leaderboard(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Score what has no stored rows, and write the leaderboard; a `main.Job`."""
    from transfer_exp.leaderboard.rows import read_builtin_rows, read_real_rows

    plain = to_plain(config)
    _check_settings(config)
    families = {name: dataset_of(settings) for name, settings in plain["targets"].items()}
    builtin, real = read_builtin_rows(families).select(plain["only"]), read_real_rows()
    variant = _own_variant(config)
    if variant is not None:
        builtin, real = replace(builtin, own_variant=variant), replace(real, own_variant=variant)
        builtin = _score_missing(config, builtin, plain["targets"], plain["model_pool"])
    if variant is not None and plain["assets"] is not None:
        root = expand_user(plain["assets"])
        folders = {name: quote_path(str(root / "datasets" / name)) for name in real.targets}
        targets = {name: ["dataset=image_folder", f"dataset.root={folder}"] for name, folder in folders.items()}
        real = _score_missing(config, real, targets, _real_pool(root))
    pools = [builtin, real]
    if plain["paper"] is not None:
        # A cost is of features of a fixed size, so it is the same on every pool, and new ones are in the first.
        pools.append(replace(_paper_rows(config, variant), costs=builtin.costs))

    from transfer_exp.leaderboard.page import write_page
    from transfer_exp.leaderboard.table import all_standings, leaderboard_table, write_files
    from transfer_exp.report.write_run import Output

    phase("comparing")
    every_standings = [standings for rows in pools for standings in all_standings(rows)]
    facts = {"command": command_line(single_run=sweep is None), "package_version": __version__}
    output = Output(write_files(every_standings, facts, folder))
    output.add("page", lambda: write_page(every_standings, facts["command"], folder))
    main_standings = [standings for standings in every_standings if standings.is_main]
    summary = partial(leaderboard_table, main_standings, Path(relative_path(folder)))
    return Outcome(summary, "leaderboard", output.written, output.problem)


def _refuse_fixed(overrides: Sequence[str]) -> None:
    """Raise InputError for a setting that decides the stored rows."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] in _FIXED or key in _FIXED:
            raise InputError(
                f"{override} has no effect on the leaderboard, whose targets and accuracies are fixed: leave it out"
            )


def _check_settings(config: DictConfig) -> None:
    """Refuse settings that decide the stored rows, and ``assets`` in a file, whose folder holds code that runs."""
    overrides = HydraConfig.get().overrides.task
    _refuse_fixed(overrides)
    if config.assets is not None and not any(override.startswith("assets=") for override in overrides):
        raise InputError("assets is a folder with code that runs: set it on the command line")


def _own_variant(config: DictConfig) -> Variant | None:
    """Return the labels of perturbation and metric, or None if the command line names neither."""
    keys = {override.lstrip("+").split("=")[0].split(".")[0] for override in HydraConfig.get().overrides.task}
    if not keys & {"metric", "perturbation"}:
        return None
    labels = cell_labels(config)[0]
    return labels["perturbation"], labels["metric"]


def dataset_of(settings: Sequence[str]) -> str:
    """Return the name of the dataset among the settings of a target."""
    return next((setting.partition("=")[2] for setting in settings if setting.startswith("dataset=")), "")


def _real_pool(root: Path) -> dict[str, Any]:
    """Return the settings of the pool in the folder of the real networks.

    Raises:
        InputError: When the folder has no networks.
    """
    manifest = root / "weights" / "manifest.json"
    if not manifest.is_file():
        raise InputError(f"assets={root} has no real networks: {manifest} is missing")
    weights, code = quote_path(str(root / "weights")), quote_path(str(root / "nets.py"))
    settings = ["model_pool.name=real_pool", "model_pool.largest_input=64"]
    overrides = ["model_pool=checkpoints", f"model_pool.root={weights}", f"model_pool.architectures={code}", *settings]
    return compose_group("model_pool", overrides)


def _score_missing(
    config: DictConfig, rows: PoolRows, targets: Mapping[str, Sequence[str]], model_pool: Mapping[str, Any]
) -> PoolRows:
    """Return the rows of a pool with scores of the user's variant on every target; stored ones are not computed.

    Args:
        config: Settings of the command.
        rows: Stored rows.
        targets: Overrides by name of the target.
        model_pool: Settings of the pool.
    """
    variant = rows.own_variant
    assert variant is not None
    missing = rows.missing_targets(variant)
    if not missing:
        return rows
    from transfer_exp.leaderboard.standings import variant_name

    plain = to_plain(config)
    _log.info("scoring %s on %d target(s) of the pool %s", variant_name(variant), len(missing), rows.name)
    parts = build_all(("perturbation", "metric", "evaluation"), plain)
    datasets = {name: compose_group("dataset", [*targets[name], f"seed={plain['seed']}"]) for name in missing}
    parts |= {**_experiment_settings(config), "pool": build("model_pool", model_pool)}

    from transfer_exp.experiment.experiment import Experiment
    from transfer_exp.experiment.run_log import RunLog
    from transfer_exp.leaderboard.costs import measure_seconds

    class _Totals(RunLog):
        """Log of all targets, whose counts are reported once, at the end."""

        def report_cache_hits(self) -> None:
            """Report nothing for a single target."""

    labels = {"perturbation": variant[0], "metric": variant[1], "ground_truth": "none"}
    scores, run_log = {}, _Totals()
    for name, dataset in datasets.items():
        experiment = Experiment(**parts, dataset=build("dataset", dataset))
        result = experiment.run(labels, run_log)
        scores[name] = {model.model: nan if model.score is None else model.score for model in result.models}
        reasons = {model.reason for model in result.models if model.reason}
        for reason in sorted(reasons):
            _log.warning("%s: %s", name, reason)
    RunLog.report_cache_hits(run_log)
    phase("measuring the cost")
    try:
        seconds = measure_seconds(parts["metric"], parts["perturbation"], limit=_SECONDS_OF_COST)
    except (Exception, SystemExit) as error:  # of a metric of the user, which may not apply to these features
        _log.warning(
            "the cost of %s is unknown: it fails on the features made for timing (%s)", variant[1], first_line(error)
        )
        seconds = None
    return rows.add(variant, scores, seconds)


def _experiment_settings(config: DictConfig) -> dict[str, Any]:
    """Return the settings of `PoolOnDataset`, and the regime ``none``; imports torch."""
    from transfer_exp.store import Store

    store = Store(config.store)
    store.check()
    phase("loading torch")
    plain = resolve_settings(config)
    settings = {name: plain[name] for name in ("device", "seed", "jobs")} | plain["features"]
    return {**settings, "store": store, "inspect": False, "ground_truth": build("ground_truth", plain["ground_truth"])}


def _paper_rows(config: DictConfig, variant: Variant | None) -> PoolRows:
    """Return the rows of torchvision's CNNs on the paper's targets, after scoring what has no row yet.

    The rows of a target are added to the file ``paper_scores``, which the sweep ``paper_supervised`` fills, too.

    Raises:
        InputError: When there are no stored rows and nothing to score or no images, or networks cannot be loaded.
    """
    from transfer_exp.evaluation.score_files import update_scores
    from transfer_exp.leaderboard.rows import read_paper_rows

    path = expand_user(config.paper_scores)
    previous_rows = read_paper_rows(path) if path.is_file() else None
    if variant is None:
        if previous_rows is None:
            raise InputError(f"--paper has no metric to score, and no rows in {path}: add metric=NAME")
        return previous_rows
    for rows in _score_paper_targets(config, variant, previous_rows):
        update_scores(path, rows)
    table = read_paper_rows(path)
    missing = table.missing_targets(variant)
    return replace(table.select([name for name in table.targets if name not in missing]), own_variant=variant)


def _score_paper_targets(
    config: DictConfig, variant: Variant, previous_rows: PoolRows | None
) -> Iterator[list[dict[str, str]]]:
    """Yield the missing rows of the user's variant and of the baselines, target by target.

    A metric or perturbation of another package is always scored, because its code may have changed.
    """
    from transfer_exp.leaderboard.rows import PAPER_SPLITS, PAPER_TARGETS
    from transfer_exp.leaderboard.standings import TARGET_FREE_METRICS

    plain, (perturbation, metric) = to_plain(config), variant
    parts = build_all(("perturbation", "metric"), plain)
    if not callable(parts["perturbation"]):
        raise InputError(f"perturbation={perturbation} has several strengths, and --paper needs one: name another")
    metrics = {name: build("metric", compose_group("metric", [f"metric={name}"])) for name in TARGET_FREE_METRICS}
    metrics[metric] = parts["metric"]
    perturbations = {**dict.fromkeys(metrics, "none"), metric: perturbation}
    is_foreign = has_foreign_code([plain["metric"], plain["perturbation"]])
    missing: dict[str, list[str]] = {}
    for target in PAPER_TARGETS:
        cells = () if previous_rows is None else previous_rows.variants_on(target)
        names = [n for n, after in perturbations.items() if (after, n) not in cells or (n == metric and is_foreign)]
        missing |= {target: names} if names else {}
    datasets = _paper_datasets(list(missing), plain, is_needed=previous_rows is None)
    options: dict[str, Any] = {"perturbations": {perturbation: parts["perturbation"]}, "images_per_class": (None,)}
    options |= {"splits": PAPER_SPLITS, **_experiment_settings(config)}
    pool = _paper_pool(plain["download"])

    from transfer_exp.experiment.score_matrix import ScoreMatrix

    for target, dataset in datasets.items():
        rows = ScoreMatrix(pool, dataset, metrics={name: metrics[name] for name in missing[target]}, **options).run()
        # Baselines do not look at features, so no perturbation changes them: their rows are labelled none.
        yield [{**row, "perturbation": perturbations[row["metric"]]} for row in rows]


def has_foreign_code(options: object) -> bool:
    """Return whether options name, at any depth, a ``_target_`` of another package."""
    if isinstance(options, Mapping):
        is_foreign = str(options.get("_target_", "transfer_exp.")).partition(".")[0] != "transfer_exp"
        return is_foreign or any(map(has_foreign_code, options.values()))
    return isinstance(options, list) and any(map(has_foreign_code, options))


def _paper_pool(download: bool) -> ModelPool:
    """Return torchvision's CNNs, whose weights are in torch's cache afterwards.

    Raises:
        InputError: When weights are missing and are not to be downloaded, or cannot be.
    """
    from transfer_exp.model_pool.torchvision import has_weights

    settings = compose_group("model_pool", PAPER_POOL)
    pool: ModelPool = build("model_pool", settings)
    missing = [candidate for candidate in pool.candidates if not has_weights(candidate.name, settings["weights"])]
    if missing and not download:
        names = ", ".join(candidate.name for candidate in missing)
        raise InputError(f"torch's cache has no weights of {names}: --download fetches them")
    for candidate in missing:
        candidate.load()
    return pool


def _paper_datasets(targets: Sequence[str], plain: Mapping[str, Any], is_needed: bool) -> dict[str, Any]:
    """Return the datasets that have images, by name; one warning names the others.

    Raises:
        InputError: When none has images, and one is needed.
    """
    from transfer_exp.leaderboard.rows import PAPER_TARGETS

    root, download = quote_path(str(expand_user(plain["paper"]))), f"dataset.download={plain['download']}"
    datasets, failures = {}, {}
    for target in targets:
        settings = compose_group("dataset", [f"dataset={PAPER_TARGETS[target]}", f"dataset.root={root}", download])
        try:
            datasets[target] = build("dataset", settings)
        except InputError as error:
            failures[target] = str(error).replace("dataset.download=true fetches", "--download fetches")
    first = next(iter(failures.values()), "")
    if is_needed and not datasets:
        raise InputError(f"--paper has no target with images; {first}")
    if failures:
        _log.warning("--paper leaves out targets without images: %s (%s)", ", ".join(failures), first)
    return datasets
