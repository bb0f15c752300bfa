"""The boards: complete, consistent facts."""

from __future__ import annotations

import re

import pytest

from ovenbird import boards
from ovenbird.boards import Board, board
from ovenbird.boards.board import AMD64, Selector
from ovenbird.build.elf import MACHINES
from ovenbird.errors import RecipeError


@pytest.fixture(params=boards.names())
def found(request: pytest.FixtureRequest) -> Board:
    return board(request.param)


def test_the_boards_of_virtual_machines_and_pcs_are_there() -> None:
    assert {"vm", "vm-arm64", "pc"} <= set(boards.names())


def test_a_board_has_the_name_it_is_found_by() -> None:
    assert all(board(name).name == name for name in boards.names())


def test_an_unknown_board_is_a_clear_error() -> None:
    with pytest.raises(RecipeError, match='no board "toaster"') as error:
        board("toaster")
    assert error.value.hint is not None
    assert "vm" in error.value.hint


def test_facts_are_complete(found: Board) -> None:
    assert found.description
    assert found.kernel_packages
    assert found.boot_size >= 32 << 20
    assert all(re.fullmatch(r"console=\w+(,\d+)?", word) for word in found.console if "console" in word)
    assert found.console[-1].startswith("console=")
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in (*found.kernel_packages, *found.boot_packages))


def test_initrd_modules_carry_root_and_state(found: Board) -> None:
    assert {"squashfs", "overlay", "ext4"} <= set(found.initrd_modules)
    assert len(set(found.initrd_modules)) == len(found.initrd_modules)
    assert all("-" not in name for name in found.initrd_modules)


def test_an_architecture_is_told_by_its_names(found: Board) -> None:
    assert found.cpu.facts.triplet.endswith(("-linux-gnu", "-linux-gnueabihf"))
    assert MACHINES[found.architecture] == found.cpu.facts.elf
    assert not found.bios or found.cpu is AMD64


def test_every_board_runs_in_a_virtual_machine(found: Board) -> None:
    assert found.virtual.program.startswith("qemu-system-")
    assert found.virtual.firmware or found.selector is Selector.AUTOBOOT
    assert any(word.startswith(("console=ttyS", "console=ttyAMA")) for word in found.console)


def test_a_board_of_raspberry_pis_knows_what_each_needs(found: Board) -> None:
    assert bool(found.models) is (found.selector is Selector.AUTOBOOT)
    assert len({model.name for model in found.models}) == len(found.models)
    for model in found.models:
        assert re.fullmatch(r"bcm\d{4}-rpi-[a-z0-9-]+\.dtb", model.device_tree)
        assert model.bootcode is not model.device_tree.startswith("bcm2711")
        assert all("4" in name for name in model.firmware) is model.device_tree.startswith("bcm2711")
        assert re.fullmatch(r"pi\d+\+?|cm\d", model.section)
