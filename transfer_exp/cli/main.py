"""The command line: ``transfer-exp [COMMAND] [GROUP=OPTION] [KEY=VALUE] ...``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TypeAlias

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from transfer_exp.cli.console import ACCESS_ERRORS, Parser, cannot_write, make_output_safe
from transfer_exp.cli.help import plan_parser, print_help, run_parser
from transfer_exp.cli.hydra_callback import RESOURCES, check_choices
from transfer_exp.cli.hydra_errors import UNREADABLE_OPTIONS, explain
from transfer_exp.cli.instantiate import build, build_all, check_needs, check_regime, read_trust
from transfer_exp.cli.job_labels import job_columns, to_plain, write_status
from transfer_exp.cli.leaderboard import TOP, leaderboard_overrides, show_leaderboard
from transfer_exp.cli.option_files import CONF
from transfer_exp.cli.output import Outcome, OutputOptions, open_page, print_record, show_outcome, take_output_options
from transfer_exp.cli.overrides import CommandLine, expand_trackers, quote_path
from transfer_exp.cli.rank import rank_overrides, search_pool
from transfer_exp.cli.redact import forbid_secrets_in_configs
from transfer_exp.cli.run import fill_store, score_cell
from transfer_exp.cli.score_matrix import score_matrix
from transfer_exp.cli.settings import STAGES, check_job
from transfer_exp.cli.stages import MULTIRUN, read_datasets, split_by_model
from transfer_exp.deprecated_names import current_overrides
from transfer_exp.errors import IncompleteOutputError, InputError, TerminatedError, raising_frame, suggestion
from transfer_exp.io.text import expand_user
from transfer_exp.progress import phase, show_progress
from transfer_exp.version import __version__

Job: TypeAlias = Callable[[DictConfig, Path, "str | None"], Outcome]
"""Function of a config, the folder of the job's files, and the name of its sweep, or None; it returns what to print.

It raises an `InputError` when a setting, a file or a dataset cannot be used.
"""
COMMANDS = ("run", "rank", "leaderboard", "evaluate", "report", "plan", "cache", "doctor")
_PARSED_BY_MODULE = ("evaluate", "report", "cache", "doctor")
"""Commands that do not compose a config; the module of that name has a ``main``."""
_PARSED_BY_HYDRA: Mapping[str, Callable[[], Parser]] = {"run": run_parser, "plan": plan_parser}
"""Commands whose arguments Hydra parses, with the parser of their help."""
_TRANSLATED: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "rank": rank_overrides,
    "leaderboard": leaderboard_overrides,
}
"""Commands with other arguments, and the function that translates these to those of ``run``."""
_HELP = ("-h", "--help")
# Arguments that set the mode of Hydra, or that ask it for something other than a run.
_MODES = {"-m", "--multirun", "-r", "--run", "hydra.mode", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion"}
_log = logging.getLogger(__name__)


def main(without_arguments: str = "help") -> int | None:
    """Run the command of the process, and return its exit code, None for success.

    Args:
        without_arguments: Command to run if the process has no arguments.

    Raises:
        SystemExit: With code 1, after one line on stderr, for every error that the user can correct.
    """
    if "query=bash" in sys.argv and _complete_command():
        return None
    # A log that cannot be written must not hide the problem under a traceback from logging.
    logging.raiseExceptions = False
    make_output_safe()
    # Otherwise Hydra prints errors itself, over many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    forbid_secrets_in_configs()
    read_trust()
    Sweeper.validate_batch_is_legal = check_choices  # type: ignore[method-assign, assignment]
    try:
        with _raise_on_termination():
            return _run_command(sys.argv[1:] or [without_arguments])
    except InputError as error:
        _fail(str(error))
    except UNREADABLE_OPTIONS as error:
        _fail(explain(error))
    except KeyboardInterrupt as error:
        word, code = ("terminated", 143) if isinstance(error, TerminatedError) else ("interrupted", 130)
        _fail(f"{word}: {_interruption_advice()}; the same command continues from there", code)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in ACCESS_ERRORS:
            _fail(cannot_write(error))
        if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise
        # Jobs catch their own errors, so this one comes from the launcher, or from a job whose process died.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        report = f"transfer-exp report {HydraConfig.get().sweep.dir}"
        _fail(f"the launcher stopped: {reason} (finished jobs: {report}; the same command continues from there)")
    finally:
        RESOURCES.close()


@contextmanager
def _raise_on_termination() -> Iterator[None]:
    """Raise `TerminatedError` at SIGTERM inside the context, unless something else handles or ignores the signal."""

    def terminate(*_: object) -> None:
        if os.getpid() != process:  # a fork that does not handle the signal itself
            os._exit(143)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ``timeout`` sends it twice
        raise TerminatedError

    process, is_main = os.getpid(), threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interruption_advice() -> str:
    """Return where the results of an interrupted command are."""
    text = "the store keeps the features, scores and accuracies of all models that were done"
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return text
    return f"{text}, and finished jobs are shown by transfer-exp report {HydraConfig.get().sweep.dir}"


def _run_command(arguments: Sequence[str]) -> int | None:
    """Run the command in the first argument; with settings only, run the application."""
    if list(arguments) == ["--version"]:
        print(f"transfer_exp {__version__}")
        return None
    if arguments[0] in (*_HELP, "help"):
        return _print_help(arguments[1:])
    command, arguments = _split_command(arguments)
    if command in _PARSED_BY_MODULE:
        return import_module(f"transfer_exp.cli.{command}").main(arguments)
    if command in _PARSED_BY_HYDRA and set(_HELP) & set(arguments):
        _PARSED_BY_HYDRA[command]().print_help()
        return None
    output, arguments = take_output_options(arguments, TOP if command == "leaderboard" else OutputOptions.top, command)
    if command in _TRANSLATED:
        arguments = _TRANSLATED[command](arguments)
    line = CommandLine(_multirun_for_sweeps(expand_trackers(current_overrides(arguments))))
    if command == "plan" or line.stage == "plan":
        for name in ("json", "open", "out"):
            if getattr(output, name):
                raise InputError(f"--{name} has no effect on a plan, which writes no files: leave it out")
        # Mistakes are reported before torch is imported.
        config = to_plain(line.compose(next(line.points(lambda axis: True), ())))
        check_job(config)
        check_regime(config["ground_truth"])
        with show_progress():
            phase("reading the model pool")
            check_needs(build_all(("perturbation", "metric", "evaluation"), config)["metric"], config["ground_truth"])
            build("model_pool", config["model_pool"]).select(config["models"])
            phase("reading the dataset")
            datasets = read_datasets(line)
            phase("loading torch")
            plan = import_module("transfer_exp.cli.plan").plan
        return plan(line.arguments, datasets)
    if line.stage == "report":
        return import_module("transfer_exp.cli.report").main([_sweep_folder(line.arguments)])
    arguments = split_by_model([*line.flags, *line.overrides])  # Hydra wants its options first
    in_sweep = bool(set(MULTIRUN) & set(arguments))
    if output.json and in_sweep:
        raise InputError("--json is for a single run: a sweep writes its results to sweep.csv")
    if output.out is not None:
        key = f"hydra.{'sweep' if in_sweep else 'run'}.dir"
        if any(argument.startswith(f"{key}=") for argument in arguments):
            raise InputError(f"{key} and --out both name the folder of the results: leave one out")
        arguments.append(f"{key}={quote_path(str(expand_user(output.out)))}")
    sys.argv[1:] = arguments
    _run_application(output)
    return None


def _print_help(topics: Sequence[str]) -> int | None:
    """Print the main help; with a topic, that of a command, or (``config``, or overrides) all settings."""
    if not topics:
        print_help()
        return None
    first = topics[0]
    if first in COMMANDS:
        return _run_command([first, "--help"])
    if first != "config" and "=" not in first and not first.startswith("-"):
        raise InputError(f"no help on '{first}': {suggestion(first, (*COMMANDS, 'config'), limit=1)}")
    sys.argv[1:] = ["--help", *topics[first == "config" :]]
    _run_application(OutputOptions())
    return None


def _split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the command and its arguments."""
    first = arguments[0] if arguments else ""
    if first in COMMANDS:
        return first, list(arguments[1:])
    if first == "sweep":
        is_named = len(arguments) > 1 and (CONF / "sweep" / f"{Path(arguments[1]).name}.yaml").is_file()
        example = f"+sweep={arguments[1]}" if is_named else "-m KEY=A,B or run +sweep=NAME"
        raise InputError(f"a sweep is a run of several settings: transfer-exp run {example}")
    if first and "=" not in first and first[0] not in "-+~":
        raise InputError(f"no command '{first}': {suggestion(first, COMMANDS, limit=1)} (settings are KEY=VALUE)")
    return "run", list(arguments)


def _run_application(output: OutputOptions) -> None:
    """Run the job or the jobs of ``sys.argv``, and show the results as the options of the output say."""
    finished: list[Path] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def application(config: DictConfig) -> None:
        _run_job(config, output, finished)

    try:
        with redirect_stdout(sys.stderr) if output.json else nullcontext():
            application()
    finally:  # Also if some files are missing, which ends the process with an error.
        if output.json and finished:
            print_record(finished[0])
    if output.open and HydraConfig.initialized():
        run = HydraConfig.get()
        open_page(Path(run.sweep.dir) if run.mode is RunMode.MULTIRUN else finished[0])


def _run_job(config: DictConfig, output: OutputOptions, finished: list[Path]) -> None:
    """Run one job, and add the folder of its results; in a multirun a failure is recorded, and the other jobs go on."""
    run = HydraConfig.get()
    if not run.job.chdir:
        os.chdir(run.runtime.cwd)  # the workers of a cluster start in another folder
    folder = Path(run.runtime.output_dir)
    sweep = Path(run.runtime.cwd, run.sweep.dir).name if run.mode is RunMode.MULTIRUN else None
    if output.quiet:
        logging.getLogger("transfer_exp").setLevel(logging.ERROR)
    # The processes of a launcher share the terminal, so none of them may draw bars.
    shares_terminal = sweep is not None and not str(run.launcher._target_).endswith(".BasicLauncher")
    try:
        with show_progress(lines=shares_terminal, quiet=output.quiet):
            outcome = _do_job(config, folder, sweep)
        finished.append(folder)
        show_outcome(outcome, output, sweep is not None)
    except (InputError, OmegaConfBaseException) as error:
        if sweep is None:
            _fail(explain(error))
        _record_problem(config, folder, error)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in ACCESS_ERRORS:
            if sweep is None:
                _fail(cannot_write(error))
            raise  # A full disk would be the same for all jobs, and could not be recorded.
        if sweep is None:
            raise
        _record_problem(config, folder, error)


def _do_job(config: DictConfig, folder: Path, sweep: str | None) -> Outcome:
    """Do the job of a config; code of the user that ends the process raises an `InputError`."""
    try:
        return _job(config)(config, folder, sweep)
    except SystemExit as error:
        frame = raising_frame(error)
        raise InputError(
            f"{frame.filename} line {frame.lineno} ends the process (SystemExit {error}): let it raise another error"
        ) from error


def _record_problem(config: DictConfig, folder: Path, error: Exception) -> None:
    """Print and record that a job of a sweep failed, or left files out, so that the other jobs go on."""
    if not isinstance(error, InputError | OmegaConfBaseException):
        _log.exception("unexpected failure")
    # Without the figure or the entry of a tracker, the result of a cell still counts.
    is_done = isinstance(error, IncompleteOutputError)
    status = {"state": "done" if is_done else "failed", "reason": explain(error), "cell": job_columns(config)}
    write_status(folder, status)
    print(f"{'incomplete' if is_done else 'failed'}: {explain(error)}", file=sys.stderr)


def _job(config: DictConfig) -> Job:
    """Return the function that runs the job of a config."""
    by_key: dict[str, Job] = {"halving": search_pool, "rows": score_matrix, "targets": show_leaderboard}
    score = next((job for key, job in by_key.items() if key in config), score_cell)
    jobs: dict[str, Job] = {"score": score, **dict.fromkeys(("features", "grid", "finetune"), fill_store)}
    if config.stage not in jobs:
        raise InputError(f"no stage '{config.stage}': {suggestion(str(config.stage), STAGES)}")
    return jobs[config.stage]


def _multirun_for_sweeps(arguments: Sequence[str]) -> list[str]:
    """Make ``+sweep=NAME`` a multirun, which a config file cannot do itself from Hydra 1.4 on.

    This adds the flag ``--multirun``. ``hydra.mode=MULTIRUN`` has no effect where the config cannot be composed, and
    Hydra would then complain about the lists of a sweep instead of the actual mistake.
    """
    has_sweep = any(argument.startswith(("+sweep=", "sweep=")) for argument in arguments)
    for argument in arguments:
        if argument.startswith("sweep="):
            print(f"transfer_exp: {argument} starts the sweep +{argument}", file=sys.stderr)
    if not has_sweep or any(argument.split("=")[0] in _MODES for argument in arguments):
        return list(arguments)
    return ["--multirun", *(f"+{a}" if a.startswith("sweep=") else a for a in arguments)]


def _sweep_folder(arguments: Sequence[str]) -> str:
    key = "hydra.sweep.dir="
    folders = [argument.removeprefix(key) for argument in arguments if argument.startswith(key)]
    if not folders:
        raise InputError(f"stage=report needs the folder of a sweep: add {key}FOLDER")
    return folders[-1]


def _complete_command() -> bool:
    """Print the commands that start with the first word; return whether that word is a command without completions."""
    first, *arguments = os.environ.get("COMP_LINE", "").split(" ")[1:] or [""]
    if not arguments:
        print(*(name for name in COMMANDS if name.startswith(first)))
    if arguments and first in ("run", "plan"):  # their arguments are completed by Hydra
        os.environ["COMP_LINE"] = os.environ["COMP_LINE"].replace(f" {first} ", " ", 1)
        return False
    return bool(arguments) and first in COMMANDS


def _fail(message: str, code: int = 1) -> NoReturn:
    print(f"transfer_exp: {message}", file=sys.stderr)
    sys.exit(code)
