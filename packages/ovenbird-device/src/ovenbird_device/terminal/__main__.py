"""One shell for one page: `python3 -m ovenbird_device.terminal INSTANCE`, run by `ovenbird-terminal@.service`.

It runs as the user whose shell it is, and has no more rights than that. The connection comes from systemd
(sd_listen_fds(3)); on its other end is first the steward, and then the agent.
"""

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from .. import lean as lean  # before all others: see there
from . import frames, relay
from .frames import FrameError, Hello
from .shell import Shell

_LISTEN_START = 3  # SD_LISTEN_FDS_START
_PATIENCE = 45.0
"""Seconds in which the page has to come; its ticket is valid for less."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the one connection to its end. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ovenbird-terminal", description="Runs a shell for the device's page.")
    parser.add_argument("instance", help="which instance of the unit this is")
    parser.add_argument("--idle", type=float, default=frames.IDLE, help="seconds without a key after which to end")
    options = parser.parse_args(arguments)
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        print("ovenbird-terminal: systemd passed no connection", file=sys.stderr)
        return 2
    with socket.socket(fileno=_LISTEN_START) as link:
        link.set_inheritable(False)
        try:
            serve(link, options.instance, options.idle)
        except (FrameError, OSError) as error:
            print(f"ovenbird-terminal: {error}", file=sys.stderr)
            return 1
    return 0


def serve(link: socket.socket, instance: str, idle: float) -> None:
    """A shell for whoever is on the other end. Raises FrameError, OSError."""
    link.send(frames.pack(Hello(instance)))
    size = relay.first_size(link, _PATIENCE)
    if size is None:
        relay.farewell(link, "silent")
        return
    try:
        shell = Shell(size)
    except (KeyError, OSError) as error:
        print(f"ovenbird-terminal: there is no shell: {error}", file=sys.stderr)
        relay.farewell(link, "failed")
        return
    reason = None
    try:
        reason = relay.Relay(link, shell, idle).run()
    finally:
        if reason is not None:
            relay.farewell(link, reason)
        shell.end()


if __name__ == "__main__":
    sys.exit(main())
