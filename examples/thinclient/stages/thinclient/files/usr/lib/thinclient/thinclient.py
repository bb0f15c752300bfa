"""A thin client's two programs: `settings`, root's at boot, and `client`, the login on the console that shows a server.

What they are told comes from the kernel's command line, so that each client can be told something else by whoever boots
it; the servers of the image are in `servers`, one a line. What cannot be read is said on the screen, with its reason.
"""

import ipaddress
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).parent
PORT = 3389
PAUSE = 5  # seconds before a server is tried again
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class ListError(ValueError):
    """What a person wrote cannot be read; the message says where and why."""


@dataclass(frozen=True)
class Server:
    """Where a screen comes from; `options` are further words for xfreerdp."""

    name: str
    address: str
    port: int = PORT
    options: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """What xfreerdp is started with. Unless told otherwise, the server's own screen asks who it is."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        own = [] if any(one.startswith(("/sec:", "/u:")) for one in self.options) else ["/sec:tls"]
        certificate = [] if any(one.startswith("/cert:") for one in self.options) else ["/cert:tofu"]
        shared = ["/drive:usb,/run/media"] if Path("/run/media").is_dir() else []
        return [f"/v:{host}:{self.port}", "/f", *own, *certificate, *shared, *self.options]


def parse_servers(text: str) -> list[Server]:
    """Read `name:address:port:options;…`: an address of IPv6 stands in brackets, options are separated by commas, and
    what would end a field is written as %3A and so on. Raises ListError.
    """
    found: list[Server] = []
    for number, entry in enumerate(text.split(";"), 1):
        if entry.strip():
            found.append(_server(entry.strip(), number))
    names = [server.name for server in found]
    for name in names:
        if names.count(name) > 1:
            raise ListError(f'two servers are called "{name}"')
    return found


def _server(entry: str, number: int) -> Server:
    place = f'server {number} ("{entry[:60]}")'
    match = re.fullmatch(r"([^:]*):(\[[^\]]*\]|[^:\[\]]*)(?::([^:]*)(?::(.*))?)?", entry, re.DOTALL)
    if match is None:
        raise ListError(f"{place} is not name:address:port:options")
    name, address, port, options = unquote(match[1]), match[2], match[3] or str(PORT), match[4] or ""
    if not name or not name.isprintable():
        raise ListError(f"{place} has no name")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ListError(f'{place}: "{port[:20]}" is no port')
    if address.startswith("["):
        try:
            address = str(ipaddress.IPv6Address(address[1:-1]))
        except ValueError as error:
            raise ListError(f"{place}: {address} is no address") from error
    elif not NAME.fullmatch(address):
        raise ListError(f'{place}: "{address}" is no address')
    words = tuple(unquote(word) for word in options.split(",") if word)
    for word in words:
        if not word.startswith(("/", "+", "-")):
            raise ListError(f'{place}: the option "{word}" begins with none of / + -')
    return Server(name, address, int(port), words)


def said(cmdline: str) -> dict[str, str]:
    """The words `thinclient.NAME=VALUE` of a kernel's command line; the last of equal ones counts."""
    words = re.findall(r'(?:[^\s"]|"[^"]*"?)+', cmdline)
    pairs = (word.replace('"', "").partition("=") for word in words)
    return {name.removeprefix("thinclient."): value for name, _, value in pairs if name.startswith("thinclient.")}


def time_zone(name: str) -> Path:
    """The file of a time zone. Raises ListError."""
    file = Path("/usr/share/zoneinfo") / name
    if ".." in name.split("/") or not re.fullmatch(r"[A-Za-z0-9_+/-]+", name) or not file.is_file():
        raise ListError(f'there is no time zone "{name[:60]}"')
    return file


def time_servers(text: str) -> list[str]:
    """Names or addresses, separated by commas. Raises ListError."""
    found = [one for one in text.split(",") if one]
    for one in found:
        if not NAME.fullmatch(one) and not re.fullmatch(r"[0-9A-Fa-f:]+", one):
            raise ListError(f'"{one[:60]}" is no time server')
    return found


def hour(text: str) -> str:
    """When to switch off, each day, as `HH:MM`. Raises ListError."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ListError(f'"{text[:20]}" is no time of day such as 22:00')
    return text


def settings(words: dict[str, str]) -> list[str]:
    """Do as the words say; returns what could not be done, each in a line."""
    problems: list[str] = []
    for name, act in (("timezone", _set_zone), ("ntp", _set_time_servers), ("shutdown", _set_shutdown)):
        if words.get(name):
            try:
                act(words[name])
            except (ListError, OSError, subprocess.CalledProcessError) as error:
                problems.append(f"thinclient.{name}: {error}")
    return problems


def _set_zone(name: str) -> None:
    link = Path("/etc/localtime")
    file = time_zone(name)
    link.unlink(missing_ok=True)
    link.symlink_to(file)


def _set_time_servers(text: str) -> None:
    folder = Path("/run/systemd/timesyncd.conf.d")
    servers = " ".join(time_servers(text))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thinclient.conf").write_text(f"[Time]\nNTP={servers}\n")
    # It may have started already: ordered before it, this would have to come before all that systemd calls basic.
    subprocess.run(["systemctl", "--no-block", "try-restart", "systemd-timesyncd.service"], check=True)


def _set_shutdown(text: str) -> None:
    at = f"--on-calendar=*-*-* {hour(text)}:00"
    subprocess.run(["systemd-run", "--unit=thinclient-off", at, "systemctl", "poweroff"], check=True)


def servers(words: dict[str, str]) -> list[Server]:
    """The servers of the command line, else those of the image. Raises ListError."""
    if words.get("servers"):
        return parse_servers(words["servers"])
    file = HERE / "servers"
    return parse_servers(";".join(file.read_text().splitlines()) if file.exists() else "")


def chosen(offered: list[Server]) -> Server:
    """The only server, or the one that whoever sits there wants."""
    while len(offered) > 1:
        print("\033[2J\033[H")
        for number, server in enumerate(offered, 1):
            print(f"  {number}  {server.name}")
        answer = input("\nWhich one? ").strip()
        if answer.isdecimal() and 0 < int(answer) <= len(offered):
            return offered[int(answer) - 1]
    return offered[0]


def client(words: dict[str, str]) -> int:
    """Show a server until it is left. Returns the exit code; systemd starts this again."""
    try:
        offered = servers(words)
        if not offered:
            raise ListError("no server is named: put thinclient.servers=name:address on the command line")
    except (ListError, OSError) as error:
        print(f"\033[2J\033[H\nthinclient.servers: {error}", flush=True)
        time.sleep(3 * PAUSE)
        return 1
    server = chosen(offered)
    print(f"\033[2J\033[H\n{server.name} ({server.address}) ...", flush=True)
    display = ["--", "/usr/bin/Xorg", ":0", "vt1", "-keeptty", "-nolisten", "tcp", "-s", "0"]
    done = subprocess.run(["xinit", "/usr/bin/xfreerdp3", *server.words(), *display], check=False)
    if done.returncode:
        print(
            f"\033[2J\033[H\n{server.name} ({server.address}:{server.port}) does not answer. Trying again.", flush=True
        )
    return 0


def main(arguments: list[str]) -> int:
    words = said(Path("/proc/cmdline").read_text())
    if arguments == ["settings"]:
        problems = settings(words)
        for problem in problems:
            print(problem, file=sys.stderr)
        return 1 if problems else 0
    return client(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
