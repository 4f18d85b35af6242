"""Wrong options, values and combinations on the command line."""

from __future__ import annotations

from tests.bad_input.files import sequence, text
from tests.bad_input.kind import Kind

MATRIX = ("-cn", "score_matrix", "model_pool.names=[resnet_glyphs]")
ONE = "metrics=[h_score]"  # By default all metrics are composed, which takes seconds.
YAML = "name: !!python/object/apply:os.system ['touch trace']\n"


def _typed(name: str, message: str, *arguments: str) -> Kind:
    return Kind(name, arguments, message)


def _user_metric(name: str, message: str, content: str | bytes) -> Kind:
    """Return a kind with a metric from the user's own folder of configs."""
    folders = lambda folder: (folder / "configs" / "metric").mkdir(parents=True)  # noqa: E731
    arguments = ("--config-dir", "configs", "metric=mine")
    return Kind(name, arguments, message, sequence(folders, text("configs/metric/mine.yaml", content)))


TARGET = "_target_: {}\ncommand: touch trace\n"
KINDS = [
    _typed("unknown option", "metric has no option 'logmee': did you mean logme", "metric=logmee"),
    _typed("unknown group", "metrik", "metrik=logme"),
    _typed(
        "unknown key", "perturbation has no setting 'dims': did you mean dim", "perturbation=pca", "perturbation.dims=3"
    ),
    _typed("added key", "metric has no setting 'alpha'", "+metric.alpha=3"),
    _typed("wrong type", "protocol.steps=many: need a whole number", "protocol.steps=many"),
    _typed("unknown model", "did you mean resnet_glyphs", "model_pool.names=[resnet_glyph]"),
    _typed("no value", "model_pool.names has no value: set model_pool.names=", "model_pool=timm"),
    _typed("unknown timm model", "did you mean resnet18", "model_pool=timm", "model_pool.names=[resnet1]"),
    _typed("missing checkpoints", "no folder absent", "model_pool=checkpoints", "model_pool.root=absent"),
    _typed("missing images", "absent", "dataset=image_folder", "dataset.root=absent"),
    _typed("missing table", "no table absent.csv", "ground_truth=table", "ground_truth.path=absent.csv"),
    _typed(
        "scoring set too small",
        "scoring_set_size=3 cannot hold one image of each of 10 classes",
        "dataset.scoring_set_size=3",
    ),
    _typed("arrays without arrays", "go together", "model_pool=arrays"),
    _typed("unknown sweep", "did you mean demo", "+sweep=dem", "hydra.mode=RUN"),
    _typed("unknown option of a sweep", "did you mean digits", "+sweep=demo", "metric=sfda,h_score", "dataset=digit"),
    _typed("unknown launcher", "did you mean basic", "+sweep=demo", "metric=sfda,h_score", "hydra/launcher=basik"),
    _typed("unknown stage", "did you mean features", "stage=feature"),
    _typed("unknown model of a stage", "did you mean vit_shapes", "stage=features", "models=[vit_shape]"),
    _typed("several pools for a stage", "one model_pool at a time", "stage=features", "model_pool=builtin,timm"),
    _typed(
        "stage that trains nothing",
        "needs a ground_truth that trains",
        "stage=finetune",
        "ground_truth=none",
        "hydra.mode=RUN",
    ),
    _typed("unknown device", "device 'gpu' is not available", "device=gpu"),
    _typed("negative seed", "seed=-1: need a whole number, from 0", "seed=-1"),
    _typed("seed in words", "seed=one: need a whole number", "seed=one"),
    _typed("empty batch", "features.batch_size=0: need a whole number, from 1", "features.batch_size=0"),
    _typed("truncated value", "cannot read 'metric.alpha=[1,'", "metric.alpha=[1,"),
    _typed("store is a file", "set store=FOLDER", "store=/dev/null"),
    _typed("unknown metric of a score matrix", "metric has no option 'logmee'", *MATRIX, "metrics=[logmee]"),
    _typed("too few images for a score matrix", "images_per_class=1", *MATRIX, "images_per_class=[1]", ONE),
    _typed(
        "option of a score matrix with an unknown key", "metric has no setting 'n'", *MATRIX, "metrics=['knn(n=3)']"
    ),
    _typed("option of a score matrix that is not a name", "'3 nn' is not an option", *MATRIX, "metrics=[3 nn]"),
    _typed("truncated option of a score matrix", "cannot read 'metric.k=['", *MATRIX, "metrics=['knn(k=[)']"),
    _typed("single metric for a score matrix", "metric=knn has no effect on a score matrix", *MATRIX, "metric=knn"),
    _typed("single perturbation for a score matrix", "'perturbations=[NAME", *MATRIX, "perturbation=pca"),
    _typed("score matrix without the training split", "splits=[test]: need train", *MATRIX, "splits=[test]", ONE),
    _typed("score matrix of a metric that needs more", "nothing could be scored", *MATRIX, "metrics=[learned_fusion]"),
    _typed(
        "averaged perturbation for a score matrix",
        "perturbations=path averages scores",
        *MATRIX,
        "perturbations=[path]",
        ONE,
    ),
    _typed("missing download", "dataset.download=true", "dataset=pets", "dataset.root=absent"),
    _typed("secret as a setting", "HF_TOKEN looks like a secret", "tracker.project=${oc.env:HF_TOKEN}"),
    _typed("target of another package", "may not run 'os.system'", "metric._target_=os.system"),
    _user_metric("target of another package in a file", "may not run 'os.system'", TARGET.format("os.system")),
    _user_metric(
        "target behind a module of this package",
        "may not run 'transfer_exp.store.lock.os.system'",
        TARGET.format("transfer_exp.store.lock.os.system"),
    ),
    _user_metric(
        "target that does not exist",
        "may not run 'transfer_exp.nowhere'",
        TARGET.format("transfer_exp.nowhere"),
    ),
    _user_metric("YAML with code", "could not determine a constructor for the tag", YAML),
    _user_metric("truncated YAML", "mine.yaml", "steps: [1, 2"),
    _user_metric("YAML that is not text", "is not UTF-8 text after 'name: caf'", b"name: caf\xe9\n"),
]
