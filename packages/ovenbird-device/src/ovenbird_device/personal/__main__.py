"""Before network, names and logins: `python3 -m ovenbird_device.personal` (root).

Its unit runs it only when the slot's `/etc` does not know the personal file yet: at the first boot of a card, when all
of it is applied, and at the first boot of each new system, when only that is which a new `/etc` does not have by
itself (the account). Each step can be cut off and is done again at the next boot; what cannot be done is told on the
console and holds up nothing.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..format import FormatError, personal
from . import apply
from .places import Places


def main(arguments: Sequence[str] | None = None) -> int:
    """Apply the file. Returns the exit code, which is 0 also when something in the file could not be done."""
    parser = argparse.ArgumentParser(prog="ovenbird-personal", description="Makes this device the one of its card.")
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--data", type=Path, default=Path("/data"))
    options = parser.parse_args(arguments)
    places = Places(options.root, options.data)
    try:
        text = places.file.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        print(f"ovenbird-personal: the personal file cannot be read: {error}", file=sys.stderr)
        return 1
    outcome = apply.Outcome(again=True)
    try:
        given = personal.load(text)
        outcome = apply.everything(places, given)
        if not given.applied and not outcome.again:
            text = apply.forget(places, given)
        if not outcome.again:
            apply.mark(places, hashlib.sha256(text).hexdigest())
    except (FormatError, OSError) as error:
        outcome = apply.Outcome((*outcome.troubles, str(error)), again=True)
    for trouble in outcome.troubles:
        print(f"ovenbird-personal: {trouble}", file=sys.stderr)
    try:
        apply.tell(places, outcome.troubles)
    except OSError as error:
        print(f"ovenbird-personal: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
