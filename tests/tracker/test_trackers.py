"""Every tracker option composes from its YAML and keeps the contract."""

from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate

from transfer_exp.cli.instantiate import build
from transfer_exp.cli.job_labels import to_plain
from transfer_exp.cli.overrides import CommandLine, expand_trackers
from transfer_exp.errors import InputError
from transfer_exp.tracker.tracker import ActiveRun, NoTracker, SeveralTrackers, TrackedResults, TrackedRun, Tracker
from transfer_exp.tracker.wandb import WandbTracker

pytestmark = pytest.mark.slow

OPTIONS = sorted((Path(__file__).parents[2] / "conf" / "tracker").glob("*.yaml"))
EXTRAS = ("mlflow", "tensorboard")
RUN = TrackedRun("score", {"metric": "logme", "dataset": "digits"}, {"seed": 0}, "group")


@pytest.mark.parametrize(
    "option",
    [pytest.param(p, marks=pytest.mark.trackers if p.stem in EXTRAS else ()) for p in OPTIONS if p.stem != "several"],
    ids=lambda path: path.stem,
)
def test_each_option_records_below_the_folder_it_is_given(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracker = instantiate(yaml.safe_load(option.read_text(encoding="utf-8")))
    assert isinstance(tracker, Tracker)
    run = tracker.start(RUN, tmp_path)
    if option.stem == "none":
        assert run is None
        assert not list(tmp_path.iterdir())
    else:
        assert isinstance(run, ActiveRun)
        where = run.finish(TrackedResults({"weighted_tau": 0.5}))
        where = Path(where.partition(" run ")[0].removeprefix("file://"))
        assert where.is_relative_to(tmp_path)
        assert where.is_dir()


def test_the_options_are_there():
    assert {path.stem for path in OPTIONS} == {"none", "wandb", "several", *EXTRAS}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(name, monkeypatch):
    monkeypatch.setattr("transfer_exp.tracker.tracker.find_spec", lambda package: None)
    with pytest.raises(
        InputError, match=rf"tracker={name} needs the package {name}: pip install 'transfer-exp\[{name}\]'"
    ):
        build("tracker", yaml.safe_load((OPTIONS[0].parent / f"{name}.yaml").read_text(encoding="utf-8")))


class ListTracker:
    """Keeps the calls in memory; ``breaks`` names the calls that fail."""

    def __init__(self, breaks=()):
        self.calls, self.breaks = [], breaks

    def _add(self, call):
        if call in self.breaks:
            raise OSError(f"{call} is refused")
        self.calls.append(call)

    def start(self, run, folder):
        self._add("start")
        return self

    def log(self, axis, position, values):
        self._add("log")

    def finish(self, results):
        self._add("finish")
        return f"record {len(self.calls)}"

    def fail(self, reason):
        self._add("fail")


def test_several_trackers_get_everything(tmp_path):
    first, second = ListTracker(), ListTracker()
    run = SeveralTrackers({"a": first, "b": second, "none": NoTracker()}).start(RUN, tmp_path)
    run.log("progress/seconds", 1, {"progress/models": 2})
    assert run.finish(TrackedResults()) == "record 3, record 3"
    assert first.calls == second.calls == ["start", "log", "finish"]
    assert SeveralTrackers({"none": NoTracker()}).start(RUN, tmp_path) is None


def test_a_tracker_that_fails_does_not_stop_the_others(tmp_path, caplog):
    first, second = ListTracker(breaks=("log", "finish")), ListTracker()
    run = SeveralTrackers({"a": first, "b": second}).start(RUN, tmp_path)
    for _ in range(2):
        run.log("progress/seconds", 1, {"progress/models": 2})
    with pytest.raises(InputError, match="finish is refused"):
        run.finish(TrackedResults())
    assert second.calls == ["start", "log", "log", "finish"]
    assert caplog.text.count("log is refused") == 1


def test_a_run_that_one_tracker_refuses_ends_as_failed_with_the_others(tmp_path):
    first, second = ListTracker(), ListTracker(breaks=("start",))
    with pytest.raises(OSError, match="start is refused"):
        SeveralTrackers({"a": first, "b": second}).start(RUN, tmp_path)
    assert first.calls == ["start", "fail"]


def test_a_list_of_trackers_on_the_command_line():
    assert expand_trackers(["seed=1", "tracker=[wandb, tensorboard]"]) == [
        "seed=1",
        "tracker=several",
        "+tracker@tracker.trackers.wandb=wandb",
        "+tracker@tracker.trackers.tensorboard=tensorboard",
    ]
    assert expand_trackers(["tracker=[wandb]", "tracker=[]", "tracker=none"]) == [
        "tracker=wandb",
        "tracker=[]",
        "tracker=none",
    ]
    line = CommandLine(expand_trackers(["tracker=[wandb,none]", "tracker.trackers.wandb.per=sweep"]))
    tracker = build("tracker", to_plain(line.compose([]).tracker))
    assert tracker.trackers == {"wandb": WandbTracker(per="sweep"), "none": NoTracker()}
