"""ImageNet accuracy: published accuracy of the weights, a baseline that ignores the target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from transfer_exp.errors import InputError, NotApplicableError, check_types
from transfer_exp.io.csv import MAX_BYTES, parse_numbers, parse_table
from transfer_exp.io.text import expand_user, read_text
from transfer_exp.metric.metric import Metric, ModelFacts


@dataclass(frozen=True)
class ImagenetAccuracy(Metric):
    """Published top-1 accuracy on ImageNet-1k.

    The torchvision pools include it. For timm, set the table ``results/results-imagenet.csv`` of its sources.

    Attributes:
        table: CSV with columns ``model`` and ``top1`` (percent), which takes precedence over the pool; or None.
    """

    name = "imagenet_accuracy"
    source = "baseline; accuracies published by torchvision and timm"
    lower = 0.0
    upper = 1.0
    inputs = ("model",)

    table: str | None = None

    def __post_init__(self) -> None:
        check_types("metric", self)

    def __call__(self, model: ModelFacts) -> float:
        """Return the accuracy of a model, in [0, 1].

        Raises:
            InputError: If the table cannot be read.
            NotApplicableError: If neither the table nor the pool has the model's accuracy.
        """
        accuracies = {}
        if self.table is not None:
            try:
                accuracies = _top1(read_text(expand_user(self.table), MAX_BYTES), self.table)
            except InputError as error:
                raise InputError(f"metric.table: {error}") from error
        accuracy = accuracies.get(model.name, model.imagenet_accuracy)
        if accuracy is None:
            hint = f"no row in {self.table}" if self.table else "set metric.table to timm's results-imagenet.csv"
            raise NotApplicableError(f"no published accuracy of this model: {hint}")
        return accuracy


@lru_cache(maxsize=4)  # by the text, because a file may be edited while the process runs
def _top1(text: str, path: str) -> dict[str, float]:
    """Return top-1 accuracies in [0, 1] by model name, with its weights tag and, if that is unique, without."""
    rows = parse_table(text, Path(path))
    if not {"model", "top1"} <= set(rows):
        raise InputError(f"{path} is not a table with columns model and top1 (percent): add them")
    column = rows.assign(top1=parse_numbers(rows["top1"], Path(path)) / 100).set_index("model")["top1"].dropna()
    if not column.between(0, 1).all():
        raise InputError(f"{path}: top1 of '{column.index[~column.between(0, 1)][0]}' is not a percentage")
    accuracies = {str(name): float(accuracy) for name, accuracy in column.items()}
    short_names = Counter(name.split(".")[0] for name in accuracies)
    unique = {name: name.split(".")[0] for name in accuracies if short_names[name.split(".")[0]] == 1}
    return {short_name: accuracies[name] for name, short_name in unique.items()} | accuracies
