"""Resetting what a device keeps, from rescue, which uses none of it.

`etc` takes away what both slots changed in `/etc`, so that their next boots begin with the images' own. `data` makes a
new, empty file system; the device's password survives, or whoever asked over the network would be locked out. The
steward has no rights to mount, so it leaves an order in a file, which `ovenbird-reset.path` watches for.

A device that runs cannot do it to itself; its order is for the initrd of the next boot, and needs no rescue.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..slots import files

ORDER = "reset-order"
ANSWER = "reset-answer"
AT_BOOT = "factory-reset"
DONE = "done"
PATIENCE = 600.0
"""Seconds that making a file system on a large, slow disk may take."""
KINDS = ("etc", "data")
OF_A_SLOT = ("etc", "work", "content", "old", "new")
_PASSWORD = "ovenbird/password.json"
_STEP = 0.2

Run = Callable[[Sequence[str | Path]], None]


class ResetError(Exception):
    """It was not done, or not to its end; the message is for people."""


def order(what: str, folder: Path) -> None:
    """Leave the order. Raises OSError."""
    (folder / ANSWER).unlink(missing_ok=True)
    aside = folder / f"{ORDER}.new"
    aside.write_text(what)
    aside.replace(folder / ORDER)


def order_at_boot(folder: Path) -> None:
    """Have the initrd of the next boot empty data, whichever slot it is (its `factory_reset`). Raises OSError."""
    files.save(folder / AT_BOOT, "factory reset")


def withdraw(folder: Path) -> None:
    """Take that order back. Raises OSError."""
    (folder / AT_BOOT).unlink(missing_ok=True)


def wait(folder: Path, patience: float = PATIENCE) -> str:
    """Wait until it was followed: what went wrong, or nothing."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            answer = (folder / ANSWER).read_text("utf-8", "replace").strip()
            return "" if answer == DONE else answer
        time.sleep(_STEP)
    return "The reset is not done yet; it may still be at work."


def follow(folder: Path, data: Callable[[], Path], point: Path) -> str:
    """Do what the order says, with the device of `data()` mounted at `point`, and leave the answer. Returns it."""
    what = (folder / ORDER).read_text("utf-8", "replace").strip()
    (folder / ORDER).unlink()
    try:
        reset(what, data(), point, folder)
        answer = DONE
    except (ResetError, OSError) as error:
        answer = f"The reset failed: {error}"
    aside = folder / f"{ANSWER}.new"
    aside.write_text(answer)
    aside.replace(folder / ANSWER)
    return answer


def reset(what: str, device: Path, point: Path, mine: Path, run: Run | None = None) -> None:
    """Reset `what` on the data partition `device`. `mine` is rescue's own folder of the device, with the password."""
    do = run or _run
    if what not in KINDS:
        raise ResetError(f"there is no reset of {what!r}")
    if what == "data":
        do(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "data", "-m", "1", device])
    point.mkdir(parents=True, exist_ok=True)
    do(["mount", "-t", "ext4", device, point])
    try:
        if what == "etc":
            forget_etc(point)
        elif (mine / "password.json").is_file():
            kept = point / _PASSWORD
            kept.parent.mkdir(mode=0o750)
            shutil.copyfile(mine / "password.json", kept)
            kept.chmod(0o640)
        os.sync()
    finally:
        do(["umount", point])


def forget_etc(point: Path) -> None:
    """Take the slots' layers away; the marker first, so that an interrupted reset is a fresh one at the next boot."""
    for slot in ("a", "b"):
        for name in sorted(OF_A_SLOT, key=lambda name: name != "content"):
            path = point / "slots" / slot / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _run(words: Sequence[str | Path]) -> None:
    try:
        done = subprocess.run(
            [str(word) for word in words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ResetError(f"{words[0]} does not end") from error
    if done.returncode:
        raise ResetError(f"{words[0]}: {done.stderr.strip()[-300:] or f'ended with {done.returncode}'}")
