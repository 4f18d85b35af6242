"""Full fine-tuning: every parameter is trained, the learning rate is chosen on validation, test is looked at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from transfer_exp.dataset.stratification import stratified_split
from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.ground_truth.measure import measured
from transfer_exp.ground_truth.prepared_images import PreparedImages
from transfer_exp.ground_truth.regime import Accuracy, Pairing
from transfer_exp.ground_truth.training import Recipe, fit
from transfer_exp.model_pool.pool import LoadedModel
from transfer_exp.types import InputError, NotApplicableError, Track

_EVALUATION_BATCH = 128


@dataclass(frozen=True)
class FullFineTuning:
    """Test accuracy after training all parameters and a new head.

    Attributes
    ----------
    learning_rates
        Peaks to choose from on the validation split; with one, nothing is held out.
    steps, batch_size, weight_decay, optimizer
        See `Recipe`.
    validation_fraction
        Part of the training split to choose by, where the dataset publishes no validation split.
    seed
        Initialises the head, orders the batches and draws the validation part.
    device
        ``cpu``, ``cuda``, ``mps``.
    """

    trains: ClassVar[bool] = True

    learning_rates: tuple[float, ...] = (1e-3, 4e-3)
    steps: int = 30
    batch_size: int = 32
    weight_decay: float = 0.01
    optimizer: str = "adamw"
    validation_fraction: float = 0.25
    seed: int = 0
    device: str = "cpu"

    def __call__(self, pairing: Pairing, track: Track) -> Accuracy:
        """Return test accuracy after retraining on train and validation with the best learning rate.

        Raises
        ------
        InputError
            When there is no network or there are no images to train on.
        NotApplicableError
            When training diverges at every learning rate.
        """
        train, test, model = pairing.images("train"), pairing.images("test"), pairing.model
        if train is None or test is None or model is None:
            raise InputError("ground_truth=full needs networks and images: here set ground_truth=none or linear_probe")
        runs = 1 if len(self.learning_rates) == 1 else len(self.learning_rates) + 1
        advance = track(f"{pairing.name}: fine-tuning", runs * self.steps)
        run = _Run(self, model, len(pairing.dataset.class_names), pairing.dataset.measure, advance)
        rate, reached = self._choose(run, train, pairing.images("validation"))
        value = run(_all(train, pairing.images("validation")), test, rate)
        return Accuracy(value, pairing.dataset.measure, {"learning_rate": rate, **reached})

    def _choose(
        self, run: _Run, train: LabelledImages, validation: LabelledImages | None
    ) -> tuple[float, dict[str, float]]:
        """Return the learning rate that does best on validation, and how well it does."""
        if len(self.learning_rates) == 1:
            return self.learning_rates[0], {}
        if validation is None:
            kept, held_out = stratified_split(train.labels, self.validation_fraction, self.seed)
            train, validation = train.subset(kept), train.subset(held_out)
        reached: dict[float, float] = {}
        for rate in self.learning_rates:
            try:
                reached[rate] = run(train, validation, rate)
            except NotApplicableError as error:  # too large a rate diverges; that is what choosing is for
                last = error
        if not reached:
            raise last
        best = max(reached, key=lambda rate: reached[rate])
        return best, {"validation": reached[best]}


@dataclass(frozen=True, eq=False)
class _Run:
    """Trains a fresh copy of a model and measures it."""

    regime: FullFineTuning
    model: LoadedModel
    classes: int
    measure: str
    advance: Callable[[], object]

    def __call__(self, train: LabelledImages, test: LabelledImages, rate: float) -> float:
        device = torch.device(self.regime.device)
        prepared = PreparedImages(train, self.model.transform, device)
        network = self._network(prepared).to(device)
        _training_mode(network, self.model.freeze_batch_norm)
        regime = self.regime
        recipe = Recipe(regime.steps, regime.batch_size, rate, regime.weight_decay, regime.optimizer)
        fit(network, prepared, len(prepared), recipe, regime.seed, self.advance)
        scores = _predict(network.eval(), PreparedImages(test, self.model.transform, device))
        return measured(self.measure, scores, test.labels, test.targets)

    def _network(self, prepared: PreparedImages) -> nn.Sequential:
        """Put a new head on a copy of the backbone."""
        backbone = copy.deepcopy(self.model.backbone).cpu().eval()
        with torch.inference_mode():
            dim = backbone(prepared(torch.tensor([0]))[0].cpu()).shape[1]
        torch.manual_seed(self.regime.seed)
        return nn.Sequential(backbone, nn.Linear(dim, self.classes))


def _training_mode(network: nn.Module, freeze_batch_norm: bool) -> None:
    """Enter training mode, except for batch norms whose statistics must not move."""
    network.train()
    for module in network.modules():
        if freeze_batch_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _predict(network: nn.Module, images: PreparedImages) -> Float[np.ndarray, "samples classes"]:
    """Return logits of all images."""
    with torch.inference_mode():
        parts = [network(images(chosen)[0]).cpu() for chosen in torch.arange(len(images)).split(_EVALUATION_BATCH)]
    return torch.cat(parts).float().numpy()


def _all(train: LabelledImages, validation: LabelledImages | None) -> LabelledImages:
    """Return train and validation as one split."""
    return train if validation is None else train.joined(validation)
