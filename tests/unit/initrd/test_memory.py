"""Overlays over the root and writable layers in memory: init's own text, real mounts, in a namespace of the test's own.

Only squashfs is not the real one here, as not every kernel that runs tests has it: a folder stands for each image.
"""

from __future__ import annotations

import io
import tarfile
from hashlib import sha256
from pathlib import Path

from tests.httpd import Answer, serving
from tests.unit.initrd.room import Room, furnish

START = """
network=1 debug=0 slot=net root=$1/root meminfo=/meminfo data=$2 zram=0
overlays=$3 home=$4
mount() {
    case "$*" in
        *squashfs*) shift 4; read -r name <"$1"; busybox mount --bind "/images/$name" "$2" ;;
        *) busybox mount "$@" ;;
    esac
}
modprobe() { return 1; }
busybox mount -t tmpfs -o mode=700 toram /toram
busybox mount --bind /images/root /sysroot
stack_overlays
fetch_home
mount_data
read_state
mount_state || { cat /proc/mounts; exit 1; }
"""
MEMORY = b"MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n"
IMAGES = {
    "images/root/etc/conf": b"root\n",
    "images/root/usr/lib/ovenbird/state": b"var persistent\npersist /opt/app\npersist /srv/file\npersist /none\n",
    "images/root/var/lib/dpkg/status": b"packages\n",
    "images/root/home/user/x": b"image\n",
    "images/root/root/x": b"x\n",
    "images/root/opt/app/x": b"app\n",
    "images/root/srv/file": b"file\n",
    "images/root/data/.keep": b"",
    "images/root/run/.keep": b"",
    "images/first/etc/conf": b"first\n",
    "images/first/srv/first": b"1\n",
    "images/homes/user/y": b"server\n",
}


def squashfs(name: str) -> bytes:
    """What stands for an image: its magic would not be a name, so the name comes with it."""
    return f"hsqs{name}\n".encode()


def room_of(folder: Path) -> Room:
    images = {
        path.replace("images/", "images/hsqs", 1) if "root" not in path else path: IMAGES[path] for path in IMAGES
    }
    return furnish(folder, {"meminfo": MEMORY, **images})


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_layers_and_what_is_written_over_them(tmp_path: Path) -> None:
    room = room_of(tmp_path / "room")
    second = tar({"etc/conf": b"second\n", "srv/second": b"2\n"})
    first, homes = squashfs("first"), squashfs("homes")
    named = {name: sha256(content).hexdigest() for name, content in (("1", first), ("2", second), ("h", homes))}
    script = f"""{START}
        cd /sysroot
        cat etc/conf srv/first srv/second home/user/y var/lib/dpkg/status opt/app/x srv/file
        [ ! -e home/user/x ] || exit 1
        for path in etc var home/user root opt/app; do echo new >$path/new || exit 1; done
        echo changed >srv/file
        cat etc/new srv/file
        ! echo x 2>/dev/null >srv/other || exit 1
        ls data/layers
        dd if=/dev/zero of=var/fill bs=1024 count=3000 2>&1 | grep -o 'No space left on device'
        cat etc/new
        echo "$data_state $etc $var"
        echo "$stacked"
    """
    with serving({"/1": [Answer(first)], "/2": [Answer(second)], "/h": [Answer(homes)]}) as (port, _, _):
        url = f"http://127.0.0.1:{port}"
        said = room.shell(
            script, url, "tmpfs:1M", f"1#sha256={named['1']};{url}/2#sha256={named['2']};", f"h#sha256={named['h']}"
        ).splitlines()
    assert said[:7] == ["second", "1", "2", "server", "packages", "app", "file"]
    assert said[7:9] == ["new", "changed"]
    assert said[9:-4] == ["etc", "home", "opt", "root", "var"]
    assert said[-4:-1] == ["No space left on device", "new", "tmpfs fresh volatile"]
    assert said[-1] == f"{url}/1#sha256={named['1']};{url}/2#sha256={named['2']}"
    assert "persist /none: the image has no such path to mount on" in room.said


def test_the_order_decides(tmp_path: Path) -> None:
    one, two = tar({"etc/conf": b"one\n"}), tar({"etc/conf": b"two\n"})
    with serving({"/1": [Answer(one)], "/2": [Answer(two)]}) as (port, _, _):
        words = [f"{name}#sha256={sha256(content).hexdigest()}" for name, content in (("1", one), ("2", two))]
        for number, order in enumerate((words, words[::-1])):
            room = room_of(tmp_path / f"room{number}")
            script = f"{START}\ncat /sysroot/etc/conf"
            said = room.shell(script, f"http://127.0.0.1:{port}", "tmpfs", ";".join(order), "")
            assert said == ("two\n" if number == 0 else "one\n")


def test_half_of_what_is_free_where_nobody_says_how_much(tmp_path: Path) -> None:
    room = room_of(tmp_path / "room")
    script = f"""{START}
        read -r _ free _ <<END
$(grep MemAvailable /proc/meminfo)
END
        set -- $(grep ' /sysroot/data ' /proc/mounts)
        size=${{4#*size=}}
        size=${{size%%k*}}
        [ "$size" -gt $((free * 4 / 10)) ] && [ "$size" -lt $((free * 6 / 10)) ] && echo half
    """
    assert room.shell(script, "http://127.0.0.1:1", "tmpfs", "", "") == "half\n"
