"""Every option file composes and can be built; every sweep names what exists."""

from __future__ import annotations

import inspect
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from transfer_exp.cli.hydra_errors import explain
from transfer_exp.cli.instantiate import build

CONF = Path(__file__).parents[1] / "conf"
GROUPS = ("model_pool", "dataset", "perturbation", "metric", "protocol", "ground_truth", "evaluation", "tracker")
LONGEST = {"protocol": 18}  # all that decides a fine-tuned accuracy stands there
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
# Fields that only the user can fill, and plain values that pass their type.
REQUIRED = {"root": "somewhere", "names": ["resnet18"], "path": "table.csv", "id": "owner/name"}
# These look for files as soon as they are built; their own tests do it.
NEEDS_FILES = {("model_pool", "checkpoints"), ("model_pool", "arrays")}


@cache
def _compose(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def _options(group: str, option: str) -> dict:
    config = deepcopy(_compose(f"{group}={option}"))
    for key in [k for k in config[group] if OmegaConf.is_missing(config[group], k)]:
        config[group][key] = REQUIRED[key]
    config.device = "cpu"
    return OmegaConf.to_container(config[group], resolve=True)


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["/".join(o) for o in OPTIONS])
def test_an_option_says_exactly_what_its_target_takes(group, option):
    from hydra.utils import get_object

    options = _options(group, option)
    options.pop("_convert_", None)  # a word to Hydra, not to the target
    taken = inspect.signature(get_object(options.pop("_target_"))).parameters
    assert set(options) == set(taken), "every hyperparameter can be seen in the file, and no other"


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["/".join(o) for o in OPTIONS])
def test_an_option_is_short_and_says_what_it_is(group, option):
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    assert len(lines) <= LONGEST.get(group, 12)
    assert any(line.startswith("# ") and "@package" not in line for line in lines[:2])


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] not in ("dataset",) and o not in NEEDS_FILES])
def test_an_option_can_be_built(group, option):
    assert build(group, _options(group, option)) is not None


@pytest.mark.parametrize("sweep", [path.stem for path in (CONF / "sweep").glob("*.yaml")])
def test_a_sweep_varies_what_exists(sweep):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"+sweep={sweep}"], return_hydra_config=True)
    for axis, values in config.hydra.sweeper.params.items():
        if (CONF / axis).is_dir():
            assert all((CONF / axis / f"{value.strip()}.yaml").is_file() for value in str(values).split(","))
        else:
            assert OmegaConf.select(config, axis) is not None, "an axis is a group, or a key that has a value"


@pytest.mark.parametrize("path", sorted((CONF / "hydra" / "launcher").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_launcher_changes_what_the_plugin_it_builds_on_knows(path):
    own = OmegaConf.load(path)
    (plugin,) = own.pop("defaults")
    lines = path.read_text().splitlines()
    assert len(lines) <= 12
    assert lines[0].startswith("# ")
    try:
        composed = _launcher(path.stem)
    except MissingConfigException as error:
        pytest.skip(explain(error))
    assert composed == OmegaConf.merge(_launcher(plugin), own)
    assert set(own) <= set(_launcher(plugin)), "a job array has no such option"


def _launcher(name: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        launcher = compose("config", overrides=[f"hydra/launcher={name}"], return_hydra_config=True).hydra.launcher
    return OmegaConf.create(OmegaConf.to_container(launcher))


def test_the_grid_of_scores_has_every_metric_and_perturbations_that_exist():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        grid = compose("score_matrix")
    assert grid.metrics is None, "a new metric needs no edit here"
    assert all((CONF / "perturbation" / f"{name}.yaml").is_file() for name in grid.perturbations)


def test_options_have_no_name_that_yaml_would_read_as_something_else():
    assert not {option for _, option in OPTIONS} & {"on", "off", "yes", "no", "null", "true", "false"}


def test_every_part_stands_alone_on_plain_arrays():
    import numpy as np
    from hydra.utils import instantiate

    config = _compose("perturbation=spread_attract", "metric=sfda")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    features = rng.normal(size=(200, 10)) + 2 * np.eye(10)[labels]
    perturbed = instantiate(config.perturbation)(features, labels, rng)
    assert np.isfinite(instantiate(config.metric)(perturbed, labels))
