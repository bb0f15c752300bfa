"""The folder that a stage is built with: its files under fixed rights and times, whatever the checkout gave them."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from ovenbird.errors import RecipeError


def lay_out(context: Path, files: Mapping[str, Path], epoch: int) -> None:
    """Copy files into a context: 0755 where the owner may run them, else 0644; every time is `epoch` (seconds).

    Raises RecipeError for what is neither file nor link.
    """
    for name, source in files.items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            shutil.copyfile(source, target)
            target.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)
        else:
            raise RecipeError("is neither a file nor a link", where=str(source))
    settle(context, epoch)


def settle(folder: Path, epoch: int) -> None:
    """Give folders their rights and everything below one time, so that a copy of it has the same bytes everywhere."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.utime(Path(parent) / name, (epoch, epoch), follow_symlinks=False)
        Path(parent).chmod(0o755)
        os.utime(parent, (epoch, epoch))
