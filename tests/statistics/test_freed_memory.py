"""Memory that networks free is reused, and is returned to the system before a metric is refused for lack of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from transfer_exp.errors import InputError
from transfer_exp.statistics import memory

CODE = """
import resource
from transfer_exp.statistics import memory

print(memory.keep_freed_memory())
b"x" * 2**26
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * 2**26
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize())
"""


def cleared_bytes(**environment):
    """Return whether freed memory is kept, and the bytes that the system clears for ten blocks of 64 MiB."""
    names = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", CODE]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env={**names, **environment}).stdout
    is_kept, cleared = output.split()
    return is_kept == "True", int(cleared)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_used_again_unless_the_environment_decides():
    is_kept, cleared = cleared_bytes()
    assert is_kept
    assert cleared < 64 * 2**20
    is_kept, cleared = cleared_bytes(MALLOC_TOP_PAD_="0")
    assert not is_kept
    assert cleared > 600 * 2**20


def test_freed_memory_is_returned_before_a_metric_is_refused(monkeypatch):
    available = [8 * 10]
    monkeypatch.setattr(memory, "available_memory", lambda: available[0])
    monkeypatch.setattr(memory, "_return_freed_memory", lambda: available.append(available.pop() + 8 * 10))
    memory.check_memory("parc", 10.0)
    assert available == [8 * 10]  # nothing is returned that is not needed
    memory.check_memory("parc", 20.0)
    with pytest.raises(InputError, match=r"^parc needs"):
        memory.check_memory("parc", 1000.0)
