"""Mistakes in the choices of a sweep show before its first job; neither their cost nor memory grows with the jobs."""

from __future__ import annotations

import gc
from itertools import product
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

from tests.command import run_command
from transfer_exp.cli import main
from transfer_exp.cli.hydra_callback import check_choices

pytestmark = pytest.mark.slow


def composed_jobs(batch):
    """Return the jobs that are composed, where only metric and perturbation are config groups."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # at the top, Hydra would load it twice

    composed = []
    loader = SimpleNamespace(
        get_group_options=lambda group: ["some"] if group in ("metric", "perturbation") else [],
        load_sweep_config=lambda master_config, sweep_overrides: (
            composed.append(tuple(sweep_overrides)) or OmegaConf.create()
        ),
    )
    sweeper = BasicSweeper(max_batch_size=None)
    sweeper.hydra_context = SimpleNamespace(config_loader=loader)
    # Rows stand for a score matrix, which has no run of the tracker.
    sweeper.config = OmegaConf.create({"hydra": {"sweep": {"subdir": "${hydra.job.num}"}}, "rows": {}})
    check_choices(sweeper, batch)
    return composed


def test_each_choice_is_composed_once_and_values_only_with_the_first_job():
    metrics, perturbations = [f"metric={i}" for i in range(4)], [f"perturbation={i}" for i in range(3)]
    seeds = [f"seed={i}" for i in range(50)]
    composed = composed_jobs(list(product(metrics, perturbations, seeds)))
    assert len(composed) == 1 + 3 + 2
    assert {override for job in composed for override in job} == {*metrics, *perturbations, "seed=0"}


def test_a_single_job_is_composed():
    assert composed_jobs([("metric=a", "seed=1")]) == [("metric=a", "seed=1")]


def test_the_configs_of_finished_jobs_of_a_sweep_are_not_kept(tmp_path, monkeypatch):
    counts = []

    def count_configs(*_):
        gc.collect()
        counts.append(sum(type(item) is DictConfig for item in gc.get_objects()))

    monkeypatch.setattr(main, "_run_job", count_configs)
    run_command(tmp_path, "-m", "seed=range(4)", "tracker=none")
    assert len(counts) == 4
    assert counts[3] == counts[2], "memory does not grow with the number of jobs"
