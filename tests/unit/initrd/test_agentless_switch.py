"""The helper of a system without an agent outlives the switch to the system's root: the real busybox, init's own text,
and a process number 1 of its own, in namespaces instead of a machine. `tests/vm/test_foreign.py` has the machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ovenbird.image.fat import write_fat
from ovenbird.image.initrd import AGENTLESS, INIT
from ovenbird.image.layout import SELECT_SIZE
from ovenbird_device.format import selector
from ovenbird_device.format.selector import Slot, State

INITRD = (
    INIT.read_text().partition("# --- the way through")[0]
    + """
export UP=1
# In a user namespace there is no devtmpfs: here /dev is a file system in memory, with a file for the disk.
mount() { case "$*" in *devtmpfs*) busybox mount --bind /dev /keep/dev ;; *) busybox mount "$@" ;; esac; }
disk_of() { disk=vda; }
add_partition() { devices=" /dev/vda$2"; }
agentless='no systemd' checks="grep -q ok /etc/ok
" selector=grub slot=b trial=1 root_device=/dev/vda6 consoles=ttyS0 deadline=20
stay_behind
for folder in dev proc run; do busybox mount --move /$folder $new/$folder; done
exec switch_root $new /init
"""
)
SYSTEM = """\
#!/bin/sh
until grep -q 'Slot b is' /dev/ttyS0; do sleep 1; done
ls / >/dev/listed
echo >/run/ovenbird/rescue
sleep 60
echo 'it was not restarted' >>/dev/ttyS0
"""
LAY_OUT = """\
set -e
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir bin proc run sysroot dev
cp /bin/busybox bin/
for applet in sh cat cut dd sed grep hexdump od mkdir mount cp ln chroot setsid switch_root usleep; do
    ln -s busybox bin/$applet
done
cp "$2/agentless" "$2/go" .
: >init
mount -t proc proc proc
mount --bind "$2/dev" dev
mount -t tmpfs run run
mkdir run/ovenbird
mount -t tmpfs new sysroot
cd sysroot
mkdir bin dev proc run etc
cp /bin/busybox bin/
for applet in sh ls grep sleep; do ln -s busybox bin/$applet; done
echo ok >etc/ok
cp "$2/system" init
exec chroot "$1" /bin/busybox sh /go
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """What is laid out: the helper, both inits, and a `select` whose slot b is on trial."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "mount").mkdir()
    for name, text in {"agentless": AGENTLESS.read_text(), "go": INITRD, "system": SYSTEM}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    for name in ("null", "kmsg", "console", "ttyS0"):
        (tmp_path / "dev" / name).touch()
    contents: dict[str, Path | bytes] = {
        "EFI/BOOT/BOOTX64.EFI": bytes(1000),
        "grub/grub.cfg": bytes(9000),
        **dict.fromkeys(selector.COPIES, selector.encode(State().arm(Slot.B, 2))),
    }
    write_fat(tmp_path / "dev/vda2", contents, size=SELECT_SIZE, label="SELECT", epoch=1_700_000_000, bits=32)
    return tmp_path


def test_it_commits_and_starts_rescue(machine: Path) -> None:
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    words = ["unshare", *own, "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    lay_out = ["sh", "-c", LAY_OUT, "sh", str(machine / "mount"), str(machine)]
    done = subprocess.run([*words, *lay_out], capture_output=True, text=True, check=False, timeout=120)
    said = (machine / "dev/ttyS0").read_text()
    assert "not restarted" not in said, (done, said)
    assert "Rescue was asked for" in said or "Slot b is committed" in said, (done, said)
    assert "agentless" not in (machine / "dev/listed").read_text()  # The system's root, not the initrd's.
    image = (machine / "dev/vda2").read_bytes()
    after = State().arm(Slot.B, 2).commit(Slot.B).ask_rescue()
    assert image.count(selector.encode(after)) == 2
    assert done.returncode != 0  # The machine's end: in a namespace of its own, number 1 is killed by the restart.
