"""The end of a lease: `python3 -m ovenbird_device.dev NAME` (root), started by `ovenbird-dev@NAME.timer`."""

import sys
from collections.abc import Sequence

from .. import lean as lean  # before all others: see there
from ..slots import files
from ..steward.changes import Changes, packed_again
from . import session


def main(arguments: Sequence[str] | None = None) -> int:
    """Put an app's packed program back. Returns the exit code."""
    (name,) = sys.argv[1:] if arguments is None else arguments
    message = "Nobody held it any longer."
    try:
        ended = session.end(name, session.Places())
    except session.DevError as error:
        print(f"ovenbird-dev: {error}", file=sys.stderr)
        return 1
    if ended:
        Changes(files.FOLDER).note("root", "dev-end", packed_again(name), done=True, message=message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
