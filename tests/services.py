"""A device with services for tests: a stand-in for systemctl that knows some units and does the little that is asked.

Every call is written down in `orders`. `show` prints the units' files of `units/` as they are, whichever properties are
asked for; they have the form of systemd 252. `start`, `stop` and `restart` rewrite ActiveState and SubState in the
unit's file and nothing else (no new process, no count, no time), and end with 5 for a unit without a file; every other
verb ends well and does nothing. What systemd really answers is seen in tests/vm/test_apps.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

_SYSTEMCTL = r"""#!/bin/sh
folder=@FOLDER@
echo "$@" >> "$folder/orders"
case " $* " in *" show "*) ;; *" start "*) to=active/running ;; *" stop "*) to=inactive/dead ;;
*" restart "*) to=active/running ;; *) exit 0 ;; esac
while [ "$1" != -- ]; do [ $# -gt 0 ] || exit 0; shift; done; shift
if [ -n "$to" ]; then
  [ -f "$folder/units/$1" ] || { echo "Unit $1 not found." >&2; exit 5; }
  sed -i "s/^ActiveState=.*/ActiveState=${to%/*}/; s/^SubState=.*/SubState=${to#*/}/" "$folder/units/$1"
  exit 0
fi
cd "$folder/units" || exit 1
first=yes
for pattern in "$@"; do
  for unit in $pattern; do
    if [ ! -f "$unit" ]; then
      case "$pattern" in *[*[]*) continue ;; esac
      printf 'Id=%s\nLoadState=not-found\n\n' "$unit"
      continue
    fi
    [ -n "$first" ] || echo
    first=
    cat "$unit"
  done
done
"""


def unit(name: str, **other: str) -> str:
    """What `systemctl show` prints of a running service; `other` properties in place of its own."""
    values = {
        "Type": "simple",
        "MainPID": "412",
        "ExecMainCode": "0",
        "ExecMainStatus": "0",
        "MemoryCurrent": "14680064",
        "CPUUsageNSec": "1520345000",
        "NRestarts": "0",
        "Id": name,
        "Description": name.removesuffix(".service").capitalize(),
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
        "ActiveEnterTimestampMonotonic": "1000000",
        "StateChangeTimestampMonotonic": "1000000",
    }
    return "".join(f"{key}={value}\n" for key, value in (values | other).items())


APPS = {
    "apps": [
        {
            "name": "hello",
            "kind": "python",
            "unit": "app-hello.service",
            "description": "A page",
            "ports": ["8000/tcp"],
        },
        {"name": "crash", "kind": "go", "unit": "app-crash.service"},
        {"name": "later", "kind": "binary", "unit": "app-later.service", "start": "manual"},
    ],
    "format": 1,
}


def lay_out(folder: Path) -> Path:
    """Make the apps' list, the units and the stand-in; returns the folder that has it."""
    tools, units = folder / "tools", folder / "units"
    tools.mkdir(exist_ok=True)
    units.mkdir()
    (folder / "apps.json").write_text(json.dumps(APPS))
    (folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    crashing = {"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "17", "MainPID": "0"}
    crashing |= {"ExecMainCode": "1", "ExecMainStatus": "3", "MemoryCurrent": "[not set]"}
    (units / "app-hello.service").write_text(unit("app-hello.service"))
    (units / "app-crash.service").write_text(unit("app-crash.service", **crashing))
    stopped = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0", "MemoryCurrent": str((1 << 64) - 1)}
    (units / "app-later.service").write_text(unit("app-later.service", **stopped))
    (units / "ssh.service").write_text(unit("ssh.service"))
    (units / "ovenbird-agent.service").write_text(unit("ovenbird-agent.service"))
    (units / "rescue.service").write_text(unit("rescue.service", **stopped))
    gone = {"LoadState": "not-found", "ActiveState": "inactive"}
    (units / "gone.service").write_text(unit("gone.service", **gone))
    script = tools / "systemctl"
    script.write_text(_SYSTEMCTL.replace("@FOLDER@", f"'{folder}'"))
    script.chmod(0o755)
    return tools


def path(tools: Path) -> str:
    """The PATH with the stand-in first."""
    return f"{tools}:{os.environ['PATH']}"
