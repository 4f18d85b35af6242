"""The sweep for agents of W&B: every value it names can be composed, and the agent's command is ours."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

ROOT = Path(__file__).parents[2]
SWEEP = yaml.safe_load((ROOT / "docs" / "wandb_sweep.yaml").read_text(encoding="utf-8"))
VALUES = {name: parameter["values"] for name, parameter in SWEEP["parameters"].items()}


def commands():
    """Return what an agent runs for points that have every value once, by W&B's own words for it."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    for point in zip(*VALUES.values(), strict=True):
        arguments = {name: {"value": value} for name, value in zip(VALUES, point, strict=True)}
        substitutions = {
            **create_sweep_command_args({"args": arguments}),
            "env": ["/usr/bin/env"],
            "interpreter": ["python"],
        }
        command = create_sweep_command(list(SWEEP["command"]))
        yield [word for part in command for word in (substitutions[part[2:-1]] if part.startswith("${") else [part])]


@pytest.mark.slow  # W&B is imported
def test_an_agent_runs_this_application_with_options_that_there_are():
    last = dict.fromkeys(VALUES, "")
    for command in commands():
        assert command[:4] == ["/usr/bin/env", "python", "-m", "transfer_exp"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("config", overrides=command[4:], return_hydra_config=True)
        choices = config.hydra.runtime.choices
        last = {axis: choices[axis] for axis in VALUES}
        assert (choices.ground_truth, choices.tracker, config.tracker.mode) == ("linear_probe", "wandb", "online")
    assert last == {axis: parameter[-1] for axis, parameter in VALUES.items()}


def test_what_the_sweep_goes_by_is_a_number_of_the_summary():
    from transfer_exp.evaluation.ranking import Ranking
    from transfer_exp.results.cell import ModelResult

    models = [ModelResult(str(i), float(i), i / 10) for i in range(3)]
    assert SWEEP["metric"] == {"name": "weighted_tau", "goal": "maximize"}
    assert SWEEP["metric"]["name"] in Ranking(draws=10)("logme", models).measures
