"""Every option file composes and can be built, and every sweep varies existing options."""

from __future__ import annotations

import inspect
import re
from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

from transfer_exp.cli.hydra_errors import explain
from transfer_exp.cli.instantiate import build
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.cli.score_matrix import _refuse_single_options, compose_option, split_label
from transfer_exp.errors import InputError

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[1] / "conf"
GROUPS = ("model_pool", "dataset", "perturbation", "metric", "protocol", "ground_truth", "evaluation", "tracker")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
# Values of the right type for fields that every user has to set.
REQUIRED = {"root": "somewhere", "names": ["resnet18"], "path": "table.csv", "id": "owner/name"}
# These read files when they are built; other tests build them.
NEEDS_FILES = {("model_pool", "checkpoints"), ("model_pool", "arrays"), ("ground_truth", "table")}
# Trackers whose package, of the same name as the option and its extra, is not always installed.
PACKAGES = ("mlflow", "tensorboard")


@cache
def _compose(*overrides: str):
    return CommandLine(overrides).compose([])


def _options(group: str, option: str) -> dict:
    config = deepcopy(_compose(f"{group}={option}"))
    for key in [k for k in config[group] if OmegaConf.is_missing(config[group], k)]:
        config[group][key] = REQUIRED[key]
    config.device = "cpu"
    return OmegaConf.to_container(config[group], resolve=True)


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["/".join(o) for o in OPTIONS])
def test_an_option_lists_all_arguments_of_its_target_and_no_others(group, option):
    from hydra.utils import get_object

    options = _options(group, option)
    options.pop("_convert_", None)  # read by Hydra, not by the target
    parameters = inspect.signature(get_object(options.pop("_target_"))).parameters
    assert set(options) == set(parameters), "the file shows every hyperparameter"


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] in ("metric", "perturbation")])
def test_an_option_of_a_score_matrix_has_the_settings_that_hydra_composes(group, option):
    composed = OmegaConf.to_container(_compose(f"{group}={option}"), resolve=True)
    assert compose_option(group, option, composed["seed"]) == composed[group]


def test_a_value_in_a_label_may_be_a_list():
    assert split_label("metric", "a(x=[1, 2], y.z={b: [3], c: 4},w=5)") == (
        "a",
        ["x=[1, 2]", "y.z={b: [3], c: 4}", "w=5"],
    )


@pytest.mark.parametrize("label", ["a(x)", "a(x=1, 2)", "a(x=[1, 2)", "a(x='1, 2')", "a(x=(1))"])
def test_a_label_with_another_form_is_refused(label):
    with pytest.raises(InputError, match=r"is not an option: write NAME or NAME\(KEY=VALUE, ...\)$"):
        split_label("metric", label)


@pytest.mark.parametrize("prefix", ["", "+", "++"])
@pytest.mark.parametrize("setting", ["metric=knn", "metric.k=3", "perturbation.dim=2", "shots=5"])
def test_a_single_option_of_a_score_matrix_is_refused_with_any_prefix(prefix, setting):
    with pytest.raises(InputError, match=f"^{re.escape(prefix + setting)} has no effect on a score matrix"):
        _refuse_single_options(["metrics=[knn]", "dataset=shapes", prefix + setting])


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["/".join(o) for o in OPTIONS])
def test_an_option_starts_with_a_description(group, option):
    lines = (CONF / group / f"{option}.yaml").read_text().splitlines()
    assert any(line.startswith("# ") and "@package" not in line for line in lines[:2])


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] not in ("dataset",) and o not in NEEDS_FILES])
def test_an_option_can_be_built(group, option):
    options = _options(group, option)
    if option == "several":
        options["trackers"] = {"none": _options("tracker", "none")}
    if group == "tracker" and option in PACKAGES and find_spec(option) is None:
        message = f"tracker={option} needs the package {option}: pip install 'transfer-exp[{option}]'"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            build(group, options)
    else:
        assert build(group, options) is not None


@pytest.mark.parametrize("sweep", [path.stem for path in (CONF / "sweep").glob("*.yaml")])
def test_a_sweep_varies_existing_options_and_keys(sweep):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"+sweep={sweep}"], return_hydra_config=True)
    for axis, values in config.hydra.sweeper.params.items():
        if (CONF / axis).is_dir():
            assert all((CONF / axis / f"{value.strip()}.yaml").is_file() for value in str(values).split(","))
        else:
            assert OmegaConf.select(config, axis) is not None, "an axis is a group, or a key that has a value"


@pytest.mark.parametrize("path", sorted((CONF / "hydra" / "launcher").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_launcher_sets_only_options_of_its_plugin(path):
    settings = OmegaConf.load(path)
    (plugin,) = settings.pop("defaults")
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    try:
        composed = _launcher(path.stem)
    except MissingConfigException as error:
        pytest.skip(explain(error))
    assert composed == OmegaConf.merge(_launcher(plugin), settings)
    assert set(settings) <= set(_launcher(plugin)), "the plugin has no such option"


def _launcher(name: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        launcher = compose("config", overrides=[f"hydra/launcher={name}"], return_hydra_config=True).hydra.launcher
    return OmegaConf.create(OmegaConf.to_container(launcher))


def test_the_score_matrix_has_every_metric_and_existing_perturbations():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        matrix = compose("score_matrix")
    assert matrix.metrics is None, "a new metric is included by default"
    assert all((CONF / "perturbation" / f"{name}.yaml").is_file() for name in matrix.perturbations)


def test_no_option_has_a_name_that_yaml_reads_as_another_type():
    assert not {option for _, option in OPTIONS} & {"on", "off", "yes", "no", "null", "true", "false"}


def test_hydra_builds_parts_that_work_on_plain_arrays():
    import numpy as np
    from hydra.utils import instantiate

    config = _compose("perturbation=spread_attract", "metric=sfda")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    features = rng.normal(size=(200, 10)) + 2 * np.eye(10)[labels]
    perturbed = instantiate(config.perturbation)(features, labels, rng)
    assert np.isfinite(instantiate(config.metric)(perturbed, labels))
