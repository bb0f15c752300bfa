"""The network-facing process: `python3 -m ovenbird_device.agent`.

It holds no rights beyond port 80, keeps no state but sessions, and reads everything it shows from the system. What
changes the device it asks of the steward. Built to be small: one process, one event loop, no worker, no scheduler;
an idle agent does nothing at all.
"""

import argparse
import errno
import gc
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from . import lean as lean  # before all others: see there
from .format import page as page_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end. Returns the exit code."""
    options = _parse(arguments)
    try:
        listener = listen(options.address, options.port)
    except OSError as error:
        print(f"ovenbird-agent: cannot listen on port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    # Nothing that is wrong with HTTPS keeps the page from being served.
    tls = page_settings.read(options.page_settings).tls
    secure, trouble = _second(options.address, options.secure_port) if tls != "off" else (None, "")
    gc.disable()  # what is imported stays, so there is nothing to collect
    # Imported only now: the socket is open already, so a visitor during the start waits instead of being refused.
    from .lean import load_server

    load_server(tls=secure is not None)
    from .accounts.users import Places as Users
    from .facts.overview import Places, Reader
    from .tls.store import Places as Certificates
    from .web.secure import Secure
    from .web.serve import serve
    from .web.settings import Settings, parse_hosts, parse_networks, wants_swupdate

    gc.freeze()
    gc.enable()
    runtime: Path = options.runtime
    places = Places(
        image=options.image,
        boot_note=runtime / "ovenbird/boot",
        writable_note=runtime / "ovenbird/writable-root",
        ready_stamp=runtime / "ovenbird-agent/ready",
        fan=runtime / "ovenbird-fan",
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
            apps=options.apps,
            terminal=options.terminal,
            networks=options.networks,
            users=Users(options.users, options.passwd, options.ssh),
            journal=options.journal,
            allowed=parse_networks(options.allow),
            hosts=parse_hosts(options.hosts),
            tls=tls,
            certificates=Certificates(published=runtime / "ovenbird/tls"),
        )
    except ValueError as error:
        print(f"ovenbird-agent: --allow: {error}", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        stack.enter_context(listener)
        if secure is not None:
            stack.enter_context(secure)
        second = None
        if wants_swupdate(settings.update):
            second, _ = _second(options.address, options.swupdate_port)
            if second is not None:
                stack.enter_context(second)
        serve(listener, settings, Reader(places), second, Secure(settings, secure, trouble))
    return 0


def _second(address: str, port: int) -> tuple[socket.socket | None, str]:
    """Another listening socket, or why there is none: the page matters more."""
    try:
        return listen(address, port), ""
    except OSError as error:
        print(f"ovenbird-agent: cannot listen on port {port}: {error}", file=sys.stderr)
        return None, f"Port {port} cannot be listened on: {error.strerror}."


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
    parser.add_argument("--page-settings", type=Path, default=Path("/") / page_settings.PATH)
    parser.add_argument("--apps", type=Path, default=Path("/usr/lib/ovenbird/apps.json"))
    parser.add_argument("--terminal", type=Path, default=Path("/usr/lib/ovenbird/terminal.json"))
    parser.add_argument("--networks", type=Path, default=Path("/etc/ovenbird/network"))
    parser.add_argument("--users", type=Path, default=Path("/etc/ovenbird/users"))
    parser.add_argument("--passwd", type=Path, default=Path("/etc/passwd"))
    parser.add_argument("--ssh", type=Path, default=Path("/etc/ssh"))
    parser.add_argument("--journal", type=Path, default=None, help="a folder of journal files, not the system's")
    parser.add_argument("--swupdate-port", type=int, default=8080, help="SWUpdate's interface, if the image has it on")
    parser.add_argument("--secure-port", type=int, default=int(environment("OVENBIRD_SECURE_PORT", "443")))
    parser.add_argument("--processes", type=Path, default=Path("/proc"))
    parser.add_argument("--system", type=Path, default=Path("/sys"))
    parser.add_argument(
        "--allow", default=environment("OVENBIRD_ALLOW", ""), help="networks to serve beside private ones, or `any`"
    )
    parser.add_argument("--hosts", default=environment("OVENBIRD_HOSTS", ""), help="further host names of this device")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
