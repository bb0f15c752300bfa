"""A system in the manner of Arch Linux: Debian's files as a tarball with pacman in it, and as signed packages.

What would be the tarball of Arch Linux has pacman, a shell and the C library; systemd, Python and the like are packages
of the repository `core`, by Arch's names, which repo-add lists and gpg signs.
"""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ovenbird.base.apt import Index
from ovenbird.base.debian import START, bake_base, filters, newest_change
from ovenbird.base.sources import source_lines
from ovenbird.build.device import PACKAGES
from ovenbird.build.store import Store, cache_folder
from ovenbird.recipe.model import Base

OURS = {
    "python": r"(lib)?python3.*|media-types",
    "systemd": r"systemd|systemd-resolved|systemd-timesyncd|udev|libnss-resolve|libsystemd-shared",
    "systemd-sysvcompat": r"systemd-sysv",
    "dbus": r"dbus.*",
    "e2fsprogs": r"e2fsprogs|logsave",
    "iproute2": r"iproute2",
    "kmod": r"kmod",
    "openssl": r"openssl",
    "ca-certificates": r"ca-certificates",
}
"""Arch's packages, each with the names of Debian's whose files it has."""
LEFT_OUT = r"(lib)?apt.*|dpkg|debconf|perl.*|debian-archive-keyring|adduser|sqv|init-system-helpers|tzdata"
NOT_THERE = ("var/lib/dpkg/", "var/lib/apt/", "var/cache/", "etc/apt/", "etc/dpkg/", "var/log/", "usr/share/debconf/",
             "var/backups/", "usr/lib/apt/", "usr/share/zoneinfo/")  # fmt: skip
EPOCH = 1_700_000_000
LOCAL = "%NAME%\nfilesystem\n\n%VERSION%\n1-1\n\n%DESC%\nthe start\n\n%ARCH%\nx86_64\n\n%BUILDDATE%\n1\n\n%SIZE%\n1\n\n"


@dataclass(frozen=True)
class Arch:
    """Where all of it is."""

    folder: Path

    @property
    def tarball(self) -> Path:
        """What stands for Arch's bootstrap tarball."""
        return self.folder / "arch-bootstrap.tar.gz"

    @property
    def keys(self) -> Path:
        """The key that the packages are signed with."""
        return self.folder / "keys.gpg"

    @property
    def server(self) -> str:
        """The repository's address."""
        return f"file://{self.folder}/repo/$repo/$arch"

    @property
    def core(self) -> Path:
        """The folder of the repository."""
        return self.folder / "repo/core/x86_64"


def make(arch: Arch) -> None:
    """Make tarball, key and repository."""
    arch.core.mkdir(parents=True)
    packages = _split(_debian(arch.folder), arch)
    make_key(arch)
    for name, (version, members) in packages.items():
        depends = {"python": ["openssl"], "systemd": ["dbus", "kmod"], "systemd-sysvcompat": ["systemd"]}
        write_package(arch.core, name, version, members, depends.get(name, []))
    publish(arch)


def publish(arch: Arch) -> None:
    """Sign what is in the repository, and list it."""
    home = ["--homedir", str(arch.folder / "gnupg")]
    found = sorted(arch.core.glob("*.pkg.tar.gz"))
    for file in found:
        signature = file.with_name(f"{file.name}.sig")
        if not signature.exists():
            subprocess.run(["gpg", *home, "--batch", "--detach-sign", "-o", signature, file], check=True)
    for old in arch.core.glob("core.*"):
        old.unlink()
    done = subprocess.run(
        ["repo-add", "--quiet", "--sign", "core.db.tar.gz", *(file.name for file in found)],
        cwd=arch.core,
        env={"PATH": "/usr/bin:/bin", "HOME": str(arch.folder), "GNUPGHOME": home[1], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    subprocess.run(["gpgconf", *home, "--kill", "all"], check=True)  # gpg leaves its agent running.


Members = list[tuple[tarfile.TarInfo, bytes]]


def write_package(folder: Path, name: str, version: str, members: Members, depends: list[str]) -> Path:
    """One package: PKGBUILD(5) and pacman's own archives have `.PKGINFO` first, then the files."""
    size = sum(len(content) for _, content in members)
    info = {"pkgname": name, "pkgbase": name, "pkgver": version, "pkgdesc": name, "url": "https://example.org/",
            "builddate": str(EPOCH), "packager": "tests", "size": str(size), "arch": "x86_64"}  # fmt: skip
    text = "".join(f"{key} = {value}\n" for key, value in info.items())
    text += "".join(f"depend = {other}\n" for other in depends)
    about = tarfile.TarInfo(".PKGINFO")
    about.mtime = EPOCH
    file = folder / f"{name}-{version}-x86_64.pkg.tar.gz"
    _write(file, [(about, text.encode()), *members])
    return file


def _write(out: Path, members: Members) -> None:
    with (
        out.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member, content in members:
            if member.isreg():
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)


def _debian(folder: Path) -> Path:
    """A small Debian with pacman, as a tar."""
    base = Base(release="trixie")
    index = Index.at(cache_folder(), source_lines(base), "amd64", base.keyrings)
    index.refresh()
    names = [*START, *PACKAGES, "pacman-package-manager"]
    packages = index.resolve(names)
    out, scratch = folder / "debian.tar", folder / "scratch"
    scratch.mkdir()
    with Store(cache_folder()).in_use(), index.archives(packages) as archives:
        bake_base(out, scratch=scratch, base=base, packages=names, index=index, archives=archives,
                  epoch=newest_change(archives), preseed=(), filters=filters({}))  # fmt: skip
    return out


def _split(debian: Path, arch: Arch) -> dict[str, tuple[str, Members]]:
    """Write the tarball, and return what is to be packages: name -> version and files."""
    owners: dict[str, str] = {}
    members: Members = []
    python = ""
    with tarfile.open(debian) as archive:
        for member in archive:
            path = member.name.removeprefix("./").strip("/")
            content = archive.extractfile(member) if member.isreg() else None
            data = content.read() if content else b""
            if found := re.fullmatch(r"var/lib/dpkg/info/([^:]+)(:amd64)?\.list", path):
                owners.update((line.strip("/"), found[1]) for line in data.decode().splitlines())
            if found := re.fullmatch(r"usr/bin/python(3\.\d+)", path):
                python = f"{found[1]}.0-1"
            member.name, member.pax_headers = path, {}
            if member.islnk():
                member.linkname = member.linkname.removeprefix("./")
            if path and not member.isdev() and not path.startswith(NOT_THERE):
                members.append((member, data))
    packages: dict[str, tuple[str, Members]] = {name: (python if name == "python" else "1.0-1", []) for name in OURS}
    start: Members = []
    for member, data in members:
        # Folders of libraries are one with those below /usr; dpkg's lists have the old paths of some files.
        owner = owners.get(member.name) or owners.get(member.name.removeprefix("usr/")) or ""
        if member.name.startswith("etc/ssl/certs/"):
            owner = "ca-certificates"
        if not member.isdir() and re.fullmatch(LEFT_OUT, owner):
            continue
        ours = next((name for name, pattern in OURS.items() if re.fullmatch(pattern, owner)), None)
        (packages[ours][1] if ours and not member.isdir() else start).append((member, data))
    for path, text in (
        ("ALPM_DB_VERSION", "9\n"),
        ("filesystem-1-1/desc", LOCAL),
        ("filesystem-1-1/files", "%FILES%\n\n"),
    ):
        about = tarfile.TarInfo(f"var/lib/pacman/local/{path}")
        about.mtime = EPOCH
        start.append((about, text.encode()))
    for member, _ in start:
        member.name = f"root.x86_64/{member.name}"
        if member.islnk():
            member.linkname = f"root.x86_64/{member.linkname}"
    note = tarfile.TarInfo("pkglist.x86_64.txt")
    note.mtime = EPOCH
    _write(arch.tarball, [(note, b"filesystem 1-1\n"), *start])
    debian.unlink()
    return packages


def make_key(arch: Arch) -> None:
    """A new key, and its public half in a file."""
    home = arch.folder / "gnupg"
    home.mkdir(mode=0o700)
    words = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    make_key = [
        *words,
        "--passphrase",
        "",
        "--quick-generate-key",
        "tests <tests@example.org>",
        "ed25519",
        "sign",
        "never",
    ]
    subprocess.run(make_key, check=True)
    with arch.keys.open("wb") as out:
        subprocess.run([*words, "--export"], stdout=out, check=True)
