"""What is typed wrongly: options, values, combinations."""

from __future__ import annotations

from tests.bad_input.files import both, text
from tests.bad_input.kind import Kind

GRID = ("-cn", "score_grid", "model_pool.names=[resnet_glyphs]")
YAML = "name: !!python/object/apply:os.system ['touch trace']\n"


def _typed(name: str, message: str, *arguments: str) -> Kind:
    return Kind(name, arguments, message)


def _own(name: str, message: str, content: str | bytes) -> Kind:
    """Return a metric of the user's own in a folder of configs."""
    folders = lambda folder: (folder / "own" / "metric").mkdir(parents=True)  # noqa: E731
    arguments = ("--config-dir", "own", "metric=mine")
    return Kind(name, arguments, message, both(folders, text("own/metric/mine.yaml", content)))


TARGET = "_target_: {}\ncommand: touch trace\n"
KINDS = [
    _typed("unknown option", "metric has no option 'logmee': did you mean logme", "metric=logmee"),
    _typed("unknown group", "metrik", "metrik=logme"),
    _typed(
        "unknown key", "perturbation has no option 'dims': did you mean dim", "perturbation=pca", "perturbation.dims=3"
    ),
    _typed("added key", "metric has no option 'alpha'", "+metric.alpha=3"),
    _typed("wrong type", "ground_truth.protocol.steps='many' is not of the right type", "protocol.steps=many"),
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
    _typed("arrays without arrays", "goes with dataset=arrays", "model_pool=arrays"),
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
    _typed("negative seed", "seed=-1: need a whole number, at least 0", "seed=-1"),
    _typed("seed in words", "seed=one: need a whole number", "seed=one"),
    _typed("empty batch", "features.batch_size=0: need a whole number, at least 1", "features.batch_size=0"),
    _typed("value that is cut off", "cannot read 'metric.alpha=[1,'", "metric.alpha=[1,"),
    _typed("store is a file", "set store=FOLDER", "store=/dev/null"),
    _typed("unknown metric of a grid", "metric has no option 'logmee'", *GRID, "metrics=[logmee]"),
    _typed("too few images of a grid", "images_per_class=1", *GRID, "images_per_class=[1]"),
    _typed("option of a grid with an unknown key", "metric has no option 'n'", *GRID, "metrics=['knn(n=3)']"),
    _typed("option of a grid that is no name", "'3 nn' is no name of an option", *GRID, "metrics=[3 nn]"),
    _typed("option of a grid that is cut off", "cannot read 'metric.k=['", *GRID, "metrics=['knn(k=[)']"),
    _typed("one metric for a grid", "metric=knn means nothing to a grid", *GRID, "metric=knn"),
    _typed("one perturbation for a grid", "'perturbations=[NAME", *GRID, "perturbation=pca"),
    _typed("grid without the training split", "splits=[test]: need train", *GRID, "splits=[test]"),
    _typed("grid of what needs more", "nothing could be scored", *GRID, "metrics=[learned_fusion]"),
    _typed("missing download", "dataset.download=true", "dataset=pets", "dataset.root=absent"),
    _typed("secret as a setting", "HF_TOKEN looks like a secret", "tracker.project=${oc.env:HF_TOKEN}"),
    _typed("foreign target", "may not run 'os.system'", "metric._target_=os.system"),
    _own("foreign target in a file", "may not run 'os.system'", TARGET.format("os.system")),
    _own(
        "target through one of our modules", "not of this package", TARGET.format("transfer_exp.store.lock.os.system")
    ),
    _own(
        "target that is nowhere", "there is no 'transfer_exp.nowhere' to build", TARGET.format("transfer_exp.nowhere")
    ),
    _own("YAML with code", "could not determine a constructor for the tag", YAML),
    _own("YAML that is cut off", "mine.yaml", "steps: [1, 2"),
    _own("YAML that is not text", "is not UTF-8 text after 'name: caf'", b"name: caf\xe9\n"),
]
