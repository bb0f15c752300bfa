"""The checks that every device has, whatever its recipe says.

The *essential* one, that the agent answers, also judges a normal boot: a system that is up in that sense has its boot
counted as a good one. All others judge trials only, because a cable that is pulled or a full data partition must not
drive a committed system back to its predecessor.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ..facts import hardware, parse
from .check import Check, Look, run_program
from .network import Comparison, Network
from .probes import Http

AGENT = "ovenbird-agent.service"
DATA = Path("/data/ovenbird")
_PORT = 80
_FAILED = "--state=failed,auto-restart"
_LIST_UNITS = ("systemctl", "list-units", _FAILED, "--plain", "--no-legend", "--no-pager", "--full")


class Agent(msgspec.Struct):
    """The agent answers, and is the same process as at the last look: one that crashes in a loop answers, too."""

    address: str
    name: str = "agent"
    kind: str = "built-in"
    timeout_s: float = 10.0
    every_s: float = 3.0
    unit: str = AGENT
    _seen: str = ""

    async def look(self) -> Look:
        """As `Check.look`."""
        found = await Http(self.name, self.address).look()
        if not found.ok:
            return found
        ended = await run_program(("systemctl", "show", "--property=InvocationID", "--", self.unit))
        invocation = ended.output.strip() if ended.code == 0 else ""
        again = bool(self._seen and invocation != self._seen)
        self._seen = invocation
        return Look(False, "the agent was started again") if again else found


class Units(msgspec.Struct, frozen=True):
    """The start has finished, no unit has failed, and none is being started again and again."""

    name: str = "units"
    kind: str = "built-in"
    timeout_s: float = 15.0
    every_s: float = 5.0

    async def look(self) -> Look:
        """As `Check.look`."""
        asked = await run_program(("systemctl", "show", "--property=SystemState,NFailedUnits"))
        if asked.code:
            return Look(False, asked.last_line or "systemd does not answer")
        found = parse.key_values(asked.output)
        state = found.get("SystemState", "in an unknown state")
        up = state in ("running", "degraded")
        if up or found.get("NFailedUnits") != "0":  # While the start goes on, one program a look is enough.
            listed = await run_program(_LIST_UNITS)
            if listed.code:
                return Look(False, listed.last_line or "systemd does not answer")
            if broken := failed_units(listed.output):
                return Look(False, f"failed: {', '.join(broken[:8])}")
        return Look(up, "all units are well" if up else f"the system is {state}")


def failed_units(text: str) -> list[str]:
    """The names in what `systemctl list-units --plain --no-legend` prints."""
    return [line.split(maxsplit=1)[0] for line in text.splitlines() if line.strip()]


class Data(msgspec.Struct, frozen=True):
    """The data partition is the device's own (not a stand-in in memory), and a file can be written and flushed."""

    state: str
    reason: str = ""
    folder: Path = DATA
    name: str = "data"
    kind: str = "built-in"
    timeout_s: float = 20.0
    every_s: float = 10.0

    async def look(self) -> Look:
        """As `Check.look`. A program does it, as a thread that hangs in the kernel could not be cut off."""
        if self.state == "degraded":
            return Look(False, f"data cannot be used: {self.reason}")
        file = shlex.quote(str(self.folder / ".health"))
        script = f"head -c 65536 /dev/zero >{file} && sync {file}; code=$?; rm -f {file}; exit $code"
        ended = await run_program(("/bin/sh", "-c", script))
        return Look(ended.code == 0, "can be written" if ended.code == 0 else ended.last_line or "cannot be written")


def essential(environment: Mapping[str, str] = os.environ) -> list[Check]:
    """What must hold for a boot to count as good at all. The agent's settings are taken from the environment."""
    address = environment.get("OVENBIRD_ADDRESS", "*").strip("[]")
    host = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address)
    if host is None:
        host = f"[{address}]" if ":" in address else address
    return [Agent(f"http://{host}:{environment.get('OVENBIRD_PORT') or _PORT}/health")]


def further(note: Path, before: Network | None, server: str | None) -> Sequence[Check]:
    """The other built-in checks. `note` is the initrd's, `before` the network that worked before the update."""
    values = parse.key_values(hardware.text(note))
    checks: list[Check] = [
        Units(),
        Data(values.get("data", ""), values.get("data_reason", "")),
        Comparison(before),
    ]
    if server:
        checks.append(Http("server", server, "built-in", any_status=True))
    return checks
