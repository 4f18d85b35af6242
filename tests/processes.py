"""Run commands of the package in processes of their own that start with torch loaded.

A server process loads the libraries once per process of the tests, and each command is a fork of it. A command takes
what ``python -m transfer_exp`` takes after its imports, which are most of the time of a small run. Nothing of the tests
is in the server: no type checks, no caches, no threads.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from unittest.mock import patch

from tests.command import run_command

ROOT = Path(__file__).parents[1]
_CONTEXT = get_context("forkserver")
_LOADED = ["features.extraction", "vision", "experiment.experiment", "report.write_run", "cli.run"]
_LOADED += ["ground_truth.full", "ground_truth.linear_probe", "report.sweep"]
_CONTEXT.set_forkserver_preload([*(f"transfer_exp.{name}" for name in _LOADED), "timm.optim", "tests.command"])


class Command:
    """A command in a process of its own, which starts at once.

    Parameters
    ----------
    folder : Path
        Working directory of the command.
    *arguments : str
        Arguments of ``transfer-exp``.
    **environment : str
        Environment variables that the command has in addition to those of the tests.
    """

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.arguments = arguments
        self._receiver, sender = _CONTEXT.Pipe(duplex=False)
        options = (sender, folder, arguments, {**os.environ, **environment})
        self._process = _CONTEXT.Process(target=_run, args=options)
        with patch.dict(os.environ, PYTHONPATH=str(ROOT)):  # read when the server starts
            self._process.start()
        sender.close()

    def wait(self, seconds: float = 300) -> CompletedProcess[str]:
        """Return exit code and output; raises `TimeoutExpired` when the command takes longer."""
        if not self._receiver.poll(seconds):
            raise TimeoutExpired(list(self.arguments), seconds)
        done = self._receiver.recv()
        self._process.join()
        return done

    def kill(self) -> None:
        """Kill the command and the processes that it started."""
        assert self._process.pid is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()


def _run(sender: Connection, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """Run a command and send its exit code and output."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    sender.send(run_command(folder, *arguments))
    # The workers of a launcher would wait for more jobs, and this process for them.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    os._exit(0)
