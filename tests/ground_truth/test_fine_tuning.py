"""Fine-tuning by a protocol: its grid, its views of the images, and that a kill at any moment changes nothing."""

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
from transfer_exp.ground_truth.network import PreparedImages
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.ground_truth.training import Checkpoint, Recipe, Training, seeded_random_state, use_random_state
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.progress import silent
from transfer_exp.store import Store, open_backend

GRID = Protocol(
    steps=6, batch_size=12, learning_rates=(1e-3, 4e-3), weight_decays=(0.0, 0.01), augmentation="crop_flip", mixup=0.2
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return builtin(("resnet_glyphs",)).candidates[0].load()


def pairing(dataset, model, folder=None):
    place = None if folder is None else open_backend(folder)
    return fake_pairing("net", dataset, model, place, images=lambda split: getattr(dataset, split))


class Killed(BaseException):
    """What a process meets when it is ended: nobody catches it."""


def killed_after(steps, monkeypatch):
    """Let the process end before training step number ``steps`` of those still to come."""
    left, one = [steps], Training._train_step

    def step(training, *batch):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        one(training, *batch)

    monkeypatch.setattr(Training, "_train_step", step)


def test_the_grid_is_the_product_and_decay_may_hang_on_the_rate():
    points = [(r.learning_rate, r.weight_decay) for r in GRID.grid()]
    assert points == [(1e-3, 0.0), (1e-3, 0.01), (4e-3, 0.0), (4e-3, 0.01)]
    over = replace(GRID, decay_over_rate=True).grid()
    assert [r.weight_decay for r in over] == [0.0, 10.0, 0.0, 2.5]


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
def test_a_protocol_out_of_range_is_refused_by_name(change):
    with pytest.raises(InputError, match=f"protocol.{next(iter(change))}="):
        replace(GRID, **change)


@pytest.mark.slow
@pytest.mark.parametrize("rungs", [(), (2, 4)], ids=["whole grid", "halving"])
@pytest.mark.parametrize("always", [True, False], ids=["written at every step", "written after runs"])
def test_a_killed_run_goes_on_to_the_same_bits(dataset, model, tmp_path, monkeypatch, rungs, always):
    monkeypatch.setattr(Checkpoint, "is_due", property(lambda self: always and self.folder is not None))
    # The first logit of the test set instead of an accuracy, which hides all but gross differences.
    name = "transfer_exp.ground_truth.fine_tune.compute_measure"
    monkeypatch.setattr(name, lambda measure, scores, *rest: float(scores[0, 0]))
    regime = FullFineTuning(replace(GRID, rungs=rungs))
    whole = regime(pairing(dataset, model), silent)
    for steps in (0, 1, 5, 2, 3):
        with monkeypatch.context() as patch:
            killed_after(steps, patch)
            with pytest.raises(Killed):
                regime(pairing(dataset, model, tmp_path), silent)
    assert regime(pairing(dataset, model, tmp_path), silent) == whole
    assert len(list(tmp_path.glob("*.pt"))) == 5


@pytest.mark.parametrize("rungs", [(), (2, 4)], ids=["whole grid", "halving"])
def test_points_trained_apart_leave_the_regime_what_comes_after(dataset, model, tmp_path, monkeypatch, rungs):
    regime = FullFineTuning(replace(GRID, rungs=rungs))
    whole = regime(pairing(dataset, model), silent)
    for point in (2, 0, 3, 1):
        assert not regime.train_point(pairing(dataset, model, tmp_path), point, silent)
        assert regime.train_point(pairing(dataset, model, tmp_path), point, silent)
    trained, run = [], Training.run

    def counted(training, until, *rest):
        trained.append(until - training.step)
        run(training, until, *rest)

    monkeypatch.setattr(Training, "run", counted)
    assert regime(pairing(dataset, model, tmp_path), silent) == whole
    assert trained == ([2, 2, 2, 6] if rungs else [6])


def test_what_is_done_is_not_done_again(dataset, model, tmp_path, monkeypatch):
    regime = FullFineTuning(replace(GRID, steps=2))
    first = regime(pairing(dataset, model, tmp_path), silent)
    monkeypatch.setattr(Training, "run", lambda *a: pytest.fail("trained again"))
    assert regime(pairing(dataset, model, tmp_path), silent) == first


def test_a_checkpoint_cut_off_is_as_good_as_none(tmp_path):
    kept = Checkpoint(open_backend(tmp_path), "a.pt")
    assert kept.read() == {}
    kept.write({"step": 3, "network": {"w": torch.ones(2)}})
    assert kept.read()["step"] == 3
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    assert kept.read() == {}
    path.write_bytes(b"")
    assert kept.read() == {}


def test_runs_that_take_turns_do_not_see_each_other():
    def training(seed):
        with use_random_state(seeded_random_state(seed)):
            network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        images, labels = torch.arange(80.0).reshape(20, 4) / 40, torch.arange(20) % 2
        noisy = lambda i: (images[i] + torch.randn(len(i), 4), labels[i])  # noqa: E731
        return Training(network, noisy, 20, Recipe(8, 5, 0.05), seed)

    alone = training(1)
    alone.run(8)
    one, other = training(1), training(2)
    for until in (2, 5, 8):
        one.run(until)
        other.run(until)
    for ours, theirs in zip(alone.network.parameters(), one.network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_what_was_done_with_the_model_before_does_not_show(dataset, model, monkeypatch):
    name = "transfer_exp.ground_truth.fine_tune.compute_measure"
    monkeypatch.setattr(name, lambda measure, scores, *rest: float(scores[0, 0]))
    fresh = replace(model, backbone=copy.deepcopy(model.backbone).to(memory_format=torch.contiguous_format))
    used = replace(model, backbone=copy.deepcopy(model.backbone).to(memory_format=torch.channels_last))
    regime = FullFineTuning(GRID)
    assert regime(pairing(dataset, fresh), silent) == regime(pairing(dataset, used), silent)


def test_halving_trains_fewer_steps_and_says_what_it_skipped(dataset, model):
    steps = []
    protocol = replace(GRID, rungs=(2, 4), augmentation="none", mixup=0.0)
    accuracy = FullFineTuning(protocol)(pairing(dataset, model), lambda what, total: lambda: steps.append(total))
    # 4 points for 2 steps, 2 for 2, 1 for 2, and the final training.
    assert len(steps) == steps[0] == 4 * 2 + 2 * 2 + 1 * 2 + 6
    assert accuracy.chosen["stopped_early"] == 3
    assert accuracy.steps == 6


def test_a_point_that_diverges_loses_and_all_of_them_end_it(dataset, model):
    wild = replace(GRID, learning_rates=(1e-3, 1e30), weight_decays=(0.0,), optimizer="sgd", clip=None)
    accuracy = FullFineTuning(wild)(pairing(dataset, model), silent)
    assert accuracy.chosen["learning_rate"] == 1e-3
    for rates in ((1e30,), (1e30, 1e31)):
        with pytest.raises(NotApplicableError, match="diverged"):
            FullFineTuning(replace(wild, learning_rates=rates))(pairing(dataset, model), silent)


def test_augmented_views_differ_at_every_look_and_repeat_with_the_generator(dataset, model):
    positions = torch.arange(4)
    plain = PreparedImages(dataset.train, model.transform, CPU)
    torch.testing.assert_close(plain(positions)[0], plain(positions)[0], rtol=0, atol=0)
    views = PreparedImages(dataset.train, model.augmented, CPU, cache=False)
    with use_random_state(seeded_random_state(1)):
        first, second = views(positions)[0], views(positions)[0]
    with use_random_state(seeded_random_state(1)):
        again = views(positions)[0]
    assert first.shape == plain(positions)[0].shape
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_mixup_mixes_images_and_classes_alike(dataset, model):
    plain = PreparedImages(dataset.train, model.transform, CPU)
    pairs = mix_images(plain, dataset.train, 3, 0.4)
    _, targets = pairs(torch.arange(6))
    assert targets.shape == (6, 3)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
    assert (targets.max(dim=1).values < 1).any()
    assert pairs(torch.arange(5))[1].ndim == 1
    several = replace(dataset.train, targets=np.eye(3, dtype=np.int64)[dataset.train.labels])
    with pytest.raises(InputError, match="mixup"):
        mix_images(plain, several, 3, 0.4)
    with pytest.raises(InputError, match="augmentation=crop_flip"):
        FullFineTuning(GRID)(pairing(dataset, replace(model, augmented=None)), silent)


def test_the_last_block_learns_and_the_rest_stays_as_it_was(dataset, model, monkeypatch):
    networks = []
    run = Training.run

    def spy(training, *rest):
        networks.append(training.network)
        run(training, *rest)

    monkeypatch.setattr(Training, "run", spy)
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


def test_the_last_block_is_trained_on_stored_activations_to_the_same_end(dataset, model, monkeypatch):
    name = "transfer_exp.ground_truth.fine_tune.compute_measure"
    monkeypatch.setattr(name, lambda measure, scores, *rest: float(scores[0, 0]))
    seen = []
    run = Training.run

    def spy(training, *rest):
        seen.append(len(list(training.network.parameters())))
        run(training, *rest)

    monkeypatch.setattr(Training, "run", spy)
    regime = LastBlockFineTuning(replace(GRID, learning_rates=(4e-3,), augmentation="none", mixup=0.0))
    stored = regime(pairing(dataset, model), silent)
    monkeypatch.setattr("transfer_exp.ground_truth.network.MAX_BYTES", 0)
    again = regime(pairing(dataset, model), silent)
    assert again.value == pytest.approx(stored.value, rel=1e-4), "computed batch by batch where memory is short"
    monkeypatch.setattr("transfer_exp.ground_truth.last_block.split_at", _refuse)
    through = regime(pairing(dataset, model), silent)
    assert through.value == pytest.approx(stored.value, rel=1e-4)
    assert seen[0] < seen[-1], "the trunk is no part of what is trained"


def _refuse(*given):
    raise NotApplicableError("cannot be split")


@pytest.mark.parametrize("regime", [FullFineTuning, LastBlockFineTuning])
def test_a_head_from_a_linear_probe_begins_where_that_ends(dataset, model, regime, tmp_path):
    extractor = Extractor(Store(tmp_path), "cpu", 8, 0, silent)
    still = replace(GRID, learning_rates=(1e-12,), weight_decays=(0.0,), augmentation="none", mixup=0.0, steps=1)
    still = replace(still, head="linear_probe", batch_norm="frozen")
    accuracies = []
    for protocol in (still, replace(still, learning_rates=(1e-12, 2e-12))):
        place = pairing(dataset, model)
        place.features = lambda split: (i := getattr(dataset, split)) and extractor("net", model, i)[0]
        accuracies.append(regime(protocol)(place, silent).value)
    probe = fit_probe(labelled_features(place, "train"), 3, (1e-2,), 1e-3)
    test = labelled_features(place, "test")
    assert accuracies == [np.mean(probe.scores(test.features)[0].argmax(axis=1) == test.labels)] * 2


def test_frozen_batch_norms_stay_still(dataset, model, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Training,
        "run",
        lambda t, *_: seen.extend(m.training for m in t.network.modules() if isinstance(m, nn.BatchNorm2d)),
    )
    FullFineTuning(replace(GRID, batch_norm="frozen", learning_rates=(1e-3,)))(pairing(dataset, model), silent)
    assert seen
    assert not any(seen)


def test_a_family_without_a_definition_is_skipped_by_name(dataset, model):
    unknown = replace(model, identity={**model.identity, "architecture": "mystery"})
    with pytest.raises(NotApplicableError, match="timm/mystery"):
        LastBlockFineTuning(GRID)(pairing(dataset, unknown), silent)
