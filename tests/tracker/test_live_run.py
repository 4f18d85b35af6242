"""A run is recorded from its start to its end, whatever becomes of the work and of the service."""

from pathlib import Path

import pytest

from transfer_exp import progress
from transfer_exp.errors import InputError
from transfer_exp.tracker import live_run
from transfer_exp.tracker.live_run import LiveRun
from transfer_exp.tracker.tracker import NoTracker, TrackedResults, TrackedRun

RUN = TrackedRun("score", {"metric": "logme"}, {})


class ListTracker:
    """Keeps the calls in memory."""

    def __init__(self, breaks=False):
        self.calls, self.breaks = [], breaks

    def start(self, run, folder):
        self.calls.append(("start", run.stage))
        return self

    def log(self, axis, position, values):
        if self.breaks:
            raise OSError("the service is gone")
        self.calls.append((axis, dict(values)))

    def finish(self, results):
        self.calls.append(("finish", dict(results.summary)))
        return "runs/7"

    def fail(self, reason):
        self.calls.append(("fail", reason))


@pytest.fixture(autouse=True)
def _record_all_progress(monkeypatch):
    monkeypatch.setattr(live_run, "_INTERVAL", 0.0)


def test_progress_and_curves_reach_the_tracker_between_start_and_end(tmp_path):
    tracker = ListTracker()
    with LiveRun(tracker, RUN, tmp_path) as run:
        progress.phase("checking the images")
        with progress.progress_bars(2, "models") as (track, advance):
            track("features of a", 4)
            progress.curve("a lr=0.1", 3, {"train_loss": 0.5})
            advance()
        assert run.finish(TrackedResults({"weighted_tau": 1.0})) == "runs/7"
    assert tracker.calls[0] == ("start", "score")
    assert ("progress/seconds", {"progress/phase": "checking the images"}) in tracker.calls
    assert ("training/step", {"train_loss/a lr=0.1": 0.5}) in tracker.calls
    last = {"progress/phase": "done", "progress/models_done": 1, "progress/models": 2}
    assert tracker.calls[-2:] == [("progress/seconds", last), ("finish", {"weighted_tau": 1.0})]
    progress.phase("after the run")
    assert tracker.calls[-1][0] == "finish"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("no model can be scored"), "no model can be scored"),
        (ValueError("https://user:secret@host is gone\nand more"), "https://...@host is gone"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_run_ends_as_failed_with_the_work(tmp_path, error, reason):
    tracker = ListTracker()
    with pytest.raises(type(error)), LiveRun(tracker, RUN, tmp_path):
        raise error
    assert tracker.calls == [("start", "score"), ("fail", reason)]


def test_a_service_that_refuses_the_progress_is_not_asked_again_and_the_work_goes_on(tmp_path, caplog):
    tracker = ListTracker(breaks=True)
    with LiveRun(tracker, RUN, tmp_path) as run:
        progress.phase("a")
        progress.phase("b")
        run.finish(TrackedResults())
    assert tracker.calls == [("start", "score"), ("finish", {})]
    assert caplog.text.count("the tracker does not record the progress any more: the service is gone") == 1


def test_without_a_tracker_nothing_listens(tmp_path):
    with LiveRun(NoTracker(), RUN, tmp_path) as run:
        assert progress._listener is None
        assert run.finish(TrackedResults()) is None
    assert list(Path(tmp_path).iterdir()) == []


def test_settings_are_plain_nested_values_with_the_options_by_name():
    protocol = {"_target_": "a.Protocol", "steps": 3}
    config = {
        "metric": {"_target_": "a.b.Fusion", "metrics": [{"_target_": "a.b.LogME"}, {"_target_": "a.b.Parc", "k": 2}]},
        "protocol": protocol,
        "ground_truth": {"_target_": "a.Full", "protocol": protocol, "seed": 0},
        "seed": 0,
    }
    options = {"metric": "fusion", "protocol": "quick", "ground_truth": "full"}
    run = TrackedRun("score", {"metric": "fusion"}, config, options=options, environment={"git": {"dirty": True}})
    assert run.settings == {
        "metric": {"option": "fusion", "metrics": [{"option": "LogME"}, {"option": "Parc", "k": 2}]},
        "protocol": {"option": "quick", "steps": 3},
        "ground_truth": {"option": "full", "seed": 0},
        "seed": 0,
        "cell": {"metric": "fusion"},
        "git": {"dirty": True},
    }
    assert "_target_" not in str(run.settings)
