"""The network-facing process: `python3 -m ovenbird_device.agent`.

It holds no rights beyond port 80, keeps no state but sessions, and reads everything it shows from the system. What
changes the device it asks of the steward. Built to be small: one process, one event loop, no worker, no scheduler;
an idle agent does nothing at all.
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end. Returns the exit code."""
    options = _parse(arguments)
    try:
        listener = listen(options.address, options.port)
    except OSError as error:
        print(f"ovenbird-agent: cannot listen on port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    # Imported only now: the socket is open already, so a visitor during the start waits instead of being refused.
    from .facts.overview import Places, Reader
    from .web.serve import serve
    from .web.settings import Settings, parse_hosts, parse_networks, wants_swupdate

    runtime: Path = options.runtime
    places = Places(
        image=options.image,
        boot_note=runtime / "ovenbird/boot",
        ready_stamp=runtime / "ovenbird-agent/ready",
        data=options.data,
        processes=options.processes,
        system=options.system,
    )
    try:
        settings = Settings(
            state=options.state,
            steward=runtime / "ovenbird/steward.sock",
            places=places,
            update=options.update_settings,
            allowed=parse_networks(options.allow),
            hosts=parse_hosts(options.hosts),
        )
    except ValueError as error:
        print(f"ovenbird-agent: --allow: {error}", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        stack.enter_context(listener)
        second = None
        if wants_swupdate(settings.update):
            try:
                second = stack.enter_context(listen(options.address, options.swupdate_port))
            except OSError as error:  # The page matters more.
                print(f"ovenbird-agent: cannot listen on port {options.swupdate_port}: {error}", file=sys.stderr)
        serve(listener, settings, Reader(places), second)
    return 0


def listen(address: str, port: int) -> socket.socket:
    """A listening socket; for `*`, one for IPv6 and IPv4 together, or IPv4 where the kernel has no IPv6.

    Raises OSError, also for an address that is none.
    """
    listener = _bind(address, port)
    # Every connection inherits it. asyncio sets it only on sockets that name their protocol, and without it each
    # answer waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _bind(address: str, port: int) -> socket.socket:
    if address == "*":
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            return socket.create_server(("0.0.0.0", port), backlog=128)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=128)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; each option's default can be set in the environment, as the unit's settings file does."""
    environment = os.environ.get
    parser = argparse.ArgumentParser(prog="ovenbird-agent", description="Serves the device's page.")
    parser.add_argument("--address", default=environment("OVENBIRD_ADDRESS", "*"), help="`*`: all addresses")
    parser.add_argument("--port", type=int, default=int(environment("OVENBIRD_PORT", "80")))
    parser.add_argument("--state", type=Path, default=Path(environment("OVENBIRD_STATE", "/data/ovenbird")))
    parser.add_argument("--runtime", type=Path, default=Path(environment("OVENBIRD_RUNTIME", "/run")))
    parser.add_argument("--data", type=Path, default=Path("/data"))
    parser.add_argument("--image", type=Path, default=Path("/usr/lib/ovenbird/image.json"))
    parser.add_argument("--update-settings", type=Path, default=Path("/usr/lib/ovenbird/update.json"))
    parser.add_argument("--swupdate-port", type=int, default=8080, help="SWUpdate's interface, if the image has it on")
    parser.add_argument("--processes", type=Path, default=Path("/proc"))
    parser.add_argument("--system", type=Path, default=Path("/sys"))
    parser.add_argument(
        "--allow", default=environment("OVENBIRD_ALLOW", ""), help="networks to serve beside private ones, or `any`"
    )
    parser.add_argument("--hosts", default=environment("OVENBIRD_HOSTS", ""), help="further host names of this device")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
