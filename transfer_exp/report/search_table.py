"""What a search of a pool found, in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from transfer_exp.report.ranking_table import score_format
from transfer_exp.results.search import SearchedModel, SearchResult

_STOPPED = {
    "all images": "all images were used",
    "top alone": "no more models were left than were looked for",
    "top stable": "more images did not change the top",
    "budget": "the time was used up",
}
_WIDEST = 1000
"""Columns that no table needs."""


def found_table(found: SearchResult) -> RenderableType:
    """Return a search for `rich.console.Console.print`: the models, who may be the best, and how it went."""
    last = [m for m in found.models if m.rank is not None and m.images == found.models[0].images]
    title = " / ".join(found.cell[key] for key in ("dataset", "perturbation", "metric"))
    parts: list[RenderableType] = [Text(f"{title}, on {last[0].images} images", style="bold"), _Models(last)]
    parts.extend(Text(line, style="dim") for line in _dropped(found))
    parts.extend(Text(line, style="yellow") for line in _shortfalls(found))
    return Group(*parts, *(Text(line) for line in verdict(found)))


def verdict(found: SearchResult) -> list[str]:
    """Say which models may be the best, what choosing the first may cost, and how the search went."""
    best, lines = found.best, list[str]()
    ranked = [m for m in found.models if m.rank is not None]
    if len(best) > 1:
        lines.append(f"cannot be told from the best (95 %): {', '.join(best)}")
    elif sum(m.best_rank is not None for m in found.models) > 1:
        lines.append(f"{best[0]} is told from all others of the last round (95 %)")
    if found.regret is not None and len(ranked) > 1:
        lines.append(f"fine-tuning the first alone is expected to cost {found.regret:.3f} of accuracy")
    share = found.pushed / (found.images * len(ranked))
    lines.append(
        f"{len(ranked)} model{'s' * (len(ranked) > 1)} ranked in {found.seconds:.0f} s: {_STOPPED[found.stopped]}"
    )
    lines.append(f"images pushed: {100 * share:.0f} % of showing all of them to all models")
    return [*lines, *found.notes]


def remark(model: SearchedModel) -> str:
    """Say of a model of the last round which ranks it may have, and what accuracy is expected of it."""
    ranks = "-".join(dict.fromkeys([str(model.best_rank), str(model.worst_rank)]))
    expected = f"; expected accuracy {_expected(model)}" if model.expected is not None else ""
    return f"may be {ranks}{expected}"


@dataclass(frozen=True)
class _Models:
    """A row for each model; intervals stand below what they are of where they would break names beside it."""

    models: Sequence[SearchedModel]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        beside = self._table(" ")
        needed = console.measure(beside, options=options.update(width=_WIDEST)).maximum
        yield beside if needed <= options.max_width else self._table("\n")

    def _table(self, between: str) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("rank", no_wrap=True)
        table.add_column("model", overflow="fold")
        for heading in ("score", f"expected{between}accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
        show = _format(self.models)
        for model in self.models:
            table.add_row(*(Text(cell) for cell in _cells(model, show, between)))
        return table


def _format(models: Sequence[SearchedModel]) -> str:
    """Return the format that shows scores to about two digits of their intervals."""
    widths = [m.high - m.low for m in models if m.low is not None and m.high is not None and m.high > m.low]
    if not widths:
        return score_format([m.score for m in models if m.score is not None])
    return f"{{:.{min(8, max(0, 1 - math.floor(math.log10(min(widths)))))}f}}"


def _cells(model: SearchedModel, show: str, between: str) -> list[str]:
    rank, score, expected = str(model.rank), show.format(model.score), ""
    if model.best_rank is not None:
        rank += f"{between}[{model.best_rank}, {model.worst_rank}]"
    if model.low is not None and model.high is not None:
        score += f"{between}[{show.format(model.low)}, {show.format(model.high)}]"
    if model.expected is not None:
        expected = _expected(model, between)
    return [rank, model.model, score, expected]


def _expected(model: SearchedModel, between: str = " ") -> str:
    return f"{model.expected:.2f}{between}[{model.expected_low:.2f}, {model.expected_high:.2f}]"


def _dropped(found: SearchResult) -> list[str]:
    """Name the models that went no further, by the images they were shown, best first."""
    shared: dict[int, list[str]] = {}
    for model in found.models:
        if model.rank is not None and model.images < found.models[0].images:
            shared.setdefault(model.images, []).append(model.model)
    return [f"dropped after {images} images: {', '.join(models)}" for images, models in shared.items()]


def _shortfalls(found: SearchResult) -> list[str]:
    """Say which models have no score and why, one line for all that share a reason."""
    shared: dict[str, list[str]] = {}
    for model in found.models:
        if model.rank is None:
            shared.setdefault(model.reason, []).append(model.model)
    return [f"left out: {', '.join(models)}: {reason}" for reason, models in shared.items()]
