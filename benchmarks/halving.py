"""Replay the search of `Halving` on stored features, and build its page from the rows.

``python -m benchmarks.halving docs/results/halving.md --store FOLDER --assets FOLDER`` writes the rows next to the page
and fills its tables; without ``--store`` it fills the tables from the existing rows. The reference of a search is the
ranking of all candidates on all images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.halving_page import fill_page
from benchmarks.subset_scores import (
    METRICS,
    SYNTHETIC_METRICS,
    SYNTHETIC_POOLS,
    TARGETS,
    SubsetScores,
    create_synthetic_pool,
    load_real_pool,
)
from transfer_exp.evaluation.halving import Halving

SYNTHETIC_TARGETS = ("flowers5", "textures10")
"""Targets of the synthetic pools; no setting was chosen on them."""
UNIFORM_SHARES = (1 / 16, 1 / 8, 3 / 16, 1 / 5, 1 / 4)
"""Shares of N for scoring all candidates on one subset; the smallest one that costs at least as much as the search."""
DRAWS = 10
TOP = 3
ACCURACIES = Path(__file__).parents[1] / "studies" / "real_pool" / "accuracies.csv"


@dataclass(frozen=True)
class Setting:
    """Settings of a search in shares of the images.

    Attributes:
        first: Images of the first round, as a share of N.
        keep: Share of the candidates that each round keeps.
        growth: Factor between the numbers of images of two rounds.
        stable: Rounds with the same top candidates that end the search.
        prior: Weight of the prior, as a share of N.
        budget: Largest number of forward passes, as a share of all images of all candidates.
    """

    first: float
    keep: float
    growth: float = 2.0
    stable: int = 3
    prior: float = 0.0
    budget: float = 0.2

    def create_search(self, images: int, candidates: int) -> Halving:
        """Return the search for a number of images and candidates."""
        return Halving(
            first=round(self.first * images),
            top=TOP,
            growth=self.growth,
            keep=self.keep,
            stable=self.stable,
            prior_images=self.prior * images,
            budget=self.budget * images * candidates,
        )


_BEST = Setting(1 / 16, 1 / 2)
SETTINGS: Mapping[str, Setting] = {
    "1/16, half": _BEST,
    "1/16, two thirds": Setting(1 / 16, 2 / 3),
    "1/16, third": Setting(1 / 16, 1 / 3),
    "1/8, half": Setting(1 / 8, 1 / 2),
    "1/8, third": Setting(1 / 8, 1 / 3),
    "1/16, half, prior of 1/32": replace(_BEST, prior=1 / 32),
    "1/16, half, prior of 1/8": replace(_BEST, prior=1 / 8),
}
SYNTHETIC_SETTINGS = ("1/16, half",)


def read_full_accuracies() -> pd.DataFrame:
    """Return accuracy by full fine-tuning, a row per model and a column per target, mean over seeds."""
    rows = pd.read_csv(ACCURACIES)
    rows = rows[rows["regime"] == "full/short"]
    return rows.pivot_table(index="model", columns="dataset", values="accuracy")


def replay(scores: SubsetScores, settings: Sequence[str], truth: pd.DataFrame | None) -> Iterator[dict[str, object]]:
    """Yield a row for each setting and draw of the images.

    A row compares the search with scoring all candidates on one subset of the same cost (columns ``uniform_*``), on
    half of the images and on all images, and with the prior.
    """
    target, names, images = scores.candidates.name, scores.names, scores.images
    final = scores(0, names, images)
    best = _rank(final)
    prior = None
    if truth is not None:
        prior = {str(name): float(mean) for name, mean in truth.drop(columns=target).mean(axis=1).items()}
    for setting in settings:
        for draw in range(DRAWS):
            search = SETTINGS[setting].create_search(images, len(names))(names, images, partial(scores, draw), prior)
            subset = min(
                round(share * images)
                for share in UNIFORM_SHARES
                if round(share * images) * len(names) >= search.forward_passes
            )
            row: dict[str, object] = {"target": target, "metric": scores.metric, "setting": setting, "draw": draw}
            row |= {
                "pushed": round(search.forward_passes / len(names) / images, 4),
                "probe": subset,
                "stopped": search.stop_reason,
                "rounds": len(search.rounds),
                "last_images": search.rounds[-1].images,
            }
            rankings = {"search": search.ranking, "uniform": _rank(scores(draw, names, subset)), "all": best}
            rankings |= {"half": _rank(scores(draw, names, images // 2))}
            rankings |= {} if prior is None else {"prior": _rank(prior)}
            for method, ranking in rankings.items():
                measures = _evaluate(ranking, best, final, target, truth)
                row |= {f"{method}_{key}": value for key, value in measures.items()}
            yield row


def _rank(scores: Mapping[str, float]) -> list[str]:
    """Return the names that have a score, best first."""
    return sorted((name for name, score in scores.items() if np.isfinite(score)), key=lambda name: -scores[name])


def _evaluate(
    ranking: Sequence[str], best: Sequence[str], final: Mapping[str, float], target: str, truth: pd.DataFrame | None
) -> dict[str, object]:
    """Return the overlap of two top lists, and the loss of the first choice in score and in accuracy."""
    score_range = final[best[0]] - final[best[-1]]
    lost = max(final[best[0]] - final[ranking[0]], 0.0) if ranking[0] in best else score_range
    measures: dict[str, object] = {
        "same": int(set(ranking[:TOP]) == set(best[:TOP])),
        "order": int(list(ranking[:TOP]) == list(best[:TOP])),
        "common": len(set(ranking[:TOP]) & set(best[:TOP])),
        "first": int(ranking[0] == best[0]),
        "lost_score": round(lost / score_range, 5) if score_range > 0 else 0.0,
    }
    if truth is not None:
        accuracies = truth[target]
        measures["lost_accuracy"] = round(float(accuracies.max() - accuracies[ranking[0]]), 5)
        measures["lost_accuracy_top"] = round(float(accuracies.max() - accuracies[list(ranking[:TOP])].max()), 5)
    return measures


def main() -> None:
    """Replay searches, write the rows, and fill the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.halving", description=__doc__)
    parser.add_argument("page", type=Path, metavar="FILE.md", help="page; its rows are next to it")
    parser.add_argument("--store", type=Path, help="store of the features; missing ones are extracted")
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"), help="networks and images")
    parser.add_argument("--scores", type=Path, default=Path("outputs/halving"), help="cache of the scores")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--metrics", nargs="*", default=tuple(METRICS))
    pools = tuple(SYNTHETIC_POOLS)
    parser.add_argument("--synthetic", nargs="*", default=(), choices=pools, help="synthetic pools, after the real one")
    options = parser.parse_args()
    rows_path = options.page.with_suffix(".csv")
    for target in options.targets if options.store else ():
        candidates = load_real_pool(target, options.store, options.assets)
        for metric in options.metrics:
            scores = SubsetScores(candidates, metric, options.scores)
            update_rows(replay(scores, tuple(SETTINGS), read_full_accuracies()), rows_path)
        pool_names = options.synthetic if target in SYNTHETIC_TARGETS else ()
        for pool, metric in product(pool_names, SYNTHETIC_METRICS):
            scores = SubsetScores(create_synthetic_pool(candidates, pool), metric, options.scores)
            update_rows(replay(scores, SYNTHETIC_SETTINGS, None), rows_path)
    options.page.write_text(fill_page(options.page), encoding="utf-8")


def update_rows(rows: Iterable[Mapping[str, object]], path: Path) -> None:
    """Write rows to a file; they replace all existing rows of the same target and metric."""
    new = pd.DataFrame(list(rows))
    if path.is_file():
        existing, key = pd.read_csv(path), ["target", "metric"]
        replaced = pd.MultiIndex.from_frame(existing[key]).isin(pd.MultiIndex.from_frame(new[key]))
        new = pd.concat([existing[~replaced], new])
    new.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
