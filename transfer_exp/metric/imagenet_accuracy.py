"""ImageNet accuracy: what the weights are published to reach there, a baseline that never looks at the target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.io.csv import read_table
from transfer_exp.metric.model_facts import ModelFacts


@dataclass(frozen=True)
class ImagenetAccuracy:
    """Published top-1 accuracy on ImageNet-1k.

    torchvision's pools bring it along. For timm, give the table that timm publishes with its sources,
    ``results/results-imagenet.csv``: columns ``model`` and ``top1`` (percent).

    Attributes
    ----------
    table
        Path of such a CSV, or None. It goes before what the pool brings along.
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

        Raises
        ------
        InputError
            When the table cannot be read.
        NotApplicableError
            When neither the table nor the pool knows the model's accuracy.
        """
        known = {} if self.table is None else _top1(self.table)
        accuracy = known.get(model.name, model.imagenet_accuracy)
        if accuracy is None:
            hint = f"no row in {self.table}" if self.table else "set metric.table to timm's results-imagenet.csv"
            raise NotApplicableError(f"no published accuracy of this model: {hint}")
        return accuracy


@lru_cache(maxsize=4)
def _top1(path: str) -> dict[str, float]:
    """Read top-1 accuracies by model, in [0, 1]; a name is known with its weights tag and, where unique, without."""
    try:
        rows = read_table(Path(path).expanduser(), usecols=["model", "top1"], dtype={"model": str, "top1": float})
    except (OSError, ValueError) as error:
        raise InputError(f"metric.table={path} is no table with columns model and top1 (percent): {error}") from error
    accuracies = rows.set_index("model")["top1"] / 100
    if not accuracies.between(0, 1).all():
        bad = accuracies.index[~accuracies.between(0, 1)][0]
        raise InputError(f"metric.table={path}: top1 of '{bad}' is not a percentage")
    known = {str(name): float(accuracy) for name, accuracy in accuracies.items()}
    short = Counter(name.split(".")[0] for name in known)
    return {name.split(".")[0]: known[name] for name in known if short[name.split(".")[0]] == 1} | known
