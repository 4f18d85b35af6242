"""First screen of a page: the answer in one sentence, the reasons, the next command, and a chart of the best rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from transfer_exp.io.measures import is_error, measure_heading
from transfer_exp.report.ranking_table import against_chance, band_text, enumerate_names, plural, verdict
from transfer_exp.report.search_table import next_step, no_recommendation, remarks, warnings
from transfer_exp.report.sweep_cells import mean_change, mean_over_seeds, paired_change, row_fields
from transfer_exp.results.cell import CellResult
from transfer_exp.results.search import ACCURACY_LEVEL, RANK_LEVEL, SCORE_LEVEL, SearchResult

_MAX_ROWS = 20
"""Most rows of a chart; the table below it has all."""
_MAX_LINES = 5


@dataclass(frozen=True)
class ChartRow:
    """One row of a chart: a name, a value and its interval.

    Attributes:
        name: Name of the model, or of the compared cells.
        value: Position of the dot.
        low, high: Ends of the whiskers; None without an interval.
        is_best: Whether the row belongs to the answer and is coloured.
        measured_accuracy: Accuracy after fine-tuning; None if the model was not fine-tuned.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    is_best: bool = False
    measured_accuracy: float | None = None


@dataclass(frozen=True)
class Chart:
    """Dots with whiskers, one row below the other.

    Attributes:
        axis: Title of the axis, with the level of the intervals.
        rows: At most 20 rows, best first.
        left_out: Number of further rows, which only the table has.
        key: Meaning of the coloured rows; empty if none is coloured.
        is_change: Whether the values are differences, which have a sign.
    """

    axis: str
    rows: tuple[ChartRow, ...]
    left_out: int = 0
    key: str = ""
    is_change: bool = False


@dataclass(frozen=True)
class Answer:
    """Content of the first screen.

    Attributes:
        headline: The answer in one short sentence.
        detail: Number behind the answer; may be empty.
        warnings: Reasons to doubt the answer.
        best: Models that may be the best.
        command: Command that does what the headline says; empty if there is none.
        lines: Further sentences.
        chart: Chart of the best rows; None if nothing has a value.
    """

    headline: str
    detail: str = ""
    warnings: tuple[str, ...] = ()
    best: tuple[str, ...] = ()
    command: str = ""
    lines: tuple[str, ...] = ()
    chart: Chart | None = None


def search_answer(search: SearchResult) -> Answer:
    """Return which models of a search to fine-tune, how certain that is, and the command."""
    is_fine_tuned = bool(search.pairs) or any(model.accuracy is not None for model in search.models)
    return Answer(
        headline=next_step(search) if is_fine_tuned else _recommendation(search),
        detail="" if is_fine_tuned else _expectation(search),
        warnings=tuple(warnings(search)),
        best=search.best,
        command=search.command,
        lines=tuple(remarks(search)),
        chart=_search_chart(search),
    )


def cell_answer(result: CellResult) -> Answer:
    """Return whether the scores of a cell order the models better than chance, or which model has the best score."""
    scored = [line.result for line in result.ranking() if line.result.score is not None]
    if not scored:
        return Answer("No model was scored", lines=tuple(verdict(result)))
    metric, best, lines = result.cell.get("metric", "The metric"), scored[0].model, list[str]()
    top, heading = result.most_accurate, measure_heading(result.measure)
    if top is not None and sum(model.accuracy is not None for model in scored) > 1:
        chosen = "" if scored[0].accuracy is None else f" ({heading} {scored[0].accuracy:.3f})"
        lines = [f"Highest score: {best}{chosen}. Best {heading}: {top.model} ({top.accuracy:.3f})."]
    if "weighted_tau" in result.measures:
        verb = {
            "better than chance": f"{metric} ranks {result.compared} models better than chance",
            "worse than chance": f"{metric} ranks {result.compared} models worse than chance",
            "within chance": f"The ranking of {result.compared} models by {metric} may be due to chance",
        }.get(against_chance(result), f"{metric} gives no ranking: all scores or accuracies are equal")
        headline = f"{verb}: tau_w {result.measures['weighted_tau']:.2f}"
        return Answer(headline, band_text(result), best=(best,), lines=tuple(lines))
    rows = [ChartRow(m.model, m.score, is_best=m.model == best) for m in scored if m.score is not None]
    headline = f"{best} has the highest score of {plural(len(scored), 'model')}"
    return Answer(
        headline, best=(best,), lines=(*lines, *verdict(result)), chart=_chart("score", rows, "highest score")
    )


def sweep_answer(frame: pd.DataFrame) -> Answer:
    """Return which perturbation changes tau_w the most, or which metric has the highest tau_w without one.

    The frame holds the cells from `collect`.
    """
    missing, cells = int((frame["state"] != "done").sum()), plural(len(frame), "cell")
    doubts = (f"{missing} of {cells} did not finish",) if missing else ()
    if not frame["weighted_tau"].notna().any():
        return Answer("No cell has a tau_w: the scores have no accuracies to compare with", warnings=doubts)
    counts = f"{int(frame['outside'].sum())} of {cells} outside the range for random scores"
    changes = mean_change(frame)
    if changes.empty:
        return _metric_answer(frame, doubts, counts)
    unit = "dataset" if row_fields(frame) == ["dataset", "perturbation"] else "setting"
    sentences = [_change_sentence(row, unit) for _, row in changes.iterrows()]
    has_metrics = frame["metric"].nunique() > 1
    rows = [
        ChartRow(
            f"{row['perturbation']}, {row['metric']}" if has_metrics else row["perturbation"],
            row["change"],
            *_interval(row["change"], row["error"]),
            is_best=bool(row["change"] > 0),
        )
        for _, row in paired_change(frame).sort_values("change", ascending=False).iterrows()
    ]
    chart = _chart("change of tau_w from none (± standard error)", rows, "increases tau_w", is_change=True)
    return Answer(sentences[0], warnings=doubts, lines=(*sentences[1:_MAX_LINES], counts), chart=chart)


def _recommendation(search: SearchResult) -> str:
    """Return the sentence on the models to fine-tune, and how certain they are the best."""
    if not search.recommended:
        return no_recommendation(search)
    best, names, finalists = search.best, search.recommended, search.with_status("finalist")
    first, level, action = finalists[0], f"({100 * RANK_LEVEL:g} %)", f"Fine-tune {enumerate_names(names)}"
    if search.target_kind == "unlabelled":
        return f"Highest score{'s' if len(names) > 1 else ''} without labels: {enumerate_names(names)}"
    if first.best_rank_95 is None:
        why = "" if len(finalists) == 1 else ", the highest scores, without a level of certainty"
    elif len(best) > len(names):
        why = f", the first of {len(best)} models that may be the best {level}"
    elif len(best) > 1:
        why = f": {'either' if len(best) == 2 else 'each of them'} may be the best {level}"
    elif first.worst_rank_95 == 1:
        why = f": significantly better than every other finalist {level}"
    else:
        why = f": no other finalist may be the best {level}"
    return action + why


def _expectation(search: SearchResult) -> str:
    """Return the expected accuracy of the first model; empty if the metric has no calibration."""
    first = search.with_status("finalist")[0]
    if first.expected_accuracy is None:
        return ""
    low, high = first.expected_accuracy_low_80, first.expected_accuracy_high_80
    whose = f" of {first.model}" if len(search.recommended) > 1 else ""
    return (
        f"Expected accuracy{whose}: {first.expected_accuracy:.2f} ({100 * ACCURACY_LEVEL:g} %: {low:.2f} to {high:.2f})"
    )


def _search_chart(search: SearchResult) -> Chart | None:
    """Return the expected accuracies of the finalists, or their scores if the metric has no calibration."""
    finalists, rows = search.with_status("finalist"), list[ChartRow]()
    has_expected = any(model.expected_accuracy is not None for model in finalists)
    for model in finalists:
        value, low, high = model.score, model.score_low_95, model.score_high_95
        if has_expected:
            value, low, high = model.expected_accuracy, model.expected_accuracy_low_80, model.expected_accuracy_high_80
        # An error has no place on an axis of accuracies, and neither of them on one of scores.
        accuracy = model.accuracy if has_expected and not is_error(search.measure) else None
        if value is not None:
            rows.append(ChartRow(model.model, value, low, high, model.model in search.best, accuracy))
    expected = f"expected accuracy ({100 * ACCURACY_LEVEL:g} % intervals)"
    return _chart(expected if has_expected else f"score ({100 * SCORE_LEVEL:g} % intervals)", rows, "may be the best")


def _metric_answer(frame: pd.DataFrame, doubts: tuple[str, ...], counts: str) -> Answer:
    """Return which metric has the highest mean tau_w over the cells of a sweep without pairs."""
    taus = mean_over_seeds(frame).dropna(subset=["weighted_tau"]).groupby("metric")["weighted_tau"]
    means = pd.DataFrame(taus.agg(["mean", "sem", "count"])).sort_values("mean", ascending=False)
    metric, best = str(means.index[0]), means.iloc[0]
    headline = f"{metric} has the highest tau_w of {len(means)} metrics" if len(means) > 1 else f"{metric} has a tau_w"
    number = f"{best['mean']:.2f}" + ("" if best["count"] == 1 else f", the mean of {best['count']:.0f} cells")
    rows = [
        ChartRow(str(name), row["mean"], *_interval(row["mean"], row["sem"]), name == metric)
        for name, row in means.iterrows()
    ]
    chart = _chart("mean tau_w (± standard error)", rows, "highest tau_w")
    return Answer(f"{headline}: {number}", warnings=doubts, lines=(counts,), chart=chart)


def _change_sentence(row: pd.Series, unit: str) -> str:
    """Return the mean change by one perturbation as a sentence."""
    name, change, error, count = row["perturbation"], f"{row['change']:+.2f}", row["error"], row["units"]
    if pd.isna(error):
        return f"{name} {'raises' if row['change'] > 0 else 'lowers'} tau_w by {change}, on one {unit} only"
    number = f"{change} ± {error:.2f}, the mean of {count} {unit}s"
    if not row["significant"]:
        return f"{name} does not change tau_w significantly: {number}"
    return f"{name} {'raises' if row['change'] > 0 else 'lowers'} tau_w by {number}"


def _interval(value: float, error: float) -> tuple[float | None, float | None]:
    return (None, None) if pd.isna(error) else (value - error, value + error)


def _chart(axis: str, rows: Sequence[ChartRow], key: str, is_change: bool = False) -> Chart | None:
    if not rows:
        return None
    drawn = tuple(rows[:_MAX_ROWS])
    return Chart(axis, drawn, len(rows) - len(drawn), key if any(r.is_best for r in drawn) else "", is_change)
