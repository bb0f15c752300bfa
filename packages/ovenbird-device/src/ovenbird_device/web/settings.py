"""What the agent is told when it is started, as one value that every part of the web face shares."""

import hashlib
import ipaddress
import re
import socket
from pathlib import Path

import msgspec

from ..accounts import users as accounts
from ..facts.overview import Places
from ..facts.private import PRIVATE, Network, within
from ..format import FormatError, apps, terminal
from ..format import settings as update_settings
from ..format.page import Tls
from ..network import trial
from ..provision import password
from ..tls import store

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?\Z", re.ASCII)


class Settings(msgspec.Struct, frozen=True):
    """How this agent runs."""

    state: Path = Path("/data/ovenbird")
    steward: Path = Path("/run/ovenbird/steward.sock")
    places: Places = msgspec.field(default_factory=Places)
    update: Path = Path("/") / update_settings.PATH
    apps: Path = Path("/") / apps.PATH
    terminal: Path = Path("/") / terminal.PATH
    users: accounts.Places = msgspec.field(default_factory=accounts.Places)
    networks: Path = trial.Places().kept
    machine_id: Path = Path("/etc/machine-id")
    os_release: Path = Path("/usr/lib/os-release")
    journal: Path | None = None
    """A folder of journal files in place of the system's."""
    allowed: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    tls: Tls = "off"
    certificates: store.Places = msgspec.field(default_factory=store.Places)
    body_limit: int = 64 * 1024

    @property
    def password_file(self) -> Path:
        """Where provisioning keeps the hash."""
        return self.state / password.FILE

    def may_connect(self, peer: str) -> bool:
        """Whether a client's address is private or explicitly allowed. What is no address is refused."""
        return within(peer, (*PRIVATE, *self.allowed))

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this device: an address, `localhost`, its name, its name in `.local`.

        Any other name may belong to somebody who points it at this device to borrow a visitor's browser (DNS
        rebinding), so it is refused unless the recipe or the owner named it.
        """
        match = _HOST.match(header)
        if match is None:
            return False
        name = match["name"].lower().rstrip(".")
        if name.startswith("["):
            return _is_address(name[1:-1].partition("%")[0])
        if _is_address(name):
            return True
        own = socket.gethostname().lower().partition(".")[0]
        return name in {"localhost", own, f"{own}.local"} or name in self.hosts

    def cookie(self) -> str:
        """This device's cookie name: cookies ignore ports, and several devices may be forwarded to one host."""
        try:
            machine = self.machine_id.read_bytes().strip()
        except OSError:
            machine = b""
        own = hashlib.sha256(b"ovenbird session cookie\0" + machine + bytes(str(self.state), "utf-8")).hexdigest()
        return f"ovenbird-{own[:10]}"


def wants_swupdate(path: Path) -> bool:
    """Whether the image has SWUpdate's interface on."""
    try:
        return update_settings.load(path.read_bytes()).swupdate_api
    except (OSError, FormatError):
        return False


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks separated by commas or blanks; `any` stands for all. Raises ValueError for what is none."""
    words = text.replace(",", " ").split()
    found: list[Network] = []
    for word in words:
        for one in ("0.0.0.0/0", "::/0") if word == "any" else (word,):
            found.append(ipaddress.ip_network(one, strict=False))
    return tuple(found)


def parse_hosts(text: str) -> frozenset[str]:
    """Extra host names, separated by commas or blanks, in lower case."""
    return frozenset(word.lower().rstrip(".") for word in text.replace(",", " ").split())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
