"""Every tracker option composes from its YAML and keeps the contract."""

from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate

from transfer_exp.tracker.tracker import ActiveRun, TrackedResults, TrackedRun, Tracker

OPTIONS = sorted((Path(__file__).parents[2] / "conf" / "tracker").glob("*.yaml"))
RUN = TrackedRun("score", {"metric": "logme", "dataset": "digits"}, {"seed": 0}, "group")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda path: path.stem)
def test_each_option_records_below_the_folder_it_is_given(option, tmp_path):
    tracker = instantiate(yaml.safe_load(option.read_text(encoding="utf-8")))
    assert isinstance(tracker, Tracker)
    run = tracker.start(RUN, tmp_path)
    if option.stem == "none":
        assert run is None
        assert not list(tmp_path.iterdir())
    else:
        assert isinstance(run, ActiveRun)
        where = run.finish(TrackedResults({"weighted_tau": 0.5}))
        assert Path(where).is_relative_to(tmp_path)
        assert Path(where).is_dir()


def test_both_options_are_there():
    assert {path.stem for path in OPTIONS} >= {"none", "wandb"}
