"""The flag of a trial on its way to the firmware: the device's own program on QEMU's Pi 3, past Debian's kernel.

QEMU's firmware does not know the request and says so in its log, with its number; yet it answers, and that must be
told apart from success.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from tests.tool import Tool
from tests.vm.pi.example import build_example
from tests.vm.pi.machine import RASPI3B, Pi

pytestmark = pytest.mark.vm

PATIENCE = 1800.0
PROGRAM = """
import sys
sys.path.insert(0, "/usr/lib/ovenbird")
sys.stdout = sys.stderr = open("/dev/console", "w")
from ovenbird_device.raspberry import bootloader, mailbox
said = bootloader.read()
print("it says", said.partition, said.tryboot, flush=True)
ask = mailbox.door()
revision = ask(0x00010002, 0)
print("the board is %x" % revision, flush=True)
try:
    mailbox.ask_for_trial(ask)
except mailbox.MailboxError as error:
    print("refused:", error, flush=True)
print("that is all", flush=True)
import time
time.sleep(600)
"""
UNPACK = "exec(__import__('zlib').decompress(__import__('base64').b64decode('{}')))"


def test_the_request_reaches_the_firmware(tool: Tool, tmp_path: Path) -> None:
    """A request that QEMU knows (the board's revision) is answered; ours arrives, with its number."""
    image = build_example(tool).out("1.0.0") / "disk.img"
    program = base64.b64encode(zlib.compress(PROGRAM.encode(), 9)).decode()  # a command line takes 2048 bytes
    words = f"init=/usr/bin/python3 -- -P -S -c {UNPACK.format(program)}"
    with Pi(image, tmp_path / "card", stand=RASPI3B, words=words) as pi:
        pi.boot()
        pi.wait_for("that is all", PATIENCE)
        said = pi.console
        assert "it says 2 False" in said
        assert "the board is a02082" in said  # a Pi 3 B of revision 1.2
        assert "refused: the firmware does not keep the flag for a trial" in said
        assert pi.asked_for_trial()
