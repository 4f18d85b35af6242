"""What a newcomer types wrongly is answered with the fix, and an output without a reader does not end the work."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command import SMALL_DATASET, run_command
from transfer_exp.cli import main
from transfer_exp.cli.console import SafeStream, cannot_write
from transfer_exp.cli.instantiate import build_all
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.output import OutputOptions
from transfer_exp.cli.overrides import CommandLine
from transfer_exp.errors import InputError, one_line
from transfer_exp.features.extraction import _explain_worker_errors
from transfer_exp.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
QUICK = (*SMALL_DATASET, "model_pool.names=[vit_shapes]", "ground_truth=none", "tracker=none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("rank", ".", "--budget", "-5m"),
            "budget=-5m must be more than 0: write 90s, 10m (or 10min) or 2h, or none for no limit",
        ),
        (("rank", ".", "--budget", "soon"), "budget=soon is not a time"),
        (("rank", ".", "--budget", "0s"), "budget=0s must be more than 0"),
        (("rank", ".", "--budget", "5"), "budget=5 has no unit: write 5s, 5m or 5h, or none for no limit"),
        (("rank", ".", "--budget"), "argument --budget: expected one argument"),
        (("rank", ".", "more"), "rank takes one PATH, and 'more' is a second one: leave it out, or write KEY=VALUE"),
        (("rank", ".", "--metric", "logme"), "no option --metric: write metric=logme"),
        (("rank", ".", "--top", "-3"), "transfer-exp rank --help"),
        (("rank", ".", "--out", "/etc/passwd"), "--out /etc/passwd is a file: name a folder"),
        (("run", "/usr"), "'/usr' is a folder: transfer-exp rank /usr, or dataset=image_folder dataset.root=/usr"),
        (("sweep", "demo"), "a sweep is a run of several settings: transfer-exp run +sweep=demo"),
        (("sweep", "x"), "transfer-exp run -m KEY=A,B or run +sweep=NAME"),
        (("report", "nope"), "nope does not exist: give the folder of a run, a ranking or a sweep, or a CSV of scores"),
        (("report", "/etc/passwd"), "/etc/passwd is a file: give the folder of a run"),
        (("rank", ".", "pool=builtin"), "there is no setting 'pool': write --pool builtin"),
        (("rank", ".", "--poool", "builtin"), "did you mean --pool? See transfer-exp rank --help"),
        (("rnak", "."), "no command 'rnak': did you mean rank?"),
        (("report", ".", "--rwos", "x.csv"), "did you mean --rows? See transfer-exp report --help"),
        (("report", "."), "holds no results: give the folder of a run or a sweep"),
        (("--config-dir", "nope"), "--config-dir nope is not a folder"),
        (("--multrun",), "did you mean --multirun?"),
        (("metric=logme", "-r", "seed=-1"), "seed=-1: need a whole number"),
        (("metric=logme", "-m", "seed=-1"), "seed=-1: need a whole number"),
        (
            ("metric=logme", "-r", "-m"),
            "--run, --multirun, --cfg, --info, --shell-completion exclude each other: give only one",
        ),
        (("metric._target_=my_metrics.Margin",), "set TRANSFER_EXP_TRUST=my_metrics in the environment"),
        (("store=/dev/null/x", *QUICK), "cannot use the store /dev/null/x (Not a directory)"),
        (("store=/etc/passwd", *QUICK), "/etc/passwd is a file where the store needs a folder"),
        (("plan", "dataset=pets", "dataset.root=."), "there is nothing to plan: pets is missing or incomplete under "),
        (
            ("plan", "dataset=pets,cars"),
            "nothing to plan (1 more left out): pets is missing",
        ),
        (("store=/proc/x", *QUICK), "cannot use the store /proc/x"),
        (
            ("rank", ".", "--out", "/proc/x"),
            "cannot write to /proc/x (No such file or directory): name another folder with",
        ),
        (
            ("hydra.run.dir=/proc/x",),
            "cannot write to /proc/x (No such file or directory): name another folder with --out",
        ),
        (("-m", "seed=0,1", "hydra.sweep.dir=/proc/x/y"), "cannot write to /proc/x (No such file or directory): name"),
        (("hydra.run.dir=/etc/passwd",), "/etc/passwd is a file: name a folder with --out FOLDER"),
        (("hydra.run.dir=/etc/passwd/x",), "cannot write to /etc/passwd/x (Not a directory): name another folder"),
        (("hydra.run.dir=${oc.env:MY_TOKEN}",), "hydra.run.dir=... looks like a secret"),
        (("--jobs", "2"), "no option --jobs: write jobs=2"),
        (("dataset.root=photos",), "dataset has no setting 'root', which is of dataset=arrays or dataset=image_folder"),
        (
            ("rank", ".", "dataset=digits"),
            "dataset=digits reads no PATH, which rank takes the images from: leave it out",
        ),
        (("rank", ".", "--max-memory", "-2GB"), "--max-memory=-2GB is not a size"),
        (("plan", "--json"), "--json has no effect on a plan, which writes no files: leave it out"),
        (("plan", "--out", "x"), "--out has no effect on a plan"),
        (("plan", "metric=knn", "metric.k=0"), "metric.k=0: need at least 1"),
        (
            ("-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=x"),
            "cannot set hydra.launcher.n_jobs=x (Value 'x' of type 'str' could not be converted to Integer)",
        ),
        (("--sweep", "demo"), "no option --sweep: write +sweep=demo"),
        (("-m", "seed=interval(0,1)"), "seed=interval(0,1) has values without end: list some, such as seed=0,1"),
        (("-m", "metric=lda", "perturbation.dim=int(interval(1,2))"), "has values without end: list some, such"),
        (("seed=choice(0,1)",), "seed=choice(0,1) has several values: add -m to run each"),
        (("-m", "seed=range(0,2,0)"), "seed=range(0,2,0) is not a range: write seed=range(START,STOP,STEP), STEP not"),
        (("plan", "seed=range(0,nan)"), "seed=range(0,nan) is not a range: write seed=range(START,STOP,STEP)"),
        (
            ("metric=logme", "metric=h_score"),
            "metric is given twice: leave one out, or compare both in a sweep, -m met",
        ),
        (("metric=logme", "++seed=1", "seed=1"), "seed is given twice: leave one out, or compare both in a sweep"),
        (("-m", "seed=1,2", "metric=logme", "seed=3"), "seed is given twice: leave one out, or compare both in a swee"),
        (("+sweep=demo", "metric=logme", "metric=lda"), "metric is given twice: leave one out"),
        (("+sweep=demo", "+sweep=digits"), "sweep is given twice: leave one out\n"),
        (("plan", "seed=1", "seed=1"), "seed is given twice"),
        (("rank", ".", "seed=1", "seed=2"), "seed is given twice: leave one out\n"),
        (("rank", ".", "--budget", "5m", "budget=3m"), "budget is given twice: leave one out\n"),
        (("rank", ".", "dataset.root=photos"), "dataset.root=photos and PATH both name the images: leave one out"),
        (("leaderboard", "metric=logme", "metric=lda"), "metric is given twice: leave one out\n"),
        (("--out", "a", "hydra.run.dir=b"), "hydra.run.dir and --out both name the folder of the results: leave one"),
    ],
)
def test_a_wrong_command_line_is_answered_with_the_fix(tmp_path, arguments, message):
    process = run_command(tmp_path, *arguments)
    assert process.returncode == 1
    assert process.stderr.startswith("transfer_exp: ")
    assert process.stderr.count("\n") == 1
    assert message in process.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("+sweep=demo", "metric=logme,lda", "perturbation=none", "seed=1"),
        ("metric@a=logme", "metric@b=lda", "tracker.tags=extend_list(a)", "tracker.tags=extend_list(b)"),
        ("~tracker", "tracker=none"),
        ("-cn", "rank", "metric=knn", "metric.k=3"),
    ],
)
def test_a_key_with_one_value_is_not_refused_as_repeated(arguments):
    assert CommandLine(arguments).overrides


REQUIRED = {
    f"{path.parent.name}={path.stem}": re.findall(r"^ *(\w+): \?\?\?", path.read_text("utf-8"), re.M)
    for path in sorted(CONF.glob("*/*.yaml"))
}


@pytest.mark.parametrize("option", [option for option, names in REQUIRED.items() if names])
@pytest.mark.parametrize("mode", [(), ("-m", "seed=0,1")])
def test_an_option_without_its_required_value_ends_before_a_folder_is_made(tmp_path, option, mode):
    key = f"{option.partition('=')[0]}.{REQUIRED[option][0]}"
    process = run_command(tmp_path, option, *mode)
    assert process.returncode == 1
    assert re.fullmatch(rf"transfer_exp: {key} has no value: set {key}=\S*[A-Z]\S*\n", process.stderr)
    assert not list(tmp_path.rglob("result*"))
    assert mode or not list(tmp_path.iterdir())


def test_an_empty_path_is_not_the_working_directory(tmp_path):
    process = run_command(tmp_path, "dataset=image_folder", "dataset.root=")
    assert process.stderr == "transfer_exp: dataset.root has no value: set dataset.root=FOLDER\n"


def test_a_result_of_another_program_is_named(tmp_path):
    (tmp_path / "result.json").write_text('{"accuracy": 0.5}')
    process = run_command(tmp_path, "report", ".")
    assert (process.returncode, process.stderr) == (
        1,
        "transfer_exp: result.json was not written by transfer-exp: give the folder of a run, a ranking or a sweep\n",
    )


def test_a_sweep_without_its_plus_is_announced(tmp_path):
    process = run_command(tmp_path, "sweep=dmo")
    assert process.stderr.splitlines()[0] == "transfer_exp: sweep=dmo starts the sweep +sweep=dmo"
    assert "did you mean demo" in process.stderr


def test_arguments_are_checked_before_a_dataset_is_read(tmp_path):
    metric = {"_target_": "transfer_exp.metric.knn.KNN", "k": "three"}
    dataset = {"_target_": "transfer_exp.dataset.image_folder.image_folder", "root": str(tmp_path / "absent")}
    with pytest.raises(InputError, match=r"metric\.k=three: need a whole number"):
        build_all(("dataset", "metric"), {"metric": metric, "dataset": dataset})


@pytest.mark.parametrize(
    ("number", "word", "code"), [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]
)
def test_an_interrupted_or_terminated_command_says_what_was_kept(tmp_path, monkeypatch, number, word, code):
    def interrupt(output: OutputOptions) -> None:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)  # a second signal does not cut the message off
        time.sleep(10)

    monkeypatch.setattr(main, "_run_application", interrupt)
    before = signal.getsignal(signal.SIGTERM)
    process = run_command(tmp_path, *QUICK)
    assert process.returncode == code
    assert process.stderr.startswith(f"transfer_exp: {word}: the store keeps the features, scores and accuracies")
    assert process.stderr.count("\n") == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_handler_of_termination_stays(tmp_path, monkeypatch):
    received = list[int]()
    monkeypatch.setattr(main, "_run_application", lambda output: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        assert run_command(tmp_path, *QUICK).returncode == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM], "such as the handler of submitit, which requeues a job"


@pytest.mark.parametrize("mode", [(), ("-m",)])
def test_code_that_ends_the_process_is_named(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(main, "score_cell", lambda *_: sys.exit(3))
    process = run_command(tmp_path, *mode, *QUICK)
    assert process.returncode == 1
    assert re.search(
        r"^(transfer_exp|failed): \S+test_messages.py line \d+ ends the process \(SystemExit 3\): let it",
        process.stderr,
        re.M,
    )


def test_a_file_without_access_is_called_unreadable_and_a_folder_unwritable(tmp_path, monkeypatch):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert cannot_write(error).startswith(f"cannot write to {tmp_path} (Permission denied)")
    monkeypatch.setattr("transfer_exp.cli.console.is_allowed", lambda path, mode: path != tmp_path)
    assert cannot_write(error).startswith(f"cannot read {tmp_path} (Permission denied)")


def test_a_store_is_checked_before_it_is_used(tmp_path):
    Store(tmp_path / "new" / "store").check()
    file = tmp_path / "file"
    file.write_text("")
    for root in (file, file / "x", "nowhere://x"):
        with pytest.raises(InputError, match=r"store.*set store=FOLDER"):
            Store(root).check()


@pytest.mark.parametrize(
    "message",
    [
        "DataLoader worker (pid 7) is killed by signal: Bus error.",
        "DataLoader worker (pid(s) 7) exited unexpectedly",
        "unable to allocate shared memory(shm) for file </torch_7_1>: No space left on device (28)",
    ],
)
def test_too_little_shared_memory_is_one_line(message):
    def fail():
        raise RuntimeError(f"{message}\nmore lines")
        yield

    with pytest.raises(InputError, match=r"set features\.workers=0") as error:
        list(_explain_worker_errors(fail()))
    assert "more lines" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("s3://key:secret@bucket/x", "s3://...@bucket/x"),
        ("https://token@host:80/x and http://a:b@c", "https://...@host:80/x and http://...@c"),
        ("https://host/x?a=1&X-Amz-Signature=abc&b=2", "https://host/x?a=1&...&b=2"),
        ("https://host/x?token=abc", "https://host/x?..."),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("hf-hub:owner/name@v1", "hf-hub:owner/name@v1"),
        ("me@host and /data/a:b@c", "me@host and /data/a:b@c"),
    ],
)
def test_credentials_in_urls_are_in_no_message(text, redacted):
    assert one_line(text) == redacted
    assert str(InputError(text)) == redacted


def test_the_work_goes_on_when_nobody_reads_its_output():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        safe = SafeStream(stream)
        print("one", file=safe, flush=True)
        os.close(reader)
        for _ in range(3):
            print("two" * 100_000, file=safe, flush=True)
        assert safe.encoding == stream.encoding


@pytest.mark.long
def test_a_sweep_is_complete_when_only_its_first_line_is_read(tmp_path):
    arguments = " ".join((*QUICK, "metric=logme,h_score", "hydra.sweep.dir=sweep"))
    line = f"set -o pipefail; {sys.executable} -m transfer_exp -m {arguments} | head -1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.count("\n") == 1
    assert len(list((tmp_path / "sweep").rglob("result.json"))) == 2


@pytest.mark.long
def test_a_terminal_with_ascii_only_is_enough(tmp_path):
    """One process for all commands, because most of the time of each is the import of torch."""
    commands = [["--help"], list(QUICK), ["-m", *QUICK, "metric=logme,h_score"], ["doctor"]]
    code = f"""
import sys
from hydra.core.global_hydra import GlobalHydra
from transfer_exp.__main__ import main
for arguments in {commands!r}:
    GlobalHydra.instance().clear()
    sys.argv = ["transfer-exp", *arguments]
    assert not main()
    print("::", *arguments)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True)
    assert process.returncode == 0, process.stderr
    assert b"Traceback" not in process.stderr
    assert process.stdout.isascii()
    assert process.stdout.count(b"\n:: ") == len(commands)
