"""Terminal table and verdict of a search: which models may be the best, how certain that is, and the next step.

A search scores the models of a pool on more and more images and drops the worst after each round. Finalists are the
models of the last round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from transfer_exp.io.measures import is_error, measure_heading
from transfer_exp.report.pair_table import best_pair, pair_lines, pair_table
from transfer_exp.report.ranking_table import models_by_reason, omitted_models, plural, score_format
from transfer_exp.results.search import (
    ACCURACY_LEVEL,
    RANK_LEVEL,
    SCORE_LEVEL,
    SearchedModel,
    SearchResult,
    format_count,
)
from transfer_exp.statistics.feature_set import describe_targets

_STOP_REASONS = {
    "all images": "all images were used for the finalists",
    "budget": "the time budget did not suffice for more",
}
_NUMBERS = ("", "this model", "these two", "these three")
_NAMES_SHOWN = 5
"""Number of names of a list that is shortened, because it has more than twice as many."""
_USUAL_BUDGET = 600
"""Seconds of the default budget."""


def search_table(search: SearchResult, folder: Path | None = None, top: int = 0) -> RenderableType:
    """Return a search for `rich.console.Console.print`: title, finalists, other models, verdict, next step.

    If some models were not looked at, the first line names their number.

    Args:
        search: The search.
        folder: Folder with the complete ranking, named below a shortened table. None names none.
        top: Number of finalists to show, 0 for all, with some more that may be the best; lists of other models are
            shortened too.
    """
    names_shown = _NAMES_SHOWN if top else 0
    finalists, coverage = search.with_status("finalist"), _coverage(search)
    further = [model for model in finalists[top:] if model.model in search.best]
    shown = [*finalists[:top], *further[:_NAMES_SHOWN]] if top else finalists
    title = f"{search.cell['dataset']}: {describe_targets(search.target_kind, search.classes)}, {_images(search)}"
    parts: list[RenderableType] = [Text(coverage, style="yellow")] if coverage else []
    parts += [Text(title, style="bold"), _Finalists(shown)]
    if len(finalists) > len(shown):
        parts.append(omitted_models(len(finalists) - len(shown), folder and folder / "rank.csv"))
    dropped = search.with_status("dropped")
    for images in dict.fromkeys(m.images for m in dropped):
        names = _join([m.model for m in dropped if m.images == images], names_shown)
        parts.append(Text(f"dropped after {images} images: {names}", style="dim"))
    unseen = [m.model for m in search.with_status("not looked at")]
    if unseen:
        parts.append(Text(f"not looked at: {_join(unseen, names_shown)}", style="dim"))
    skipped = models_by_reason(("skipped", m.model, m.reason) for m in search.with_status("failed"))
    parts.extend(Text(line, style="yellow") for line in skipped)
    parts += [pair_table(search, top)] if search.pairs else []
    lines = _sentences(search, names_shown)
    return Group(*parts, *(Text(line) for line in lines), Text(next_step(search), style="bold"))


def verdict(search: SearchResult) -> list[str]:
    """Return the lines of a search that do not belong to a single model, the next step last.

    They say whether all models were looked at, which were left out, and which may be the best. The expected loss of
    choosing the first follows, then what orders the models, and the cost of the search.
    """
    return [line for line in (_coverage(search), _left_out(search), *_sentences(search), next_step(search)) if line]


def warnings(search: SearchResult) -> list[str]:
    """Return the lines of the verdict that doubt the ranking: models without a rank, and poor accuracies."""
    return [line for line in (_coverage(search), _left_out(search), _chance_level(search)) if line]


def next_step(search: SearchResult) -> str:
    """Return which models to fine-tune, or which model (by which regime) was the best after they were fine-tuned."""
    if search.pairs:
        return best_pair(search)
    measured, best = [m for m in search.models if m.accuracy is not None], search.most_accurate
    if best is not None:
        heading = measure_heading(search.measure)
        name = heading if is_error(search.measure) else "Accuracy"
        if len(measured) == 1:
            return f"{name} after fine-tuning {best.model}: {best.accuracy:.3f}"
        return f"Best after fine-tuning {_NUMBERS[len(measured)]}: {best.model}, {heading} {best.accuracy:.3f}"
    names = search.recommended
    if not names:
        return no_recommendation(search)
    if search.target_kind == "unlabelled":
        return f"Label some images and rank again before you choose; the highest scores: {', '.join(names)}"
    return f"Fine-tune {_NUMBERS[len(names)]}: {', '.join(names)}"


def no_recommendation(search: SearchResult) -> str:
    """Return the sentence that takes the place of the models to fine-tune if none is better than chance."""
    advice = "look at other models"
    if search.stop_reason == "budget" and search.budget_seconds is not None:
        advice = f"look at more models (--budget {'10m' if search.budget_seconds < _USUAL_BUDGET else 'none'})"
    return f"No model is recommended: {advice} or add images"


def _coverage(search: SearchResult) -> str:
    """Return a sentence on the models that were not looked at; empty if there are none."""
    n_unseen, n_failed = (len(search.with_status(status)) for status in ("not looked at", "failed"))
    if not n_unseen:
        return ""
    usable = len(search.models) - n_failed
    others = f"the other {n_unseen}" if n_unseen > 1 else "the other one"
    return (
        f"Looked at {usable - n_unseen} of {usable} models; the best may be {'among ' if n_unseen > 1 else ''}{others} "
        f"(about {_duration(search.seconds_missing)})"
    )


def _left_out(search: SearchResult) -> str:
    """Return a sentence on the models that failed, with their reasons; empty if there are none."""
    failed, reasons = search.with_status("failed"), dict[str, list[str]]()
    for model in failed:
        reasons.setdefault(model.reason, []).append(model.model)
    causes = [f"{_join(names, _NAMES_SHOWN)} ({reason})" for reason, names in reasons.items()]
    if not causes:
        return ""
    return f"Left out {len(failed)} of {plural(len(search.models), 'model')}: {_join(causes, _NAMES_SHOWN)}"


def _sentences(search: SearchResult, names_shown: int = 0) -> list[str]:
    """Return the lines of the verdict between the coverage and the next step."""
    lines = (_possibly_best(search, names_shown), _chance_level(search), *remarks(search))
    return [line for line in lines if line]


def _possibly_best(search: SearchResult, names_shown: int) -> str:
    """Return a sentence on the models that may be the best; empty if the intervals of the ranks are unknown."""
    best, finalists, level = search.best, search.with_status("finalist"), f"({100 * RANK_LEVEL:g} %)"
    if search.target_kind == "unlabelled" and finalists[0].best_rank_95 is not None:
        # This is a claim about scores, not about models.
        return f"May have the highest score on other images {level}: {_join(best, names_shown)}"
    if len(best) > 1:
        return f"Each of {len(best)} models may be the best {level}: {_join(best, names_shown)}"
    if len(finalists) == 1 or finalists[0].best_rank_95 is None:
        return ""
    if finalists[0].worst_rank_95 == 1:
        return f"{best[0]} is significantly better than every other finalist {level}"
    return f"{best[0]} is the only finalist that may be the best {level}"


def _chance_level(search: SearchResult) -> str:
    """Return a sentence if the first finalist is expected to be hardly better than guesses; empty otherwise."""
    expected = search.with_status("finalist")[0].expected_accuracy
    if not search.is_near_chance:
        return ""
    return (
        f"None of these is good: the best expected accuracy, {expected:.2f}, is close to chance ({search.chance:.2f})"
    )


def remarks(search: SearchResult) -> list[str]:
    """Return the lines of the verdict on the expected loss, on what orders the models, on the cost, and the notes."""
    perturbation, metric = search.cell["perturbation"], search.cell["metric"]
    score = metric if perturbation == "none" else f"{metric} after {perturbation}"
    finalists, n_ranked, lines = search.with_status("finalist"), sum(m.rank is not None for m in search.models), []
    if search.expected_regret is not None and len(finalists) > 1:
        regret = search.expected_regret
        loss = f"{regret:.3f}" if regret >= 0.001 else "less than 0.001"
        lines.append(f"Expected loss of accuracy if only {finalists[0].model} is fine-tuned: {loss}")
    if n_ranked > 1:
        order = {
            "expected accuracy": f"expected accuracy, which combines the score ({score}) with a linear classifier",
            "score": f"score ({score})",
        }[search.ordered_by]
        lines.append(f"Order: {order}" + ("; dropped models by score" if len(finalists) < n_ranked else ""))
    if any(model.expected_accuracy is not None for model in finalists):
        lines.append("Expected accuracies are estimates from other networks and datasets, and can be far off for yours")
    costs = {model.model: model.multiply_adds for model in finalists}
    if len(search.front) > 1 and search.target_kind != "unlabelled":
        front = [f"{name} ({format_count(costs[name] or 0)})" for name in search.front]
        lines.append(f"Best for their multiply-adds: {_join(front, _NAMES_SHOWN)}")
    cost = f"{plural(n_ranked, 'model')} ranked in {search.seconds:.0f} s: {_STOP_REASONS[search.stop_reason]}"
    percentage = 100 * search.share_of_passes
    share = f"{percentage:.0f} %" if percentage >= 1 else "less than 1 %"
    cost += f"; {share} of the forward passes of a full evaluation of the pool"
    return [*lines, cost, *(f"{note[:1].upper()}{note[1:]}" for note in search.notes), *pair_lines(search)]


def _join(names: Sequence[str], limit: int) -> str:
    """Return names with commas; if there are more than twice the limit, only so many and the number of the others."""
    if not limit or len(names) <= 2 * limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"


def _images(search: SearchResult) -> str:
    n_images = search.models[0].images
    return plural(n_images, "image") if n_images == search.images else f"{n_images} of {search.images} images"


def _duration(seconds: float) -> str:
    """Return a time to come, such as ``4 more minutes``."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} more {unit}s"
    return f"{max(1, math.ceil(seconds))} more second{'s' if seconds > 1 else ''}"


@dataclass(frozen=True)
class _Finalists:
    """A row for each model of the last round; what would make a row longer than a line is left out.

    These are the intervals of the scores, and then the scores if there are expected accuracies.
    """

    models: Sequence[SearchedModel]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        has_expected = any(model.expected_accuracy is not None for model in self.models)
        tables = [self._table(True), self._table(False), *([self._table(False, scores=False)] if has_expected else [])]
        fitting = [
            table
            for table in tables
            if console.measure(table, options=options.update(width=10_000)).maximum <= options.max_width
        ]
        yield (fitting or tables[-1:])[0]

    def _table(self, score_intervals: bool, scores: bool = True) -> Table:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        has_ranks, has_expected, has_scores, has_accuracy = (
            any(getattr(model, name) is not None for model in self.models)
            for name in ("best_rank_95", "expected_accuracy", "score_low_95", "accuracy")
        )
        score_intervals = score_intervals and has_scores
        table.add_column(f"rank [{100 * RANK_LEVEL:g} %]" if has_ranks else "rank", no_wrap=True)
        table.add_column("model", overflow="fold")
        has_layers = any(model.layer not in ("", "head_input") for model in self.models)
        if has_layers:
            table.add_column("layer", overflow="fold")
        expected = f"expected\naccuracy [{100 * ACCURACY_LEVEL:g} %]"
        score = f"score [{100 * SCORE_LEVEL:g} %]" if score_intervals else "score"
        headings = {"measured": has_accuracy, expected: has_expected, score: scores}
        for heading in (heading for heading, is_shown in headings.items() if is_shown):
            table.add_column(heading, justify="right")
        number, ranks = _score_format(self.models), [model.rank for model in self.models]
        width = max(len(_rank(model, ranks)) for model in self.models)
        for model in self.models:
            cells = [_rank(model, ranks).ljust(width) + (f" [{model.best_rank_95}, {model.worst_rank_95}]" * has_ranks)]
            cells += [model.model, *([model.layer] if has_layers else [])]
            cells += ["" if model.accuracy is None else f"{model.accuracy:.3f}"] * has_accuracy
            cells += [_expected(model)] * has_expected
            cells += [_score(model, number, score_intervals)] * scores
            table.add_row(*(Text(cell) for cell in cells))
        return table


def _rank(model: SearchedModel, ranks: Sequence[int | None]) -> str:
    """Return a rank, with ``=`` if other models share it."""
    return f"{model.rank}{'=' if ranks.count(model.rank) > 1 else ''}"


def _expected(model: SearchedModel) -> str:
    if model.expected_accuracy is None:
        return ""
    interval = f"[{model.expected_accuracy_low_80:.2f}, {model.expected_accuracy_high_80:.2f}]"
    return f"{model.expected_accuracy:.2f} {interval}"


def _score(model: SearchedModel, number: str, with_interval: bool) -> str:
    score = number.format(model.score)
    if with_interval and model.score_low_95 is not None and model.score_high_95 is not None:
        score += f" [{number.format(model.score_low_95)}, {number.format(model.score_high_95)}]"
    return score


def _score_format(models: Sequence[SearchedModel]) -> str:
    """Return a format with about two digits of the narrowest interval."""
    widths = [
        m.score_high_95 - m.score_low_95
        for m in models
        if m.score_low_95 is not None and m.score_high_95 is not None and m.score_high_95 > m.score_low_95
    ]
    if not widths:
        return score_format([m.score for m in models if m.score is not None])
    return f"{{:.{min(8, max(0, 1 - math.floor(math.log10(min(widths)))))}f}}"
