"""Fine-tuning by a protocol: grid, augmentation, last block, and exact resumption after a kill."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch_helpers import fake_pairing

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.features.extraction import Extractor
from transfer_exp.ground_truth.fine_tune import mix_images
from transfer_exp.ground_truth.full import FullFineTuning
from transfer_exp.ground_truth.last_block import LastBlockFineTuning, find_last_block
from transfer_exp.ground_truth.linear_probe import fit_probe, labelled_features
from transfer_exp.ground_truth.network import prepare_images
from transfer_exp.ground_truth.protocol import Protocol, Recipe
from transfer_exp.ground_truth.training import Checkpoint, Training, seeded_random_state, use_random_state
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.progress import listen, silent
from transfer_exp.store import Store, open_backend

pytestmark = pytest.mark.slow

GRID = Protocol(
    steps=6, batch_size=12, learning_rates=(1e-3, 4e-3), weight_decays=(0.0, 0.01), augmentation="crop_flip", mixup=0.2
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return builtin(("resnet_glyphs",)).candidates[0].load()


def pairing(dataset, model, folder=None):
    return fake_pairing(
        "net", dataset, model, folder and open_backend(folder), images=lambda split: getattr(dataset, split)
    )


class Killed(BaseException):
    """Stands for a killed process; no code catches it."""


def kill_after(steps, monkeypatch):
    """Kill the process after some more training steps."""
    remaining, train_step = [steps], Training._train_step

    def counted_step(training, *batch):
        remaining[0] -= 1
        if remaining[0] < 0:
            raise Killed
        train_step(training, *batch)

    monkeypatch.setattr(Training, "_train_step", counted_step)


@pytest.fixture
def first_logit(monkeypatch):
    """Replace the accuracy by the first logit of the test set, which shows even the smallest difference."""
    name = "transfer_exp.ground_truth.training_run.compute_measure"
    monkeypatch.setattr(name, lambda measure, scores, *labels: float(scores[0, 0]))


def test_the_grid_is_a_product_and_decay_may_be_divided_by_the_rate():
    points = [(r.learning_rate, r.weight_decay) for r in GRID.grid()]
    assert points == [(1e-3, 0.0), (1e-3, 0.01), (4e-3, 0.0), (4e-3, 0.01)]
    divided = replace(GRID, decay_over_rate=True).grid()
    assert [r.weight_decay for r in divided] == [0.0, 10.0, 0.0, 2.5]


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"learning_rates": ()},
        {"learning_rates": (0.0,)},
        {"weight_decays": (-1.0,)},
        {"warmup": 1.0},
        {"clip": 0.0},
        {"mixup": -0.1},
        {"rungs": (3, 2)},
        {"rungs": (6,)},
        {"validation_fraction": 1.0},
    ],
)
def test_a_protocol_value_out_of_range_is_refused_by_name(change):
    with pytest.raises(InputError, match=f"protocol.{next(iter(change))}="):
        replace(GRID, **change)


@pytest.mark.parametrize(
    ("rungs", "always"),
    [((), False), ((2, 4), True)],
    ids=["whole grid, written after runs", "halving, written at every step"],
)
def test_a_killed_run_resumes_to_the_same_bits(dataset, model, tmp_path, monkeypatch, first_logit, rungs, always):
    monkeypatch.setattr(Checkpoint, "is_due", property(lambda self: always and self.folder is not None))
    regime = FullFineTuning(replace(GRID, weight_decays=(0.01,), rungs=rungs))
    uninterrupted = regime(pairing(dataset, model), silent)
    for steps in (0, 1, 5, 2, 3):
        with monkeypatch.context() as patch:
            kill_after(steps, patch)
            with pytest.raises(Killed):
                regime(pairing(dataset, model, tmp_path), silent)
    assert regime(pairing(dataset, model, tmp_path), silent) == uninterrupted
    assert len(list(tmp_path.glob("*.pt"))) == 3


@pytest.mark.parametrize("rungs", [(), (2, 4)], ids=["whole grid", "halving"])
def test_the_regime_continues_from_grid_points_trained_separately(dataset, model, tmp_path, monkeypatch, rungs):
    regime = FullFineTuning(replace(GRID, rungs=rungs))
    uninterrupted = regime(pairing(dataset, model), silent)
    for point in (2, 0, 3, 1):
        assert not regime.train_point(pairing(dataset, model, tmp_path), point, silent)
        assert regime.train_point(pairing(dataset, model, tmp_path), point, silent)
    trained, run = [], Training.run

    def counted_run(training, until, *rest):
        trained.append(until - training.step)
        run(training, until, *rest)

    monkeypatch.setattr(Training, "run", counted_run)
    assert regime(pairing(dataset, model, tmp_path), silent) == uninterrupted
    assert trained == ([2, 2, 2, 6] if rungs else [6])


def test_a_finished_training_is_not_repeated(dataset, model, tmp_path, monkeypatch):
    regime = FullFineTuning(replace(GRID, steps=2))
    first = regime(pairing(dataset, model, tmp_path), silent)
    monkeypatch.setattr(Training, "run", lambda *a: pytest.fail("trained again"))
    assert regime(pairing(dataset, model, tmp_path), silent) == first


def test_a_truncated_checkpoint_counts_as_missing(tmp_path):
    checkpoint = Checkpoint(open_backend(tmp_path), "a.pt")
    assert checkpoint.read() == {}
    checkpoint.write({"step": 3, "network": {"w": torch.ones(2)}})
    assert checkpoint.read()["step"] == 3
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    assert checkpoint.read() == {}
    path.write_bytes(b"")
    assert checkpoint.read() == {}


def test_a_flipped_bit_in_a_checkpoint_is_harmless_or_counts_as_missing(tmp_path):
    checkpoint = Checkpoint(open_backend(tmp_path), "a.pt")
    checkpoint.write({"step": 3, "network": {"w": torch.arange(64.0)}, "reached": {"2": 0.25}})
    (path,) = tmp_path.iterdir()
    content, expected, n_missing = path.read_bytes(), repr(checkpoint.read()), 0
    for position in np.random.default_rng(0).integers(8 * len(content), size=300):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        state = checkpoint.read()
        n_missing += state == {}
        assert state == {} or repr(state) == expected
    assert n_missing > 50


def test_alternating_runs_do_not_affect_each_other():
    def training(seed):
        with use_random_state(seeded_random_state(seed)):
            network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        images, labels = torch.arange(80.0).reshape(20, 4) / 40, torch.arange(20) % 2
        noisy = lambda i: (images[i] + torch.randn(len(i), 4), labels[i])  # noqa: E731
        return Training(network, noisy, 20, Recipe(8, 5, 0.05), seed)

    uninterrupted = training(1)
    uninterrupted.run(8)
    alternating, second = training(1), training(2)
    for until in (2, 5, 8):
        alternating.run(until)
        second.run(until)
    for expected, actual in zip(uninterrupted.network.parameters(), alternating.network.parameters(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_the_memory_layout_of_the_model_does_not_change_the_accuracy(dataset, model, first_logit):
    fresh = replace(model, backbone=copy.deepcopy(model.backbone).to(memory_format=torch.contiguous_format))
    used = replace(model, backbone=copy.deepcopy(model.backbone).to(memory_format=torch.channels_last))
    regime = FullFineTuning(replace(GRID, learning_rates=(1e-3,), weight_decays=(0.01,)))
    assert regime(pairing(dataset, fresh), silent) == regime(pairing(dataset, used), silent)


def test_halving_trains_fewer_steps_and_reports_the_stopped_points(dataset, model):
    steps = []
    protocol = replace(GRID, rungs=(2, 4), augmentation="none", mixup=0.0)
    accuracy = FullFineTuning(protocol)(pairing(dataset, model), lambda description, total: lambda: steps.append(total))
    # 4 points for 2 steps, 2 for 2, 1 for 2, and the final training.
    assert len(steps) == steps[0] == 4 * 2 + 2 * 2 + 1 * 2 + 6
    assert accuracy.chosen["stopped_early"] == 3
    assert accuracy.steps == 6


class Curves:
    """Keeps the points of curves by name and kind."""

    def __init__(self):
        self.points = {}

    def progress(self, **changed):
        pass

    def curve(self, name, step, values):
        for kind, value in values.items():
            self.points.setdefault((name, kind), []).append((step, value))


def test_loss_and_accuracy_are_reported_by_step_for_each_point_and_the_final_training(dataset, model):
    curves, protocol = Curves(), replace(GRID, mixup=0.0, weight_decays=(0.01,))
    with listen(curves):
        accuracy = FullFineTuning(protocol)(pairing(dataset, model), silent)
    best = accuracy.chosen["learning_rate"]
    names = {"net lr=0.001", "net lr=0.004", f"net final lr={best:g}"}
    kinds = ("train_loss", "train_accuracy", "held_out_accuracy")
    assert curves.points.keys() == {(name, kind) for name in names for kind in kinds}
    assert curves.points[f"net final lr={best:g}", "held_out_accuracy"] == [(6, accuracy.value)]
    assert [step for step, _ in curves.points["net lr=0.001", "train_loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_diverging_point_loses_and_diverging_everywhere_is_an_error(dataset, model):
    diverging = replace(GRID, steps=3, learning_rates=(1e-3, 1e30), weight_decays=(0.0,), optimizer="sgd", clip=None)
    accuracy = FullFineTuning(diverging)(pairing(dataset, model), silent)
    assert accuracy.chosen["learning_rate"] == 1e-3
    for rates in ((1e30,), (1e30, 1e31)):
        with pytest.raises(NotApplicableError, match="diverged"):
            FullFineTuning(replace(diverging, learning_rates=rates))(pairing(dataset, model), silent)


def test_augmented_views_differ_at_every_call_and_repeat_with_the_generator(dataset, model):
    positions = torch.arange(4)
    plain = prepare_images(dataset.train, model.transform, CPU)
    torch.testing.assert_close(plain(positions)[0], plain(positions)[0], rtol=0, atol=0)
    views = prepare_images(dataset.train, model.augmented, CPU, use_cache=False)
    with use_random_state(seeded_random_state(1)):
        first, second = views(positions)[0], views(positions)[0]
    with use_random_state(seeded_random_state(1)):
        again = views(positions)[0]
    assert first.shape == plain(positions)[0].shape
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_mixup_mixes_images_and_targets(dataset, model):
    plain = prepare_images(dataset.train, model.transform, CPU)
    mixed = mix_images(plain, dataset.train, 3, 0.4)
    _, targets = mixed(torch.arange(6))
    assert targets.shape == (6, 3)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
    assert (targets.max(dim=1).values < 1).any()
    assert mixed(torch.arange(5))[1].ndim == 1
    multi_label = replace(dataset.train, targets=np.eye(3, dtype=np.int64)[dataset.train.labels])
    with pytest.raises(InputError, match="mixup"):
        mix_images(plain, multi_label, 3, 0.4)
    with pytest.raises(InputError, match="augmentation=crop_flip"):
        FullFineTuning(GRID)(pairing(dataset, replace(model, augmented=None)), silent)


def test_only_the_last_block_changes_and_it_learns(dataset, model, monkeypatch):
    networks = record_networks(monkeypatch)
    protocol = replace(GRID, learning_rates=(4e-3,), weight_decays=(0.01,), mixup=0.0, steps=40)
    accuracy = LastBlockFineTuning(protocol)(pairing(dataset, model), silent)
    assert accuracy.value > 0.6, "three colours; chance is a third"
    trained = networks[0].state_dict()
    changed = {
        name
        for name, value in model.backbone.state_dict().items()
        if not torch.equal(value, trained[f"0.network.{name}"])
    }
    block = find_last_block(model)
    assert changed
    assert all(name.startswith(tuple(f"{part}." for part in block)) for name in changed)


def test_training_the_last_block_on_cached_activations_gives_the_same_result(dataset, model, monkeypatch, first_logit):
    networks = record_networks(monkeypatch)
    regime = LastBlockFineTuning(replace(GRID, learning_rates=(4e-3,), augmentation="none", mixup=0.0))
    cached = regime(pairing(dataset, model), silent)
    monkeypatch.setattr("transfer_exp.ground_truth.network.MAX_BYTES", 0)
    streamed = regime(pairing(dataset, model), silent)
    assert streamed.value == pytest.approx(cached.value, rel=1e-4), "batch by batch, where memory is short"

    def refuse_split(*arguments):
        raise NotApplicableError("cannot be split")

    monkeypatch.setattr("transfer_exp.ground_truth.last_block.split_at", refuse_split)
    unsplit = regime(pairing(dataset, model), silent)
    assert unsplit.value == pytest.approx(cached.value, rel=1e-4)
    n_parameters = [len(list(network.parameters())) for network in networks]
    assert n_parameters[0] < n_parameters[-1], "the trunk does not belong to the trained network"


def record_networks(monkeypatch):
    """Return a list that will contain the network of every training."""
    networks, run = [], Training.run

    def recorded_run(training, *rest):
        networks.append(training.network)
        run(training, *rest)

    monkeypatch.setattr(Training, "run", recorded_run)
    return networks


@pytest.mark.parametrize("regime", [FullFineTuning, LastBlockFineTuning])
def test_a_head_from_a_linear_probe_starts_with_the_accuracy_of_the_probe(dataset, model, regime, tmp_path):
    extractor = Extractor(Store(tmp_path), "cpu", 8, 0, silent)
    no_training = replace(GRID, learning_rates=(1e-12,), weight_decays=(0.0,), augmentation="none", mixup=0.0, steps=1)
    no_training = replace(no_training, head="linear_probe", batch_norm="frozen")
    accuracies = []
    for protocol in (no_training, replace(no_training, learning_rates=(1e-12, 2e-12))):
        with_features = pairing(dataset, model)
        with_features.features = lambda split: (i := getattr(dataset, split)) and extractor("net", model, i)[0]
        accuracies.append(regime(protocol)(with_features, silent).value)
    probe = fit_probe(labelled_features(with_features, "train"), 3, (1e-2,), 1e-3)
    test = labelled_features(with_features, "test")
    assert accuracies == [np.mean(probe.scores(test.features)[0].argmax(axis=1) == test.labels)] * 2


def test_frozen_batch_norms_stay_in_evaluation_mode(dataset, model, monkeypatch):
    networks = record_networks(monkeypatch)
    FullFineTuning(replace(GRID, batch_norm="frozen", learning_rates=(1e-3,)))(pairing(dataset, model), silent)
    batch_norms = [m for network in networks for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert batch_norms
    assert not any(m.training for m in batch_norms)


def test_a_family_without_a_definition_is_skipped_by_name(dataset, model):
    unknown = replace(model, identity={**model.identity, "architecture": "mystery"})
    with pytest.raises(NotApplicableError, match="timm/mystery"):
        LastBlockFineTuning(GRID)(pairing(dataset, unknown), silent)
