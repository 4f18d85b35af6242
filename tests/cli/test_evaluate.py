"""The evaluate command: numbers against scipy, both forms of scores, and one line per error."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from transfer_exp.cli.evaluate import main
from transfer_exp.errors import InputError
from transfer_exp.evaluation.null_band import null_deviation
from transfer_exp.evaluation.paired import compare_paired, holm
from transfer_exp.io.accuracies import PUBLISHED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODELS = list("abcdefgh")
DATASETS = ("birds", "cars", "pets")
REGIMES = ["vanilla_ft", "last_block_ft", "linear_ft"]


def scores(perturbations=("none", "pca"), metrics=("logme",), datasets=DATASETS, **more):
    rng = np.random.default_rng(0)
    rows = [
        {"metric": metric, "perturbation": perturbation, "dataset": dataset, **more, "model": model, "score": value}
        for metric in metrics
        for perturbation in perturbations
        for dataset in datasets
        for model, value in zip(MODELS, rng.normal(size=len(MODELS)).round(3), strict=True)
    ]
    return pd.DataFrame(rows)


def accuracies(datasets=DATASETS, seeds=1, **more):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {"model": model, "dataset": dataset, "seed": seed, "accuracy": rng.uniform().__round__(3), **more}
            for dataset in datasets
            for model in MODELS
            for seed in range(seeds)
        ]
    )


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Write both tables, run the command, and return its code, what it printed, and the rows that it wrote."""
    monkeypatch.setenv("COLUMNS", "100")

    def command(scored, truth, *options):
        scored.to_csv(tmp_path / "scores.csv", index=False)
        table = truth if isinstance(truth, str) else str(tmp_path / "accuracies.csv")
        if not isinstance(truth, str):
            truth.to_csv(table, index=False)
        out = tmp_path / "rows.csv"
        code = main([str(tmp_path / "scores.csv"), table, "--out", str(out), *options])
        output = capsys.readouterr()
        return code, output.out if code == 0 else output.err, pd.read_csv(out) if out.exists() else None

    return command


def tau(scored, truth, **where):
    """Return scipy's weighted tau of the rows of a cell."""
    cell = scored[np.logical_and.reduce([scored[name] == value for name, value in where.items()])]
    means = truth[truth["dataset"] == where["dataset"]].groupby("model")["accuracy"].mean()
    return stats.weightedtau(cell.set_index("model")["score"][means.index], means).statistic


def entries(output, *names):
    """Return the cells of the row that begins with these names."""
    lines = [line.split() for line in output.splitlines() if line.split()[: len(names)] == list(names)]
    assert len(lines) == 1, output
    return lines[0][len(names) :]


def test_every_cell_has_the_weighted_tau_of_scipy_and_the_table_shows_means(run):
    scored, truth = scores(), accuracies()
    code, output, rows = run(scored, truth)
    assert code == 0
    assert len(rows) == 6
    for row in rows.to_dict("records"):
        where = {name: row[name] for name in ("dataset", "perturbation")}
        assert row["weighted_tau"] == pytest.approx(tau(scored, truth, **where))
        assert (row["models"], row["tied"]) == (8, False)
        assert row["null_low"] < 0 < row["null_high"]
    means = rows.groupby("perturbation")["weighted_tau"].mean()
    assert "all rows: metric logme" in output
    assert entries(output, "pca")[0] == f"{means['pca']:.2f}"
    assert entries(output, "none")[0] == f"{means['none']:.2f}"
    above = rows[rows["perturbation"] == "pca"].eval("weighted_tau > null_high").sum()
    assert entries(output, "pca")[3] == f"{above}/3"


def test_the_best_row_comes_first_and_hidden_rows_are_counted(run):
    code, output, _ = run(scores(metrics=("leep", "logme", "sfda")), accuracies(), "--top", "4")
    values = [
        float(line.split()[2]) for line in output.splitlines() if line.split()[:1] in (["leep"], ["logme"], ["sfda"])
    ]
    assert code == 0
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    assert "2 more rows: --top 0 shows all" in output


def test_a_perturbation_is_compared_with_none_over_datasets_and_corrected_over_rows(run):
    datasets = tuple(f"d{i}" for i in range(9))
    scored, truth = scores(("none", "pca", "spread"), datasets=datasets), accuracies(datasets)
    _, output, rows = run(scored, truth)
    taus = rows.pivot(index="perturbation", columns="dataset", values="weighted_tau")
    by = {str(name): dict(row) for name, row in taus.iterrows()}
    comparisons = [compare_paired(by[name], by["none"]) for name in ("pca", "spread")]
    corrected = holm(np.array([comparison.sign_flip_p for comparison in comparisons]))
    for name, comparison, p in zip(("pca", "spread"), comparisons, corrected, strict=True):
        values = [f"{value:.3f}".removeprefix("0").replace("1.000", "1") for value in (comparison.sign_flip_p, p)]
        assert entries(output, name)[-4:] == [
            f"{comparison.mean:+.2f}",
            f"{comparison.wins}/{comparison.ties}/{comparison.losses}",
            *values,
        ]
    _, output, _ = run(scored, truth, "--against", "pca")
    assert entries(output, "none")[-4] == f"{-comparisons[0].mean:+.2f}"


def test_a_comparison_uses_models_that_both_variants_score(run):
    scored, truth = scores(), accuracies()
    gap = (scored["perturbation"] == "none") & (scored["model"] == "a")
    scored.loc[gap, "score"] = None
    _, output, rows = run(scored, truth)
    assert set(rows[rows["perturbation"] == "none"]["models"]) == {7}
    fewer = scored[scored["model"] != "a"], truth[truth["model"] != "a"]
    pca, none = ([tau(*fewer, dataset=d, perturbation=p) for d in DATASETS] for p in ("pca", "none"))
    assert entries(output, "pca")[0] == "8"
    assert entries(output, "pca")[-4] == f"{np.mean(pca) - np.mean(none):+.2f}"


def test_matrix_and_long_form_give_the_same_report(run):
    scored = scores(model_pool="p", images_per_class="all", seed=0)
    fields = [name for name in scored if name not in ("model", "score")]
    long = run(scored, accuracies())
    wide = run(scored.pivot(index=fields, columns="model", values="score").reset_index(), accuracies())
    assert wide[1] == long[1]
    pd.testing.assert_frame_equal(wide[2], long[2])


def test_seeds_of_accuracies_and_of_scores_are_averaged(run):
    scored, truth = scores(), accuracies(seeds=3)
    averaged = truth.groupby(["model", "dataset"], as_index=False)["accuracy"].mean()
    assert run(scored, truth)[1] == run(scored, averaged)[1]
    assert run(scored, truth.assign(seed=truth["seed"].astype(float)))[1] == run(scored, averaged)[1]
    output = run(scored, truth.drop(index=1))[1]
    assert re.search(r"model a has 2 seed.s. on dataset 'birds', and . has 3: each accuracy is the mean", output)
    two = pd.concat([scored.assign(seed=0), scored.assign(seed=1, score=scored["score"][::-1].to_numpy())])
    _, output, rows = run(two, truth)
    assert len(rows) == 12
    assert "mean over 2 seeds of the scores" in output
    assert "mean over 1 to 2 seeds of the scores" in run(two[(two["seed"] == 0) | (two["dataset"] == "pets")], truth)[1]
    assert entries(output, "pca")[0] == f"{rows[rows['perturbation'] == 'pca']['weighted_tau'].mean():.2f}"
    assert entries(output, "pca")[3].endswith("/3")


def test_means_that_differ_only_by_rounding_are_tied(run):
    seeds = {"a": [0.9541666666666667, 0.9416666666666667, 0.9416666666666667], "b": 3 * [0.9458333333333333]}
    truth = pd.DataFrame([{"model": m, "seed": i, "accuracy": v} for m in seeds for i, v in enumerate(seeds[m])])
    rows = run(pd.DataFrame({"model": ["a", "b"], "score": [1, 2]}), truth)[2]
    assert rows["tied"].item()


def test_a_single_dataset_shows_all_measures(run):
    _, output, rows = run(scores(datasets=("pets",)), accuracies())
    row = rows[rows["perturbation"] == "pca"].iloc[0]
    band = [f"{row['null_low']:.2f},", f"{row['null_high']:.2f}"]
    measures = [f"{row[name]:.2f}" for name in ("kendall", "spearman", "rel_at_3", "recall_at_3")]
    assert entries(output, "pca") == [f"{row['weighted_tau']:.2f}", *band, *measures, f"{row['regret']:.3f}"]
    assert "static ranking (mean accuracy rank on the other datasets): tau_w" in output
    assert "datasets without scores (2): birds, cars" in output


def test_properties_of_models_and_datasets_do_not_split_the_evaluation(run, caplog):
    scored, truth = pd.concat([scores(seed=0), scores(seed=1)]), accuracies()
    columns = {
        "classes": scored["dataset"].map({"birds": 200, "cars": 196, "pets": 37}),
        "family": scored["model"].map(dict.fromkeys("abcd", "cnn") | dict.fromkeys("efgh", "vit")),
        "seconds": range(len(scored)),
    }
    expected = run(scored, truth)
    output = run(scored.assign(**columns), truth)
    assert output[1] == expected[1]
    pd.testing.assert_frame_equal(output[2], expected[2])
    assert "classes, family, seconds distinguish(es) no two scores of a model on a dataset: not used" in caplog.text


def test_a_column_that_distinguishes_scores_of_one_model_is_a_field(run):
    scored = pd.concat(
        [scores(("none",)).assign(k=k, score=lambda rows, k=k: rows["score"] * (-1) ** k) for k in (1, 2)]
    )
    _, output, rows = run(scored, accuracies())
    assert len(rows) == 6
    assert entries(output, "1")[0] != entries(output, "2")[0]


def test_a_model_without_accuracy_is_left_out_of_the_comparison(run):
    truth = accuracies()
    _, output, rows = run(scores(), truth.assign(accuracy=truth["accuracy"].where(truth["model"] != "a")))
    assert set(rows["models"]) == {7}
    assert "models without accuracies (1): a" in output


def test_two_columns_are_enough(run):
    scored, truth = scores(("none",), datasets=("pets",))[["model", "score"]], accuracies(("pets",))
    code, output, rows = run(scored, truth[["model", "accuracy"]])
    assert code == 0
    assert rows["weighted_tau"].item() == pytest.approx(tau(scored.assign(dataset="pets"), truth, dataset="pets"))
    assert "static ranking: none" in output
    assert "all rows: metric scores" in output


def test_names_that_occur_in_only_one_table_are_reported(run):
    scored, truth = scores(), accuracies()
    truth = truth[(truth["model"] != "a") & (truth["dataset"] != "cars")]
    _, output, rows = run(scored[scored["model"] != "h"], truth)
    assert "models without accuracies (1): a\n" in output
    assert "models without scores (1): h\n" in output
    assert "datasets without accuracies (1): cars\n" in output
    assert set(rows["models"]) == {6}


def test_unsound_rows_need_an_option_and_percent_is_divided(run):
    truth = accuracies().assign(sound="yes")
    truth.loc[truth["dataset"] == "cars", "sound"] = "no"
    _, output, rows = run(scores(), truth)
    assert "8 unsound accuracies left out (cars): --unsound uses them" in output
    assert "cars" not in set(rows["dataset"])
    _, output, rows = run(scores(), truth.assign(accuracy=100 * truth["accuracy"]), "--unsound", "--unit", "percent")
    assert set(rows["dataset"]) == set(DATASETS)
    assert rows["regret"].max() < 1


def test_each_regime_has_its_table_and_regimes_can_be_selected(run):
    truth = pd.concat([accuracies(regime=name, pool=pool) for name in ("full", "linear") for pool in ("p", "q")])
    _, output, rows = run(scores(), truth, "--pool", "p")
    assert "full: 3 dataset(s), 8 models" in output
    assert list(dict.fromkeys(rows["regime"])) == ["full", "linear"]
    assert set(run(scores(), truth, "--pool", "p", "--regime", "linear")[2]["regime"]) == {"linear"}
    incomplete = truth[(truth["regime"] == "full") | (truth["model"] == "a")]
    _, output, rows = run(scores(), incomplete, "--pool", "p")
    assert "left out: 1 models and 3 datasets have both scores and accuracies of linear" in output
    assert set(rows["regime"]) == {"full"}


@pytest.mark.parametrize("unsound", [True, False])
@pytest.mark.parametrize(
    ("pool", "with_unsound", "sound"),
    [
        ("group1_supervised_cnn11", [0.837, 0.707, 0.616], [0.837, 0.743, 0.660]),
        ("group2_ssl_resnet50_12", [0.685, 0.482, 0.789], [0.685, 0.467, 0.846]),
    ],
)
def test_static_ranking_of_the_published_pools_has_its_reference_values(run, pool, with_unsound, sound, unsound):
    """The known means are over eleven targets, unsound ones too, without resisc and eurosat, which lack models."""
    truth = pd.read_csv(PUBLISHED)
    truth = truth[(truth["pool"] == pool) & ~truth["dataset"].isin(["resisc", "eurosat"])]
    scored = truth[["model", "dataset"]].drop_duplicates()
    scored = scored.assign(score=np.random.default_rng(0).normal(size=len(scored)))
    _, output, _ = run(scored, "published", "--pool", pool, *["--unsound"][:unsound])
    lines = [line for line in output.splitlines() if line.startswith("static ranking")]
    datasets = [11, 11, 11] if unsound else [11, 8, 8]
    assert [line.partition("tau_w ")[2] for line in lines] == [
        f"{mean:.3f} over {n} of {n} datasets"
        for mean, n in zip(with_unsound if unsound else sound, datasets, strict=True)
    ]
    assert all(f"{regime}: {n} dataset(s)" in output for regime, n in zip(REGIMES, datasets, strict=True))


def test_the_deviation_of_random_scores_matches_a_simulation(run):
    rng = np.random.default_rng(0)
    taus = [stats.weightedtau(rng.normal(size=11), np.arange(11)).statistic for _ in range(4000)]
    assert null_deviation(11, draws=100_000) == pytest.approx(0.278, abs=1e-3)
    assert np.std(taus) == pytest.approx(0.278, abs=0.01)
    assert (
        f"random scores: sd {null_deviation(8):.2f} of tau_w on one dataset at 8 models"
        in run(scores(), accuracies())[1]
    )
    with pytest.raises(InputError, match="models=1"):
        null_deviation(1)


def test_targets_that_lack_models_have_a_static_ranking_of_the_others(run):
    truth = pd.read_csv(PUBLISHED).query("pool == 'group2_ssl_resnet50_12' and regime == 'vanilla_ft'")
    scored = truth[["model", "dataset"]].assign(score=range(len(truth)))
    _, output, rows = run(scored, "published", "--pool", "group2_ssl_resnet50_12", "--regime", "vanilla_ft")
    assert "tau_w 0.654 over 13 of 13 datasets" in output
    assert dict(zip(rows["dataset"], rows["models"], strict=True))["eurosat"] == 10
    assert entries(output, "10-12")


ONE_DATASET = scores(("none",), datasets=("pets",))
SAME = accuracies()
MISTAKES = {
    "several pools": ((scores(), "published"), "several values of pool: set --pool to one of group1_supervised_cnn11"),
    "no such pool": ((scores(), "published", "--pool", "vit"), "has no pool 'vit': did you mean vit13"),
    "no such regime": ((scores(), SAME.assign(regime="full"), "--regime", "ful"), "no regime 'ful': did you mean full"),
    "no pools": ((scores(), SAME, "--pool", "p"), "has no column pool: leave --pool out"),
    "no accuracies": ((scores(), "absent.csv"), "no table absent.csv"),
    "no such user": ((scores(), "~nobody_here/t.csv"), "no table ~nobody_here/t.csv"),
    "percent": (
        (scores(), SAME.assign(accuracy=71)),
        "accuracy 71 is not a fraction: correct it, or set --unit=percent",
    ),
    "unknown unit": ((scores(), SAME, "--unit", "points"), "--unit=points: choose fraction or percent"),
    "two protocols": (
        (scores(), pd.concat([SAME.assign(protocol=name, regime="full") for name in ("long", "short")])),
        "has several protocols of full: keep the rows of one of long, short",
    ),
    "no score": ((scores().drop(columns="score"), SAME), "scores.csv lacks the column 'score'"),
    "no model": ((scores().drop(columns="model"), SAME), "scores.csv lacks the column 'model'"),
    "neither form": ((scores()[["metric"]], SAME), "neither the columns model and score nor those of a grid"),
    "no regimes": ((scores(), SAME, "--regime", "nope"), "accuracies.csv has no column regime: leave --regime out"),
    "stray row": (
        (scores(), pd.concat([SAME, SAME[:1].assign(accuracy=0.99)])),
        "lines 2 and 26 both give the accuracy of model a on dataset 'birds': keep one",
    ),
    "two learning rates": (
        (scores(), pd.concat([SAME.assign(lr=0.1), SAME.assign(lr=1, seed=1)])),
        "lines 2 and 26 both give the accuracy of model a on dataset 'birds' and differ in lr, not only in the seed",
    ),
    "decimal comma": (
        (scores().assign(score="0,5"), SAME),
        "score '0,5' is not a finite number: write a decimal point, 0.5",
    ),
    "other models": (
        (scores().query("model == 'a'").assign(model="z"), SAME),
        "0 models and 3 datasets have both scores and accuracies: need two models and a dataset",
    ),
    "one model": ((scores(), SAME.query("model == 'a'")), "1 models and 3 datasets have both"),
    "other names": (
        (scores(), SAME.assign(model="z" + SAME["model"])),
        "(models begin with [a, b, c] and [za, zb, zc])",
    ),
    "dataset unsaid": ((ONE_DATASET[["model", "score"]], SAME), "the scores do not name their dataset"),
    "twice": (
        (pd.concat([ONE_DATASET, ONE_DATASET[:1]]), SAME),
        "lines 2 and 10 both score metric logme, perturbation none",
    ),
    "not finite": (
        (ONE_DATASET.replace({"score": {ONE_DATASET["score"][1]: np.inf}}), SAME),
        "metric logme (perturbation none, dataset pets) scored model b inf: look at its features",
    ),
    "not a number": ((ONE_DATASET.assign(score="nan"), SAME), "scored model a nan: look at its features"),
    "in words": ((ONE_DATASET.assign(score="high"), SAME), "line 2: score 'high' is not a finite number"),
    "own cells": (
        (
            pd.concat([scores(seed=s).assign(draw=range(48 * s, 48 * s + 48)) for s in (0, 0)]).assign(draw=range(96)),
            SAME,
        ),
        "no cell scores two models",
    ),
    "no control": ((scores(), SAME, "--against", "pcb"), "no perturbation 'pcb' to compare with: did you mean pca"),
    "k": ((scores(), SAME, "--k", "0"), "--k=0 chooses no model"),
    "top": ((scores(), SAME, "--top", "-1"), "--top=-1 is negative"),
    "a column of ours": ((scores(models=8), SAME), "the scores have a column models, which the results have as well"),
    "no value of the accuracies": (
        (scores(), SAME.assign(accuracy=None)),
        "the table has no accuracies: fill in those",
    ),
    "only unsound accuracies": (
        (scores(), SAME.assign(sound="no")),
        "the table has no accuracies (24 unsound accuracies left out (birds, cars, pets): --unsound uses them",
    ),
    "no value of the scores": ((scores().assign(score=None), SAME), "scores.csv has no score, in 48 rows: fill in"),
    "no rows": ((scores()[:0][["model", "score"]], SAME), "scores.csv has no score, in 0 rows: fill in"),
    "no table at all": ((pd.DataFrame(), SAME), "scores.csv is not a CSV table"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=[name.replace(" ", "_") for name in MISTAKES])
def test_a_mistake_gets_one_line_and_exit_code_1(run, mistake):
    arguments, message = MISTAKES[mistake]
    code, output, _ = run(*arguments)
    assert code == 1
    assert message in output
    assert output.startswith("transfer_exp: ")
    assert output.count("\n") == 1


def test_the_error_lists_every_pool_to_choose_from(run):
    output = run(scores(), "published")[1]
    assert all(pool in output for pool in set(pd.read_csv(PUBLISHED)["pool"]))


def test_no_deep_learning_library_is_imported(tmp_path):
    scores().to_csv(tmp_path / "scores.csv", index=False)
    accuracies().to_csv(tmp_path / "accuracies.csv", index=False)
    code = (
        "import sys; from transfer_exp.cli.evaluate import main; print('pandas' in sys.modules);"
        "main(['scores.csv', 'accuracies.csv']);"
        "print([m for m in ('torch', 'torchvision', 'timm', 'hydra', 'wandb', 'matplotlib') if m in sys.modules])"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("False", "[]")


@pytest.mark.parametrize("name", ["scores.csv", "accuracies.csv", "link.csv", "notes.csv", ".", ""])
def test_a_table_of_the_user_is_never_replaced(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scores().to_csv("scores.csv", index=False)
    accuracies().to_csv("accuracies.csv", index=False)
    Path("link.csv").symlink_to("scores.csv")
    Path("notes.csv").write_text("metric,dataset,note\nlogme,pets,mine\n")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert main(["scores.csv", "accuracies.csv", "--out", name]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    reason = {"notes.csv": "is not an earlier table of measures"}.get(name, "is an input of this command")
    assert (reason if name.endswith("csv") else "'.' is a folder, not the name of a file") in output.err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_leading_tilde_is_the_home_folder(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    run(scores(), accuracies())
    assert main(["~/scores.csv", "~/accuracies.csv", "--out", "~/other.csv"]) == 0
    assert (tmp_path / "other.csv").exists()


def test_an_earlier_table_of_measures_is_replaced(run):
    run(scores(seed=1), accuracies())
    code, _, rows = run(scores(("none",)), accuracies())
    assert (code, len(rows)) == (0, 3)
