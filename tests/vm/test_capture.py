"""From a machine that was set up by hand to one that runs from its tree: captured, built, booted, worked in, and
captured again, once while it runs and once when it is off.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovenbird.progress import QuietProgress
from ovenbird.vm import running
from tests.tool import OUTPUT, RECIPES, Tool
from tests.vm.guest import Guest

pytestmark = pytest.mark.vm
BY_HAND = """
mkdir -p /tmp/made/DEBIAN /tmp/made/usr/bin
cat >/tmp/made/DEBIAN/control <<END
Package: by-hand
Version: 1.0
Architecture: all
Maintainer: nobody
Description: x
END
printf '#!/bin/sh\\necho by hand\\n' >/tmp/made/usr/bin/by-hand
chmod 755 /tmp/made/usr/bin/by-hand
dpkg-deb --root-owner-group -b /tmp/made /tmp/by-hand.deb
dpkg -i /tmp/by-hand.deb
chown 1234:1777 /etc/sign
rm /usr/share/common-licenses/GPL-2
"""


@dataclass(frozen=True)
class Workshop:
    """The running machine, and where its image and its disk are."""

    guest: Guest
    tool: Tool
    folder: Path
    disk: Path

    def capture(self, name: str, *words: str | Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
        """Capture by the installed program; the tarball's members by absolute path."""
        out = self.folder / name
        done = self.tool.run("capture", *words, "--out", out)
        assert done.code == 0, done.err
        plain = subprocess.run(["zstd", "-dcq", out / "root.tar.zst"], check=True, capture_output=True).stdout
        found: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
        with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
            for info in archive:
                stream = archive.extractfile(info) if info.isfile() else None
                found[info.name.removeprefix(".")] = (info, stream.read() if stream else b"")
        return found


@pytest.fixture(scope="module")
def workshop(tool: Tool, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Workshop]:
    """A system of a captured tree, running with a writable root, in which something was installed by hand."""
    folder = tmp_path_factory.mktemp("capture")
    first, captured, image = OUTPUT / "workshop", folder / "captured", OUTPUT / "captured"
    tool.build(RECIPES / "capture", "--out", first)
    done = tool.run("capture", first / "disk.img", "--out", captured)
    assert done.code == 0, done.err
    recipe = captured / "ovenbird.toml"
    emulated = RECIPES / "emulated.toml"
    recipe.write_text(recipe.read_text().replace('"captured.toml"', f'"captured.toml", "{emulated}"'))
    tool.build(captured, "--out", image)
    target = running.find_target(image, QuietProgress())
    target.workshop.unlink(missing_ok=True)
    with running.session(target, writable=True, password="set-by-the-test") as session:
        assert any("WRITABLE" in line for line in session.introduction())
        guest = Guest(session.machine, target.workshop, "set-by-the-test", key)
        guest.wait_for_boot()
        guest.run(BY_HAND)
        yield Workshop(guest, tool, folder, target.workshop)
    target.workshop.unlink()


def test_the_captured_system_is_what_was_set_up(workshop: Workshop) -> None:
    run = workshop.guest.run
    assert workshop.guest.overview()["image"]["name"] == "workshop"
    assert run("cat /etc/sign") == "welcome to workshop, on Debian"
    assert run("stat -c %a /etc/sign; getent group watchers | cut -d: -f3").split() == ["640", "1777"]
    assert run("systemctl is-active lit.service; cmp /run/lit /etc/sign && echo lit").split() == ["active", "lit"]
    assert run("systemctl --failed --plain --no-legend") == ""
    assert run("ls /root/.ansible /tmp/.ansible 2>/dev/null || :") == ""


def test_the_root_is_writable_and_says_so(workshop: Workshop) -> None:
    run = workshop.guest.run
    assert run("findmnt -no FSTYPE /") == "overlay"
    assert run("by-hand") == "by hand"
    assert "the root can be written" in run("grep ^notes= /run/ovenbird/boot")
    assert run("ls -d /data/writable/root/usr/bin/by-hand")


def test_it_can_be_captured_again(workshop: Workshop) -> None:
    machine = workshop.guest.machine
    identity = workshop.guest.run("cat /etc/machine-id")
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes")
    words = [word for option in options for word in ("--option", option)]
    login = ["admin@127.0.0.1", "--port", str(machine.port(22)), "--key", str(workshop.guest.key)]
    live = workshop.capture("live", *login, *words)
    assert machine.shut_down(400)
    off = workshop.capture("off", workshop.disk)
    for found in (live, off):
        assert found["/usr/bin/by-hand"][1] == b"#!/bin/sh\necho by hand\n"
        assert b"Package: by-hand\n" in found["/var/lib/dpkg/status"][1]
        assert (found["/etc/sign"][0].uid, found["/etc/sign"][0].gid) == (1234, 1777)
        assert "/usr/share/common-licenses/GPL-2" not in found
        assert found["/etc/machine-id"][1] == b""
        assert not [path for path in found if path.startswith(("/etc/ssh/ssh_host_", "/data/", "/run/", "/proc/"))]
        assert not [path for path, (_, content) in found.items() if identity.encode() in content]
    # What a machine does while it goes off is in its own folders only.
    other = {path for path in live.keys() | off.keys() if live.get(path, ("", b""))[1] != off.get(path, ("", b""))[1]}
    assert {path for path in other if not path.startswith("/var/")} == set()
