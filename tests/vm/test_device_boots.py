"""The ways to boot: BIOS, the board `pc` on the disks of real machines, the older release, and the debug shell.

One boot each; where a page is expected, it has to answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.vm.command import Boot
from tests.tool import Project, Tool
from tests.vm.guest import PATIENCE, Guest, guest, shown_passwords

pytestmark = pytest.mark.vm

IDENTITY = """
    cat /etc/machine-id; cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub
    sha256sum </data/ovenbird/password.json
"""


def test_two_devices_from_one_image_share_nothing(full: Path, key: Path, tmp_path: Path) -> None:
    """By BIOS, so that this is proved too."""
    identities: list[set[str]] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        with guest(full, folder, boot=Boot.BIOS, key=key) as device:
            assert device.overview()["etc"] == "fresh"
            assert device.run("test -d /sys/firmware/efi || echo bios") == "bios"
            passwords = set(shown_passwords(device.machine.console))
            assert len(passwords) == 1
            table = device.table()
            disk = {str(table.disk), *(str(partition.uuid) for partition in table.partitions)}
            identities.append({*passwords, *disk, *device.run(IDENTITY).splitlines()})
            if name == "one":
                # GRUB reads the table of the grown disk by its own lights.
                assert device.ask("POST", "/reboot", passwords.pop()).status == 202
                assert device.wait_for_boot()["etc"] == "kept"
    assert len(identities[0]) == len(identities[1]) >= 12
    assert not identities[0] & identities[1]


@pytest.fixture(scope="module")
def pc(tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example for the board `pc`."""
    project = Project.of_hello(tmp_path_factory.mktemp("pc") / "project")
    project.change('board = "vm"', 'board = "pc"')
    project.for_emulated_machines()
    tool.build(project.recipe)
    return project.out


@pytest.mark.parametrize(
    ("disk", "boot", "extra"),
    [
        ("ide-hd", Boot.UEFI, ()),
        ("nvme,serial=1", Boot.UEFI, ()),
        ("usb-storage", Boot.BIOS, ()),
    ],
    ids=["sata", "nvme", "usb"],
)
def test_a_pc_boots_from_its_disk(pc: Path, tmp_path: Path, disk: str, boot: Boot, extra: tuple[str, ...]) -> None:
    with guest(pc, tmp_path, boot=boot, disk=disk, extra=extra, password="tobak-mirun-depol") as device:
        about = device.overview()
        assert about["image"]["board"] == "pc"
        assert (about["slot"], about["data"]["state"], about["etc"]) == ("a", "ok", "fresh")
        assert about["data"]["total"] > 1 << 30
        assert about["addresses"]
        assert "cloud" not in about["kernel"]


def test_the_older_release_boots(tool: Tool, key: Path, tmp_path: Path) -> None:
    project = Project.of_hello(tmp_path / "project")
    project.change("[build]", '[base]\nrelease = "bookworm"\n\n[build]')
    project.change('"ssh",', f'{{ use = "ssh", keys = "{key}.pub" }},')
    project.for_emulated_machines()
    tool.build(project.recipe)
    with guest(project.out, tmp_path, key=key, password="tobak-mirun-depol") as device:
        about = device.overview()
        assert about["kernel"].startswith("6.1.")
        assert (about["data"]["state"], about["etc"]) == ("ok", "fresh")
        assert shown_passwords(device.machine.console) == []
        assert (
            device.run(". /etc/os-release; echo $VERSION_CODENAME $IMAGE_ID $IMAGE_VERSION") == "bookworm hello 1.0.0"
        )
        assert device.run("systemctl --failed --no-legend") == ""
        assert device.run("python3 --version").startswith("Python 3.11")
        assert device.ask("POST", "/poweroff", "tobak-mirun-depol").status == 202
        assert device.machine.wait_off(PATIENCE)


def shell(device: Guest, title: str, command: str, expected: str, since: int) -> int:
    """Wait for a debug shell, run a command in it, and return how far the console has come."""
    begin = device.machine.wait_for(f"debug shell: {title}", PATIENCE, since=since).end()
    begin = device.machine.wait_for("~ # ", PATIENCE, since=begin).end()
    device.machine.type(f"{command}\n")
    end = device.machine.wait_for(expected, PATIENCE, since=begin).end()
    device.machine.type("exit\n")
    return end


def test_debug_gives_shells_on_the_way(tool: Tool, hello: Path, tmp_path: Path) -> None:
    project = Project.of_hello(tmp_path / "project")
    project.for_emulated_machines()
    project.add("[boot]\ndebug = true")
    made = tool.build(project.recipe)
    assert not [step for step in made if step.startswith(("base", "stage", "device", "initrd"))]
    with guest(project.out, tmp_path, password="tobak-mirun-depol", start=False) as device:
        device.machine.power_on()
        end = shell(device, "before the root is mounted", "ls -d /sysroot/etc; echo the $((40 + 2))", "^the 42", 0)
        end = shell(device, "the root is mounted", "cat /sysroot/etc/hostname; echo the $((40 + 3))", "^the 43", end)
        assert "\nhello\n" in device.machine.console
        device.wait_for_boot()
