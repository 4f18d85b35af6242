"""What Hydra calls when the last job of a sweep is over."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.console import from_here
from transfer_exp.cli.redact import typed
from transfer_exp.errors import InputError, one_line


class SweepReport(Callback):
    """Aggregate the sweep's cells, and end with exit code 1 when one of them failed.

    A job catches its own failure and leaves a ``status.json``, because Hydra skips this callback after an exception.

    Parameters
    ----------
    then
        Called with the config and the sweep's folder once the files of the sweep are there, whatever became of its
        cells.
    """

    def __init__(self, then: Callable[[DictConfig, Path], object] = lambda config, folder: None) -> None:
        self.then = then

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Let the process that launches jobs know of its sweep: Hydra tells the jobs alone."""
        HydraConfig.instance().set_config(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the tables and write the files of a sweep: `show_precompute`, `show_score_matrix` or `show_sweep`.

        Raises
        ------
        SystemExit
            With code 1 when a cell failed, or nothing could be aggregated. (Hydra turns other exceptions of a callback
            into warnings, so that the run would end as if all were well.)
        """
        # pandas and matplotlib are slow to import, and a single run needs neither.
        from rich.console import Console

        from transfer_exp.report.html.run_details import RunDetails, library_versions, write_run_details
        from transfer_exp.report.sweep import show_precompute, show_score_matrix, show_sweep

        folder, console = Path(from_here(str(config.hydra.sweep.dir))), Console()
        try:
            if config.stage != "score":
                failed = show_precompute(folder, console)
            elif "rows" in config:
                published = config.hydra.runtime.choices.ground_truth == "published"
                pool = config.ground_truth.pool if published else None
                failed = show_score_matrix(folder, Path(str(config.rows)).expanduser(), pool, console)
            else:
                write_run_details(RunDetails(typed(sys.argv[1:], os.environ), library_versions()), folder)
                failed = show_sweep(folder, console)
            self.then(config, folder)
        except (InputError, OSError) as error:
            print(f"transfer_exp: {one_line(str(error))}", file=sys.stderr)
            raise SystemExit(1) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(1) from error
        if failed:
            print(*failed, sep="\n", file=sys.stderr)
            print(f"{len(failed)} cell(s) failed: the same command does just these again", file=sys.stderr)
            raise SystemExit(1)


def track_sweep(config: DictConfig, folder: Path) -> None:
    """Record a finished sweep as one run with the tracker of its jobs.

    A sweep of score matrices is not recorded: its rows hold all its results.

    Parameters
    ----------
    config
        Config of the sweep; options that vary have their default value.
    folder
        Folder of the sweep.

    Raises
    ------
    InputError
        If the tracker cannot record the run.
    """
    from transfer_exp.cli.instantiate import build
    from transfer_exp.report.tracked_run import tracked_sweep

    if "rows" in config:
        return
    # Some of Hydra's own settings can only be resolved within a job.
    settings = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain: dict[str, Any] = OmegaConf.to_container(settings, resolve=True)  # type: ignore[assignment]
    entry = build("tracker", plain["tracker"]).record(tracked_sweep(plain, _swept_axes(config.hydra), folder), folder)
    if entry is not None:
        print(f"wrote {entry}")


def _swept_axes(hydra: DictConfig) -> set[str]:
    """Return the overrides that vary, from the command line and from the sweep's config file."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    typed_overrides = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    swept = {override.key_or_group for override in typed_overrides if override.is_sweep_override()}
    return swept | {str(axis) for axis in hydra.sweeper.get("params") or {}}
