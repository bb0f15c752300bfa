"""Programs whose output is bytes: the readers of file systems."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ovenbird.errors import ImageError
from ovenbird.run import spawn


@contextmanager
def reading(command: Sequence[str | Path], *, where: str, what: str, whole: bool = True) -> Generator[IO[bytes]]:
    """The standard output of a program, to be read. A failure is an ImageError at `where`, saying that `what` could not
    be read; a caller that does not want `whole` may stop reading at any point.
    """
    with (
        tempfile.TemporaryFile() as errors,
        spawn(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        yield process.stdout
        if not whole:
            return
        process.stdout.read()
        if process.wait() != 0:
            errors.seek(0)
            lines = [line for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
            reason = f" ({lines[-1].strip()})" if lines else ""
            raise ImageError(f"{what} is damaged and cannot be read{reason}", where=where)


def output(command: Sequence[str | Path], *, where: str, what: str) -> bytes:
    """All that a program prints; failures as in `reading`."""
    with reading(command, where=where, what=what) as stream:
        return stream.read()
