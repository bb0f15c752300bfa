"""After a shell: `python3 -m ovenbird_device.terminal.ended INSTANCE` (root), run by systemd when all of it has ended.

systemd does so whatever the end was, also when agent and steward are gone.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..slots import files
from ..steward.changes import Changes
from .opening import Places, forget


def main(arguments: Sequence[str] | None = None, places: Places = Places(), state: Path = files.FOLDER) -> int:  # noqa: B008 # frozen
    """Put the end on the list of changes. Returns the exit code."""
    (instance,) = sys.argv[1:] if arguments is None else arguments
    note = forget(places, instance)
    if note is not None:
        minutes = round((time.monotonic() - note.since) / 60)
        for_how_long = f"{minutes} min" if minutes else "less than a minute"
        Changes(state).note(
            note.by, "terminal-end", "Close the terminal", done=True, message=f"It was open for {for_how_long}."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
