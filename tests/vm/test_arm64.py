"""A system for 64-bit ARM that was built as its twin, running: its page, its packages."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Generator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ovenbird.base.apt import Index
from ovenbird.base.sources import source_lines
from ovenbird.recipe.model import Base
from ovenbird.vm.command import Boot
from tests.tool import OUTPUT, RECIPES, Tool
from tests.verify import unexplained
from tests.vm.guest import Guest, guest

pytestmark = pytest.mark.vm
HOST = "10.0.2.2"  # as QEMU's guests see it
# A root that can be written, over the one that runs: the device's own is never changed.
WRITABLE = """
mkdir -p /run/try && mount -t tmpfs none /run/try && mkdir /run/try/up /run/try/work /run/try/root
mount -t overlay -o lowerdir=/,upperdir=/run/try/up,workdir=/run/try/work none /run/try/root
mount --bind /proc /run/try/root/proc && mount --bind /dev /run/try/root/dev
mount -t tmpfs none /run/try/root/tmp
"""


@pytest.fixture(scope="module")
def device(tool: Tool, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device of these tests."""
    out = OUTPUT / "arm64"
    tool.build(RECIPES / "arm64", "--out", out)
    # The guest's time goes by its instructions: no time limit of its services runs out where this machine is busy.
    with guest(out, tmp_path_factory.mktemp("arm64"), boot=Boot.UEFI, key=key, extra=["-icount", "shift=2"]) as running:
        yield running


@pytest.fixture(scope="module")
def archive(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package archive on this machine with one package of Debian's for the device; its URL there."""
    folder = tmp_path_factory.mktemp("archive")
    index = Index.at(cache, source_lines(Base()), "arm64", ())
    index.refresh()
    packages = index.resolve(["hello"], only=lambda name: name == "hello")
    with index.archives(packages) as archives:
        shutil.copy(archives / packages[0].file_name, folder / "hello.deb")
    control = subprocess.run(
        ["dpkg-deb", "-f", folder / "hello.deb"], check=True, capture_output=True, text=True
    ).stdout
    size, digest = (folder / "hello.deb").stat().st_size, packages[0].sha256
    (folder / "Packages").write_text(f"{control}Filename: ./hello.deb\nSize: {size}\nSHA256: {digest}\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{HOST}:{server.server_port}"
    server.shutdown()


def test_the_page_answers_and_says_what_the_machine_is(device: Guest) -> None:
    assert device.run("uname -m") == "aarch64"
    assert device.ask("GET", "/").status == 200
    assert device.overview()["image"]["board"] == "vm-arm64"


def test_nothing_failed_to_start(device: Guest) -> None:
    assert device.run("systemctl --failed --plain --no-legend") == ""


def test_dpkg_finds_every_file_as_it_should_be(device: Guest) -> None:
    rules = device.run("cat /etc/dpkg/dpkg.cfg.d/ovenbird")
    assert unexplained(device.run("dpkg --verify || true").splitlines(), rules) == []
    assert device.run("dpkg --print-architecture") == "arm64"
    assert device.run("dpkg --audit") == ""


def test_one_more_package_can_be_installed(device: Guest, archive: str) -> None:
    device.run(WRITABLE)
    script = f"""chroot /run/try/root sh -euc '
        echo "deb [trusted=yes] {archive} ./" >/etc/apt/sources.list
        rm -rf /etc/apt/sources.list.d/*
        mkdir -p /var/lib/apt/lists/partial /var/cache/apt/archives/partial
        apt-get update -q
        apt-get install -y -q hello
        apt-get check -q
        hello'"""
    assert device.run(script).splitlines()[-1] == "Hello, world!"


def test_libraries_are_found_through_the_cache(device: Guest) -> None:
    assert "aarch64-linux-gnu/libc.so.6" in device.run("/sbin/ldconfig -p | grep ' libc.so.6 ' || /sbin/ldconfig -p")
    assert (
        device.run("/sbin/ldconfig -C /tmp/new -v >/dev/null 2>&1; cmp /tmp/new /etc/ld.so.cache && echo same")
        == "same"
    )


def test_it_shuts_down_in_order(device: Guest) -> None:
    assert device.machine.shut_down(200)
