"""A whole system without a disk: `netboot/` of an image that other tests boot from a disk, with an overlay over it."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from ovenbird.boards import board
from ovenbird.run import run
from ovenbird.vm.accelerator import Accelerator
from ovenbird.vm.command import Boot, Kernel, Settings
from ovenbird.vm.machine import Machine
from ovenbird_device.format import netboot
from tests.httpd import Answer, serving
from tests.vm.guest import Guest, forward
from tests.vm.test_netboot import HOST, sha256, tar

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def client(full: Path, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Guest]:
    """The device, booted, with an overlay that has a file of its own and one that hides one of the image's."""
    folder = full / netboot.FOLDER
    said = netboot.load((folder / netboot.MANIFEST).read_bytes())
    tree = tmp_path_factory.mktemp("overlay") / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/motd").write_text("from the overlay\n")
    fonts = tree.with_name("overlay.squashfs")
    run(["mksquashfs", tree, fonts, "-quiet", "-no-progress", "-all-root"])
    second = tar({"opt/second": "2\n"})
    answers = {
        "/root": [Answer((folder / said.root.file).read_bytes())],
        "/overlay": [Answer(fonts.read_bytes())],
        "/second": [Answer(second)],
    }
    with serving(answers) as (port, _, _):
        url = f"http://{HOST}:{port}"
        overlays = f"overlay#sha256={sha256(fonts.read_bytes())};second#sha256={sha256(second)}"
        words = f"ovenbird.root={url}/root ovenbird.overlays={overlays} ovenbird.data=tmpfs:64M"
        settings = Settings(
            board(said.board).virtual,
            Boot.KERNEL,
            Kernel(folder / said.kernel.file, folder / said.initrd.file, f"{said.command_line} {words}"),
            forwards=forward(80, 22),
        )
        with Machine(settings, [], accelerated=Accelerator.TCG) as machine:
            guest = Guest(machine, fonts, None, key)
            guest.wait_for_boot()
            yield guest


def test_the_page_says_what_runs(client: Guest, full: Path) -> None:
    said = netboot.load((full / netboot.FOLDER / netboot.MANIFEST).read_bytes())
    about = client.overview()
    assert about["root_hash"] == f"sha256:{said.root.sha256}"
    assert about["diskless"]["root"].endswith("/root")
    assert [one.rpartition("/")[2].partition("#")[0] for one in about["diskless"]["overlays"]] == ["overlay", "second"]
    assert about["data"]["state"] == "tmpfs"
    assert about["data"]["total"] == 64 << 20
    assert "MiB zstd" in about["swap"]


def test_it_is_the_same_system(client: Guest) -> None:
    assert client.run("cat /etc/motd /opt/second") == "from the overlay\n2"
    assert client.run("systemctl is-system-running --wait || systemctl --failed --no-legend").strip() == "running"
    assert "[zstd]" in client.run("cat /sys/block/zram0/comp_algorithm")
    assert "10.0.2.15/24" in client.run("ip -4 address")
    assert "30-ovenbird-diskless.network" in client.run("networkctl status --all --no-pager")
    health = json.loads(client.run("cat /run/ovenbird/health.json"))
    assert health["state"] in ("checking", "good")
