"""The thin client on a real screen: it starts as one from the network does, and shows what a real RDP server draws."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird.boards import board
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Settings
from ovenbird.vm.machine import Machine
from ovenbird.vm.writable import direct
from tests.tool import OUTPUT, RECIPES, Tool
from tests.vm.guest import PATIENCE, Guest, forward, wait

pytestmark = pytest.mark.vm
HOST = "10.0.2.2"  # as QEMU's guests see this machine
COLOUR = (0x1B, 0xA7, 0x5E)
"""What the server paints its screen with: nothing of the client's own looks like it."""
NEAR = 8  # how far off each of its three parts may be, as colours of fewer bits are
XRDP = """\
[Globals]
ini_version=1
fork=true
port=tcp://127.0.0.1:{port}
security_layer=tls
certificate={folder}/cert.pem
key_file={folder}/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
max_bpp=24
ls_top_window_bg_color={colour}
ls_title=Office
[Logging]
LogFile={folder}/xrdp.log
LogLevel=INFO
EnableSyslog=false
[Session]
name=Session
lib=libxup.so
username=ask
password=ask
port=-1
"""


@dataclass(frozen=True)
class Client:
    """The running client, and what it was built from."""

    guest: Guest
    folder: Path

    def screen(self) -> tuple[int, int, Counter[tuple[int, int, int]]]:
        """Width, height and how often each colour is on its screen, by QEMU's own picture of it (PPM)."""
        file = self.folder / "screen.ppm"
        file.unlink(missing_ok=True)
        with self.guest.machine.control() as control:
            control.execute("screendump", filename=str(file))
        kind, size, _, pixels = file.read_bytes().split(b"\n", 3)
        assert kind == b"P6"
        width, height = map(int, size.split())
        return width, height, Counter(zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """A real RDP server, xrdp, on a port of this machine."""
    folder = tmp_path_factory.mktemp("xrdp")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=office", "-days", "2"]
    subprocess.run(
        [*request, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True
    )
    colour = "".join(f"{part:02x}" for part in COLOUR)
    (folder / "xrdp.ini").write_text(XRDP.format(port=port, folder=folder, colour=colour))
    Path("/run/xrdp").mkdir(exist_ok=True)
    daemon = subprocess.Popen(["/usr/sbin/xrdp", "--nodaemon", "--config", folder / "xrdp.ini"], cwd=folder)
    try:
        yield port
    finally:
        daemon.terminate()
        daemon.wait()


@pytest.fixture(scope="module")
def client(tool: Tool, key: Path, server: int, tmp_path_factory: pytest.TempPathFactory) -> Generator[Client]:
    """The example, started past its boot loader, with all its state in memory, and a USB stick in it."""
    folder = tmp_path_factory.mktemp("thinclient")
    out = OUTPUT / "thinclient"
    tool.build(RECIPES / "thinclient", "--out", out)
    stick = folder / "stick.img"
    with stick.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.vfat", stick], check=True, capture_output=True)
    (folder / "letter").write_text("dear all\n")
    subprocess.run(["mcopy", "-i", stick, folder / "letter", "::/letter.txt"], check=True)
    words = (
        "ovenbird.data=tmpfs",
        f"thinclient.servers=office:{HOST}:{server}:/bpp:24,/log-level:INFO",
        "thinclient.timezone=Europe/Vienna",
        f"thinclient.ntp={HOST},ntp.invalid",
        "thinclient.shutdown=03:30",
    )
    plugged = [
        "-device", "VGA", "-drive", f"if=none,id=stick,format=raw,file={stick}", "-device", "usb-storage,drive=stick",
    ]  # fmt: skip
    virtual = board("pc").virtual
    with direct(out / "disk.img", board("pc"), *words) as kernel:
        settings = Settings(
            virtual, boot=Boot.KERNEL, kernel=kernel, forwards=forward(80, 22), memory="2G", extra=tuple(plugged)
        )
        with Machine(settings, [out / "disk.img"], accelerated=Accelerator.TCG) as machine:
            guest = Guest(machine, out / "disk.img", None, key)
            guest.wait_for_boot()
            yield Client(guest, folder)


def test_it_shows_the_servers_screen(client: Client) -> None:
    def shown() -> bool:
        width, height, colours = client.screen()
        near = (colour for colour in colours if all(abs(a - b) <= NEAR for a, b in zip(colour, COLOUR, strict=True)))
        return sum(colours[colour] for colour in near) > width * height // 3

    try:
        wait(shown, PATIENCE, every=3)
    except TimeoutError:
        journal = "journalctl -b -u thinclient.service --no-pager | tail -40"
        told = client.guest.run(f"{journal}; tail -30 /home/client/.local/share/xorg/*.log")
        pytest.fail(f"{client.screen()[2].most_common(3)}\n{told}")


def test_the_command_line_is_heeded(client: Client) -> None:
    run = client.guest.run
    assert run("readlink /etc/localtime") == "/usr/share/zoneinfo/Europe/Vienna"
    assert f"NTP={HOST} ntp.invalid" in run("cat /run/systemd/timesyncd.conf.d/thinclient.conf")
    assert "03:30" in run("systemctl show -p TimersCalendar thinclient-off.timer")


def test_a_usb_stick_is_there_by_itself(client: Client) -> None:
    assert wait(lambda: client.guest.run("cat /run/media/*/letter.txt 2>/dev/null || :"), 60) == "dear all"


def test_nothing_of_it_is_roots(client: Client) -> None:
    assert set(client.guest.run("ps -o user= -C Xorg,xfreerdp3").split()) == {"client"}
