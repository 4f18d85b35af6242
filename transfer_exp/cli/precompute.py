"""The job of ``stage=features``, ``grid`` and ``finetune``: compute what scoring will need, and cache it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.job_labels import cell_labels, check_numbers, job_name, write_status

# Other modules are imported when a job runs: help and typing errors must not wait for torch.


def fill_store(config: DictConfig, folder: Path, sweep: str | None) -> None:
    """Fill the store with features, accuracies or points of a grid; a `main.Job`."""
    from transfer_exp.cli.instantiate import build
    from transfer_exp.experiment.precompute import Precomputation
    from transfer_exp.features.extraction import best_device
    from transfer_exp.report.tracked_run import tracked_precompute
    from transfer_exp.store import Store

    check_numbers(config)
    config.device = str(best_device(config.device))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    pool, dataset = build("model_pool", plain["model_pool"]).select(plain["models"]), build("dataset", plain["dataset"])
    store, tracker = Store(plain["store"]), build("tracker", plain["tracker"])
    precomputation = Precomputation(pool, dataset, store, plain["device"], **plain["features"])
    if plain["stage"] == "features":
        cached = precomputation.extract_features(plain.get("splits", ["scoring_set"]))
    else:
        labels, protocol = cell_labels(config)
        names = {"pool": pool.name, "dataset": dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": protocol, "seed": str(plain["seed"])}
        regime = build("ground_truth", plain["ground_truth"])
        if plain["stage"] == "grid":
            cached = precomputation.train_grid_point(regime, names, plain["point"])
        else:
            cached = precomputation.compute_accuracies(regime, names)
    counts = [{"what": what, "was_there": there, "count": count} for (what, there), count in sorted(cached.items())]
    name = job_name(config)
    write_status(folder, {"state": "done", "cell": name, "found": counts})
    references = precomputation.run_log.cache_references
    tracker.record(tracked_precompute(name, plain, sweep, counts, references), folder)
