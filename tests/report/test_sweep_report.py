"""Sweeps read from disk: cells, means over seeds, pairs, tables, figure, the command and the callback."""

import io
import json
import os

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from transfer_exp.cli.hydra_callback import HydraCallback
from transfer_exp.cli.report import main
from transfer_exp.errors import InputError
from transfer_exp.io.csv import write_table
from transfer_exp.report.record import write_record
from transfer_exp.report.sweep import failures, show_sweep
from transfer_exp.report.sweep_cells import collect, mean_over_seeds, paired_change
from transfer_exp.report.sweep_figure import sweep_figure
from transfer_exp.report.sweep_table import change_table, sweep_table
from transfer_exp.results.cell import CellResult, ModelResult

pytestmark = pytest.mark.slow


def cell(dataset, perturbation, metric, seed="0", **fields_added):
    fields = {"model_pool": "builtin", "dataset": dataset, "perturbation": perturbation, "metric": metric}
    return {**fields, "ground_truth": "full", "seed": seed, **fields_added}


def write(folder, tau, cell_fields, band=(-0.5, 0.5), tied=False):
    measures = {} if tau is None else {"weighted_tau": tau, "regret": 0.1}
    models = (ModelResult("a", 1.0, 0.5), ModelResult("b", 2.0, 0.6), ModelResult("c", None, 0.6, "no head"))
    result = CellResult(cell_fields, models, measures, None if tau is None else band, tied)
    write_record(result, {}, folder / "-".join(cell_fields.values()))
    return folder / "-".join(cell_fields.values())


def fail(folder, cell_fields, reason="no head\nin the pool"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps({"state": "failed", "reason": reason, "cell": cell_fields}))


def rendered(renderable, width=100):
    text = io.StringIO()
    Console(file=text, width=width).print(renderable)
    return text.getvalue()


@pytest.fixture
def sweep(tmp_path):
    for dataset, shift in (("digits", 0.1), ("glyphs", 0.3)):
        write(tmp_path, 0.4, cell(dataset, "none", "logme"))
        write(tmp_path, 0.4 + shift, cell(dataset, "attract(alpha=0.1)", "logme"))
    write(tmp_path, 0.0, cell("digits", "none", "sfda"), tied=True)
    write(tmp_path, None, cell("glyphs", "none", "sfda"))
    fail(tmp_path / "3", cell("digits", "attract(alpha=0.1)", "sfda"))
    return tmp_path


def test_collect_gives_one_row_per_cell_with_its_numbers(sweep):
    frame = collect(sweep)
    assert list(frame.columns[:8]) == [*cell("", "", ""), "state", "reason"]
    assert frame["state"].value_counts().to_dict() == {"done": 6, "failed": 1}
    row = frame[(frame["dataset"] == "glyphs") & (frame["perturbation"] != "none")].iloc[0]
    assert (row["weighted_tau"], row["outside"], row["null_low"], row["null_high"]) == (0.7, True, -0.5, 0.5)
    assert (row["models"], row["skipped"], row["regret"]) == (2, 1, 0.1)
    assert (sweep / row["folder"] / "result.json").is_file()


def test_a_later_record_replaces_a_failure_and_a_later_failure_a_record(tmp_path):
    fields = cell("digits", "none", "logme")
    folder = write(tmp_path, 0.4, fields)
    fail(folder, fields)
    os.utime(folder / "status.json", (2e9, 2e9))
    assert list(collect(tmp_path)["state"]) == ["failed"]
    os.utime(folder / "result.json", (2.1e9, 2.1e9))
    assert list(collect(tmp_path)["state"]) == ["done"]


def test_the_table_marks_cells_outside_the_band_and_tied_or_failed_ones(sweep):
    lines = rendered(sweep_table(collect(sweep))).splitlines()
    rows = [line.split() for line in lines]
    assert rows[1] == ["dataset", "perturbation", "logme", "sfda"]
    assert rows[3] == ["digits", "none", "0.40", "0.00="]
    assert rows[4] == ["attract(alpha=0.1)", "0.50", "failed"]
    assert rows[6] == ["glyphs", "none", "0.40", "no", "tau"]
    assert rows[7] == ["attract(alpha=0.1)", "0.70*"]
    assert [line[0] for line in lines[8:]] == ["*", "=", "n"]


def test_the_change_is_paired_over_datasets(sweep):
    change = paired_change(collect(sweep))
    assert change["metric"].tolist() == ["logme"]
    assert change.iloc[0]["change"] == pytest.approx(0.2)
    assert change.iloc[0]["error"] == pytest.approx(np.std([0.1, 0.3], ddof=1) / np.sqrt(2))
    assert change.iloc[0]["pairs"] == 2
    assert "+0.20 ±0.10 (2)" in rendered(change_table(collect(sweep)))


def test_without_the_perturbation_none_there_is_no_change(tmp_path):
    write(tmp_path, 0.4, cell("digits", "pca", "logme"))
    assert change_table(collect(tmp_path)) is None


def test_seeds_are_averaged_and_counted_as_one_pair(tmp_path):
    for seed, tau in (("0", 0.4), ("1", 0.6), ("2", 0.8)):
        write(tmp_path, tau, cell("digits", "none", "logme", seed))
    write(tmp_path, 0.5, cell("digits", "pca", "logme", "0"))
    write(tmp_path, 0.5, cell("digits", "pca", "logme", "2"))
    fail(tmp_path / "lost", cell("digits", "pca", "logme", "1"))
    merged = mean_over_seeds(collect(tmp_path)).set_index("perturbation")
    assert merged.loc["none", "weighted_tau"] == pytest.approx(0.6)
    assert merged.loc["none", "deviation"] == pytest.approx(0.2)
    assert (merged.loc["pca", "seeds"], merged.loc["pca", "failed"]) == (2, 1)
    change = paired_change(collect(tmp_path)).iloc[0]
    assert (change["change"], change["pairs"]) == (pytest.approx((0.1 - 0.3) / 2), 1)
    text = rendered(sweep_table(collect(tmp_path)))
    assert "mean over 2 to 3 seeds" in text
    assert "0.60* ±0.20" in text
    assert "0.50  ±0.00!" in text


def test_runs_that_differ_in_a_setting_only_are_told_apart_by_it(tmp_path):
    """Runs started one by one have no axes, so only their configurations tell them apart."""
    for name, seed, per_class, tau in (
        ("a", "0", 4, 0.2),
        ("b", "0", 20, 0.6),
        ("c", "1", 4, 0.4),
        ("d", "1", 20, 0.8),
    ):
        result = CellResult(cell("shapes", "none", "logme", seed), (), {"weighted_tau": tau}, (-0.5, 0.5))
        config = {"seed": int(seed), "dataset": {"train_per_class": per_class, "seed": int(seed)}, "device": name}
        write_record(result, config, tmp_path / name)
    frame = collect(tmp_path)
    assert list(mean_over_seeds(frame)["dataset.train_per_class"]) == ["20", "4"]
    assert list(mean_over_seeds(frame)["weighted_tau"]) == pytest.approx([0.7, 0.3])
    assert "device" not in frame.columns
    assert "dataset.seed" not in frame.columns


def test_settings_of_earlier_versions_with_bytes_that_are_no_characters_are_printed(tmp_path, capsys):
    for name in ("a", "b"):
        write_record(CellResult(cell("shapes", "none", "logme"), ()), {"dataset": {"root": name}}, tmp_path / name)
        record = json.loads((tmp_path / name / "result.json").read_text())
        record["config"]["dataset"]["root"] += "\udce4"
        (tmp_path / name / "result.json").write_text(json.dumps(record))
    assert list(collect(tmp_path)["dataset.root"]) == [r"a\udce4", r"b\udce4"]
    assert main([str(tmp_path)]) == 0
    capsys.readouterr().out.encode()


def test_the_same_run_twice_is_one_seed(tmp_path):
    for name in ("first", "again"):
        write(tmp_path / name, 0.4, cell("digits", "none", "logme"))
    (row,) = mean_over_seeds(collect(tmp_path)).to_dict("records")
    assert (row["weighted_tau"], row["seeds"]) == (0.4, 1)
    assert "mean over" not in rendered(sweep_table(collect(tmp_path)))


def test_a_later_success_removes_the_failure_whatever_the_clock_says(tmp_path):
    fields = cell("digits", "none", "logme")
    folder = tmp_path / "-".join(fields.values())
    fail(folder, fields)
    os.utime(folder / "status.json", (4e9, 4e9))
    write(tmp_path, 0.4, fields)
    assert list(collect(tmp_path)["state"]) == ["done"]


def test_a_result_without_its_figure_counts_and_is_reported(tmp_path):
    fields = cell("digits", "none", "logme")
    folder = write(tmp_path, 0.4, fields)
    (folder / "status.json").write_text(json.dumps({"state": "done", "reason": "no figure", "cell": fields}))
    frame = collect(tmp_path)
    assert (frame["state"][0], frame["weighted_tau"][0]) == ("done", 0.4)
    (line,) = failures(frame)
    assert line.endswith("seed=0: no figure")


def test_a_sweep_whose_figure_fails_still_has_its_table_and_page(tmp_path, monkeypatch):
    write(tmp_path, 0.4, cell("digits", "none", "logme"))
    monkeypatch.setattr("transfer_exp.report.sweep.sweep_figure", lambda frame, path: 1 / 0)
    text = io.StringIO()
    failed, problem = show_sweep(tmp_path, Console(file=text, width=200))
    assert failed == []
    problem = str(problem)
    assert problem.startswith("cannot write the figure (division by zero): the results are in ")
    assert "0.40" in text.getvalue()
    assert {"sweep.csv", "report.html"} <= {path.name for path in tmp_path.iterdir()}


def test_any_other_field_that_varies_becomes_a_column(tmp_path):
    write(tmp_path, 0.4, cell("digits", "none", "logme", scoring_set="100"))
    write(tmp_path, 0.6, cell("digits", "none", "logme", scoring_set="all"))
    rows = [line.split() for line in rendered(sweep_table(collect(tmp_path))).splitlines()]
    assert rows[1] == ["dataset", "perturbation", "scoring_set", "logme"]
    assert [row[-2:] for row in rows[3:5]] == [["100", "0.40"], ["all", "0.60*"]]


def test_many_metrics_are_split_so_that_nothing_is_cut(tmp_path):
    names = [f"metric_with_a_long_name_{i}" for i in range(7)]
    for i, name in enumerate(names):
        write(tmp_path, i / 10, cell("digits", "none", name))
    text = rendered(sweep_table(collect(tmp_path)), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"{i / 10:.2f}" in text for i in range(7))
    assert text.count("dataset") > 1


def test_a_sweep_has_a_csv_and_a_picture(sweep):
    table, figure = write_table(sweep / "sweep.csv", collect(sweep)), sweep_figure(collect(sweep), sweep / "sweep.png")
    assert table.parent == figure.parent == sweep
    assert len(pd.read_csv(table)) == 7
    with Image.open(figure) as picture:
        assert picture.format == "PNG"


def test_the_figure_of_only_failed_cells_is_drawn(tmp_path):
    fail(tmp_path / "0", cell("digits", "none", "logme"))
    fail(tmp_path / "1", {})
    frame = collect(tmp_path)
    assert sweep_figure(frame, tmp_path / "f.png").is_file()
    assert "failed" in rendered(sweep_table(frame))
    assert change_table(frame) is None
    assert len(failures(frame)) == 2


def test_a_folder_without_cells_is_one_line_and_exit_code_one(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "absent"):
        assert main([str(folder)]) == 1
        output = capsys.readouterr()
        assert output.err.count("\n") == 1
        assert str(folder) in output.err


def test_a_damaged_record_is_named(sweep):
    (sweep / "3" / "status.json").write_text("{")
    with pytest.raises(InputError, match=r"status\.json"):
        collect(sweep)
    (sweep / "3" / "status.json").write_text("[]")
    with pytest.raises(InputError, match=r"status\.json is not the status"):
        collect(sweep)


def test_the_command_aggregates_again_and_lists_unfinished_cells(sweep, capsys):
    assert main([str(sweep)]) == 0
    output = capsys.readouterr()
    assert "sweep.png" in output.out
    assert output.err == (
        "not done: model_pool=builtin dataset=digits perturbation=attract(alpha=0.1) metric=sfda ground_truth=full "
        "seed=0: no head in the pool\n"
    )


def test_a_leading_tilde_is_the_home_folder(sweep, monkeypatch):
    monkeypatch.setenv("HOME", str(sweep.parent))
    assert main([f"~/{sweep.name}", "--rows", "~/rows.csv"]) == 0
    assert (sweep.parent / "rows.csv").exists()


def hydra_config(folder):
    return OmegaConf.create({"stage": "score", "hydra": {"sweep": {"dir": str(folder)}}})


def test_the_callback_ends_with_exit_code_one_when_a_cell_failed(sweep, capsys):
    with pytest.raises(SystemExit) as end:
        HydraCallback().on_multirun_end(hydra_config(sweep))
    assert end.value.code == 1
    output = capsys.readouterr()
    first, last = output.err.strip().splitlines()[-2:]
    assert first.startswith("model_pool=builtin dataset=digits")
    assert last == "1 job(s) did not finish: run the same command again to repeat only these"
    assert "tau_w" in output.out


def test_the_callback_prints_no_error_if_every_cell_finished(tmp_path, capsys):
    write(tmp_path, 0.4, cell("digits", "none", "logme"))
    HydraCallback().on_multirun_end(hydra_config(tmp_path))
    assert capsys.readouterr().err == ""
    assert (tmp_path / "sweep.csv").is_file()


def test_the_callback_fails_for_an_empty_sweep(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        HydraCallback().on_multirun_end(hydra_config(tmp_path))
    assert end.value.code == 1
    assert "holds no results" in capsys.readouterr().err
