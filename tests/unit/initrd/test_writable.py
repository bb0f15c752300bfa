"""A root that can be written: init's own text, with real mounts in a namespace of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ovenbird.image.initrd import INIT

FUNCTIONS = INIT.read_text().partition("# --- the way through")[0]
BOOT = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
new=$1
say() { :; }
mount -t tmpfs none /run
mkdir /run/ovenbird
mount --bind -o ro "$2" "$new"
mount --bind "$3" "$new/data"
make_writable || exit 1
echo "$var $etc $notes"
cd "$new"
"""
CHANGE = """
echo new >usr/new
echo changed >usr/tool
rm etc/removed
mkdir var/lib/dpkg
cat data/owner
"""
LOOK = """
cat usr/new usr/tool
ls etc var/lib
ls data
"""


def boot(folder: Path, script: str) -> str:
    """Boot that far, and do something in the new root; returns what it prints."""
    words = [FUNCTIONS + BOOT + script, "init", *(str(folder / name) for name in ("new", "image", "data"))]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_what_is_changed_is_kept_and_the_image_is_not_touched(tmp_path: Path) -> None:
    for name in ("new", "data", "image/usr", "image/etc", "image/var/lib", "image/data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/owner").write_text("of data\n")
    (tmp_path / "image/usr/tool").write_text("image\n")
    (tmp_path / "image/etc/removed").write_text("image\n")
    (tmp_path / "image/etc/kept").write_text("image\n")
    first = boot(tmp_path, CHANGE).splitlines()
    assert first[0].startswith("writable writable the root can be written")
    assert first[1] == "of data"
    second = boot(tmp_path, LOOK).splitlines()[1:]
    assert second == ["new", "changed", "etc:", "kept", "", "var/lib:", "dpkg", "owner", "writable"]
    assert (tmp_path / "image/usr/tool").read_text() == "image\n"
    assert sorted(path.name for path in (tmp_path / "image/etc").iterdir()) == ["kept", "removed"]
    upper = tmp_path / "data/writable/root"
    assert (upper / "usr/new").read_text() == "new\n"
    assert (upper / "etc/removed").is_char_device()
