"""Tables in CSV or YAML that cannot be read, or are dangerous to read."""

from __future__ import annotations

from tests.bad_input.files import Build, sequence, text
from tests.bad_input.kind import Kind

SINGLE_MODEL = ("model_pool.names=[resnet_glyphs]", "tracker=none", "metric=parameter_count")
TRUTH = (*SINGLE_MODEL, "ground_truth=table")
BLOCKS = (*SINGLE_MODEL, "ground_truth=last_block", "ground_truth.definitions=blocks.yaml")
HEAD = "model,dataset,accuracy,source\n"
SCORES = "model,score\na,1\nb,2\n"
LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


def _truth(name: str, message: str, content: str | bytes) -> Kind:
    path = f"{name.replace(' ', '_')}.csv"
    return Kind(name, (*TRUTH, f"ground_truth.path={path}"), message, text(path, content))


def _row(name: str, message: str, row: str) -> Kind:
    return _truth(name, message, f"{HEAD}resnet_glyphs,digits,{row}\n")


def _scores(name: str, message: str, content: str | bytes) -> Kind:
    build: Build = sequence(text("s.csv", content), text("t.csv", "model,accuracy\na,0.5\nb,0.6\n"))
    return Kind(name, ("s.csv", "t.csv"), message, build, "transfer-exp evaluate")


def _blocks(name: str, message: str, content: str) -> Kind:
    return Kind(name, BLOCKS, message, text("blocks.yaml", content))


KINDS = [
    _truth("empty table", "its first line must name the columns", ""),
    _truth("table without a column", "lacks the column 'accuracy'", "model,dataset\na,digits\n"),
    _truth(
        "table with a duplicate column", "has two columns 'accuracy'", f"{HEAD.strip()},accuracy\na,digits,1,me,1\n"
    ),
    _truth("table in Latin-1", "csv is not UTF-8 text", f"{HEAD}é,digits,1,me\n".encode("latin-1")),
    _truth("table with a NUL", "csv contains a NUL", f"{HEAD}a\0b,digits,1,me\n"),
    _truth("table with a too long line", "line 2 has 5 entries for 4 columns", f"{HEAD}a,digits,1,me,2\n"),
    _truth("table with a too short line", "line 3 has 2 entries", f"{HEAD}a,digits,1,me\nb,digits\n"),
    _truth("table with a huge entry", "field larger than field limit", f"{HEAD}a,digits,1,{'m' * 140_000}\n"),
    _truth("table with an open quote", "csv line 2 is not CSV", f'{HEAD}"a,digits,1,me\n'),
    _truth("table without the target", "has no rows for dataset 'digits'", f"{HEAD}resnet_glyphs,pets,1,me\n"),
    _row("accuracy that is NaN", "line 2: accuracy 'nan' is not a finite number", "nan,me"),
    _row("accuracy that is infinite", "line 2: accuracy 'inf' is not a finite number", "inf,me"),
    _row("accuracy in percent", "or set ground_truth.unit=percent", "71,me"),
    _row("accuracy in words", "line 2: accuracy 'high' is not a finite number", "high,me"),
    Kind("missing file of scores", ("s.csv", "published"), "no scores s.csv", None, "transfer-exp evaluate"),
    _scores("scores without models", "has neither the columns model and score", "name,value\na,1\n"),
    _scores("score in words", "line 3: score 'high' is not a finite number", "model,score\na,1\nb,high\n"),
    _scores("score that is NaN", "scored model b nan", "model,score\na,1\nb,nan\n"),
    _scores("score that is infinite", "scored model b inf", "model,score\na,1\nb,1e999\n"),
    _scores("duplicate score", "lines 3 and 4 both score metric s, model b", f"{SCORES}b,3\n"),
    _scores("scores with too many columns", "line 2 has 3 entries for 2 columns", "model,score\na,1,2\nb,2,3\n"),
    _scores("scores in UTF-16", "s.csv is not UTF-8 text", SCORES.encode("utf-16")),
    _scores("scores with a column without name", "has no name for column 3", "model,score,\na,1,2\n"),
    _blocks(
        "definitions with code",
        "cannot read the YAML file",
        "- !!python/object/apply:os.system [touch trace]\n",
    ),
    _blocks("definitions of aliases of aliases", "aliases are not allowed", LAUGHS),
    _blocks("definitions that are not a list", "must be a list of entries", "networks: a\n"),
    Kind(
        "ImageNet accuracies without their column",
        (*SINGLE_MODEL[:2], "ground_truth=none", "metric=imagenet_accuracy", "metric.table=t.csv"),
        "is not a table with columns model and top1",
        text("t.csv", "model,top5\na,90\n"),
    ),
    Kind(
        "rows to learn from with an infinite score",
        (*SINGLE_MODEL[:2], "ground_truth=none", "metric=learned_fusion", "metric.rows=t.csv"),
        "score 'inf' is not a finite number",
        text(
            "t.csv",
            "model_pool,dataset,perturbation,ground_truth,seed,metric,model,score,accuracy\np,d,none,full,0,logme,a,inf,1\n",
        ),
    ),
]
