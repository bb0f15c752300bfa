"""The folder that a stage is built with: its files under fixed rights and times, whatever the checkout gave them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from ovenbird.build.elf import FIRMWARE, HEAD, foreign_machine, machine_of
from ovenbird.errors import RecipeError


def lay_out(context: Path, files: Mapping[str, Path], epoch: int, *, architecture: str) -> None:
    """Copy files into a context and settle it with `epoch` (seconds).

    Raises RecipeError for what is neither file nor link, and for a program of another architecture.
    """
    for name, source in files.items():
        check_machine(source, architecture)
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copy(source, target)
        else:
            raise RecipeError("is neither a file nor a link", where=str(source))
    settle(context, epoch)


def check_machine(file: Path, architecture: str) -> None:
    """Raise RecipeError for an ELF file that processors of this architecture do not run.

    Folders named `firmware` may hold programs for other processors.
    """
    if file.is_symlink() or not file.is_file() or FIRMWARE in file.parts:
        return
    with file.open("rb") as stream:
        name = foreign_machine(machine_of(stream.read(HEAD)), architecture)
    if name is None:
        return
    raise RecipeError(
        f"is a program for {name}, but the board's architecture is {architecture}",
        where=str(file),
        hint=f"compile it for {architecture}, or put what is meant for another processor into a folder `firmware`",
    )


def settle(folder: Path, epoch: int) -> None:
    """Give everything below a folder fixed rights (0755 for folders and for what its owner may run, else 0644) and one
    time, so that a copy of it has the same bytes everywhere, whatever the user's umask.
    """
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            file = Path(parent) / name
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
            os.utime(file, (epoch, epoch), follow_symlinks=False)
        Path(parent).chmod(0o755)
        os.utime(parent, (epoch, epoch))
