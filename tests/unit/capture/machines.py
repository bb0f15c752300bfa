"""Small machines for capture: their files, and file systems made of them by the real tools."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ovenbird.capture.job import Captured, Request, capture
from ovenbird.capture.rules import Rules, read_rules
from ovenbird.progress import QuietProgress

MIB = 1 << 20
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(44)  # elf(5): a program for x86-64
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw, as setcap(8) writes it
FILES: dict[str, bytes] = {
    "usr/bin/sh": ELF,
    "usr/bin/ping": ELF + b"ping",
    "usr/lib/systemd/systemd": ELF + b"systemd",
    "usr/lib/os-release": b'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n',
    "etc/hostname": b"Kiosk-7.example.org\n",
    "etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "etc/shadow": b"root:$y$j9T$secret:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
    "etc/fstab": b"UUID=1234 / ext4 defaults 0 1\n",
    "etc/ssh/ssh_host_ed25519_key": b"secret\n",
    "etc/ssh/sshd_config": b"Port 22\n",
    "etc/network/interfaces": b"address 10.1.2.3\n",
    "root/.bash_history": b"mount /secret\n",
    "home/anna/.ssh/id_ed25519": b"secret\n",
    "home/anna/.ssh/id_ed25519.pub": b"public\n",
    "home/anna/notes": b"kept\n",
    "var/log/nginx/access.log": b"somebody\n",
    "var/cache/apt/archives/a.deb": b"deb\n",
    "var/lib/apt/lists/list": b"list\n",
    "var/lib/dpkg/status": b"Package: hello\n",
    "srv/large": bytes(range(256)) * 20_000,
    "srv/a name with spaces": b"spaces\n",
    "srv/\xfcmlaut".encode("latin-1").decode("utf-8", "surrogateescape"): b"no UTF-8\n",
    "boot/vmlinuz-6.1.0": b"kernel\n",
}


def fill(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    """A machine's files in a folder, with a link of each kind."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in ("proc", "tmp", "usr/sbin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, target in (("bin", "usr/bin"), ("sbin", "usr/sbin"), ("etc/long", "../" * 30 + "srv/large")):
        (folder / name).symlink_to(target)
    (folder / "usr/sbin/init").symlink_to("../lib/systemd/systemd")
    (folder / "srv/twin").hardlink_to(folder / "home/anna/notes")
    (folder / "etc/shadow").chmod(0o640)
    (folder / "usr/bin/ping").chmod(0o4755)
    return folder


def ext4(out: Path, folder: Path, *words: str, kind: str = "ext4", size: int = 24 * MIB) -> Path:
    """A file system of a folder's files, with owners, attributes and a device that only root could make in a folder."""
    script = out.with_suffix(".capability")
    script.write_bytes(CAPABILITY)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", kind, *words, "-d", folder, out, f"{size // 1024}k"], check=True, env=_ENVIRONMENT
    )
    debugfs(
        out,
        f"ea_set -f {script} /usr/bin/ping security.capability",
        "ea_set /srv/large user.colour blue",
        "sif /home/anna/notes uid 70000",
        "sif /home/anna/notes gid 1000",
        "sif /etc/shadow uid 0",
        "cd /srv",
        "mknod null c 1 3",
        "mknod pipe p",
    )
    return out


_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def debugfs(image: Path, *commands: str) -> None:
    """Change a file system by debugfs."""
    text = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(["debugfs", "-w", "-f", "-", image], input=text, text=True, capture_output=True, check=True)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
    assert not errors, errors


def disk(out: Path, parts: Sequence[tuple[str, bytes | Path]], label: str = "gpt") -> Path:
    """A disk with these partitions: sfdisk's name of the type, and what is in it."""
    contents = [part.read_bytes() if isinstance(part, Path) else part for _, part in parts]
    sizes = [max(MIB, -(-len(content) // MIB) * MIB) for content in contents]
    with out.open("wb") as file:
        file.truncate(sum(sizes) + 3 * MIB)
    starts = [MIB + sum(sizes[:number]) for number in range(len(sizes))]
    lines = [
        f"start={start // 512}, size={size // 512}, type={kind}"
        for (kind, _), start, size in zip(parts, starts, sizes, strict=True)
    ]
    script = "\n".join([f"label: {label}", *lines])
    subprocess.run(["sfdisk", "-q", out], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    with out.open("r+b") as file:
        for content, start in zip(contents, starts, strict=True):
            file.seek(start)
            file.write(content)
    return out


def take(
    what: Path | str,
    out: Path,
    rules: Rules | None = None,
    *,
    slot: str | None = None,
    partition: int | None = None,
    port: int | None = None,
    key: str | None = None,
    options: Sequence[str] = (),
) -> Captured:
    """Capture, with the rules that come with Ovenbird unless others are given."""
    request = Request(
        str(what), out, rules or read_rules(), slot=slot, partition=partition, port=port, key=key, options=options
    )
    return capture(request, QuietProgress())


def members(captured: Captured) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """What a tarball has, by absolute path, as Python reads it."""
    plain = subprocess.run(["zstd", "-dcq", captured.tarball], check=True, capture_output=True).stdout
    found: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        for info in archive:
            stream = archive.extractfile(info) if info.isfile() else None
            found[info.name.removeprefix(".")] = (info, stream.read() if stream else b"")
    return found
