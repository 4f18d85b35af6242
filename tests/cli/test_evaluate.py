"""Scores made elsewhere beside accuracies: the right numbers, both forms, and one line for every mistake."""

from __future__ import annotations

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

    def command(scored, known, *options):
        scored.to_csv(tmp_path / "scores.csv", index=False)
        table = known if isinstance(known, str) else str(tmp_path / "accuracies.csv")
        if not isinstance(known, str):
            known.to_csv(table, index=False)
        out = tmp_path / "rows.csv"
        code = main([str(tmp_path / "scores.csv"), table, "--out", str(out), *options])
        said = capsys.readouterr()
        return code, said.out if code == 0 else said.err, pd.read_csv(out) if out.exists() else None

    return command


def tau(scored, known, **where):
    """Return scipy's weighted tau of the rows of a cell."""
    own = scored[np.logical_and.reduce([scored[name] == value for name, value in where.items()])]
    truth = known[known["dataset"] == where["dataset"]].groupby("model")["accuracy"].mean()
    return stats.weightedtau(own.set_index("model")["score"][truth.index], truth).statistic


def entries(said, *names):
    """Return the cells of the row that begins with these names."""
    found = [line.split() for line in said.splitlines() if line.split()[: len(names)] == list(names)]
    assert len(found) == 1, said
    return found[0][len(names) :]


def test_every_cell_has_the_weighted_tau_of_scipy_and_the_table_their_mean(run):
    scored, known = scores(), accuracies()
    code, said, rows = run(scored, known)
    assert code == 0
    assert len(rows) == 6
    for row in rows.to_dict("records"):
        where = {name: row[name] for name in ("dataset", "perturbation")}
        assert row["weighted_tau"] == pytest.approx(tau(scored, known, **where))
        assert (row["models"], row["tied"]) == (8, False)
        assert row["null_low"] < 0 < row["null_high"]
    means = rows.groupby("perturbation")["weighted_tau"].mean()
    assert "all rows: metric logme" in said
    assert entries(said, "pca")[0] == f"{means['pca']:.2f}"
    assert entries(said, "none")[0] == f"{means['none']:.2f}"
    above = rows[rows["perturbation"] == "pca"].eval("weighted_tau > null_high").sum()
    assert entries(said, "pca")[3] == f"{above}/3"


def test_the_best_comes_first_and_the_rest_is_counted(run):
    code, said, _ = run(scores(metrics=("leep", "logme", "sfda")), accuracies(), "--top", "4")
    shown = [
        float(line.split()[2]) for line in said.splitlines() if line.split()[:1] in (["leep"], ["logme"], ["sfda"])
    ]
    assert code == 0
    assert len(shown) == 4
    assert shown == sorted(shown, reverse=True)
    assert "2 more rows: --top 0 shows all" in said


def test_a_perturbation_is_compared_with_none_over_datasets_and_corrected_over_rows(run):
    datasets = tuple(f"d{i}" for i in range(9))
    scored, known = scores(("none", "pca", "spread"), datasets=datasets), accuracies(datasets)
    _, said, rows = run(scored, known)
    taus = rows.pivot(index="perturbation", columns="dataset", values="weighted_tau")
    by = {str(name): dict(row) for name, row in taus.iterrows()}
    found = [compare_paired(by[name], by["none"]) for name in ("pca", "spread")]
    corrected = holm(np.array([one.permutation_p for one in found]))
    for name, one, p in zip(("pca", "spread"), found, corrected, strict=True):
        shown = [f"{value:.3f}".removeprefix("0").replace("1.000", "1") for value in (one.permutation_p, p)]
        assert entries(said, name)[-4:] == [f"{one.mean:+.2f}", f"{one.wins}/{one.ties}/{one.losses}", *shown]
    _, said, _ = run(scored, known, "--against", "pca")
    assert entries(said, "none")[-4] == f"{-found[0].mean:+.2f}"


def test_models_that_only_one_side_scores_take_no_part_in_the_comparison(run):
    scored, known = scores(), accuracies()
    gap = (scored["perturbation"] == "none") & (scored["model"] == "a")
    scored.loc[gap, "score"] = None
    _, said, rows = run(scored, known)
    assert set(rows[rows["perturbation"] == "none"]["models"]) == {7}
    fewer = scored[scored["model"] != "a"], known[known["model"] != "a"]
    pca, none = ([tau(*fewer, dataset=d, perturbation=p) for d in DATASETS] for p in ("pca", "none"))
    assert entries(said, "pca")[0] == "8"
    assert entries(said, "pca")[-4] == f"{np.mean(pca) - np.mean(none):+.2f}"


def test_the_rows_of_a_grid_say_the_same_as_one_row_per_score(run):
    scored = scores(model_pool="p", images_per_class="all", seed=0)
    fields = [name for name in scored if name not in ("model", "score")]
    long = run(scored, accuracies())
    wide = run(scored.pivot(index=fields, columns="model", values="score").reset_index(), accuracies())
    assert wide[1] == long[1]
    pd.testing.assert_frame_equal(wide[2], long[2])


def test_seeds_of_accuracies_and_of_scores_are_averaged(run):
    scored, known = scores(), accuracies(seeds=3)
    averaged = known.groupby(["model", "dataset"], as_index=False)["accuracy"].mean()
    assert run(scored, known)[1] == run(scored, averaged)[1]
    two = pd.concat([scored.assign(seed=0), scored.assign(seed=1, score=scored["score"][::-1].to_numpy())])
    _, said, rows = run(two, known)
    assert len(rows) == 12
    assert "mean over 2 seeds of the scores" in said
    assert entries(said, "pca")[0] == f"{rows[rows['perturbation'] == 'pca']['weighted_tau'].mean():.2f}"
    assert entries(said, "pca")[3].endswith("/3")


def test_means_that_differ_by_rounding_alone_are_tied(run):
    seeds = {"a": [0.9541666666666667, 0.9416666666666667, 0.9416666666666667], "b": 3 * [0.9458333333333333]}
    known = pd.DataFrame([{"model": m, "seed": i, "accuracy": v} for m in seeds for i, v in enumerate(seeds[m])])
    rows = run(pd.DataFrame({"model": ["a", "b"], "score": [1, 2]}), known)[2]
    assert rows["tied"].item()


def test_of_a_single_dataset_all_of_the_agreement_is_shown(run):
    _, said, rows = run(scores(datasets=("pets",)), accuracies())
    row = rows[rows["perturbation"] == "pca"].iloc[0]
    band = [f"{row['null_low']:.2f},", f"{row['null_high']:.2f}"]
    measures = [f"{row[name]:.2f}" for name in ("kendall", "spearman", "rel_at_3", "recall_at_3")]
    assert entries(said, "pca") == [f"{row['weighted_tau']:.2f}", *band, *measures, f"{row['regret']:.3f}"]
    assert "static ranking (mean accuracy rank on the other datasets): tau_w" in said
    assert "datasets without scores (2): birds, cars" in said


def test_two_columns_are_enough(run):
    scored, known = scores(("none",), datasets=("pets",))[["model", "score"]], accuracies(("pets",))
    code, said, rows = run(scored, known[["model", "accuracy"]])
    assert code == 0
    assert rows["weighted_tau"].item() == pytest.approx(tau(scored.assign(dataset="pets"), known, dataset="pets"))
    assert "static ranking: none" in said
    assert "all rows: metric scores" in said


def test_what_only_one_table_names_is_said(run):
    scored, known = scores(), accuracies()
    known = known[(known["model"] != "a") & (known["dataset"] != "cars")]
    _, said, rows = run(scored[scored["model"] != "h"], known)
    assert "models without accuracies (1): a\n" in said
    assert "models without scores (1): h\n" in said
    assert "datasets without accuracies (1): cars\n" in said
    assert set(rows["models"]) == {6}


def test_unsound_rows_are_left_out_unless_asked_for_and_percent_divided(run):
    known = accuracies().assign(sound="yes")
    known.loc[known["dataset"] == "cars", "sound"] = "no"
    _, said, rows = run(scores(), known)
    assert "8 unsound accuracies left out (cars): --unsound uses them" in said
    assert "cars" not in set(rows["dataset"])
    _, said, rows = run(scores(), known.assign(accuracy=100 * known["accuracy"]), "--unsound", "--unit", "percent")
    assert set(rows["dataset"]) == set(DATASETS)
    assert rows["regret"].max() < 1


def test_each_regime_of_the_pool_has_its_table_unless_some_are_asked_for(run):
    known = pd.concat([accuracies(regime=name, pool=pool) for name in ("full", "linear") for pool in ("p", "q")])
    _, said, rows = run(scores(), known, "--pool", "p")
    assert "full: 3 dataset(s), 8 models" in said
    assert list(dict.fromkeys(rows["regime"])) == ["full", "linear"]
    assert set(run(scores(), known, "--pool", "p", "--regime", "linear")[2]["regime"]) == {"linear"}
    few = known[(known["regime"] == "full") | (known["model"] == "a")]
    _, said, rows = run(scores(), few, "--pool", "p")
    assert "left out: 1 models and 3 datasets have both scores and accuracies of linear" in said
    assert set(rows["regime"]) == {"full"}


@pytest.mark.parametrize("unsound", [True, False])
@pytest.mark.parametrize(
    ("pool", "every", "sound"),
    [
        ("group1_supervised_cnn11", [0.837, 0.707, 0.616], [0.837, 0.743, 0.660]),
        ("group2_ssl_resnet50_12", [0.685, 0.482, 0.789], [0.685, 0.467, 0.846]),
    ],
)
def test_static_ranking_of_the_published_pools_reaches_what_is_known(run, pool, every, sound, unsound):
    """The known means are over eleven targets, unsound ones too, without resisc and eurosat, which lack models."""
    known = pd.read_csv(PUBLISHED)
    known = known[(known["pool"] == pool) & ~known["dataset"].isin(["resisc", "eurosat"])]
    scored = known[["model", "dataset"]].drop_duplicates()
    scored = scored.assign(score=np.random.default_rng(0).normal(size=len(scored)))
    _, said, _ = run(scored, "published", "--pool", pool, *["--unsound"][:unsound])
    lines = [line for line in said.splitlines() if line.startswith("static ranking")]
    datasets = [11, 11, 11] if unsound else [11, 8, 8]
    assert [line.partition("tau_w ")[2] for line in lines] == [
        f"{mean:.3f} over {n} of {n} datasets" for mean, n in zip(every if unsound else sound, datasets, strict=True)
    ]
    assert all(f"{regime}: {n} dataset(s)" in said for regime, n in zip(REGIMES, datasets, strict=True))


def test_random_scores_stray_as_far_as_a_simulation_says(run):
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
    known = pd.read_csv(PUBLISHED).query("pool == 'group2_ssl_resnet50_12' and regime == 'vanilla_ft'")
    scored = known[["model", "dataset"]].assign(score=range(len(known)))
    _, said, rows = run(scored, "published", "--pool", "group2_ssl_resnet50_12", "--regime", "vanilla_ft")
    assert "tau_w 0.654 over 13 of 13 datasets" in said
    assert dict(zip(rows["dataset"], rows["models"], strict=True))["eurosat"] == 10
    assert entries(said, "10-12")


ONE = scores(("none",), datasets=("pets",))
SAME = accuracies()
MISTAKES = {
    "several pools": ((scores(), "published"), "several values of pool: set --pool to one of group1_supervised_cnn11"),
    "no such pool": ((scores(), "published", "--pool", "vit"), "has no pool 'vit': did you mean vit13"),
    "no such regime": ((scores(), SAME.assign(regime="full"), "--regime", "ful"), "no regime 'ful': did you mean full"),
    "no pools": ((scores(), SAME, "--pool", "p"), "has no column pool: leave --pool out"),
    "no accuracies": ((scores(), "absent.csv"), "no table absent.csv"),
    "percent": ((scores(), SAME.assign(accuracy=71)), "accuracy 71 is not a fraction: correct it or --unit"),
    "unknown unit": ((scores(), SAME, "--unit", "points"), "--unit=points: choose fraction or percent"),
    "two protocols": (
        (scores(), pd.concat([SAME.assign(protocol=name, regime="full") for name in ("long", "short")])),
        "has several protocols of full: keep the rows of one of long, short",
    ),
    "neither form": ((scores().drop(columns="score"), SAME), "neither the columns model and score nor"),
    "other models": (
        (scores().query("model == 'a'").assign(model="z"), SAME),
        "0 models and 3 datasets have both scores and accuracies: need two models and a dataset",
    ),
    "one model": ((scores(), SAME.query("model == 'a'")), "1 models and 3 datasets have both"),
    "dataset unsaid": ((ONE[["model", "score"]], SAME), "the scores do not name their dataset"),
    "twice": ((pd.concat([ONE, ONE[:1]]), SAME), "lines 2 and 10 both score metric logme, perturbation none, dataset"),
    "not finite": (
        (ONE.replace({"score": {ONE["score"][1]: np.inf}}), SAME),
        "metric logme (perturbation none, dataset pets) scored model b inf: look at its features",
    ),
    "not a number": ((ONE.assign(score="nan"), SAME), "scored model a nan: look at its features"),
    "in words": ((ONE.assign(score="high"), SAME), "line 2: score 'high' is not a number"),
    "own cells": ((ONE.assign(parameters=range(8)), SAME), "no cell scores two models"),
    "no control": ((scores(), SAME, "--against", "pcb"), "no perturbation 'pcb' to compare with: did you mean pca"),
    "k": ((scores(), SAME, "--k", "0"), "k=0 chooses no model"),
    "a column of ours": ((scores(models=8), SAME), "the scores have a column models, which the results have as well"),
    "no table at all": ((pd.DataFrame(), SAME), "scores.csv is not a CSV table"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=[name.replace(" ", "_") for name in MISTAKES])
def test_a_mistake_gets_one_line_and_exit_code_1(run, mistake):
    arguments, message = MISTAKES[mistake]
    code, said, _ = run(*arguments)
    assert code == 1
    assert message in said
    assert said.startswith("transfer_exp: ")
    assert said.count("\n") == 1


def test_every_pool_is_named_where_one_is_to_be_chosen(run):
    said = run(scores(), "published")[1]
    assert all(pool in said for pool in set(pd.read_csv(PUBLISHED)["pool"]))


def test_no_network_library_is_waited_for(tmp_path):
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


def test_a_process_ends_with_one_line_too(tmp_path):
    command = [sys.executable, "-m", "transfer_exp.cli.evaluate", str(tmp_path / "absent.csv"), "published"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("transfer_exp: no scores")
    assert done.stderr.count("\n") == 1
