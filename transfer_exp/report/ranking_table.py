"""Terminal table of a cell: scores, accuracies and ranks of all models, and how well the two rankings agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from transfer_exp.io.measures import measure_heading
from transfer_exp.results.cell import CellResult, RankedModel

_OMITTED_MEASURES = ("weighted_tau", "weighted_tau_by_accuracy", "pearson")
"""The headline has the first, and the others are close to it; 80 columns have no room for more."""
_NAME_WIDTH = 45
"""Longest name that is on one line in 80 columns; longer ones are folded if the line is full."""

_MAX_BEST, _MAX_OUTLIERS = 5, 3


def ranking_table(result: CellResult, folder: Path | None = None, top: int = 0) -> RenderableType:
    """Return a cell for `rich.console.Console.print`: title, models by score, skipped models, verdict.

    Without ground truth the accuracy columns are left out.

    Args:
        result: The scored cell.
        folder: Folder with the complete ranking, which is named below a shortened table; None to name none.
        top: Number of models to show, 0 for all.
    """
    rows = [line for line in result.ranking() if line.result.score is not None]
    # A title of the table itself would be folded to the width of a narrow table.
    parts: list[RenderableType] = [Text(cell_title(result.cell), style="bold"), _table(result, rows[: top or None])]
    if top and len(rows) > top:
        parts.append(omitted_models(len(rows) - top, folder and folder / "ranking.csv"))
    parts.extend(Text(line, style="yellow") for line in _missing_values(result))
    return Group(*parts, *(Text(line) for line in verdict(result)))


def cell_title(cell: Mapping[str, str]) -> str:
    """Return ``dataset / perturbation / metric``, as far as the cell has these fields."""
    return " / ".join(cell[key] for key in ("dataset", "perturbation", "metric") if key in cell)


def verdict(result: CellResult) -> list[str]:
    """Return one or two lines on the agreement of the two rankings."""
    measures = result.measures
    if not measures:
        if all(m.accuracy is None for m in result.models):
            return ["no ground truth: nothing to compare the scores with"]
        return [f"{result.compared} model(s) with both score and accuracy: a correlation needs two"]
    values = [f"{name.replace('_at_', '@')} {measures[name]:.3f}" for name in measures if name not in _OMITTED_MEASURES]
    return [line for line in (headline(result), "   ".join(values)) if line]


def headline(result: CellResult) -> str:
    """Return ``tau_w 0.71   95 % null band [..] for 14 models: better than chance``; empty without a tau."""
    if "weighted_tau" not in result.measures:
        return ""
    text = f"tau_w {result.measures['weighted_tau']:.2f}"
    if result.null_band is None:
        return text
    return f"{text}   {band_text(result)} for {result.compared} models: {against_chance(result)}"


def band_text(result: CellResult) -> str:
    """Return the null band as ``95 % null band [-0.51, 0.55]``; empty without one."""
    if result.null_band is None:
        return ""
    low, high = result.null_band
    return f"{100 * result.null_level:g} % null band [{low:.2f}, {high:.2f}]"


def against_chance(result: CellResult) -> str:
    """Compare ``weighted_tau`` with the null band: tied, within chance, better or worse than chance."""
    if result.tied:
        return "tied, no ranking"
    if result.null_band is None or result.null_band[0] <= result.measures["weighted_tau"] <= result.null_band[1]:
        return "within chance"
    return "better than chance" if result.measures["weighted_tau"] > 0 else "worse than chance"


def score_format(scores: Sequence[float]) -> str:
    """Return a format with about three digits of the scores' range, so that different scores look different."""
    largest = max((abs(s) for s in scores), default=0.0)
    spread = max(scores, default=0.0) - min(scores, default=0.0)
    if largest >= 1e7 or 0 < largest < 1e-5:
        return "{:.3e}"
    decimals = 4 if spread == 0 else min(8, max(0, 2 - math.floor(math.log10(spread))))
    return f"{{:.{decimals}f}}"


def notable_models(result: CellResult) -> set[str]:
    """Return the models that a chart of scores and accuracies names: the best ones, and outliers.

    These are the five best accuracies, the highest score, and at most three models whose two ranks differ by more than
    a quarter of the number of models.
    """
    compared = [line for line in result.ranking() if line.score_rank is not None and line.accuracy_rank is not None]
    differences = {line.result.model: abs((line.score_rank or 0) - (line.accuracy_rank or 0)) for line in compared}
    outliers = sorted(differences, key=lambda model: -differences[model])[:_MAX_OUTLIERS]
    best = sorted(compared, key=lambda line: line.accuracy_rank or 0)[:_MAX_BEST]
    names = {line.result.model for line in [*compared[:1], *best]}
    return names | {model for model in outliers if differences[model] > len(compared) / 4}


def models_by_reason(problems: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return a line ``problem model, model: reason`` for each problem and reason of triples problem, model, reason."""
    models: dict[tuple[str, str], list[str]] = {}
    for problem, model, reason in problems:
        models.setdefault((problem, reason), []).append(model)
    return [f"{problem} {', '.join(names)}: {reason}" for (problem, reason), names in models.items()]


def omitted_models(count: int, table: Path | None) -> Text:
    """Return a line on the models that a shortened table leaves out, with the file that has them."""
    in_file = "" if table is None else f":\n  {table}"
    return Text(f"and {count} more (--top 0 shows all){in_file}", style="dim", overflow="fold")


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, such as ``1 model`` and ``2 models``."""
    return f"{count} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def enumerate_names(names: Sequence[str]) -> str:
    """Return names such as ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _missing_values(result: CellResult) -> list[str]:
    """Return lines on the models that lack a score, then on those that lack an accuracy, with the reasons."""
    skipped = [("skipped", m.model, m.reason or "no reason given") for m in result.models if m.score is None]
    without_accuracy = [m for m in result.models if m.score is not None and m.reason]
    return models_by_reason([*skipped, *(("no accuracy for", m.model, m.reason) for m in without_accuracy)])


def _table(result: CellResult, rows: Sequence[RankedModel]) -> Table:
    """Return a table of scored models."""
    has_accuracy = any(m.accuracy is not None for m in result.models)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("rank", justify="right", no_wrap=True)
    longest = max((len(line.result.model) for line in rows), default=0)
    table.add_column("model", overflow="fold", min_width=min(longest, _NAME_WIDTH))
    if result.has_layers:
        table.add_column("layer", overflow="fold")
    accuracy = measure_heading(result.measure)
    for heading in ["score", accuracy, f"{accuracy} rank"] if has_accuracy else ["score"]:
        # Its heading may take two lines, so that a row fits into one line of 80 columns.
        table.add_column(heading, justify="right", no_wrap=not heading.endswith(" rank"))
    number = score_format([m.score for m in result.models if m.score is not None])
    for line in rows:
        accuracy = "-" if line.result.accuracy is None else f"{line.result.accuracy:.3f}"
        cells = [_rank(line.score_rank), line.result.model, *([line.result.layer] if result.has_layers else [])]
        cells.append(number.format(line.result.score))
        cells += [accuracy, _rank(line.accuracy_rank)] if has_accuracy else []
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _rank(rank: float | None) -> str:
    """Return a rank without decimals, or with one for a shared rank."""
    return "-" if rank is None else f"{rank:g}"
