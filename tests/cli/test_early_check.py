"""Mistakes in the choices of a sweep show before its first job, and the look at them does not grow with the jobs."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

from omegaconf import OmegaConf

from transfer_exp.cli.early_check import check_choices


def composed(batch):
    """Return the jobs that were composed, where metric and perturbation are groups."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # Hydra loads its plugins anew

    seen = []
    loader = SimpleNamespace(
        get_group_options=lambda group: ["some"] if group in ("metric", "perturbation") else [],
        load_sweep_config=lambda master_config, sweep_overrides: seen.append(tuple(sweep_overrides)),
    )
    sweeper = BasicSweeper(max_batch_size=None)
    sweeper.hydra_context, sweeper.config = SimpleNamespace(config_loader=loader), OmegaConf.create()
    check_choices(sweeper, batch)
    return seen


def test_each_choice_is_composed_once_and_values_only_with_the_first():
    metrics, perturbations = [f"metric={i}" for i in range(4)], [f"perturbation={i}" for i in range(3)]
    seeds = [f"seed={i}" for i in range(50)]
    seen = composed(list(product(metrics, perturbations, seeds)))
    assert len(seen) == 1 + 3 + 2
    assert {override for job in seen for override in job} == {*metrics, *perturbations, "seed=0"}


def test_one_job_is_composed():
    assert composed([("metric=a", "seed=1")]) == [("metric=a", "seed=1")]
