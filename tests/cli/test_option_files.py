"""An option file of somebody else may choose settings, but it cannot run code, read secrets or use up memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from tests.command import run_command
from transfer_exp.cli import option_files
from transfer_exp.cli.option_files import _check_hydra, _check_yaml
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.errors import InputError

pytestmark = pytest.mark.slow

CODE = {"_target_": "os.system", "command": "touch trace"}
SECRET = "planted-secret"
GLOBAL = "# @package _global_\n"
EVIL = {"metric/evil.yaml": yaml.safe_dump(CODE)}


def _sweep(content: object, **files: str) -> dict[str, str]:
    return {"sweep/mine.yaml": GLOBAL + (content if isinstance(content, str) else yaml.safe_dump(content))} | files


FILES = {
    "a callback": (_sweep({"hydra": {"callbacks": {"x": CODE}}}), "may not set hydra.callbacks.x._target_"),
    "the environment": (
        _sweep({"hydra": {"job": {"env_set": {"TRANSFER_EXP_TRUST": "os"}}}}),
        "may not set hydra.job.env_set.TRANSFER_EXP_TRUST",
    ),
    "copied environment": (_sweep({"hydra": {"job": {"env_copy": ["HF_TOKEN"]}}}), "may not set hydra.job.env_copy"),
    "logging": (_sweep({"hydra": {"job_logging": {"filters": {"x": {"()": "os.system"}}}}}), "hydra.job_logging"),
    "a launcher": (_sweep({"hydra": {"launcher": CODE}}), "may not set hydra.launcher"),
    "a sweeper": (_sweep({"hydra": {"sweeper": CODE}}), "may not set hydra.sweeper"),
    "a command of a cluster": (_sweep({"hydra": {"launcher": {"setup": ["touch trace"]}}}), "hydra.launcher.setup"),
    "a line in a batch script": (
        _sweep({"hydra": {"launcher": {"partition": "a\ntouch trace"}}}),
        "may not set hydra.launcher.partition",
    ),
    "all of Hydra by reference": (
        _sweep("hydra: ${mine}\nmine: {callbacks: {x: {_target_: os.system}}}\n"),
        "may not set hydra",
    ),
    "a package in the header": (
        {"sweep/mine.yaml": "# @package hydra.callbacks.x\n" + yaml.safe_dump(CODE)},
        "may not set hydra.callbacks.x",
    ),
    "a package in the defaults": (
        _sweep("defaults: [/metric@hydra.callbacks.x: evil]\n", **EVIL),
        "may not set hydra.callbacks.x",
    ),
    "a launcher of its own": (
        _sweep("defaults: [override /hydra/launcher: evil]\n", **{"hydra/launcher/evil.yaml": yaml.safe_dump(CODE)}),
        "may not set hydra.launcher",
    ),
    "a file elsewhere": (_sweep("defaults: [/../elsewhere/evil]\n"), "outside of the folders of options"),
    "a file at the root": (_sweep("defaults: [//etc/evil]\n"), "outside of the folders of options"),
    "a folder of configs": (_sweep({"hydra": {"searchpath": ["pkg://evil"]}}), "may not set hydra.searchpath"),
    "an axis of Hydra": (
        _sweep({"hydra": {"sweeper": {"params": {"+hydra.callbacks.x._target_": "a,b"}}}}),
        "may not sweep over",
    ),
    "an axis of code": (
        _sweep({"hydra": {"sweeper": {"params": {"model_pool.architectures": "a.py,b.py"}}}}),
        "may not sweep over",
    ),
    "an axis by reference": (_sweep({"hydra": {"sweeper": {"params": {"metric": "${x}"}}}}), "may not sweep over"),
    "code of networks": (_sweep({"model_pool": {"architectures": "evil.py"}}), "which is code that runs"),
    "code of networks in a list": (
        _sweep({"model_pool": {"pools": [{"architectures": "evil.py"}]}}),
        "which is code that runs",
    ),
    "text read as a config": (_sweep({"model_pool": "${oc.decode:'{a: 1}'}"}), "may not set model_pool to"),
    "a computed resolver": (_sweep({"x": "oc.env", "model_pool": {"name": "${${x}:PATH}"}}), "may not set model_pool"),
    "a secret": (_sweep({"model_pool": {"name": "${oc.env:MY_TOKEN}"}}), "MY_TOKEN looks like a secret"),
    "a URL with a secret": (_sweep({"model_pool": {"name": "${oc.env:DATABASE}"}}), "DATABASE looks like a secret"),
    "a secret in a setting": (_sweep({"api_key": SECRET}), "api_key looks like a secret"),
    "a URL as a setting": (_sweep({"store": f"s3://me:{SECRET}@bucket"}), "store contains credentials"),
    "itself": (_sweep("defaults: [mine]\n"), "without an end"),
    "two of each other": (
        _sweep("defaults: [/metric: a]\n", **{"metric/a.yaml": "defaults: [b]\n", "metric/b.yaml": "defaults: [a]\n"}),
        "without an end",
    ),
    "a tree of files": (
        _sweep("defaults: [/metric: m0]\n")
        | {f"metric/m{i}.yaml": f"defaults: [m{i + 1}@x, m{i + 1}@y]\n" for i in range(30)}
        | {"metric/m30.yaml": "a: 1\n"},
        "without an end",
    ),
    "aliases of aliases": (
        _sweep("a: &a0 [x]\n" + "".join(f"b{i}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))),
        "stands for over",
    ),
    "an alias of itself": (_sweep("a: &a [*a]\n"), "something that contains it"),
    "levels": (_sweep(f"a: {'[' * 3000}{']' * 3000}\n"), "levels"),
    "text that doubles": (
        _sweep("v0: xxxxxxxxxx\n" + "".join(f"v{i}: ${{v{i - 1}}}${{v{i - 1}}}\n" for i in range(1, 40))),
        "interpolations",
    ),
    "a tag that runs code": (
        _sweep("x: !!python/object/apply:os.system [touch trace]\n"),
        'sweep/mine.yaml", line 2, column 4',
    ),
    "no mapping": (_sweep("- a\n"), "sweep/mine.yaml is not a mapping: write KEY: VALUE in each line"),
    "a number": (_sweep("5\n"), "sweep/mine.yaml is not a mapping"),
    **{
        f"defaults {text}": (_sweep(f"defaults: {text}\n"), "sweep/mine.yaml has defaults: ")
        for text in ("5", "null", "{a: b}", "[5]", "[null]", "[[a]]", "[{}]", "[{a: {}}]", "[{a: b, c: d}]", "['${a}']")
    },
    **{
        f"defaults {text}": (_sweep(f"defaults: {text}\n"), "sweep/mine.yaml has defaults: ")
        for text in ("[{5: a}]", "[{null: a}]", "[{a: 5}]", "[{a: [5]}]", "['???']")
    },
    "the name of an option of the package": (
        _sweep("defaults: [{override /metric: logme}]\n") | {"metric/logme.yaml": "_target_: a.B\n"},
        "conf/metric/logme.yaml has the name of an option of transfer_exp: rename it",
    ),
    "a large file": (_sweep("# " + "x" * 1_000_000 + "\n"), "MB"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_cannot_use(name, tmp_path):
    files, message = FILES[name]
    for path, text in files.items():
        (tmp_path / "conf" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / path).write_text(text)
    environment = {"MY_TOKEN": SECRET, "DATABASE": f"db://me:{SECRET}@host", "HF_TOKEN": SECRET}
    process = run_command(tmp_path, "--config-dir", "conf", "+sweep=mine", "tracker=none", **environment)
    assert process.returncode == 1
    assert process.stderr.startswith("transfer_exp: ")
    assert process.stderr.count("\n") == 1
    assert message in process.stderr
    assert not (tmp_path / "trace").exists()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "conf" not in path.parts]
    assert SECRET not in process.stdout + process.stderr + "".join(path.read_text() for path in written)


def test_a_file_may_choose_folders_axes_and_the_size_of_a_job():
    launcher = {"timeout_min": 60, "partition": "gpu-long", "gpus_per_node": 1, "mem_gb": None}
    params = {"metric": "logme,sfda", "perturbation.dim": "choice(8, 16)", "seed": "range(3)"}
    sweep = {"dir": "${hydra.runtime.cwd}/x", "subdir": "${hydra.job.num}"}
    _check_hydra("mine.yaml", "hydra", {"sweeper": {"params": params}, "launcher": launcher, "sweep": sweep})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=25, deadline=None)
@given(JSON)
def test_an_ordinary_file_with_aliases_is_accepted(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("x") / "mine.yaml"
    path.write_text(yaml.safe_dump({"base": content, "again": content}), encoding="utf-8")
    _check_yaml(path)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1), min_size=1, max_size=4), JSON)
def test_no_other_key_of_hydra_is_accepted(keys, value):
    nested = value
    for key in reversed(keys):
        nested = {key: nested}
    if not isinstance(value, dict | list) and keys[:1] not in (["run"], ["sweep"], ["launcher"], ["mode"], ["sweeper"]):
        with pytest.raises(InputError, match="may not set hydra"):
            _check_hydra("mine.yaml", "hydra", nested)


@pytest.mark.parametrize(
    "flag", [["--experimental-rerun=x.pkl"], ["--experimental-rerun", "x.pkl"], ["--exp", "x.pkl"], ["--experim=x.pkl"]]
)
@pytest.mark.parametrize("command", [(), ("run",), ("plan",), ("rank", ".")])
def test_a_pickle_of_an_earlier_run_is_not_read(tmp_path: Path, flag, command):
    (tmp_path / "x.pkl").write_bytes(b"cos\nsystem\n(S'touch trace'\ntR.")
    process = run_command(tmp_path, *command, *flag)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "argument",
    [
        f"+api_key={SECRET}",
        f"++x.password={SECRET}",
        f"+metric.token={SECRET}",
        f"store=s3://key:{SECRET}@bucket/x",
        f"dataset.root=https://{SECRET}@host/x",
        f"store=memory://x?token={SECRET}",
        f"+hydra.job.env_set.HF_TOKEN={SECRET}",
        f"+hydra.job.env_set={{HF_TOKEN: {SECRET}}}",
        "hydra.job.env_copy=[HF_TOKEN]",
        f"hydra.launcher.setup=[export HF_TOKEN={SECRET}]",
    ],
)
def test_a_secret_on_the_command_line_is_refused_before_anything_is_written(tmp_path, argument):
    process = run_command(tmp_path, argument, HF_TOKEN=SECRET)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert SECRET not in process.stdout + process.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_option_file_of_the_user_is_read_again_for_each_config(tmp_path):
    file, values = tmp_path / "metric" / "mine.yaml", list[int]()
    file.parent.mkdir()
    for k in (3, 5):
        file.write_text(yaml.safe_dump({"_target_": "transfer_exp.metric.knn.KNN", "k": k}))
        values.append(CommandLine(["--config-dir", str(tmp_path), "metric=mine"]).compose([]).metric.k)
    assert values == [3, 5], "only the files of the package and of Hydra are kept"


def test_a_config_does_not_change_the_files_that_later_ones_read():
    matrix = CommandLine(["-cn", "score_matrix"])
    before = list(matrix.compose([]).perturbations)
    changed = CommandLine(["+sweep=paper_released"]).compose([])
    assert list(changed.perturbations) != before
    assert list(matrix.compose([]).perturbations) == before


@pytest.mark.parametrize(
    "overrides",
    [
        ["dataset.noise=0.5", "seed=3"],
        ["metric=knn", "metric.k=7", "+rows=out.csv"],
        ["+sweep=demo", "~protocol", "perturbation=pca", "perturbation.dim=4"],
        ["tracker=several", "+tracker@tracker.trackers.none=none", "++protocol={steps: 3}"],
    ],
)
def test_a_config_of_remembered_options_is_the_same(overrides, monkeypatch):
    def compose() -> DictConfig:
        return CommandLine(overrides).compose([], return_hydra_config=True)

    merges = list[object]()
    merge = option_files._hydra_merge_files
    monkeypatch.setattr(option_files, "_hydra_merge_files", lambda *a: merges.append(a) or merge(*a))
    option_files._shipped_lists.clear()
    option_files._shipped_configs.clear()
    first = compose()
    CommandLine([*overrides, "dataset.seed=5"]).compose([]).dataset.seed = 8
    second = compose()
    assert len(merges) == 1, "the files are merged once for the same options"
    assert OmegaConf.to_yaml(first) == OmegaConf.to_yaml(second)
    assert OmegaConf.is_struct(second), "a setting that does not exist is still refused"


def test_few_configs_are_remembered(monkeypatch):
    monkeypatch.setattr(option_files, "_MAX_CONFIGS", 2)
    option_files._shipped_lists.clear()
    option_files._shipped_configs.clear()
    for metric in ("logme", "knn", "lda", "sfda", "logme"):
        name = CommandLine([f"metric={metric}"]).compose([]).metric._target_
        assert metric in name.lower()
    assert len(option_files._shipped_lists) == len(option_files._shipped_configs) == 2


def test_option_folders_of_one_command_are_not_those_of_the_next(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "mine.yaml").write_text("_target_: transfer_exp.metric.knn.KNN\nk: 4\n")
    plain, folder = CommandLine(["metric=knn"]), CommandLine(["--config-dir", str(tmp_path), "metric=mine"])
    assert [line.compose([]).metric.k for line in (plain, folder, plain)] == [1, 4, 1]
    with pytest.raises(InputError, match="mine"):
        CommandLine(["metric=mine"]).compose([])
