"""Programs whose output is bytes: the readers of file systems."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ovenbird.errors import ImageError
from ovenbird.run import spawn


@contextmanager
def reading(command: Sequence[str | Path], *, where: str, what: str) -> Generator[IO[bytes]]:
    """The standard output of a program, to be read to its end. A failure of the program is an ImageError at `where`,
    saying that `what` could not be read.
    """
    with tempfile.TemporaryFile() as errors, spawn(command, stdout=subprocess.PIPE, stderr=errors) as process:
        assert process.stdout is not None
        yield process.stdout
        process.stdout.read()
        _check(process, errors, where, what)


@contextmanager
def reading_file(
    command: Callable[[Path], Sequence[str | Path]], *, where: str, what: str, whole: bool = True
) -> Generator[IO[bytes]]:
    """As `reading`, for a program that writes to a file whose path `command` puts into its arguments.

    The file is a named pipe in a folder of its own. It must never be /dev/stdout: a program may remove its output when
    it fails, and root could. A caller that does not want `whole` may stop reading at any point.
    """
    with tempfile.TemporaryDirectory(prefix="ovenbird-") as folder, tempfile.TemporaryFile() as errors:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe, 0o600)
        # The reading end is there first, so that nobody waits for a program that never opens its own.
        descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        with (
            os.fdopen(descriptor, "rb") as stream,
            spawn(command(pipe), stdout=subprocess.DEVNULL, stderr=errors) as process,
        ):
            _wait_for_data(descriptor, process)
            os.set_blocking(descriptor, True)
            yield stream
            if whole:
                stream.read()
                _check(process, errors, where, what)


def _wait_for_data(descriptor: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the program has written something or ended: before that, the pipe looks as if it were at its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not any(events & select.POLLIN for _, events in poll.poll(20)):
        if process.poll() is not None:
            return


def _check(process: subprocess.Popen[bytes], errors: IO[bytes], where: str, what: str) -> None:
    if process.wait() == 0:
        return
    errors.seek(0)
    lines = [line for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
    reason = f" ({lines[-1].strip()})" if lines else ""
    raise ImageError(f"{what} is damaged and cannot be read{reason}", where=where)


def output(command: Sequence[str | Path], *, where: str, what: str) -> bytes:
    """All that a program prints; failures as in `reading`."""
    with reading(command, where=where, what=what) as stream:
        return stream.read()
