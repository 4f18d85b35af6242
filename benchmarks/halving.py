"""The search of `Halving` replayed on stored features, against the ranking by all images of all candidates.

``python -m benchmarks.halving docs/results/halving.md --store FOLDER --assets FOLDER`` writes the rows beside the page
and fills it; without the two folders it fills the page from the rows.
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

from benchmarks.halving_page import filled
from benchmarks.probe_scores import MADE_METRICS, METRICS, POOLS, TARGETS, ProbeScores, made, real
from transfer_exp.evaluation.halving import Halving

MADE_ON = ("flowers5", "textures10")
"""Targets that made pools stand on, of those that nothing was tuned on."""
PROBES = (1 / 16, 1 / 8, 3 / 16, 1 / 5, 1 / 4)
"""Shares of N that one uniform probe may have; it gets the smallest that costs no less than the search."""
DRAWS = 10
TOP = 3
ACCURACIES = Path(__file__).parents[1] / "studies" / "real_pool" / "accuracies.csv"


@dataclass(frozen=True)
class Setting:
    """A search in shares of the images: ``first`` of N, ``budget`` of all images of all candidates."""

    first: float
    keep: float
    growth: float = 2.0
    stable: int = 3
    prior: float = 0.0
    budget: float = 0.2

    def halving(self, images: int, candidates: int) -> Halving:
        """Return the search for so many images and candidates."""
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
MADE_SETTINGS = ("1/16, half",)


def accuracies() -> pd.DataFrame:
    """Return accuracy by full fine-tuning, a row per model and a column per target, mean over seeds."""
    rows = pd.read_csv(ACCURACIES)
    rows = rows[rows["regime"] == "full/short"]
    return rows.pivot_table(index="model", columns="dataset", values="accuracy")


def replayed(scores: ProbeScores, settings: Sequence[str], truth: pd.DataFrame | None) -> Iterator[dict[str, object]]:
    """Yield a row for each setting and draw: the search, one probe of the same cost, and what all images say."""
    target, names, images = scores.candidates.name, scores.names, scores.images
    final = scores(0, names, images)
    best = _ranked(final)
    prior = None
    if truth is not None:
        prior = {str(name): float(own) for name, own in truth.drop(columns=target).mean(axis=1).items()}
    for setting in settings:
        for draw in range(DRAWS):
            search = SETTINGS[setting].halving(images, len(names))(names, images, partial(scores, draw), prior)
            probe = min(round(s * images) for s in PROBES if round(s * images) * len(names) >= search.forward_passes)
            row: dict[str, object] = {"target": target, "metric": scores.metric, "setting": setting, "draw": draw}
            row |= {
                "pushed": round(search.forward_passes / len(names) / images, 4),
                "probe": probe,
                "stopped": search.stop_reason,
            }
            row |= {"rounds": len(search.rounds), "last_images": search.rounds[-1].images}
            ways = {"search": search.ranking, "uniform": _ranked(scores(draw, names, probe)), "all": best}
            ways |= {"half": _ranked(scores(draw, names, images // 2))}
            ways |= {} if prior is None else {"prior": _ranked(prior)}
            for way, found in ways.items():
                row |= {f"{way}_{key}": value for key, value in _judged(found, best, final, target, truth).items()}
            yield row


def _ranked(scores: Mapping[str, float]) -> list[str]:
    """Return the names that have a score, best first."""
    return sorted((name for name, score in scores.items() if np.isfinite(score)), key=lambda name: -scores[name])


def _judged(
    found: Sequence[str], best: Sequence[str], final: Mapping[str, float], target: str, truth: pd.DataFrame | None
) -> dict[str, object]:
    """Return what of the best few was found, and what the first choice loses: in score and in accuracy."""
    spread = final[best[0]] - final[best[-1]]
    lost = max(final[best[0]] - final[found[0]], 0.0) if found[0] in best else spread
    judged: dict[str, object] = {
        "same": int(set(found[:TOP]) == set(best[:TOP])),
        "order": int(list(found[:TOP]) == list(best[:TOP])),
        "common": len(set(found[:TOP]) & set(best[:TOP])),
        "first": int(found[0] == best[0]),
        "lost_score": round(lost / spread, 5) if spread > 0 else 0.0,
    }
    if truth is not None:
        own = truth[target]
        judged["lost_accuracy"] = round(float(own.max() - own[found[0]]), 5)
        judged["lost_accuracy_top"] = round(float(own.max() - own[list(found[:TOP])].max()), 5)
    return judged


def main() -> None:
    """Replay, keep the rows, fill the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.halving", description=__doc__)
    parser.add_argument("page", type=Path, metavar="FILE.md", help="rows lie beside it")
    parser.add_argument("--store", type=Path, help="where features are, or will be")
    parser.add_argument("--assets", type=Path, default=Path("../shared/assets"), help="networks and images")
    parser.add_argument("--scores", type=Path, default=Path("outputs/halving"), help="where scores are kept")
    parser.add_argument("--targets", nargs="+", default=TARGETS)
    parser.add_argument("--metrics", nargs="*", default=tuple(METRICS))
    parser.add_argument("--made", nargs="*", default=(), choices=tuple(POOLS), help="made pools, beside the real one")
    asked = parser.parse_args()
    for target in asked.targets if asked.store else ():
        candidates = real(target, asked.store, asked.assets)
        for metric in asked.metrics:
            scores = ProbeScores(candidates, metric, asked.scores)
            keep_rows(replayed(scores, tuple(SETTINGS), accuracies()), asked.page.with_suffix(".csv"))
        for pool, metric in product(asked.made if target in MADE_ON else (), MADE_METRICS):
            scores = ProbeScores(made(candidates, pool), metric, asked.scores)
            keep_rows(replayed(scores, MADE_SETTINGS, None), asked.page.with_suffix(".csv"))
    asked.page.write_text(filled(asked.page), encoding="utf-8")


def keep_rows(rows: Iterable[Mapping[str, object]], path: Path) -> None:
    """Put rows in the place of those of the same target and metric."""
    new = pd.DataFrame(list(rows))
    if path.is_file():
        known, cell = pd.read_csv(path), ["target", "metric"]
        again = pd.MultiIndex.from_frame(known[cell]).isin(pd.MultiIndex.from_frame(new[cell]))
        new = pd.concat([known[~again], new])
    new.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
