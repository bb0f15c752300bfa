"""At each boot, before the agent: `python3 -m ovenbird_device.provision` (root).

The device has a password afterwards: the one given as systemd credential `ovenbird.password` always wins, else the
kept one, else a fresh one, which is shown on the console once. Where the image serves its page by HTTPS, it has a
certificate of its own, too, and uses the one given as credential `ovenbird.certificate`, if there is one. Then the
console's banner is written. Machine id and host keys are made by systemd and the ssh stage. Nothing here waits for
anything.
"""

import argparse
import grp
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..facts import boot
from ..format import page
from ..tls import store
from ..tls.certificate import CertificateError
from . import console, password

CREDENTIAL = "ovenbird.password"
CERTIFICATE = "ovenbird.certificate"


def main(arguments: Sequence[str] | None = None) -> int:
    """Provision once. Returns the exit code; a failing step is reported and the others are still done."""
    parser = argparse.ArgumentParser(prog="ovenbird-provision", description="Gives the device its password.")
    parser.add_argument("--state", type=Path, default=Path("/data/ovenbird"))
    parser.add_argument("--runtime", type=Path, default=Path("/run"))
    parser.add_argument("--devices", type=Path, default=Path("/dev"))
    parser.add_argument("--system", type=Path, default=Path("/sys"))
    parser.add_argument("--page", type=Path, default=Path("/") / page.PATH)
    parser.add_argument("--group", default="ovenbird", help="the agent's group, which may read the hash")
    options = parser.parse_args(arguments)
    code = 0
    fresh: str | None = None
    try:
        fresh = provide(options.state, _credential(), options.group, options.devices, options.system)
    except OSError as error:
        print(f"ovenbird-provision: the password could not be kept: {error}", file=sys.stderr)
        code = 1
    settings = page.read(options.page)
    places = store.Places(options.state / "tls", options.runtime / "ovenbird/tls")
    if settings.tls != "off":
        certify(places, settings, options.group)
    note = boot.read_note(options.runtime / "ovenbird/boot")
    trouble = (note.data_reason or "reason unknown") if note.data == "degraded" else None
    try:
        text = console.banner(fresh, trouble, shown(places, settings))
        console.write_banner(options.runtime / "issue.d/50-ovenbird.issue", text)
    except OSError as error:
        print(f"ovenbird-provision: the console's banner could not be written: {error}", file=sys.stderr)
        code = 1
    return code


def provide(state: Path, given: str | None, group: str, devices: Path, system: Path) -> str | None:
    """See to it that `state` holds a password; returns it if it was generated now. Raises OSError."""
    state.mkdir(parents=True, exist_ok=True, mode=0o750)
    owner = _group(group)
    if os.geteuid() == 0:
        os.chown(state, 0, owner if owner is not None else 0)
        state.chmod(0o750)
    file = state / password.FILE
    kept = password.read(file)
    if given is not None:
        if kept is None or not password.matches(kept, given):
            password.write(file, password.make(given, "credential"), group=owner)
        elif owner is not None:
            _give(file, owner)
        return None
    if kept is not None:
        if owner is not None:
            _give(file, owner)  # a new image may number the agent's group differently
        return None
    fresh = password.generate()
    # Shown before it is kept: if the power fails in between, the next boot shows another one and nobody is locked out.
    console.announce(fresh, socket.gethostname(), devices, system)
    password.write(file, password.make(fresh, "generated"), group=owner)
    return fresh


def certify(places: store.Places, settings: page.PageSettings, group: str) -> None:
    """See to it that the device has its certificate, and takes the one that was given. What fails is told, and no
    failure of the boot: the page is served without HTTPS then, and says so.
    """
    given = _read_credential(CERTIFICATE)
    try:
        if given is not None:
            store.give(places, given.decode("ascii", "replace"), time.time())
    except (OSError, CertificateError) as error:
        print(f"ovenbird-provision: credential {CERTIFICATE} is not used: {error}", file=sys.stderr)
    try:
        store.ensure(places, socket.gethostname(), settings.addresses, _group(group))
    except (OSError, CertificateError) as error:
        print(f"ovenbird-provision: the certificate could not be kept: {error}", file=sys.stderr)


def shown(places: store.Places, settings: page.PageSettings) -> console.Page:
    """What the banner says of how the page is reached."""
    if settings.tls == "off":
        return console.Page()
    found = next(filter(None, (store.load(places.published_file(one)) for one in store.WHICH)), None)
    return console.Page(settings.tls == "only" and found is not None, found.facts.fingerprint if found else "")


def _give(file: Path, group: int) -> None:
    if file.stat().st_gid != group:
        os.chown(file, -1, group)


def _group(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _credential() -> str | None:
    """The password that systemd was given for this device, without its line end; None without one."""
    raw = _read_credential(CREDENTIAL)
    if raw is None:
        return None
    text = raw.decode("utf-8", "replace").rstrip("\r\n")
    if not text or len(text.encode()) > password.LONGEST or "\0" in text:
        print(f"ovenbird-provision: credential {CREDENTIAL} is empty, too long or not text", file=sys.stderr)
        return None
    return text


def _read_credential(name: str) -> bytes | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return (Path(folder) / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        print(f"ovenbird-provision: credential {name} cannot be read: {error}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
