"""At each shutdown of a Pi: `python3 -m ovenbird_device.raspberry` (root), before the disks are let go of.

If a trial is armed, the next boot is to be the trial's: the firmware is told by its flag, and whoever restarts the
machine by the argument of reboot(2), which the kernels of the Raspberry Pi foundation pass on. Every way to restart
leads through here: the page, the steward, `reboot` typed on a console. Where the flag cannot be set, nothing is lost
but the trial: the next boot is the active slot's, and the trial counts as failed.

With the word `settle`, at the boot after a boot loader was asked for: what became of it, and the request taken back.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import lean as lean  # before all others: see there
from ..format import autoboot
from ..slots.disk import SlotsError
from ..slots.kind import AUTOBOOT
from ..slots.manage import Slots
from . import mailbox
from .mailbox import MailboxError

ARGUMENT = Path("/run/systemd/reboot-param")
"""What systemd hands to reboot(2) (systemd, src/shared/reboot-util.c)."""
WORDS = "0 tryboot"


def main(words: Sequence[str]) -> int:
    """Ask for the trial if one is armed; or `settle`. Returns the exit code."""
    try:
        slots = Slots.of_this_device()
        if words == ["settle"]:
            print(f"ovenbird-eeprom: {slots.settle_boot_loader()}")
            return 0
        wanted = slots.disk.kind is AUTOBOOT and autoboot.armed(slots.state())
    except SlotsError as error:
        print(f"ovenbird-{'eeprom' if words else 'tryboot'}: {error}", file=sys.stderr)
        return 1
    if not wanted:
        return 0
    ARGUMENT.write_text(WORDS, "ascii")
    try:
        ask = mailbox.door()
        if ask is not None:
            mailbox.ask_for_trial(ask)
    except MailboxError as error:
        print(f"ovenbird-tryboot: the trial will not take place: {error}", file=sys.stderr)
        return 1
    print("ovenbird-tryboot: the next boot is the trial's")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
