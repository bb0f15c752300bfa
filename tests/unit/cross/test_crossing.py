"""What is made for which architecture, and how the target's programs run where they must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ovenbird.boards import Architecture, board
from ovenbird.boards.board import AMD64, ARM64, ARMHF
from ovenbird.build.cross import emulation
from ovenbird.build.cross.crossing import Crossing, crossing, host_architecture
from ovenbird.errors import HostError
from ovenbird.recipe.load import load

RECIPE = '[image]\nname="x"\nversion="1"\nboard="{}"\n[build]\n{}\nstages=[{}]\n'


def cross(tmp_path: Path, name: str, build: str, stages: str) -> Crossing:
    (tmp_path / "ovenbird.toml").write_text(RECIPE.format(name, build, stages))
    return crossing(load(tmp_path), board(name), AMD64)


def test_the_boards_own_architecture_needs_nothing(tmp_path: Path) -> None:
    way = cross(tmp_path, "vm", "emulate=true", '{use="os", emulate=true}')
    assert not way.twin
    assert way.base is AMD64
    assert not any(way.emulates(number) for number in range(-1, 4))


def test_a_twin_is_made_here_up_to_its_end(tmp_path: Path) -> None:
    way = cross(tmp_path, "vm-arm64", "", '"os", "volatile"')
    assert way.twin
    assert way.base is AMD64
    assert [way.stage(number) for number in range(4)] == [AMD64] * 4


def test_a_stage_and_what_follows_it_can_be_emulated(tmp_path: Path) -> None:
    way = cross(tmp_path, "vm-arm64", "", '"os", {use="volatile", emulate=true}')
    assert way.twin
    assert [way.stage(number) for number in range(4)] == [AMD64, ARM64, ARM64, ARM64]
    assert [way.emulates(number) for number in range(-1, 4)] == [False, False, True, True, True]


def test_a_stage_can_say_so_by_itself(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/Containerfile.part").write_text("RUN true\n")
    (tmp_path / "mine/stage.toml").write_text("emulate = true\n")
    assert cross(tmp_path, "vm-arm64", "", '"os", "./mine"').emulated_from == 1


def test_all_can_be_emulated(tmp_path: Path) -> None:
    way = cross(tmp_path, "vm-arm64", "emulate=true", '"os"')
    assert not way.twin
    assert way.base is ARM64
    assert all(way.emulates(number) for number in range(-1, 3))


def test_this_machine_is_known_by_its_names() -> None:
    assert host_architecture("x86_64") is AMD64
    assert host_architecture("aarch64") is ARM64
    assert host_architecture("armv8l") is ARMHF
    with pytest.raises(HostError, match="does not build on s390x"):
        host_architecture("s390x")


@pytest.mark.parametrize("architecture", [ARM64, ARMHF])
def test_programs_are_known_as_debian_knows_them(architecture: object) -> None:
    """Debian's own registration, which comes with qemu-user-static."""
    target = ARM64 if architecture is ARM64 else ARMHF
    line = Path(f"/usr/lib/binfmt.d/{target.facts.emulator}.conf").read_text()
    plain = "".join(f"\\x{value:02x}" for value in emulated_bytes(line.split(":")[4]))
    mask = "".join(f"\\x{value:02x}" for value in emulated_bytes(line.split(":")[5]))
    assert emulation.magic(target) == (plain, mask)


def emulated_bytes(text: str) -> bytes:
    return bytes(int(match, 16) for match in re.findall(r"\\x([0-9a-f]{2})", text))


def test_a_registration_for_everybody_is_used(tmp_path: Path) -> None:
    entry = "enabled\ninterpreter /usr/bin/q\nflags: {}\noffset 0\nmagic 7f454c460201010000000000000000000200b700\n"
    (tmp_path / "register").touch()
    assert not emulation.registered(ARM64, tmp_path)
    (tmp_path / "qemu-aarch64").write_text(entry.format("OCF"))
    assert emulation.registered(ARM64, tmp_path)
    assert not emulation.registered(ARMHF, tmp_path)
    (tmp_path / "qemu-aarch64").write_text(entry.format("OC"))
    assert not emulation.registered(ARM64, tmp_path), "an interpreter that is opened at each start is not in the tree"
    (tmp_path / "qemu-aarch64").write_text(entry.format("F").replace("enabled", "disabled"))
    assert not emulation.registered(ARM64, tmp_path)


def test_an_old_kernel_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"this kernel \(6\.1\.0-13-amd64\)") as error:
        emulation.inside(ARM64, tmp_path, release="6.1.0-13-amd64")
    assert error.value.hint is not None
    assert "qemu-user-static" in error.value.hint


@pytest.mark.parametrize(
    ("architecture", "wish", "played"),
    [(ARM64, None, "cortex-a72"), (ARM64, "neoverse-n1", "neoverse-n1"), (ARMHF, None, None), (ARMHF, "a", "a")],
)
def test_the_processor_that_is_played(
    architecture: Architecture, wish: str | None, played: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that signs no return addresses, unless a user wants another; qemu-user's own choice for the others."""
    if wish is None:
        monkeypatch.delenv("QEMU_CPU", raising=False)
    else:
        monkeypatch.setenv("QEMU_CPU", wish)
    assert emulation.inside(architecture, tmp_path, release="6.12.0").emulator.get("QEMU_CPU") == played
