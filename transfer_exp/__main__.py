"""The command line: ``python -m transfer_exp [group=option] [key=value] ...``; see ``--help``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from transfer_exp import __version__
from transfer_exp.experiment.composition import named_option, options_of, problem
from transfer_exp.types import CellResult, InputError

# Everything else is imported when a job runs: help and a typing error must not wait for torch.

_HERE = Path(__file__).resolve().parent
# Beside the package in a checkout, inside it once installed.
_CONF = next(p for p in (_HERE / "conf", _HERE.parent / "conf") if (p / "config.yaml").is_file())
_LABELLED = ("perturbation", "metric", "ground_truth")
_LEAST = {"seed": 0, "features.batch_size": 1, "features.workers": 0}
# What says already what to do, or asks for no run at all.
_MODES = {"-m", "--multirun", "-r", "--run", "hydra.mode", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion"}
_log = logging.getLogger(__name__)


def main() -> None:
    """Run the application; every error of the user's ends in one line and exit code 1."""
    if sys.argv[1:] == ["--version"]:
        sys.exit(print(f"transfer_exp {__version__}"))
    _multirun_for_sweeps(sys.argv)
    # Otherwise Hydra prints errors itself, over many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _application()
    except HydraException as error:
        _fail(problem(error))
    except KeyboardInterrupt:
        _fail("interrupted: the same command goes on where this one stopped", code=130)
    except Exception as error:
        if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise
        # Jobs catch what goes wrong in them: this comes from the launcher, or from a job that died.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        done = f"python -m transfer_exp.report {HydraConfig.get().sweep.dir}"
        _fail(f"the launcher gave up: {reason} (what is done: {done}; the same command goes on from there)")


@hydra.main(version_base="1.3", config_path=str(_CONF), config_name="config")
def _application(config: DictConfig) -> None:
    """Run one job; in a multirun a failure is recorded, and the other jobs go on."""
    run = HydraConfig.get()
    if not run.job.chdir:
        os.chdir(run.runtime.cwd)  # the workers of a cluster start elsewhere
    folder = Path(run.runtime.output_dir)
    job = _score_grid if "rows" in config else _run
    if run.mode is not RunMode.MULTIRUN:
        try:
            job(config, folder, group=None)
        except (InputError, OmegaConfBaseException) as error:
            _fail(problem(error))
        return
    try:
        job(config, folder, group=folder.parent.name)
    except Exception as error:  # whatever went wrong with one cell must not cost the others
        if not isinstance(error, InputError | OmegaConfBaseException):
            _log.exception("unexpected failure")
        chosen = {group: str(run.runtime.choices[group]) for group in ("model_pool", "dataset")}
        labels = {} if job is _score_grid else _labels(config)[0]
        cell = {**chosen, **labels, "seed": str(config.seed)}
        status = {"state": "failed", "reason": problem(error), "cell": cell}
        (folder / "status.json").write_text(json.dumps(status, indent=1))
        print(f"failed: {status['reason']}", file=sys.stderr)


def _run(config: DictConfig, folder: Path, group: str | None) -> None:
    """Build the parts of a cell, run it, and write and show what came out."""
    from transfer_exp.experiment.cell import Experiment
    from transfer_exp.experiment.plugin import build
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.record import write_record
    from transfer_exp.report.scatter import scatter
    from transfer_exp.store import Store

    _check_numbers(config)
    labels, protocol = _labels(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    groups = ("model_pool", "dataset", "perturbation", "metric", "ground_truth", "evaluation", "tracker")
    parts = {name: build(name, plain[name]) for name in groups}
    tracker = parts.pop("tracker")
    parts["pool"] = parts.pop("model_pool")
    store = Store(Path(plain["store"]).expanduser())
    run = {name: plain[name] for name in ("device", "seed")}
    experiment = Experiment(**parts, **plain["features"], **run, store=store, protocol=protocol)
    result = experiment.run(labels)
    records = write_record(result, plain, folder)  # first: whatever follows may fail
    figure = scatter(result, folder / "scatter.png")
    tracked = tracker.record(result, plain, group, figure, folder)
    _report(result, [*records, figure, tracked], alone=group is None)


def _score_grid(config: DictConfig, folder: Path, group: str | None) -> None:
    """Score a pool with every metric after every perturbation, and keep the rows."""
    from transfer_exp.experiment.plugin import build
    from transfer_exp.experiment.score_grid import ScoreGrid
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.score_rows import keep_scores
    from transfer_exp.store import Store

    _check_numbers(config)
    _refuse_single_axes()
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    axes = {"metric": plain["metrics"] or options_of("metric"), "perturbation": plain["perturbations"]}
    built = {axis: {n: build(axis, named_option(axis, n, config.seed)) for n in names} for axis, names in axes.items()}
    grid = ScoreGrid(
        build("model_pool", plain["model_pool"]),
        build("dataset", plain["dataset"]),
        built["metric"],
        built["perturbation"],
        tuple(plain["images_per_class"]),
        tuple(plain["splits"]),
        build("ground_truth", plain["ground_truth"]),
        Store(Path(plain["store"]).expanduser()),
        str(best_device(config.device)),
        **plain["features"],
        seed=config.seed,
    )
    path = Path(plain["rows"]).expanduser()
    print(f"wrote {keep_scores(path, grid.run())} rows to {path}")


def _refuse_single_axes() -> None:
    """Refuse a metric or perturbation set as for a single cell: a grid has lists of them, and would ignore it."""
    for axis in ("metric", "perturbation"):
        for override in HydraConfig.get().overrides.task:
            if override.startswith((f"{axis}=", f"{axis}.")):
                raise InputError(f"{override} means nothing to a grid: set '{axis}s=[NAME, NAME(KEY=VALUE), ...]'")


def _report(result: CellResult, written: list[Path | str | None], alone: bool) -> None:
    """Print the ranking and where everything is; of one cell among many only the verdict."""
    from rich.console import Console

    from transfer_exp.report.ranking_table import headline, ranking_table

    console = Console(highlight=False)
    if not alone:
        console.print(f"    {headline(result) or 'ranked'}")
        return
    console.print(ranking_table(result))
    for place in written:
        if place is not None:
            console.print(f"  {_from_here(place)}", style="dim", soft_wrap=True)


def _from_here(place: Path | str) -> str:
    """Return a path relative to the working directory where that is shorter; anything else as it is."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(place)


def _check_numbers(config: DictConfig) -> None:
    """Refuse settings of the run itself that are not whole numbers, or too small; parts check their own."""
    for key, least in _LEAST.items():
        value = OmegaConf.select(config, key)
        if type(value) is not int or value < least:
            raise InputError(f"{key}={value}: need a whole number, at least {least}")


def _labels(config: DictConfig) -> tuple[dict[str, str], str]:
    """Name the parts of this cell as the user chose them, and the protocol, empty where the regime has none.

    A protocol other than the default shows in the name of the regime.
    """
    labels = {group: _label(group) for group in _LABELLED}
    protocol = _label("protocol") if "protocol" in config.ground_truth else ""
    if protocol not in ("", "quick"):
        labels["ground_truth"] += f"/{protocol}"
    return labels, protocol


def _label(group: str) -> str:
    """Name what was chosen of a group, with any hyperparameters set by hand."""
    run = HydraConfig.get()
    prefix = f"{group}."
    changed = [o.removeprefix(prefix) for o in run.overrides.task if o.startswith(prefix)]
    choice = str(run.runtime.choices[group])
    return f"{choice}({', '.join(sorted(changed))})" if changed else choice


def _multirun_for_sweeps(arguments: list[str]) -> None:
    """Let ``+sweep=NAME`` mean a multirun: Hydra 1.4 no longer lets a config file say so.

    The flag, because ``hydra.mode=MULTIRUN`` is not heard where the config cannot be composed, and Hydra then complains
    of the lists of a sweep in place of what is wrong.
    """
    place = next((i for i, a in enumerate(arguments) if a.startswith(("+sweep=", "sweep="))), None)
    told = any(a.split("=")[0] in _MODES for a in arguments[1:])
    if place is not None and not told:
        arguments[place] = "+" + arguments[place].lstrip("+")
        arguments.insert(1, "--multirun")


def _fail(message: str, code: int = 1) -> None:
    print(f"transfer_exp: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
