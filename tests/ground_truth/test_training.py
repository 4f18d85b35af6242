"""Training loop, and fine-tuning with it."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch_helpers import fake_pairing

from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.features.model_on_target import ModelArrays
from transfer_exp.ground_truth import training
from transfer_exp.ground_truth.full import FullFineTuning
from transfer_exp.ground_truth.network import prepare_images
from transfer_exp.ground_truth.protocol import Protocol, Recipe
from transfer_exp.ground_truth.training import (
    USUAL_OPTIMIZERS,
    Training,
    check_optimizer,
    classification_loss,
    shuffled_batches,
)
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.progress import silent
from transfer_exp.vision import import_from_timm

pytestmark = pytest.mark.slow

QUICK = Protocol(steps=25, batch_size=12, learning_rates=(2e-3,), weight_decays=(0.01,), clip=1.0)


def fine_tune(pairing, track=silent, **changes):
    """Fine-tune by the protocol `QUICK` with some changes."""
    return FullFineTuning(replace(QUICK, **changes))(pairing, track)


def _pairing(dataset, name="resnet_glyphs", **changes):
    model = replace(builtin((name,)).candidates[0].load(), **changes)
    return fake_pairing(name, dataset, model)


def test_an_epoch_contains_every_image_once():
    epoch = torch.cat(list(islice(shuffled_batches(12, 4, seed=0), 3)))
    assert sorted(epoch.tolist()) == list(range(12))
    assert torch.cat(list(islice(shuffled_batches(12, 4, seed=0), 3))).tolist() == epoch.tolist()
    assert torch.cat(list(islice(shuffled_batches(12, 4, seed=1), 3))).tolist() != epoch.tolist()


def test_a_set_smaller_than_a_batch_is_one_batch():
    assert [len(batch) for batch in islice(shuffled_batches(3, 64, seed=0), 4)] == [3, 3, 3, 3]


def test_training_lowers_the_loss_and_repeats_exactly():
    torch.manual_seed(0)
    start = nn.Linear(4, 3)
    images, labels = torch.randn(30, 4), torch.arange(30) % 3
    images[torch.arange(30), labels] += 3
    results = []
    for _ in range(2):
        network = copy.deepcopy(start)
        Training(network, lambda i: (images[i], labels[i]), 30, Recipe(60, 10, 0.05), seed=3).run(60)
        results.append(network.weight.detach().clone())
    before, after = (classification_loss(n(images), labels).item() for n in (start, network))
    assert after < 0.5 * before
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_a_loss_that_is_not_finite_raises_an_error():
    images, labels = torch.full((8, 4), float("inf")), torch.zeros(8, dtype=torch.long)
    training = Training(nn.Linear(4, 2), lambda i: (images[i], labels[i]), 8, Recipe(5, 8, 0.1), seed=0)
    with pytest.raises(NotApplicableError, match="diverged at step 1 of 5"):
        training.run(5)


def test_multi_label_targets_use_binary_cross_entropy():
    logits = torch.tensor([[2.0, -2.0]])
    several = classification_loss(logits, torch.tensor([[1, 0]]))
    assert several.item() == pytest.approx(np.log1p(np.exp(-2)))


def test_fine_tuning_learns_an_easy_dataset(dataset):
    accuracy = fine_tune(_pairing(dataset))
    assert accuracy.value > 0.8, "three colours; chance is a third"
    assert accuracy.measure == "accuracy"


def test_fine_tuning_repeats_exactly_and_does_not_change_the_model(dataset):
    pairing = _pairing(dataset)
    before = {k: v.clone() for k, v in pairing.model.backbone.state_dict().items()}
    assert fine_tune(pairing, steps=3) == fine_tune(pairing, steps=3)
    for name, tensor in pairing.model.backbone.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_the_test_labels_do_not_affect_the_chosen_learning_rate(dataset):
    wrong = replace(dataset, test=replace(dataset.test, labels=(dataset.test.labels + 1) % 3))
    rates = {"learning_rates": (1e-7, 2e-3), "steps": 20}
    honest, misled = fine_tune(_pairing(dataset), **rates), fine_tune(_pairing(wrong), **rates)
    assert honest.chosen == misled.chosen
    assert honest.chosen["learning_rate"] == 2e-3
    assert honest.value > 0.8 > misled.value


def test_progress_counts_every_step(dataset):
    announced, steps = [], []

    def track(what, total):
        announced.append(total)
        return lambda: steps.append(1)

    fine_tune(_pairing(dataset), track, learning_rates=(1e-3, 2e-3), steps=4)
    assert sum(announced) == len(steps) == 12


@pytest.mark.parametrize("freeze", [True, False])
def test_batch_norms_train_unless_the_model_freezes_them(dataset, monkeypatch, freeze):
    modes = []

    def record_modes(training, *rest):
        modes.extend(m.training for m in training.network.modules() if isinstance(m, nn.BatchNorm2d))

    monkeypatch.setattr(Training, "run", record_modes)
    fine_tune(_pairing(dataset, freeze_batch_norm=freeze), steps=1)
    assert modes
    assert set(modes) == {not freeze}


def test_features_without_images_are_refused():
    arrays = object.__new__(ModelArrays)
    with pytest.raises(InputError, match="ground_truth=none or linear_probe"):
        fine_tune(arrays)


def test_a_split_that_does_not_fit_into_memory_gives_the_same_batches(dataset, monkeypatch):
    model = builtin(("resnet_glyphs",)).candidates[0].load()
    chosen, device = torch.tensor([4, 1]), torch.device("cpu")
    cached = prepare_images(dataset.train, model.transform, device)(chosen)
    monkeypatch.setattr("transfer_exp.ground_truth.network.MAX_BYTES", 0)
    streamed = prepare_images(dataset.train, model.transform, device)(chosen)
    for expected, actual in zip(cached, streamed, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.fixture(scope="module")
def grades():
    """Grey images whose grade, 1 to 5, is their brightness."""
    targets = 1.0 + np.arange(40)[:, None] % 5

    def split(start, stop):
        rows = np.arange(start, stop)
        return LabelledImages(
            rows % 5,
            lambda i: Image.new("RGB", (32, 32), (50 * (int(rows[i]) % 5), 90, 120)),
            lambda i: bytes([int(rows[i])]),
            targets[rows],
        )

    names = tuple("12345")
    return TargetDataset("grey", names, split(0, 30), split(30, 40), split(0, 30), None, "r2", "regression")


def test_errors_are_in_the_unit_of_the_numbers_and_the_smallest_is_selected(grades):
    rates = (2e-3, 1e-7)
    values = {
        measure: fine_tune(_pairing(replace(grades, measure=measure)), learning_rates=rates[::order], steps=8)
        for measure, order in (("r2", 1), ("rmse", 1), ("mae", -1), ("macro_mae", -1))
    }
    assert {value.chosen["learning_rate"] for value in values.values()} == {2e-3}, "the other rate learns nothing"
    deviation = grades.test.targets.std()
    assert values["rmse"].value == pytest.approx(deviation * np.sqrt(1 - values["r2"].value), rel=1e-4)
    assert 0 < values["mae"].value <= values["rmse"].value
    assert values["macro_mae"].measure == "macro_mae"
    assert values["macro_mae"].chosen["validation"] >= 0


def test_the_loss_of_numbers_is_the_squared_error_or_that_of_huber(grades):
    errors, targets = torch.tensor([[0.5], [-3.0]]), torch.zeros(2, 1)
    assert classification_loss(errors, targets).item() == pytest.approx((0.25 + 9) / 2)
    assert classification_loss(errors, targets, "huber").item() == pytest.approx((0.125 + 2.5) / 2)
    squared, robust = (
        fine_tune(_pairing(grades), number_loss=loss, steps=4).value for loss in ("squared_error", "huber")
    )
    assert squared != robust


def test_the_loss_of_numbers_is_refused_for_classes(dataset):
    with pytest.raises(InputError, match=r"protocol\.number_loss=huber is for numbers"):
        fine_tune(_pairing(dataset), number_loss="huber")


def test_the_printed_form_of_a_protocol_names_only_another_loss():
    """It is part of the keys of the store, which must not change."""
    assert repr(QUICK).endswith("head='random', batch_norm='batch')")
    assert repr(replace(QUICK, number_loss="huber")).endswith("batch_norm='batch', number_loss='huber')")


def test_the_usual_optimisers_are_not_looked_up_in_timm(monkeypatch):
    for name in USUAL_OPTIMIZERS:
        assert import_from_timm("optim").create_optimizer_v2(nn.Linear(1, 1), opt=name, lr=0.1)

    def refuse(name: str) -> None:
        raise AssertionError("timm's optimisers are imported")

    monkeypatch.setattr(training, "import_from_timm", refuse)
    for name in USUAL_OPTIMIZERS:
        check_optimizer(name)
    with pytest.raises(AssertionError, match="are imported"):
        check_optimizer("lion")
