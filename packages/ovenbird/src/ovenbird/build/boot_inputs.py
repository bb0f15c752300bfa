"""What goes into the way from the firmware to the root, beside kernel and tree: selector, card, modules, words."""

from __future__ import annotations

from pathlib import Path

from ovenbird.boards import Board
from ovenbird.boards.board import Selector
from ovenbird.build.inputs import Tools, file_inputs, text_digest
from ovenbird.files import sha256_of
from ovenbird.image import grub, raspberry, rescue
from ovenbird.recipe.load import LoadedRecipe


def selector_inputs(loaded: LoadedRecipe, machine: Board, tools: Tools) -> dict[str, str]:
    """What the selector of a disk is made of, beside what the kernel's step has."""
    if machine.selector is Selector.AUTOBOOT:
        return {
            "selector": machine.selector,
            "maker": sha256_of(Path(raspberry.__file__))[:24],
            **file_inputs(raspberry.eeprom_inputs(loaded.recipe.pi)),
        }
    return {"grub.cfg": text_digest(grub.grub_config().decode()), **tools.inputs("grub-mkimage")}


def card_inputs(loaded: LoadedRecipe, machine: Board, tools: Tools) -> dict[str, str]:
    """What a Pi's boot partition has beside kernel, initrd and firmware."""
    pi = loaded.recipe.pi
    return {
        "config.txt": text_digest(raspberry.config(machine, pi)),
        "maker": sha256_of(Path(raspberry.__file__))[:24],
        **file_inputs(raspberry.overlay_inputs(pi)),
        **tools.inputs("dtc"),
    }


def initrd_modules(loaded: LoadedRecipe, machine: Board) -> tuple[str, ...]:
    """The kernel modules that the initrd is asked to carry."""
    more = rescue.MODULES if loaded.recipe.disk.rescue is not None else ()
    return (*machine.initrd_modules, *more, *loaded.recipe.boot.modules)


def netboot_modules(loaded: LoadedRecipe, machine: Board) -> tuple[str, ...]:
    """The same for the initrd of a machine without a disk."""
    return (*machine.network_modules, *loaded.recipe.boot.modules)


def kernel_arguments(loaded: LoadedRecipe, machine: Board) -> tuple[str, ...]:
    """The kernel's arguments that do not depend on the slot or on the root's content.

    `gpt` lets the kernel take the backup of a partition table whose first copy was torn by a power cut
    (kernel-parameters.txt); `panic` restarts a machine whose kernel gives up, so that the selector can decide again.
    `systemd.ssh_auto=no` (systemd-ssh-generator(8)): SSH listens where a stage says; by itself systemd 256 and newer
    offers it to the host of a virtual machine too, past that stage, and complains at each boot where it cannot.
    """
    boot = loaded.recipe.boot
    debug = ("ovenbird.debug",) if boot.debug else ()
    # On a card that held a GPT before, `gpt` would find that one's backup and take it for ours.
    table = ("gpt",) if machine.selector is Selector.GRUB else ()
    init = loaded.recipe.base.init
    own = (f"init={init}",) if init != "/sbin/init" else ()
    return (*machine.console, *table, "panic=10", "quiet", "systemd.ssh_auto=no", *own, *debug, *boot.cmdline)
