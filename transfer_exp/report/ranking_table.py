"""The table a run ends in: every model with its score, its accuracy and both ranks, and how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from transfer_exp.results.cell import CellResult

# On the first line already, or one of several near synonyms: two lines of 80 columns hold no more.
_LEFT_OUT = ("weighted_tau", "weighted_tau_by_accuracy", "pearson")


def ranking_table(result: CellResult) -> RenderableType:
    """Return one cell for `rich.console.Console.print`: a table by score, then the skipped models, then the verdict.

    Without ground truth there are no columns for it. Reads as plain text when the console is no terminal.
    """
    known = any(m.accuracy is not None for m in result.models)
    title = " / ".join(result.cell[key] for key in ("dataset", "perturbation", "metric") if key in result.cell)
    # A table as narrow as its content would fold a long title.
    parts: list[RenderableType] = [Text(title, style="bold"), _table(result, known)]
    parts.extend(Text(line, style="yellow") for line in _shortfalls(result))
    return Group(*parts, *(Text(line) for line in verdict(result)))


def verdict(result: CellResult) -> list[str]:
    """Say in a line or two how well the rankings agree, and whether chance would do as well."""
    measures = result.measures
    if not measures:
        if all(m.accuracy is None for m in result.models):
            return ["no ground truth: nothing to compare the scores with"]
        return [f"{result.compared} model(s) with both score and accuracy: a correlation needs two"]
    shown = [name for name in measures if name not in _LEFT_OUT]
    rest = "   ".join(f"{name.replace('_at_', '@')} {measures[name]:.3f}" for name in shown)
    return [line for line in (headline(result), rest) if line]


def headline(result: CellResult) -> str:
    """Return ``tau_w 0.71   95 % null band [..] for 14 models: better than chance``; empty without a tau."""
    if "weighted_tau" not in result.measures:
        return ""
    text = f"tau_w {result.measures['weighted_tau']:.2f}"
    if result.null_band is None:
        return text
    return f"{text}   {band_text(result)} for {result.compared} models: {against_chance(result)}"


def band_text(result: CellResult) -> str:
    """Return the null band in words, as ``95 % null band [-0.51, 0.55]``; empty when there is none."""
    if result.null_band is None:
        return ""
    low, high = result.null_band
    return f"{100 * result.null_level:g} % null band [{low:.2f}, {high:.2f}]"


def against_chance(result: CellResult) -> str:
    """Return where ``weighted_tau`` lies: tied, within chance, better or worse than chance."""
    if result.tied:
        return "tied, no ranking"
    if result.null_band is None or result.null_band[0] <= result.measures["weighted_tau"] <= result.null_band[1]:
        return "within chance"
    return "better than chance" if result.measures["weighted_tau"] > 0 else "worse than chance"


def _shortfalls(result: CellResult) -> list[str]:
    """Say which models lack a score or an accuracy and why, one line for all that share a reason."""
    shared: dict[tuple[str, str], list[str]] = {}
    for model in result.models:
        if model.score is None:
            shared.setdefault(("skipped", model.reason or "no reason given"), []).append(model.model)
        elif model.reason:
            shared.setdefault(("no accuracy for", model.reason), []).append(model.model)
    return [f"{what} {', '.join(models)}: {reason}" for (what, reason), models in shared.items()]


def _table(result: CellResult, known: bool) -> Table:
    """Lay out the scored models, best first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("model", overflow="fold")
    for heading in ["score", "accuracy", "accuracy rank"][: 3 if known else 1]:
        table.add_column(heading, justify="right", no_wrap=True)
    show = score_format([m.score for m in result.models if m.score is not None])
    for line in result.ranking():
        if line.result.score is None:
            continue
        accuracy = "-" if line.result.accuracy is None else f"{line.result.accuracy:.3f}"
        cells = [_rank(line.score_rank), line.result.model, show.format(line.result.score)]
        cells += [accuracy, _rank(line.accuracy_rank)] if known else []
        table.add_row(*(Text(cell) for cell in cells))
    return table


def score_format(scores: Sequence[float]) -> str:
    """Return the format that tells these scores apart: about three digits of their spread, and as few of the rest."""
    largest = max((abs(s) for s in scores), default=0.0)
    spread = max(scores, default=0.0) - min(scores, default=0.0)
    if largest >= 1e7 or 0 < largest < 1e-5:
        return "{:.3e}"
    decimals = 4 if spread == 0 else min(8, max(0, 2 - math.floor(math.log10(spread))))
    return f"{{:.{decimals}f}}"


def _rank(rank: float | None) -> str:
    """Write a rank without decimals, or with one for a shared rank."""
    return "-" if rank is None else f"{rank:g}"
