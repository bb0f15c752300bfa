"""The service that follows an order to reset: `python3 -m ovenbird_device.rescue`, as root, in rescue only."""

from __future__ import annotations

import sys
from pathlib import Path

from ..slots import disk, files
from ..slots.disk import SlotsError
from .reset import DONE, ResetError, follow

POINT = Path("/run/ovenbird/reset")


def main() -> int:
    """Follow the order. Returns the exit code."""
    answer = follow(files.FOLDER, _data, POINT)
    print(f"ovenbird-reset: {answer}")
    return 0 if answer == DONE else 1


def _data() -> Path:
    try:
        note = disk.read_note(disk.NOTE)
        if note.slot != "rescue":
            raise ResetError("this is not rescue")
        return disk.locate(note).place("data").path
    except SlotsError as error:
        raise ResetError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
