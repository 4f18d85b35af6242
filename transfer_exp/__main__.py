"""The command line: ``python -m transfer_exp [group=option] [key=value] ...``; see ``--help``."""

from __future__ import annotations

import errno
import logging
import os
import sys
from importlib import import_module
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from transfer_exp.cli.early_check import check_choices
from transfer_exp.cli.hydra_errors import problem, redact_secrets
from transfer_exp.cli.job_labels import name_of, write_status
from transfer_exp.cli.jobs import job_of
from transfer_exp.cli.overrides import CONF, CommandLine
from transfer_exp.cli.rank_arguments import overrides_of
from transfer_exp.cli.stages import sharded
from transfer_exp.cli.stages_without_jobs import plan, report_again
from transfer_exp.errors import InputError
from transfer_exp.version import __version__

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_FOLDERS = "hydra.run.dir=FOLDER, for a sweep hydra.sweep.dir=FOLDER"
# What says already what to do, or asks for no run at all.
_MODES = {"-m", "--multirun", "-r", "--run", "hydra.mode", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion"}
_COMMANDS = ("cache", "doctor")  # modules of this package with a `main` of their own
_log = logging.getLogger(__name__)


def main() -> None:
    """Run the application; every error of the user's ends in one line and exit code 1."""
    if sys.argv[1:] == ["--version"]:
        sys.exit(print(f"transfer_exp {__version__}"))
    if sys.argv[1:2] and sys.argv[1] in _COMMANDS:
        sys.exit(import_module(f"transfer_exp.cli.{sys.argv[1]}").main(sys.argv[2:]))
    if "query=bash" in sys.argv and _completed_command():
        return
    _multirun_for_sweeps(sys.argv)
    # A log that cannot be written must not bury what is wrong under a traceback of its own.
    logging.raiseExceptions = False
    # Otherwise Hydra prints errors itself, over many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    redact_secrets()
    Sweeper.validate_batch_is_legal = check_choices  # type: ignore[method-assign, assignment]
    try:
        if sys.argv[1:2] == ["rank"]:
            sys.argv[1:] = overrides_of(sys.argv[2:])
        stage = CommandLine(sys.argv[1:], CONF).stage
        if stage in ("plan", "report"):
            return {"plan": plan, "report": report_again}[stage](sys.argv[1:], CONF)
        sys.argv[1:] = sharded(sys.argv[1:], CONF)
        _application()
    except InputError as error:
        _fail(str(error))
    except (HydraException, YAMLError, UnicodeDecodeError) as error:  # the last two of an option's own file
        _fail(problem(error))
    except KeyboardInterrupt:
        _fail("interrupted: the same command goes on where this one stopped", code=130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _fail(f"cannot write to {error.filename or 'the disk'} ({error.strerror}): make room, or set {_FOLDERS}")
        if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise
        # Jobs catch what goes wrong in them: this comes from the launcher, or from a job that died.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        done = f"python -m transfer_exp.report {HydraConfig.get().sweep.dir}"
        _fail(f"the launcher gave up: {reason} (what is done: {done}; the same command goes on from there)")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _application(config: DictConfig) -> None:
    """Run one job; in a multirun a failure is recorded, and the other jobs go on."""
    run = HydraConfig.get()
    if not run.job.chdir:
        os.chdir(run.runtime.cwd)  # the workers of a cluster start elsewhere
    folder = Path(run.runtime.output_dir)
    if run.mode is not RunMode.MULTIRUN:
        try:
            job_of(config)(config, folder, None)
        except (InputError, OmegaConfBaseException) as error:
            _fail(problem(error))
        return
    try:
        job_of(config)(config, folder, folder.parent.name)
    except Exception as error:  # whatever went wrong with one cell must not cost the others
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise  # it would be the same with all of them, and could not even be recorded
        if not isinstance(error, InputError | OmegaConfBaseException):
            _log.exception("unexpected failure")
        write_status(folder, {"state": "failed", "reason": problem(error), "cell": name_of(config)})
        print(f"failed: {problem(error)}", file=sys.stderr)


def _multirun_for_sweeps(arguments: list[str]) -> None:
    """Let ``+sweep=NAME`` mean a multirun: Hydra 1.4 no longer lets a config file say so.

    The flag, because ``hydra.mode=MULTIRUN`` is not heard where the config cannot be composed, and Hydra then complains
    of the lists of a sweep in place of what is wrong.
    """
    place = next((i for i, a in enumerate(arguments) if a.startswith(("+sweep=", "sweep="))), None)
    told = any(a.split("=")[0] in _MODES for a in arguments[1:])
    if place is not None and not told:
        arguments[place] = "+" + arguments[place].lstrip("+")
        arguments.insert(1, "--multirun")


def _completed_command() -> bool:
    """Offer the commands to a shell that completes the first word, and tell whether that word is one already."""
    first, *further = os.environ.get("COMP_LINE", "").split(" ")[1:] or [""]
    if not further:
        print(*(name for name in (*_COMMANDS, "rank") if name.startswith(first)))
    return bool(further) and first in (*_COMMANDS, "rank")


def _fail(message: str, code: int = 1) -> None:
    print(f"transfer_exp: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
