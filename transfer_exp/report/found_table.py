"""What a search of a pool found, in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from transfer_exp.report.ranking_table import score_format
from transfer_exp.types.found import Found, FoundModel

_STOPPED = {
    "all images": "all images were used",
    "top alone": "no more models were left than were looked for",
    "top stable": "more images did not change the top any more",
    "budget": "the time was used up",
}


def found_table(found: Found) -> RenderableType:
    """Return a search for `rich.console.Console.print`: the models, who may be the best, and how it went."""
    title = " / ".join(found.cell[key] for key in ("dataset", "perturbation", "metric"))
    parts: list[RenderableType] = [Text(title, style="bold"), _table(found)]
    parts.extend(Text(line, style="yellow") for line in _shortfalls(found))
    return Group(*parts, *(Text(line) for line in verdict(found)))


def verdict(found: Found) -> list[str]:
    """Say which models may be the best, what choosing the first may cost, and how the search went."""
    best, lines = found.best, list[str]()
    if len(best) > 1:
        lines.append(f"cannot be told from the best (95 %): {', '.join(best)}")
    elif any(m.best_rank is not None for m in found.models):
        lines.append(f"{best[0]} is told from all others of the last round (95 %)")
    if found.regret is not None:
        lines.append(
            f"fine-tuning only the first is expected to cost {found.regret:.3f} of accuracy against trying all"
        )
    ranked = [m for m in found.models if m.rank is not None]
    whole = found.images * len(ranked)
    lines.append(
        f"{len(ranked)} models ranked in {found.seconds:.0f} s with {found.pushed:,} images pushed"
        f" ({100 * found.pushed / whole:.0f} % of {whole:,}): {_STOPPED[found.stopped]}"
    )
    return [*lines, *found.notes]


def _table(found: Found) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in ("may be", "images", "score", "expected accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    ranked = [m for m in found.models if m.rank is not None]
    most = max((m.images for m in ranked), default=0)
    show = score_format([m.score for m in ranked if m.score is not None and m.images == most])
    for model in ranked:
        table.add_row(*(Text(cell) for cell in _cells(model, show)), style="dim" if model.images < most else None)
    return table


def _cells(model: FoundModel, show: str) -> list[str]:
    score = show.format(model.score)
    if model.low is not None and model.high is not None:
        score += f" [{show.format(model.low)}, {show.format(model.high)}]"
    may_be, expected = "", ""
    if model.best_rank is not None:
        may_be = "-".join(dict.fromkeys([str(model.best_rank), str(model.worst_rank)]))
    if model.expected is not None:
        expected = f"{model.expected:.2f} [{model.expected_low:.2f}, {model.expected_high:.2f}]"
    return [str(model.rank), model.model, may_be, str(model.images), score, expected]


def _shortfalls(found: Found) -> list[str]:
    """Say which models have no score and why, one line for all that share a reason."""
    shared: dict[str, list[str]] = {}
    for model in found.models:
        if model.rank is None:
            shared.setdefault(model.reason, []).append(model.model)
    return [f"left out: {', '.join(models)}: {reason}" for reason, models in shared.items()]
