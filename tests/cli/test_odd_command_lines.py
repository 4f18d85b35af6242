"""Every option with a wrong type, out of range, null, missing, unknown or doubled ends in one line and exit code 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.command import run_command
from transfer_exp.cli.settings import SETTINGS

SMALL = (
    "dataset=shapes",
    "dataset.train_per_class=2",
    "dataset.test_per_class=2",
    "model_pool.names=[vit_shapes]",
    "ground_truth=none",
    "tracker=none",
)
RANK = ("-cn", "rank", *SMALL)
MATRIX = ("-cn", "score_matrix", *SMALL, "metrics=[h_score]", "perturbations=[none]")
ODD = {
    # Settings outside of the groups
    "store=null": "store=null: need a folder",
    "store=": "store='': need a folder",
    "store=''": "store='': need a folder",
    "store=[a,b]": "store=[a, b]: need a folder",
    "store=3": "store=3: need a folder",
    "store=nowhere://x": "store=nowhere://x cannot be used",
    "store=/dev/null/x": "cannot use the store",
    "metric=[logme,sfda]": "metric=[logme,sfda] is a list: compare options in a sweep, -m metric=A,B",
    "+metric@evil=logme": "there is no setting 'evil': write metric=NAME",
    "models=[5]": "models=[5]: need a list of names",
    "models=5": "models=5: need a list of names",
    "models=[]": "models=[]: need a list of names",
    "models={a: b}": "models={'a': 'b'}: need a list of names",
    "models=[null]": "models=[null]: need a list of names",
    "models=[nope]": "no model 'nope'",
    "seed=null": "seed=null: need a whole number",
    "seed=-1": "seed=-1: need a whole number",
    "seed=1.5": "seed=1.5: need a whole number",
    "seed=one": "seed=one: need a whole number",
    "seed=true": "seed=true: need a whole number",
    "seed=[0]": "seed=[0]: need a whole number",
    "seed=18446744073709551616": "seed=18446744073709551616: need a whole number",
    "seed=nan": "seed=nan: need a whole number",
    "device=null": "device=null: need auto",
    "device=": "device='': need auto",
    "device=0": "device=0: need auto",
    "device=gpu": "device 'gpu' is not available",
    "device=cuda:99": "device 'cuda:99' is not available",
    "device=[cpu]": "device=[cpu]: need auto",
    "stage=null": "no stage 'None'",
    "stage=scores": "did you mean score",
    "features=null": "features has no value",
    "+metric=knn": "metric has two values: write metric=knn, without +",
    "ground_truth.protocol.steps=2": "there is no setting 'ground_truth.protocol.steps': write protocol.steps=2",
    "+ground_truth.protocol.warmup=0": "write protocol.warmup=0",
    "features.batch_size=null": "features.batch_size=null: need a whole number",
    "features.batch_size=1e9": "features.batch_size=1000000000.0: need a whole number",
    "features.batch_size=99999999999": "features.batch_size=99999999999: need a whole number",
    "features.workers=-1": "features.workers=-1: need a whole number",
    "features.workers=two": "features.workers=two: need a whole number",
    "+features.x=1": "features has no setting 'x'",
    "features.x=1": "no setting 'x'",
    "~features.workers": "features.workers has no value",
    "~seed": "seed has no value",
    "~store": "store has no value",
    "~device": "device has no value",
    "~tracker": "tracker has no value",
    "~metric": "metric has no value",
    "~evaluation": "evaluation has no value",
    "~nothing": "nothing",
    "+nothing=1": "there is no setting 'nothing'",
    "nothing=1": "no setting 'nothing'",
    "++nothing.more=1": "there is no setting 'nothing'",
    "sed=1": "did you mean seed",
    # Groups
    "tracker=null": "tracker=null is not an option",
    "metric=": "metric",
    "metric=null": "metric=null is not an option",
    "metric=[logme]": "metric",
    "metric={a: b}": "metric",
    "metric=../metric/logme": "outside of the folders",
    "metric._target_=null": "metric has no _target_",
    "~metric._target_": "metric has no _target_",
    "model_pool=nope": "model_pool has no option 'nope'",
    "model_pool.names=[]": "model_pool.names",
    "model_pool.names=[5]": "model_pool.names",
    "model_pool.names={a: 1}": "model_pool.names",
    "model_pool.name=x": "model_pool has no setting 'name'",
    "dataset.seed=-1": "dataset.seed=-1: need a whole number",
    "dataset.seed=null": "dataset.seed",
    "dataset.seed=4294967296": "dataset.seed=4294967296: need a whole number",
    "dataset.train_per_class=0": "dataset.train_per_class=0: need a number from 1",
    "dataset.train_per_class=-3": "dataset.train_per_class=-3: need a number from 1",
    "dataset.train_per_class=many": "dataset.train_per_class=many: need a whole number",
    "dataset.train_per_class=[1,2]": "dataset.train_per_class=[1, 2]: need a whole number",
    "dataset.test_per_class=null": "dataset.test_per_class=null: need a whole number",
    "dataset.test_per_class=0": "test_per_class",
    "dataset.scoring_set_size=0": "scoring_set_size",
    "dataset.scoring_set_size=-1": "scoring_set_size",
    "dataset.scoring_set_size=1.5": "dataset.scoring_set_size=1.5: need a whole number",
    "~dataset.train_per_class": "dataset",
    "evaluation.k=0": "k=0",
    "evaluation.k=-1": "k=-1",
    "evaluation.k=x": "evaluation.k=x: need a whole number",
    "evaluation.level=2": "level",
    "evaluation.level=0": "level",
    "evaluation.level=null": "evaluation.level",
    "evaluation.draws=0": "draws",
    "evaluation.seed=-1": "evaluation.seed=-1: need a whole number",
}
MORE = {
    ("perturbation=pca", "perturbation.dim=0"): "perturbation.dim=0: need at least 1 (64 is the usual choice)",
    ("perturbation=dropout", "perturbation.rate=1.5"): "perturbation.rate=1.5: need at least 0 and below 1",
    ("perturbation=spread_attract", "perturbation.dim=-3"): "perturbation.dim=-3: need at least 1",
    ("perturbation=ped", "perturbation.max_steps=0"): "perturbation.max_steps=0: need at least 1",
    ("metric=logme,sfda",): "metric=logme,sfda has several values: add -m to run each",
    ("digits",): "'digits' is not KEY=VALUE: did you mean dataset=digits?",
    ("nothing",): "'nothing' is not KEY=VALUE: write the name of the setting before it",
    ("metric", "=", "logme"): "write metric=logme, without blanks around =",
    ("metric=", "logme"): "write metric=logme, without blanks around =",
    ("metric", "=logme"): "write metric=logme, without blanks around =",
    ("--metric", "logme"): "no option --metric: write metric=logme",
    ("--seed=3",): "no option --seed: write seed=3",
    ("perturbation=pca", "perturbation.dim=null"): "perturbation.dim",
    ("perturbation=attract", "perturbation.sign=x"): "sign",
    ("perturbation=path", "perturbation.strengths=[]"): "perturbation.strengths=[]: need two or more increasing",
    ("perturbation=path", "perturbation.strengths=[-1,1]"): "perturbation.strengths=[-1.0, 1.0]: alpha=-1.0: need",
    ("perturbation=path", "perturbation.field=nope"): "perturbation.field=nope is not an option: available: alpha",
    ("perturbation=path", "perturbation.perturbation=null"): "perturbation.perturbation",
    ("perturbation=sequence", "perturbation.steps=[3]"): "perturbation.steps",
    ("metric=knn", "metric.k=0"): "k",
    ("metric=knn", "metric.k=[3]"): "metric.k",
    ("metric=fusion", "metric.rule=x"): "rule",
    ("metric=fusion", "metric.metrics=[]"): "metrics",
    ("metric=fusion", "metric.metrics=logme"): "metric.metrics",
    ("ground_truth=full", "protocol.optimizer=nope"): "optimizer",
    ("ground_truth=full", "protocol.optimizer=null"): "optimizer",
    ("ground_truth=full", "protocol.steps=0"): "steps",
    ("ground_truth=full", "protocol.steps=-1"): "steps",
    ("ground_truth=full", "protocol.batch_size=0"): "batch_size",
    ("ground_truth=full", "protocol.learning_rates=[]"): "learning_rates",
    ("ground_truth=full", "protocol.learning_rates=[-1]"): "learning_rates",
    ("ground_truth=full", "protocol.weight_decays=null"): "weight_decays",
    ("ground_truth=full", "protocol.augmentation=x"): "augmentation",
    ("ground_truth=full", "protocol.head=x"): "head",
    ("ground_truth=full", "protocol.batch_norm=x"): "batch_norm",
    ("ground_truth=full", "protocol.warmup=7"): "warmup",
    ("ground_truth=full", "protocol.mixup=-1"): "mixup",
    ("ground_truth=full", "protocol.clip=-1"): "clip",
    ("ground_truth=full", "protocol.validation_fraction=2"): "validation_fraction",
    ("ground_truth=full", "protocol.rungs=[-1]"): "rungs",
    ("ground_truth=full", "protocol.mixed_precision=maybe"): "mixed_precision",
    ("ground_truth=full", "protocol=null"): "protocol",
    ("ground_truth=full", "~protocol"): "protocol",
    ("ground_truth=full", "ground_truth.device=nope"): "nope",
    ("ground_truth=full", "ground_truth.seed=-1"): "ground_truth.seed=-1",
    ("ground_truth=linear_probe", "ground_truth.strengths=[]"): "strengths",
    ("ground_truth=linear_probe", "ground_truth.strengths=[0]"): "strengths",
    ("ground_truth=linear_probe", "ground_truth.iterations=0"): "iterations",
    ("ground_truth=linear_probe", "ground_truth.tolerance=0"): "tolerance",
    ("ground_truth=linear_probe", "ground_truth.validation_fraction=1"): "validation_fraction",
    ("ground_truth=table", "ground_truth.path=null"): "ground_truth.path",
    ("ground_truth=table",): "ground_truth.path has no value",
    ("ground_truth=table", "ground_truth.path=a.csv", "ground_truth.unit=x"): "a.csv",
    ("ground_truth=published", "ground_truth.pool=nope"): "pool",
    ("ground_truth=published", "ground_truth.regime=nope"): "regime",
    ("tracker=wandb", "tracker.mode=disabled"): "set tracker=none",
    ("tracker=wandb", "tracker.mode=on"): "tracker.mode=on",
    ("tracker=wandb", "tracker.per=x"): "tracker.per=x",
    ("tracker=wandb", "tracker.artifacts=[x]"): "tracker.artifacts=x",
    ("tracker=wandb", "tracker.artifacts=null"): "tracker.artifacts",
    ("tracker=wandb", "tracker.project=[a]"): "tracker.project",
    ("dataset=huggingface",): "dataset.id has no value",
    ("dataset=huggingface", "dataset.id=null"): "dataset.id",
    ("dataset=image_folder",): "dataset.root has no value",
    ("dataset=image_folder", "dataset.root=null"): "dataset.root",
    ("dataset=image_folder", "dataset.root=."): "holds only the class folder",
    ("dataset=image_folder", "dataset.root=.", "dataset.on_unreadable=x"): "on_unreadable",
    ("dataset=image_table", "dataset.path=absent.csv"): "absent.csv",
    ("metric.k=3",): "metric has no setting 'k', which is of metric=knn or metric=tmi: choose that, or leave it out",
    ("model_pool=checkpoints",): "model_pool.root has no value",
    ("model_pool=timm",): "model_pool.names has no value",
    ("model_pool=timm", "model_pool.names=null"): "model_pool.names",
    ("model_pool=torchvision", "model_pool.names=[resnet18]", "model_pool.weights=nope"): "weights",
    ("model_pool=torchvision", "model_pool.names=[resnet18]", "model_pool.layer=nope"): "layer",
    ("model_pool=torchvision", "model_pool.names=[resnet18]", "model_pool.input_size=0"): "input_size",
    ("hydra.run.dir=",): "hydra.run.dir",
    ("hydra.run.dir=null",): "hydra.run.dir",
    ("hydra.run.dir=/dev/null/x",): "/dev/null",
    ("hydra.mode=nope",): "mode",
    ("hydra.nothing=1",): "nothing",
    ("hydra/launcher=nope",): "hydra/launcher has no option 'nope'",
    ("-m", "seed=0,-1"): "seed=-1: need a whole number",
    ("-m", "metric=logme,nope"): "metric has no option 'nope'",
    ("-m", "seed=range(0)"): "the sweep has no jobs",
    ("-m", "models=[a],[5]"): "models=[5]: need a list of names",
    ("-m", "hydra.sweep.dir="): "hydra.sweep.dir",
    ("-cn", "nope"): "nope",
    ("-cn",): "-cn",
    ("--config-dir", "nope"): "nope",
    ("--config-path", "nope"): "nope",
    ("-c", "nope"): "nope",
    ("--info", "nope"): "nope",
    ("seed=0,1",): "seed=0,1 has several values: add -m to run each",
    ("seed",): "seed",
    ("=1",): "=1",
    ("metric==logme",): "metric",
    ("+metric=logme",): "metric",
    ("metric@x=logme",): "metric",
    ("seed=${nope}",): "nope",
    ("seed=${seed}",): "interpolation",
    ("store=${oc.env:ABSENT_VARIABLE}",): "ABSENT_VARIABLE",
    ("store=${oc.nope:x}",): "oc.nope",
    ("stage=plan", "seed=-1"): "seed=-1",
    ("stage=report",): "hydra.sweep.dir",
    ("stage=features", "splits=x"): "splits",
    ("stage=features", "+splits=x"): "splits=x: need a list",
    ("stage=features", "+splits=[x]"): "splits",
    ("stage=grid", "ground_truth=full", "+point=-1"): "point=-1: need a whole number",
    ("stage=grid",): "ground_truth",
    (*RANK, "budget=-5m"): "budget=-5m",
    (*RANK, "budget=[1]"): "budget=[1]: need a time",
    (*RANK, "budget=0"): "budget=0",
    (*RANK, "inspect=maybe"): "inspect=maybe: need true or false",
    (*RANK, "draws=0"): "draws=0: need a whole number",
    (*RANK, "halving=null"): "halving",
    (*RANK, "halving.first=0"): "halving.first=0: need a whole number",
    (*RANK, "halving.keep=1"): "halving.keep=1: need a number",
    (*RANK, "halving.growth=nan"): "halving.growth=nan: need a number",
    (*RANK, "halving.stable=1"): "halving.stable=1: need a whole number",
    (*RANK, "halving.prior_images=-1"): "halving.prior_images=-1: need a number",
    (*RANK, "+halving.x=1"): "halving has no setting 'x'",
    (*MATRIX, "metrics=[]"): "metrics=[]: need a list",
    (*MATRIX, "metrics=[5]"): "metrics=[5]: need a list",
    (*MATRIX, "perturbations=null"): "perturbations=null: need a list",
    (*MATRIX, "images_per_class=5"): "images_per_class=5: need a list",
    (*MATRIX, "images_per_class=[]"): "images_per_class=[]: need a list",
    (*MATRIX, "images_per_class=[x]"): "images_per_class=[x]: need a list",
    (*MATRIX, "splits=train"): "splits=train: need a list",
    (*MATRIX, "splits=[nope]"): "splits=[nope]: need a list",
    (*MATRIX, "rows=null"): "rows=null: need a CSV",
    (*MATRIX, "rows="): "rows='': need a CSV",
    (*MATRIX, "rows=."): "'.' is a folder, not the name of a file: name a file in it",
}


def _start(line: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments that come before an odd one: those for a small run, without the groups that it names."""
    if line[:1] == ("-cn",) and len(line) > 2:
        return ()
    keys = [argument.partition("=")[0].lstrip("+") for argument in line]
    replaced = tuple(f"{group}." for group in ("dataset", "model_pool") if group in keys)
    return tuple(a for a in SMALL if a.partition("=")[0] not in keys and not a.startswith(replaced))


def _replaced(line: tuple[str, ...]) -> tuple[str, ...]:
    """Return arguments without those whose key comes again later."""
    keys = [argument.partition("=")[0] for argument in line]
    return tuple(a for i, a in enumerate(line) if "=" not in a or keys[i] not in keys[i + 1 :])


LINES = {(*_start((key,)), key): value for key, value in ODD.items()} | {
    (*_start(key), *_replaced(key)): value for key, value in MORE.items()
}


def _parameter(line: tuple[str, ...]) -> Any:
    """Return a command line as a parameter; settings are checked without building anything, and the rest is slow."""
    odd = [argument for argument in line if argument not in SMALL]
    is_quick = len(odd) == 1 and odd[0].partition("=")[0].partition(".")[0] in ("seed", "models", "features", "~seed")
    return pytest.param(line, id=" ".join(odd), marks=() if is_quick else pytest.mark.slow)


@pytest.mark.parametrize("arguments", [_parameter(line) for line in LINES])
def test_an_odd_command_line_ends_in_one_line(arguments, tmp_path: Path, capfd):
    process = run_command(tmp_path, *arguments)
    assert process.returncode == 1, process.stdout
    assert process.stderr.startswith("transfer_exp: "), process.stderr
    assert process.stderr.count("\n") == 1, process.stderr
    assert LINES[arguments] in process.stderr
    assert capfd.readouterr().err == ""


def test_there_are_at_least_two_hundred_odd_command_lines():
    assert len(LINES) >= 200


JUNK = st.text(max_size=8) | st.sampled_from(
    ["null", "???", "${", "${x}", "[", "[]", "{}", "{a: 1}", "-", "1e999", "nan", "\\", "'", "a,b", "=", "\n", "~", "☃"]
)
KEYS = [*SETTINGS, "metric", "dataset", "dataset.seed", "model_pool.names", "evaluation.k", "tracker", "hydra.run.dir"]


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(key=st.sampled_from(KEYS), value=JUNK, sign=st.sampled_from(["", "", "+", "++", "~"]))
def test_any_text_as_a_value_is_read_or_refused_in_one_line(tmp_path_factory, key, value, sign):
    start = RANK if key.startswith(("budget", "inspect", "draws", "halving")) else SMALL
    process = run_command(tmp_path_factory.mktemp("x"), *start, "--cfg", "job", f"{sign}{key}={value}")
    assert process.returncode in (0, 1)
    if process.returncode:
        assert process.stderr.startswith("transfer_exp: ")
        assert process.stderr.count("\n") == 1
