"""For tests of builds that are stopped: what a stopped build leaves behind, processes above all."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PR_SET_CHILD_SUBREAPER = 36  # prctl(2): processes whose parent has died become ours


@pytest.fixture
def orphans() -> Iterator[Callable[[float], list[str]]]:
    """The command lines of processes that a dead build has left running; waits up to some seconds for their end."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = _children()

    def left(patience: float) -> list[str]:
        deadline = time.monotonic() + patience
        while (found := _reap(_children() - before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    yield left
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(number) for task in tasks for number in (task / "children").read_text().split()}


def _reap(numbers: set[int]) -> list[str]:
    """Take the ended ones away and describe the others."""
    running: list[str] = []
    for number in numbers:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(number, os.WNOHANG) != (0, 0):
                continue
        with contextlib.suppress(FileNotFoundError):
            words = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            running.append(f"{number}: {words}")
    return running


def leftovers(cache: Path) -> list[str]:
    """What lies half-made in a cache folder: scratch, working containers, mounts."""
    found = [str(path) for path in (cache / "scratch").glob("*")]
    storage = {"CONTAINERS_STORAGE_CONF": str(cache / "containers/storage.conf"), "PATH": os.environ["PATH"]}
    listed = subprocess.run(
        ["buildah", "containers", "--quiet"], env=storage, check=True, capture_output=True, text=True
    )
    found += listed.stdout.split()
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"{cache}/" in line]
    return found
