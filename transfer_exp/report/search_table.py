"""Terminal table of a search: finalists with intervals, eliminated models, and how certain the first rank is.

A search scores the models of a pool on more and more images and drops the worst after each round. Finalists are the
models of the last round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from transfer_exp.report.ranking_table import cell_title, models_by_reason, score_format
from transfer_exp.results.search import SearchedModel, SearchResult

_STOP_REASONS = {
    "all images": "all images were used",
    "top alone": "stopped, because no more models were left than requested",
    "top stable": "more images did not change the top",
    "budget": "the time budget was used up",
}


def search_table(search: SearchResult) -> RenderableType:
    """Return a search for `rich.console.Console.print`: title, finalists, other models, verdict."""
    ranked = [m for m in search.models if m.rank is not None]
    n_images = search.models[0].images
    title = f"{cell_title(search.cell)}, on {n_images} images"
    parts: list[RenderableType] = [Text(title, style="bold"), _Finalists([m for m in ranked if m.images == n_images])]
    for images in dict.fromkeys(m.images for m in ranked if m.images < n_images):
        names = ", ".join(m.model for m in ranked if m.images == images)
        parts.append(Text(f"dropped after {images} images: {names}", style="dim"))
    skipped = models_by_reason(("skipped", m.model, m.reason) for m in search.models if m.rank is None)
    parts.extend(Text(line, style="yellow") for line in skipped)
    return Group(*parts, *(Text(line) for line in verdict(search)))


def verdict(search: SearchResult) -> list[str]:
    """Return lines on which models may be the best, the expected loss of choosing the first, and the search's cost."""
    best, lines = search.best, list[str]()
    n_ranked = sum(m.rank is not None for m in search.models)
    n_finalists = sum(m.best_rank is not None for m in search.models)
    if len(best) > 1:
        lines.append(f"not distinguishable from the best model (95 %): {', '.join(best)}")
    elif n_finalists > 1 and search.models[0].worst_rank == 1:
        lines.append(f"{best[0]} is significantly better than every other finalist (95 %)")
    elif n_finalists > 1:
        lines.append(f"{best[0]} is the only finalist that may be the best (95 %)")
    if search.regret is not None and n_ranked > 1:
        lines.append(f"expected loss of accuracy if only the first model is fine-tuned: {search.regret:.3f}")
    plural = "s" if n_ranked > 1 else ""
    lines.append(f"{n_ranked} model{plural} ranked in {search.seconds:.0f} s: {_STOP_REASONS[search.stop_reason]}")
    share = search.forward_passes / (search.images * n_ranked)
    lines.append(f"{100 * share:.0f} % of the forward passes of a full evaluation")
    return [*lines, *search.notes]


def rank_remark(model: SearchedModel) -> str:
    """Return the possible ranks and the expected accuracy of a finalist, as one line."""
    ranks = "-".join(dict.fromkeys([str(model.best_rank), str(model.worst_rank)]))
    expected = f"; expected accuracy {_expected(model)}" if model.expected is not None else ""
    return f"possible rank {ranks}{expected}"


@dataclass(frozen=True)
class _Finalists:
    """A row for each model of the last round; intervals go to a second line if names would not fit otherwise."""

    models: Sequence[SearchedModel]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        single_line = self._table(" ")
        needed = console.measure(single_line, options=options.update(width=10_000)).maximum
        yield single_line if needed <= options.max_width else self._table("\n")

    def _table(self, separator: str) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("rank", no_wrap=True)
        table.add_column("model", overflow="fold")
        for heading in ("score", f"expected{separator}accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
        number = _score_format(self.models)
        for model in self.models:
            table.add_row(*(Text(cell) for cell in _cells(model, number, separator)))
        return table


def _score_format(models: Sequence[SearchedModel]) -> str:
    """Return a format with about two digits of the narrowest interval."""
    widths = [m.high - m.low for m in models if m.low is not None and m.high is not None and m.high > m.low]
    if not widths:
        return score_format([m.score for m in models if m.score is not None])
    return f"{{:.{min(8, max(0, 1 - math.floor(math.log10(min(widths)))))}f}}"


def _cells(model: SearchedModel, number: str, separator: str) -> list[str]:
    rank, score, expected = str(model.rank), number.format(model.score), ""
    if model.best_rank is not None:
        rank += f"{separator}[{model.best_rank}, {model.worst_rank}]"
    if model.low is not None and model.high is not None:
        score += f"{separator}[{number.format(model.low)}, {number.format(model.high)}]"
    if model.expected is not None:
        expected = _expected(model, separator)
    return [rank, model.model, score, expected]


def _expected(model: SearchedModel, separator: str = " ") -> str:
    return f"{model.expected:.2f}{separator}[{model.expected_low:.2f}, {model.expected_high:.2f}]"
