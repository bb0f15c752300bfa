"""Run while an image is built: `python3 -m ovenbird_device.fan.make TARGET [FILE]`, by the stage `fan`.

Makes the settings file out of the stage's parameters, which come as environment variables, or out of a file, and judges
it as the daemon will: what is wrong stops the build. Needs the standard library alone (see `settings`).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from .settings import KEYS, SettingsError, load, parse, write

_HEAD = "# The fan's settings, out of the recipe. `ovenbird-fan --check` judges a change; saved, it is in force.\n"
_LISTS = ("curve", "sensors")
_TEXTS = ("mode", "output", "hwmon", "pwm", "gpio")


def settings_text(given: Mapping[str, str]) -> str:
    """The file that the parameters make; an empty one leaves the daemon's own default. Raises SettingsError."""
    values: dict[str, object] = {}
    for key in KEYS:
        word = given.get(key, "").strip()
        if not word:
            continue
        if key in _LISTS:
            values[key] = word.split()
        elif key in _TEXTS:
            values[key] = word
        elif word in ("true", "false"):
            values[key] = word == "true"
        elif re.fullmatch(r"-?\d+", word, re.ASCII):
            values[key] = int(word)
        else:
            raise SettingsError(f"`{key}` has to be a whole number, not {word[:80]}")
    text = write(values)
    parse(text, "fan")
    return _HEAD + text


def main() -> int:
    """Returns the exit code: 1 with one line for who builds."""
    target, own = Path(sys.argv[1]), "".join(sys.argv[2:])
    try:
        if own:
            load(Path(own))
            text = Path(own).read_text("utf-8")
        else:
            text = settings_text(os.environ)
    except SettingsError as error:
        line = re.sub(r"^fan:\d+: ", "", str(error).replace(own, Path(own).name) if own else str(error))
        print(f"fan: {line}", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    target.chmod(0o644)
    return 0


if __name__ == "__main__":
    sys.exit(main())
