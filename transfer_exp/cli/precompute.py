"""Jobs that fill the store with what scoring will ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from transfer_exp.cli.job_labels import check_numbers, labels_of, name_of, write_status

# Everything else is imported when a job runs: help and a typing error must not wait for torch.


def fill_store(config: DictConfig, folder: Path, group: str | None) -> None:
    """Put features, accuracies, or what leads to these, into the store, and write what was found there.

    Raises
    ------
    InputError
        For bad input of any kind.
    """
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
    filling = Precomputation(pool, dataset, store, plain["device"], **plain["features"])
    if plain["stage"] == "features":
        found = filling.features(plain.get("splits", ["scoring_set"]))
    else:
        labels, protocol = labels_of(config)
        names = {"pool": pool.name, "dataset": dataset.name, "regime": labels["ground_truth"]}
        names |= {"protocol": protocol, "seed": str(plain["seed"])}
        regime = build("ground_truth", plain["ground_truth"])
        if plain["stage"] == "grid":
            found = filling.grid_point(regime, names, plain["point"])
        else:
            found = filling.accuracies(regime, names)
    counts = [{"what": what, "was_there": there, "count": count} for (what, there), count in sorted(found.items())]
    name = name_of(config)
    write_status(folder, {"state": "done", "cell": name, "found": counts})
    tracker.record(tracked_precompute(name, plain, group, counts, filling.run_log.cache_references), folder)
