"""TensorBoard: event files in the folder of each run, with scalars, texts, images and hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_exp.errors import escape_all
from transfer_exp.tracker.tracker import TrackedResults, TrackedRun, check_per, flat_settings, is_recorded, need_package

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class TensorBoardTracker:
    """Record runs as event files below ``folder/tensorboard``, for ``tensorboard --logdir outputs``.

    Attributes:
        per: ``cell`` records every job, ``sweep`` one run per sweep, see `WandbTracker`.

    Raises:
        InputError: If ``per`` has another value, or the package tensorboard is not installed.
    """

    per: str = "cell"

    def __post_init__(self) -> None:
        check_per(self.per)
        need_package("tensorboard", "tensorboard")

    def start(self, run: TrackedRun, folder: Path) -> TensorBoardRun | None:
        """Start an event file; None if ``per`` excludes the run. A continued run has one file for each part."""
        if not is_recorded(run, self.per):
            return None
        from torch.utils.tensorboard import SummaryWriter  # Imported late, because the import is slow.

        writer = SummaryWriter(str(folder / "tensorboard"), flush_secs=10)
        writer.add_text("name", escape_all(run.name or run.stage))
        writer.add_text("settings", _block(run.settings))
        writer.flush()
        return TensorBoardRun(writer, run)


class TensorBoardRun:
    """A run in progress, see `ActiveRun`.

    Args:
        writer: Writer of the event file.
        run: Description of the run.
    """

    def __init__(self, writer: SummaryWriter, run: TrackedRun) -> None:
        self._writer, self._run = writer, run

    def log(self, axis: str, position: float | int, values: Mapping[str, float | int | str]) -> None:
        """Record numbers as scalars and texts as texts; see `ActiveRun.log`. The step is the position."""
        for name, value in values.items():
            if isinstance(value, str):
                self._writer.add_text(name, escape_all(value), int(position))
            else:
                self._writer.add_scalar(escape_all(name), value, int(position))

    def finish(self, results: TrackedResults) -> str | None:
        """Record the results; return the folder of the event files. Artifacts stay where they are."""
        from torch.utils.tensorboard.summary import hparams

        writer = self._writer
        for name, value in results.summary.items():
            writer.add_scalar(f"results/{name}", float(value))
        for name, rows in results.tables.items():
            writer.add_text(name, _block(rows))
        for name, path in results.images.items():
            writer.add_image(name, _pixels(path), dataformats="HWC")
        # Labels of the job as hyperparameters, which TensorBoard compares between runs.
        labels = {name: str(value) for name, value in escape_all(dict(self._run.cell)).items()}
        for summary in hparams(labels, {f"results/{name}": float(v) for name, v in results.summary.items()}):
            writer._get_file_writer().add_summary(summary)
        writer.close()
        return str(writer.log_dir)

    def fail(self, reason: str) -> None:
        """End the run, with the reason as the text ``error``."""
        self._writer.add_text("error", escape_all(reason))
        self._writer.close()


def _block(value: Any) -> str:
    """Return plain data as a block of Markdown, one line for each flat setting or row."""
    lines = [f"{k}: {v}" for k, v in flat_settings(value).items()] if isinstance(value, Mapping) else map(_line, value)
    return "".join(f"    {escape_all(line)}\n" for line in lines)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(dict(row), ensure_ascii=False, default=str)


def _pixels(path: Path) -> Any:
    """Return an image as an array (H, W, 3)."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
