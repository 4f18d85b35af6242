"""`build` passes options of the right type to targets in allowed packages, and refuses everything else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Union

import numpy as np
import pytest

from transfer_exp.cli import instantiate
from transfer_exp.cli.instantiate import build, build_all
from transfer_exp.errors import InputError
from transfer_exp.ground_truth.protocol import Protocol
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.sequence import Sequence
from transfer_exp.perturbation.spread import Spread

STEPS = "transfer_exp.perturbation"
SEQUENCE = {"_target_": f"{STEPS}.sequence.Sequence"}
PCA, SPREAD = {"_target_": f"{STEPS}.pca.Pca"}, {"_target_": f"{STEPS}.spread.Spread"}
PROTOCOL = {
    "_target_": "transfer_exp.ground_truth.protocol.Protocol",
    **{"steps": 5, "batch_size": 4, "learning_rates": [1e-3], "weight_decays": [0.0]},
}


def test_options_become_fields_and_lists_become_tuples():
    built = build("protocol", {**PROTOCOL, "steps": 7, "learning_rates": [1e-3, 1]})
    assert built == Protocol(7, 4, learning_rates=(1e-3, 1.0), weight_decays=(0.0,))
    assert "1.0" in repr(built), "the printed form is a key of the store"
    assert hash(built)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**PROTOCOL, "step": 3}, "no setting 'step': did you mean steps"),
        ({**PROTOCOL, "steps": "many"}, "protocol.steps=many: need a whole number"),
        ({**PROTOCOL, "learning_rates": 0.1}, "learning_rates=0.1: need a list of numbers"),
        ({**PROTOCOL, "optimizer": "???"}, "set protocol.optimizer="),
        ({"_target_": "os.system", "command": "true"}, "may not run 'os.system'"),
        ({**PROTOCOL, 1: 2}, "no setting '1': available: "),
        ({**PROTOCOL, True: 2}, "no setting 'True': available: "),
        ({"_target_": ["os.system"]}, r"_target_=\['os.system'\], which names nothing in Python"),
        ({"_target_": "/root"}, "_target_=/root, which names nothing in Python: write package.module.Name"),
        ({"_target_": "os.system; os"}, "which names nothing in Python"),
        ({"_target_": "builtins.exec"}, "may not run"),
        ({"_target_": "transfer_exp.ground_truth.full.subprocess"}, "transfer_exp.ground_truth.full.subprocess"),
        ({"_target_": "transfer_exp.model_pool.weight_files.torch.load"}, "may not run"),
    ],
)
def test_bad_options_are_one_clear_line(options, message):
    with pytest.raises(InputError, match=message):
        build("protocol", options)


def test_an_int_is_accepted_for_a_float_but_not_the_reverse():
    assert type(build("protocol", {**PROTOCOL, "mixup": 0}).mixup) is float
    with pytest.raises(InputError, match="steps"):
        build("protocol", {**PROTOCOL, "steps": 2.5})


def test_the_type_of_every_item_of_a_list_is_checked():
    rates = [0.1] * 30
    for i in (0, 7, 29):
        wrong = [*rates[:i], "fast", *rates[i + 1 :]]
        with pytest.raises(InputError, match=rf"protocol.learning_rates.{i}=fast: need a number"):
            build("protocol", {**PROTOCOL, "learning_rates": wrong})


def test_targets_within_options_are_built_at_any_depth():
    inner = {**SEQUENCE, "_convert_": "all", "steps": [{**SPREAD, "force": 2}, {**PCA, "dim": 3}]}
    built = build("perturbation", {**SEQUENCE, "steps": [{**PCA, "dim": 8}, inner]})
    assert built == Sequence((Pca(8), Sequence((Spread(2.0), Pca(3)))))
    assert "force=2.0" in repr(built), "an int becomes a float in nested options too"
    assert hash(built)


def test_a_list_of_perturbations_is_not_empty():
    with pytest.raises(InputError, match=r"perturbation\.steps=\(\): need a list of perturbations"):
        build("perturbation", {**SEQUENCE, "steps": []})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"_target_": "os.system", "command": "true"}, "perturbation.steps.1 may not run 'os.system'"),
        ({"_target_": f"{STEPS}.pca.np.load", "file": "x"}, "perturbation.steps.1 may not run"),
        ({"_target_": "transfer_exp.store.store.Store", "root": "x"}, "perturbation.steps.1 may not run"),
        ({"_target_": "transfer_exp.metric.knn.KNN"}, "perturbation.steps.1 may not run"),
        ({**PCA, "dims": 3}, "perturbation.steps.1 has no setting 'dims': did you mean dim"),
        ({**PCA, "dim": "many"}, "perturbation.steps.1.dim=many: need a whole number"),
        ({**PCA, "dim": "???"}, r"perturbation.steps.1.dim has no value: set perturbation.steps.1.dim="),
        ({**SEQUENCE, "steps": [{"_target_": "builtins.exec"}]}, "perturbation.steps.1.steps.0 may not run"),
        ({"held": {"_target_": "builtins.exec"}}, "perturbation.steps.1.held may not run"),
        ({"dim": 3}, "perturbation.steps.1={'dim': 3}: need Perturbation"),
        ({**PCA, "_partial_": True}, "has no setting '_partial_'"),
    ],
)
def test_the_same_rules_apply_to_targets_within_options(step, message):
    with pytest.raises(InputError, match=message):
        build("perturbation", {**SEQUENCE, "steps": [SPREAD, step]})


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch):
    """Return a function that allows the packages of an environment variable for the rest of the test."""
    source = """
from os import system
from transfer_exp.metric.knn import KNN
class Margin:
    name = "margin"
def constant(value: float) -> float:
    return value
def knn(k: int) -> KNN:
    return KNN(k)
"""
    (tmp_path / "my_metrics.py").write_text(source)
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)
    monkeypatch.syspath_prepend(tmp_path)

    def trust(packages: str) -> None:
        monkeypatch.setenv("TRANSFER_EXP_TRUST", packages)
        instantiate.read_trust()

    trust("")
    yield trust
    trust("")
    sys.modules.pop("my_metrics", None)


def test_the_users_own_package_is_run_only_if_the_environment_allowed_it_before(own_package, monkeypatch):
    options = {"_target_": "my_metrics.knn", "k": 3}
    monkeypatch.setenv("TRANSFER_EXP_TRUST", "my_metrics")
    with pytest.raises(InputError, match="set TRANSFER_EXP_TRUST=my_metrics in the environment"):
        build("metric", options)  # the variable was set after it was read
    own_package("other:my_metrics")
    assert build("metric", options).k == 3


def test_a_target_of_a_trusted_package_is_defined_there_and_makes_what_the_group_needs(own_package):
    own_package("my_metrics")
    with pytest.raises(InputError, match=r"metric may not run 'my_metrics.system': it is not of my_metrics"):
        build("metric", {"_target_": "my_metrics.system", "command": "true"})
    with pytest.raises(
        InputError, match=r"metric: cannot import 'my_metrics.system' of _target_=my_metrics.system.run"
    ):
        build("metric", {"_target_": "my_metrics.system.run"})
    with pytest.raises(InputError, match=r"metric: 'my_metrics' has no 'Margn': did you mean Margin"):
        build("metric", {"_target_": "my_metrics.Margn"})
    with pytest.raises(InputError, match=r"my_metrics.Margin makes Margin without source, lower, upper, .*__call__"):
        build("metric", {"_target_": "my_metrics.Margin"})
    with pytest.raises(InputError, match=r"metric needs a Metric or PoolMetric, and my_metrics.constant makes float"):
        build("metric", {"_target_": "my_metrics.constant", "value": 3.0})


@pytest.mark.parametrize("group", sorted(instantiate._KINDS))
def test_no_group_runs_a_target_of_another_one(group):
    own = instantiate.shipped_targets(group)
    assert own
    for other in set(instantiate._KINDS) - {group}:
        for target in sorted(instantiate.shipped_targets(other) - own)[:3]:
            with pytest.raises(InputError, match=f"{group} may not run '{target}'"):
                build(group, {"_target_": target})


def test_shots_and_seed_choose_the_scoring_set_of_any_dataset(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "m.npz"
    np.savez(path, features=rng.normal(size=(30, 2)), labels=np.arange(30) % 3)
    digits = {"_target_": "transfer_exp.dataset.digits.digits", "train_per_class": 8}
    arrays = {"_target_": "transfer_exp.dataset.arrays.arrays", "root": str(path)}
    for options in (digits, arrays):
        config = {"dataset": options, "shots": 4, "seed": 1}
        first, second = (build_all(["dataset"], {**config, "seed": seed})["dataset"] for seed in (1, 2))
        whole = build_all(["dataset"], {**config, "shots": None})["dataset"]
        assert len(first.scoring_set) == 4 * len(first.class_names) < len(whole.scoring_set)
        assert first.content_digest(with_splits=False) != second.content_digest(with_splits=False)
        with pytest.raises(InputError, match=r"shots=11: class '0' has only (8|10) training images: set at most"):
            build_all(["dataset"], {**config, "shots": 11})


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number, or null"),
        (Union[float, None], "a number, or null"),  # noqa: UP007
        (tuple[float, ...], "a list of numbers"),
        (Literal["none", "crop_flip"], "none or crop_flip"),
        (Mapping[str, int], "a mapping"),
        (Callable, "Callable"),
    ],
    ids=str,
)
def test_a_wrong_value_is_answered_with_what_fits(hint, words):
    with pytest.raises(InputError, match=re.escape(f"metric.x=[[]]: need {words}")):
        instantiate._check_type("metric.x", [[]], hint)
