"""``transfer-exp rank`` and ``transfer_exp.rank``: their arguments, the files they write, and the ranking."""

from __future__ import annotations

import doctest
import json
import shlex
import webbrowser
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub.constants
import numpy as np
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from tests.command import run_command
from transfer_exp import api, rank
from transfer_exp.cli.overrides import CommandLine, quote_path
from transfer_exp.cli.rank import fine_tune_command, parse_budget, rank_overrides, search_overrides
from transfer_exp.dataset.image_folder import image_folder
from transfer_exp.errors import InputError
from transfer_exp.results.search import SearchedModel, SearchResult

pytestmark = pytest.mark.slow

FEW = ("model_pool.names=[resnet_glyphs,vit_shapes,convnext_textures]", "halving.first=8")


@pytest.fixture
def photos(tmp_path):
    """Return a folder with two classes of images that any network can separate."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "my photos" / name
        folder.mkdir(parents=True)
        for i in range(14):
            pixels = np.clip(rng.normal(level, 30, (20, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "my photos"


@pytest.fixture(autouse=True)
def no_hydra():
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def test_a_path_chooses_the_dataset(photos, tmp_path, monkeypatch):
    (tmp_path / "labels.csv").write_text("file,label\n")
    np.savez(tmp_path / "net.npz", features=np.ones((2, 2)), labels=[0, 1])
    monkeypatch.chdir(tmp_path)
    for target, overrides in {
        "my photos": ["dataset=image_folder", 'dataset.root="my photos"'],
        "labels.csv": ["dataset=image_table", 'dataset.path="labels.csv"'],
        "net.npz": ["dataset=arrays", "model_pool=arrays", 'dataset.root="net.npz"'],
        ".": ["dataset=arrays", "model_pool=arrays", 'dataset.root="."'],
        "owner/set": ["dataset=huggingface", 'dataset.id="owner/set"'],
    }.items():
        assert rank_overrides([target]) == ["-cn", "rank", *overrides]


def test_a_stray_array_does_not_turn_classes_of_images_into_arrays(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    np.savez(tmp_path / "cache.npz", features=np.ones((2, 2)), labels=[0, 1])
    assert rank_overrides([str(tmp_path)])[2] == "dataset=image_folder"


def test_limits_are_passed_on_to_the_last_digit():
    arguments = ["photos/x", "--max-params", "11689512", "--licence", "mit, apache-2.0"]
    assert rank_overrides(arguments)[-2:] == ["limits.parameters=11689512.0", 'limits.licence=["mit","apache-2.0"]']


def test_a_folder_without_labels_is_ranked_by_a_metric_that_reads_none(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = ["-cn", "rank", "dataset=unlabelled_images", 'dataset.root="my photos"']
    assert rank_overrides(["my photos", "--unlabelled"]) == [*start, "metric=rankme", "perturbation=none"]
    arguments = rank_overrides(["my photos", "--unlabelled", "metric=entropy"])
    assert arguments == [*start, "perturbation=none", "metric=entropy"]
    (tmp_path / "labels.csv").write_text("file,label\n")
    with pytest.raises(InputError, match=r"--unlabelled needs a folder of images, not labels.csv"):
        rank_overrides(["labels.csv", "--unlabelled"])


def test_the_recommended_metric_is_used_as_it_was_evaluated_unless_a_perturbation_is_named(tmp_path):
    assert rank_overrides([str(tmp_path), "metric=recommended"])[-2:] == ["perturbation=none", "metric=recommended"]
    named = rank_overrides([str(tmp_path), "metric=recommended", "perturbation=spread"])
    assert [a for a in named if a.startswith("perturbation=")] == ["perturbation=spread"]


@given(
    st.text(
        st.sampled_from("\\${}'\"ab ~=,@[](){}:;|?%#-\n\udce9é") | st.characters(exclude_characters="\0"), max_size=12
    )
)
@example("a${b}")
@example("a\\${b}")
@example("a\\")
@example("???")
def test_any_path_is_read_back_from_its_override(path):
    override = OverridesParser.create().parse_override(f"dataset.root={quote_path(path)}")
    assert not override.is_sweep_override()
    config = OmegaConf.create({"dataset": {"root": None}})
    OmegaConf.update(config, "dataset.root", override.value())
    assert OmegaConf.to_container(config, resolve=True)["dataset"]["root"] in (path, f"./{path}")


ODD = [
    "a${b}",
    "a\\b",
    "~old",
    "~",
    "-photos",
    "--budget=2",
    "a=b",
    "a,b",
    "[a]",
    "it's",
    '"a"',
    "a\udce9",
    "日本",
    "a b/",
]


@pytest.mark.parametrize("name", [*ODD, "/".join(["x" * 99] * 3)])
def test_a_folder_may_have_any_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (f"{label}/{i}.png" for label in ("one", "two") for i in range(3)):
        (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name / path)
    config = CommandLine(rank_overrides([name if name != "~" else "./~"])).compose([])
    dataset = image_folder(OmegaConf.to_container(config.dataset, resolve=True)["root"])
    assert len(dataset.train) + len(dataset.test) == 6
    dataset.name.encode()


def test_tables_have_any_suffix_in_any_capitals(tmp_path):
    for name in ("a.CSV", "b.tsv", "c.Txt"):
        (tmp_path / name).write_text("file,label\n")
        assert "dataset=image_table" in rank_overrides([str(tmp_path / name)])
    (tmp_path / "d.xlsx").write_text("file,label\n")
    with pytest.raises(InputError, match=r"d\.xlsx is not .*: use a file with suffix npz or \.csv, \.tsv, \.txt"):
        rank_overrides([str(tmp_path / "d.xlsx")])
    with pytest.raises(InputError, match="PATH is empty"):
        rank_overrides([""])


def test_a_path_of_a_table_leaves_room_for_the_folder_of_its_images(tmp_path):
    (tmp_path / "labels.csv").write_text("file,label\n")
    overrides = rank_overrides([str(tmp_path / "labels.csv"), "dataset.root=photos"])
    assert overrides[2:] == ["dataset=image_table", f'dataset.path="{tmp_path}/labels.csv"', "dataset.root=photos"]
    with pytest.raises(InputError, match=r"dataset\.path=x\.csv and PATH both name the images: leave one out"):
        rank_overrides([str(tmp_path / "labels.csv"), "dataset.path=x.csv"])


def test_an_option_of_the_user_replaces_that_of_the_path(photos):
    overrides = rank_overrides([str(photos), "dataset=image_folder", "metric=recommended", "perturbation=pca"])
    assert sorted(o.partition("=")[0] for o in overrides[2:]) == ["dataset", "dataset.root", "metric", "perturbation"]


def test_settings_and_options_may_be_mixed(photos):
    arguments = [str(photos), "--budget", "90s", "metric=sfda", "--pool", "builtin", "seed=1"]
    assert rank_overrides(arguments)[4:] == ["budget=90s", "model_pool=builtin", "metric=sfda", "seed=1"]
    assert "budget=null" in rank_overrides([str(photos), "--budget", "none"])
    for budget, seconds in (("5M", 300), ("90 S", 90), ("1.5h", 5400), (" 2Min ", 120), (7, 7)):
        assert parse_budget(budget) == seconds
    for budget in ("１０m", "1h30m", "inf", "", "1e3", "9" * 400 + "h"):
        with pytest.raises(InputError, match="is not a time"):
            parse_budget(budget)
    assert rank_overrides([str(photos), "--then", "fine-tune"])[-1] == "then=fine-tune"
    with pytest.raises(InputError, match="there is no 'train': available: fine-tune"):
        rank_overrides([str(photos), "--then", "train"])


@pytest.mark.parametrize("arguments", [["absent"], ["absent.npz.txt"], [], [".", "--bugdet", "1m"]])
def test_a_missing_target_and_an_unknown_option_are_refused(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        rank_overrides(arguments)


def test_a_budget_is_a_time():
    budgets = ("90s", "10m", "5min", "5 min", "2h", "1.5m", 30, "30", None)
    assert [parse_budget(budget) for budget in budgets] == [90, 600, 300, 300, 7200, 90, 30, 30, None]
    for invalid in ("soon", "3 weeks", "", "5 minn", "-"):
        with pytest.raises(InputError, match="is not a time: write 90s"):
            parse_budget(invalid)
    for invalid in ("0", "-3m", "0min", "-5 s", "-1", -2, "0s"):
        with pytest.raises(InputError, match=f"budget={invalid} must be more than 0: write 90s"):
            parse_budget(invalid)


def test_a_budget_of_the_command_line_needs_a_unit(photos):
    """A stored command is one of ``run -cn rank``, in which a number stays a number of seconds."""
    advice = "budget=5 has no unit: write 5s, 5m or 5h, or none for no limit"
    for arguments in (["--budget", "5"], ["--budget=5"], ["budget=5"]):
        with pytest.raises(InputError, match=advice):
            rank_overrides([str(photos), *arguments])
    with pytest.raises(InputError, match=r"budget=1\.5 has no unit: write 1\.5s, 1\.5m or 1\.5h"):
        rank_overrides([str(photos), "--budget", "1.5"])
    assert "budget=5" in search_overrides(str(photos), "5", None, ())


def test_features_are_ranked_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, labels = np.random.default_rng(0), np.array(["cat", "dog"]).repeat(40)
    good = rng.normal(size=(80, 6)) + 3 * (labels == "dog")[:, None]
    frame = rank({"bad": rng.normal(size=(80, 6)).tolist(), "good": good}, labels, settings=["metric=ncm"])
    assert list(frame["model"]) == ["good", "bad"]
    assert list(frame["rank"]) == [1, 2]
    assert frame.loc[0, "score"] > 0.9
    assert frame.attrs["verdict"][-1] == "Fine-tune this model: good"
    assert (frame.attrs["budget_seconds"], frame.attrs["recommended"], frame.attrs["command"]) == (600, ["good"], "")
    assert not list(tmp_path.rglob("*.npz"))


def test_a_model_whose_features_cannot_be_used_is_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, labels = np.random.default_rng(0), np.arange(2).repeat(30)
    good = rng.normal(size=(60, 6)) + 3 * labels[:, None]
    frame = rank({"bad": np.where(good > 3, np.nan, good), "good": good}, labels, settings=["metric=ncm", "draws=2"])
    reason = "Left out 1 of 2 models: bad (features of model bad: features hold NaN or infinity, first in row "
    assert frame.attrs["verdict"][0].startswith(reason)
    assert frame.attrs["recommended"] == ["good"]
    (tmp_path / "m").mkdir()
    for name, features in (("map", np.ones((60, 4, 4))), ("good", good)):
        np.savez(tmp_path / "m" / f"{name}.npz", features=features, labels=labels)
    frame = rank("m", settings=["metric=ncm", "draws=2"])
    reason = (
        "Left out 1 of 2 models: map (features of m/map.npz: features have shape (60, 4, 4), need one row per image"
    )
    assert frame.attrs["verdict"][0] == f"{reason}: pool or flatten them to (60, D))"


def test_whole_numbers_are_ranked_as_numbers_from_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    ages = rng.integers(20, 70, 80)
    models = {name: ages[:, None] + rng.normal(size=(80, 4)) * noise for name, noise in (("near", 5), ("far", 50))}
    frame = rank(models, numbers=ages, settings="draws=10")
    assert list(frame["model"]) == ["near", "far"]
    assert frame.attrs["target_kind"] == "regression"


def test_the_example_in_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(api)
    assert result.attempted >= 5
    assert result.failed == 0


def test_wrong_arguments_of_the_python_function_are_refused(untyped):
    features, labels = np.ones((4, 2)), [0, 1, 0, 1]
    with pytest.raises(InputError, match="features need labels"):
        rank(features)
    with pytest.raises(InputError, match="features have both labels and numbers"):
        rank(features, labels, numbers=labels)
    with pytest.raises(InputError, match="labels are for features"):
        rank("path", labels)
    with pytest.raises(InputError, match="leave it out"):
        rank(features, labels, pool="builtin")
    for settings, message in {
        "metric": "settings has 'metric': write a text KEY=VALUE",
        ("metric=sfda", "metric=lda"): "settings has metric more than once",
        ("features.layer=3",): "settings has features.layer=3, and features are given",
        ("limits.memory=1",): "settings has limits.memory=1, and features are given",
        ("metric=knn,logme",): "settings has several values in metric=knn,logme",
        ("metric=[a",): "cannot read 'metric=",
        ("metric=nope",): "metric has no option 'nope'",
        ("-cn=config",): "settings has '-cn=config': write a text KEY=VALUE",
        ("tracker=wandb",): r"settings has tracker=wandb, which has no effect on rank\(\)",
        ("regimes=[full]",): r"settings has regimes=\[full\], which has no effect on rank\(\): it is for the command",
        ("stage=features",): "settings has stage=features, which has no effect",
        ("+sweep=demo",): r"settings has \+sweep=demo, which has no effect on rank\(\): call rank for each value",
        ("hydra.run.dir=x",): "which has no effect",
        ("dataset.root=x",): "settings has dataset.root=x, and features are given: leave it out",
    }.items():
        with pytest.raises(InputError, match=message):
            rank(features, labels, settings=settings)
    with pytest.raises(InputError, match="settings=3: write a list of texts KEY=VALUE"):
        rank(features, labels, settings=3)
    with pytest.raises(InputError, match="budget=0 must be more than 0"):
        rank(features, labels, budget=0)


def test_one_setting_may_be_a_text_and_threads_rank_one_after_the_other():
    rng, labels = np.random.default_rng(0), np.array([0, 1]).repeat(20)
    features = {"timm/net": rng.normal(size=(40, 3)) + labels[:, None]}
    with ThreadPoolExecutor(2) as threads:
        frames = list(threads.map(lambda _: rank(features, labels, settings="metric=ncm"), range(2)))
    assert frames[0].drop(columns="seconds").equals(frames[1].drop(columns="seconds"))
    assert list(frames[0]["model"]) == ["timm/net"]


def test_the_next_command_repeats_the_settings_that_a_run_has(photos):
    settings = ["--pool", "builtin", "--budget", "1m", "metric=ncm", "protocol=short", "models=[a,b]", "halving.top=1"]
    arguments = rank_overrides([str(photos), *settings])
    config = CommandLine(arguments).compose([], return_hydra_config=True)
    models = tuple(SearchedModel(name, i + 1) for i, name in enumerate(("resnet18.a1_in1k", "hf-hub:me/b")))
    search = SearchResult({}, models, "all images", images=9, classes=2, forward_passes=9, seconds=1.0)
    words = shlex.split(fine_tune_command(search, config.hydra))
    assert words == [
        *("transfer-exp", "run", "dataset=image_folder", f'dataset.root="{photos}"', "protocol=short"),
        *("model_pool=builtin", "perturbation=pca", "metric=ncm", "tracker=none", "ground_truth=full"),
        'models=[resnet18.a1_in1k,"hf-hub:me/b"]',
    ]
    again = CommandLine(words[2:]).compose([])
    assert again.models == ["resnet18.a1_in1k", "hf-hub:me/b"]
    assert again.dataset.root == str(photos)
    config.hydra.runtime.choices["model_pool"] = "arrays"
    assert fine_tune_command(search, config.hydra) == ""


def test_nothing_is_fine_tuned_if_no_model_is_recommended(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(SearchResult, "is_near_chance", True)
    arguments = ("rank", photos.name, "--pool", "builtin", *FEW, "--then=fine-tune", "draws=2", "--out", "found")
    process = run_command(tmp_path, *arguments)
    assert process.returncode == 0, process.stderr
    record = json.loads((tmp_path / "found" / "result.json").read_text())
    assert (record["recommended"], record["command"]) == ([], "")
    assert record["verdict"][-2] == "Then=fine-tune trained nothing, because no model is recommended"
    assert record["verdict"][-1].startswith("No model is recommended: look at ")
    assert process.stdout.count("rank [95 %]") == 1
    assert "Fine-tune" not in process.stdout


def test_fine_tuning_needs_a_regime_that_trains(photos, tmp_path):
    (tmp_path / "a.csv").write_text("model,dataset,accuracy,source\nresnet_glyphs,my photos,0.5,me\n")
    arguments = ("rank", photos.name, "--pool", "builtin", *FEW, "--then=fine-tune", "ground_truth=table")
    process = run_command(tmp_path, *arguments, "ground_truth.path=a.csv")
    assert process.returncode == 1
    assert "then=fine-tune needs a ground_truth that trains: full, last_block or linear_probe" in process.stderr
    assert "rank [95 %]" not in process.stdout  # nothing is computed before


def test_regimes_are_passed_on_with_their_settings():
    arguments = ["photos/x", "--then", "fine-tune", "--regimes", "full, lora(rank=4,alpha=8),last_block"]
    assert rank_overrides(arguments)[-1] == 'regimes=["full","lora(rank=4,alpha=8)","last_block"]'
    config = CommandLine(rank_overrides(arguments)).compose([])
    assert list(config.regimes) == ["full", "lora(rank=4,alpha=8)", "last_block"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--regimes", "full"), "regimes are ways to fine-tune the ranked models: add --then fine-tune"),
        (("--then=fine-tune", "--regimes", "full,lorra"), "did you mean lora"),
        (("--then=fine-tune", "--regimes", "lora(rnk=4)"), "did you mean rank"),
        (("--then=fine-tune", "--regimes", "lora(rank"), "ground_truth 'lora(rank' is not an option"),
        (("--then=fine-tune", "--regimes", "full", "ground_truth=bitfit"), "ground_truth=bitfit has no effect next to"),
        (("--then=fine-tune", "--regimes", "full", "++ground_truth.rank=2"), "++ground_truth.rank=2 has no effect"),
        (("--then=fine-tune", "--regimes", "full,none"), "regimes has none, which trains nothing"),
        (("--then=fine-tune", "--regimes", "last_block", "--budget", "1ms"), "budget=1ms is not a time"),
    ],
)
def test_wrong_regimes_get_one_line_before_anything_is_ranked(photos, tmp_path, arguments, message):
    process = run_command(tmp_path, "rank", photos.name, "--pool", "builtin", *FEW, *arguments)
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert "rank [95 %]" not in process.stdout


@pytest.mark.long
def test_models_and_regimes_are_compared_by_one_command_that_continues_where_it_ended(photos, tmp_path):
    regimes = ("--then", "fine-tune", "--regimes", "last_block,linear_probe", "--budget", "none")
    command = ("rank", photos.name, "--pool", "builtin", *regimes, *FEW, "protocol.steps=2")
    first = run_command(tmp_path, *command, "--out", "one")
    assert first.returncode == 0, first.stderr
    table = pd.read_csv(tmp_path / "one" / "regimes.csv")
    assert len(table) == 6
    assert set(table["status"]) == {"measured"}
    assert table["validation"].is_monotonic_decreasing
    best = table.iloc[0]
    assert f"Best of 6 pairs on validation images: {best['model']} with {best['ground_truth']}" in first.stdout
    record = json.loads((tmp_path / "one" / "result.json").read_text())
    pairs = sorted((pair["model"], pair["regime"]) for pair in record["pairs"])
    assert pairs == sorted(table[["model", "ground_truth"]].itertuples(index=False, name=None))
    assert "last_block" in (tmp_path / "one" / "report.html").read_text()
    accuracies = pd.read_csv(tmp_path / "outputs" / "store" / "accuracies.csv")
    assert sorted(accuracies["regime"]) == ["last_block/quick(steps=2)"] * 3 + ["linear_probe"] * 3
    second = run_command(tmp_path, *command, "--out", "two")
    assert second.returncode == 0, second.stderr
    again = pd.read_csv(tmp_path / "two" / "regimes.csv")
    assert (again["expected_seconds"] == 0).all(), "the store has all accuracies"
    assert again.drop(columns="expected_seconds").equals(table.drop(columns="expected_seconds"))
    report = run_command(tmp_path, "report", "two")
    assert "Best of 6 pairs on validation images" in report.stdout


def test_a_budget_for_no_pair_keeps_the_ranking_and_names_the_cheapest_pair(photos, tmp_path):
    regimes = ("--then", "fine-tune", "--regimes", "full", "--budget", "0.001s", "protocol.steps=1000")
    process = run_command(tmp_path, "rank", photos.name, "--pool", "builtin", *regimes, *FEW, "--out", "one")
    assert process.returncode == 1
    assert (
        "no pair of model and regime fits into the 0.0 s that the ranking left: the cheapest, full of" in process.stderr
    )
    assert "set --budget" in process.stderr
    assert len(pd.read_csv(tmp_path / "one" / "rank.csv")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "sfda"}, r"rank\(\) has no argument 'metric': write settings=\['metric=sfda'\]"),
        ({"seed": 3}, r"rank\(\) has no argument 'seed': write settings=\['seed=3'\]"),
        ({"model_pool": "builtin"}, r"rank\(\) has no argument 'model_pool': write pool='builtin'"),
        ({"setings": "metric=sfda"}, r"rank\(\) has no argument 'setings': did you mean settings"),
        ({"pool": 3}, "pool=3: need the name of an option of model_pool"),
        ({"pool": ["vit"]}, r"pool=\['vit'\]: need the name of an option of model_pool"),
        ({"unlabelled": "yes"}, "unlabelled='yes': need True or False"),
        ({"settings": "metric=lda draws=10"}, r"write one text for each, \['metric=lda', 'draws=10'\]"),
        ({"settings": "pool=builtin"}, "settings has pool=builtin, which is an argument: write pool='builtin'"),
        ({"settings": "then=fine-tune"}, r"settings has then=fine-tune, which has no effect on rank\(\): no model"),
        ({"settings": "ground_truth=full"}, "settings has ground_truth=full, which has no effect"),
        ({"settings": "protocol.steps=3"}, "settings has protocol.steps=3, which has no effect"),
        ({"settings": "metric.k=3"}, "metric has no setting 'k', which is of metric=knn or metric=tmi: choose that"),
        ({"settings": ["metric=knn", "metric.k=0"]}, "metric.k=0: need at least 1"),
        ({"settings": "metric=leep"}, "metric=leep needs source_probabilities, an array that no model of features has"),
        (
            {"settings": "metric=weight_alpha"},
            "metric=weight_alpha reads the weights of networks, and arrays have none",
        ),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_a_wrong_argument_in_python_is_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message):
        rank({"net": np.eye(8)}, np.arange(8) % 2, **arguments)


def test_a_list_of_matrices_is_asked_for_their_names():
    with pytest.raises(InputError, match=r"features are a list of 2 matrices: pass a mapping \{name: features\}"):
        rank([np.eye(8), np.eye(8)], np.arange(8) % 2)


NEEDED = {
    "leep": "source_probabilities",
    "entropy": "source_probabilities",
    "atc": "source_probabilities",
    "otce": "source_features",
    "free_energy": "weights",
    "rest": "weights",
    "weight_alpha": "weights",
}


@pytest.mark.parametrize("metric", NEEDED)
def test_a_metric_of_arrays_that_the_files_lack_is_refused_with_the_fix(metric, tmp_path):
    np.savez(tmp_path / "a.npz", features=np.eye(8), labels=np.arange(8) % 2)
    process = run_command(tmp_path, "rank", "a.npz", f"metric={metric}", "perturbation=none")
    assert process.returncode == 1
    assert process.stderr.startswith(f"transfer_exp: metric={metric} ")
    assert NEEDED[metric] in process.stderr
    assert process.stderr.endswith("choose a metric of features, such as metric=logme\n")
    assert process.stderr.count("\n") == 1


def test_features_cannot_be_fine_tuned():
    with pytest.raises(InputError, match=r"then=fine-tune, which has no effect on rank\(\): no model is trained"):
        rank({"net": np.eye(8)}, np.arange(8) % 2, settings="then=fine-tune")


def test_a_folder_is_ranked_by_one_command(photos, tmp_path):
    arguments = ("rank", "my photos", "--pool", "builtin", "--budget", "5min", "--then", "fine-tune", *FEW)
    process = run_command(tmp_path, *arguments, "protocol.steps=4")
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr
    assert "my photos: 2 classes, 28 images" in process.stdout
    assert "nothing looks wrong" in process.stdout
    assert "3 models ranked in" in process.stdout
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    table, same = pd.read_csv(folder / "rank.csv"), pd.read_parquet(folder / "rank.parquet")
    assert list(table["model"]) == list(same["model"])
    assert list(table["rank"]) == [1, 2, 3]
    assert table["expected_accuracy"].between(0, 1).all()
    accuracies = table.set_index("model")["accuracy"].dropna()
    assert set(accuracies.index) == set(json.loads((folder / "result.json").read_text())["recommended"])
    assert f"accuracy {accuracies.max():.3f}" in process.stdout or f": {accuracies.max():.3f}" in process.stdout
    page = (folder / "report.html").read_text()
    assert "resnet_glyphs" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_wrong_arguments_get_one_line(tmp_path):
    for arguments, message in {
        ("rank", "absent"): "absent is not a folder of images, CSV, npz or id of a hub",
        ("rank", ".", "--pool", "bultin"): "did you mean builtin",
        ("rank", ".", "--pool", "builtin", "--budget", "soon"): "budget=soon is not a time",
        ("rank", ".", "--out="): "--out is empty: give the folder of the results",
        ("rank", ".", "--out", "  "): "--out is empty: give the folder of the results",
        ("rank", ".", "--out", "a${b}"): "a${b} cannot hold results, as Hydra replaces ${...} in names",
        ("rank", ".", "--out", "${hydra:runtime.cwd}/b"): "cannot hold results, as Hydra replaces ${...}",
    }.items():
        process = run_command(tmp_path, *arguments)
        assert (process.returncode, len(process.stderr.splitlines())) == (1, 1), process.stderr
        assert message in process.stderr


def test_a_run_reports_the_findings_that_rank_reports(photos, tmp_path):
    for split in ("train", "test"):
        for path in photos.glob("*/*.png"):
            target = tmp_path / "leak" / split / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    arguments = ["model_pool.names=[resnet_glyphs]", "tracker=none", "dataset=image_folder", "dataset.root=leak"]
    run = run_command(tmp_path, *arguments, "ground_truth=linear_probe")
    assert "warning: the same image is in several splits, 28 time(s)" in run.stdout + run.stderr


def test_without_weights_and_network_the_built_in_pool_is_named_with_the_command(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    few = ["--pool", "timm", "model_pool.names=[test_vit.r160_in1k]"]
    process = run_command(tmp_path, "rank", photos.name, *few, "--quiet")
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == (
        "transfer_exp: the cache has no weights of timm, and the hub is not reached: rank the built-in pool offline, "
        "transfer-exp rank 'my photos' --pool builtin\n"
    )


@pytest.mark.long
def test_the_result_as_json_is_all_of_stdout_and_options_of_the_output_change_no_file(photos, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    command = ["rank", photos.name, "--pool", "builtin", *FEW, "--out", "out"]
    first = run_command(tmp_path, *command, "--json", "--open")
    record = json.loads(first.stdout)
    assert record == json.loads((tmp_path / "out" / "result.json").read_text())
    assert "nothing looks wrong" in first.stderr
    assert opened == [(tmp_path / "out" / "report.html").as_uri()]
    second = run_command(tmp_path, *command, "--quiet", "--top", "1")
    assert second.stderr == ""
    assert "out/rank.csv\n" in second.stdout
    assert "report.html" not in second.stdout
    assert not (tmp_path / "out" / "earlier").exists()
    refused = run_command(tmp_path, "run", "-m", "metric=logme,sfda", "--json")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "--json is for a single run" in refused.stderr


def test_images_without_labels_are_ranked_with_the_evidence_for_the_metric(photos, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted(photos.rglob("*.png"))):
        path.rename(flat / f"{i}.png")
    process = run_command(tmp_path, "rank", "flat", "--unlabelled", "--pool", "builtin", *FEW)
    assert process.returncode == 0, process.stderr
    text = " ".join(process.stdout.split())
    assert "flat: no labels, 28 images" in text
    assert "No expected accuracy: without labels, nothing shows which model tells your classes apart" in text
    assert "on 24 stored targets, rankme ranked 14 small networks with a mean tau_w of 0.38" in text
    assert "Label some images and rank again before you choose" in text
    assert "Fine-tune" not in text
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()
    table, record = pd.read_csv(folder / "rank.csv"), json.loads((folder / "result.json").read_text())
    assert table["score"].is_monotonic_decreasing
    assert table["expected_accuracy"].isna().all()
    assert (record["target_kind"], record["command"]) == ("unlabelled", "")
    assert "Highest score" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("metric=logme", "logme on model .*: not applicable to images without labels: use a metric such as rankme"),
        ("perturbation=attract", "perturbation attract moves classes, and is not applicable to images without labels"),
    ],
)
def test_what_needs_labels_is_refused_by_name(photos, tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        rank(str(photos), pool="builtin", unlabelled=True, settings=[settings, "models=[resnet_glyphs,vit_shapes]"])


def test_images_without_labels_cannot_be_fine_tuned(photos, tmp_path):
    process = run_command(tmp_path, "rank", photos.name, "--unlabelled", "--then", "fine-tune", "--pool", "builtin")
    assert process.returncode == 1
    assert process.stderr == "transfer_exp: then=fine-tune needs labels: leave it out, or label the images\n"


def test_features_are_not_images_without_labels():
    with pytest.raises(InputError, match="unlabelled=True is for a folder of images"):
        rank(np.ones((4, 2)), unlabelled=True)


def test_images_without_labels_are_not_fine_tuned(photos, tmp_path):
    process = run_command(tmp_path, "rank", str(photos), "--unlabelled", "--pool", "builtin", "--then", "fine-tune")
    assert process.returncode == 1
    assert "then=fine-tune needs labels: leave it out, or label the images" in process.stderr
