"""ImageNet accuracy: published accuracy of the weights, a baseline that ignores the target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.io.csv import read_table
from transfer_exp.metric.metric import ModelFacts


@dataclass(frozen=True)
class ImagenetAccuracy:
    """Published top-1 accuracy on ImageNet-1k.

    The torchvision pools include it. For timm, set the table ``results/results-imagenet.csv`` of its sources.

    Attributes:
        table: CSV with columns ``model`` and ``top1`` (percent), which takes precedence over the pool; or None.
    """

    name: ClassVar[str] = "imagenet_accuracy"
    source: ClassVar[str] = "baseline; accuracies published by torchvision and timm"
    lower: ClassVar[float] = 0.0
    upper: ClassVar[float] = 1.0
    inputs: ClassVar[tuple[str, ...]] = ("model",)
    invariances: ClassVar[tuple[str, ...]] = ()

    table: str | None = None

    def __call__(self, model: ModelFacts) -> float:
        """Return the accuracy of a model, in [0, 1].

        Raises:
            InputError: If the table cannot be read.
            NotApplicableError: If neither the table nor the pool has the model's accuracy.
        """
        accuracies = {} if self.table is None else _top1(self.table)
        accuracy = accuracies.get(model.name, model.imagenet_accuracy)
        if accuracy is None:
            hint = f"no row in {self.table}" if self.table else "set metric.table to timm's results-imagenet.csv"
            raise NotApplicableError(f"no published accuracy of this model: {hint}")
        return accuracy


@lru_cache(maxsize=4)
def _top1(path: str) -> dict[str, float]:
    """Return top-1 accuracies in [0, 1] by model name, with its weights tag and, if that is unique, without."""
    try:
        rows = read_table(Path(path).expanduser(), usecols=["model", "top1"], dtype={"model": str, "top1": float})
    except (OSError, ValueError) as error:
        raise InputError(
            f"metric.table={path} is not a table with columns model and top1 (percent): {error}"
        ) from error
    column = rows.set_index("model")["top1"] / 100
    if not column.between(0, 1).all():
        raise InputError(f"metric.table={path}: top1 of '{column.index[~column.between(0, 1)][0]}' is not a percentage")
    accuracies = {str(name): float(accuracy) for name, accuracy in column.items()}
    short_names = Counter(name.split(".")[0] for name in accuracies)
    unique = {name: name.split(".")[0] for name in accuracies if short_names[name.split(".")[0]] == 1}
    return {short_name: accuracies[name] for name, short_name in unique.items()} | accuracies
