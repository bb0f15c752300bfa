"""What the timer starts when nobody kept a change: `python3 -m ovenbird_device.network` (root)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..slots import files
from ..steward.changes import Changes
from .trial import SECONDS, Places, TrialError, undo


def main(arguments: Sequence[str] | None = None) -> int:
    """Undo the change that waits, if one does. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird-network", description="Undoes a change of the network.")
    usual = Places()
    for name in ("kept", "active", "note", "image"):
        parser.add_argument(f"--{name}", type=Path, default=getattr(usual, name))
    parser.add_argument("--state", type=Path, default=files.FOLDER)
    options = parser.parse_args(arguments)
    places = Places(options.kept, options.active, options.note, options.image)
    message, change = f"Nobody kept it within {SECONDS} seconds.", None
    try:
        change = undo(places, due=True)
    except (OSError, TrialError) as error:
        print(f"ovenbird-network: the change is undone, but not in force yet: {error}", file=sys.stderr)
        return 1
    if change is not None:
        print(f"ovenbird-network: the change of {change.interface} is undone. {message}")
        what = f"Undo the network of {change.interface}"
        Changes(options.state).note("root", "network-undo", what, done=True, message=message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
