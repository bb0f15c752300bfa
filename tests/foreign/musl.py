"""A small system on musl: an init in C that is linked with it, busybox, and a shell on the console."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from ovenbird.base.apt import Index
from ovenbird.base.sources import source_lines
from ovenbird.build.debs import extract
from ovenbird.build.store import Store, cache_folder
from ovenbird.recipe.model import Base

INIT = r"""
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>

int main(void)
{
    if (fork() == 0) {
        execl("/bin/busybox", "sh", "/etc/rc", (char *)0);
        _exit(127);
    }
    for (;;)
        if (wait(0) < 0)
            sleep(1);
}
"""
RC = """\
exec </dev/console >/dev/console 2>&1
export PATH=/bin
. /etc/version
stty -echo
echo "musl system $version is up"
while read -r line; do
    eval "$line"
    echo "ended with $?"
done
"""
APPLETS = ("sh", "cat", "chmod", "chroot", "cp", "cut", "echo", "grep", "ls", "mkdir", "sleep", "stat", "stty", "sync")
Change = Callable[[tarfile.TarInfo], tarfile.TarInfo | None]


def tree(folder: Path, version: str) -> Path:
    """The root as a folder."""
    base = Base(release="trixie")
    index = Index.at(cache_folder(), source_lines(base), "amd64", base.keyrings)
    index.refresh()
    wanted = {"busybox-static", "musl"}
    packages = index.resolve(sorted(wanted), only=lambda name: name in wanted)
    unpacked, root = folder / "unpacked", folder / "root"
    unpacked.mkdir(parents=True)
    with Store(cache_folder()).in_use(), index.archives(packages) as archives:
        for package in packages:
            extract(archives / package.file_name, unpacked)
    for name in ("bin", "sbin", "lib", "etc", "home", "opt", "root", "usr/lib", "var/lib/thing"):
        (root / name).mkdir(parents=True)
    (next(unpacked.rglob("bin/busybox"))).rename(root / "bin/busybox")
    loader = next(path for path in unpacked.rglob("libc.so") if path.is_file())
    loader.rename(root / "lib/ld-musl-x86_64.so.1")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (folder / "init.c").write_text(INIT)
    subprocess.run(["musl-gcc", "-O1", "-o", root / "sbin/init", folder / "init.c"], check=True)
    (root / "etc/rc").write_text(RC)
    (root / "etc/version").write_text(f"version={version}\n")
    (root / "var/lib/thing/seed").write_text(f"{version}\n")
    return root


def pack(root: Path, out: Path, *more: tuple[tarfile.TarInfo, bytes], change: Change | None = None) -> Path:
    """A tarball of a folder, all of it root's, with further members; times do not depend on the day."""

    def settled(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = 1_700_000_000
        return change(member) if change else member

    with (
        out.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for entry in sorted(root.iterdir()):
            archive.add(entry, entry.name, filter=settled)
        for member, content in more:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out
