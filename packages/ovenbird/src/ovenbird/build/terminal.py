"""The terminal of the device's page in a tree: its units and what tells the device of it, only if the recipe says so.

The units lie in the device's package, where systemd does not look; here they get their user and their place. Rescue
never has them: the stages, and with them people's accounts, are not in it.
"""

from __future__ import annotations

import re

from ovenbird.build.device import device_package
from ovenbird.errors import BuildError
from ovenbird.recipe.model import Recipe
from ovenbird.run import CommandError
from ovenbird_device.format import terminal

UNITS = ("ovenbird-terminal.socket", "ovenbird-terminal@.service")
_COMPLAINT = re.compile(r"^terminal: (.+ in the image)$", re.MULTILINE)


def terminal_files(recipe: Recipe) -> dict[str, str]:
    """The texts by their path in the tree; none without a terminal."""
    user = recipe.page.terminal
    if user is None:
        return {}
    units = device_package() / "terminal/units"
    return {
        terminal.PATH: terminal.dump(terminal.Terminal(user)).decode(),
        **{f"usr/lib/systemd/system/{name}": (units / name).read_text().replace("@USER@", user) for name in UNITS},
        # Who has one open; the steward writes it.
        "usr/lib/tmpfiles.d/ovenbird-terminal.conf": "d /run/ovenbird/terminals 0700 root root -\n",
    }


def instructions(recipe: Recipe) -> str:
    """What the tree runs for it: a look whether the user is a person who can log in, and the socket's link."""
    user = recipe.page.terminal
    if user is None:
        return ""
    run = [
        "set -eu",
        f"getent passwd {user} >/dev/null || "
        f"{{ echo 'terminal: there is no user \"{user}\" in the image' >&2; exit 1; }}",
        f"[ $(id -u {user}) -ge 1000 ] && getent passwd {user} | grep -Eqv ':(|.*/(nologin|false))$' || "
        f"{{ echo 'terminal: nobody can log in as the user \"{user}\" in the image' >&2; exit 1; }}",
        "systemctl enable ovenbird-terminal.socket",
    ]
    return "RUN " + "; \\\n    ".join(run) + "\n"


def complaint(error: CommandError) -> BuildError | None:
    """What `instructions` said, out of all that the build of the tree printed; None if it was not that."""
    found = _COMPLAINT.search(error.completed.stderr + "\n" + error.completed.stdout)
    if found is None:
        return None
    hint = "the stages `users` and `ssh` make accounts for people"
    return BuildError(found[1], where="[page] terminal", hint=hint)
