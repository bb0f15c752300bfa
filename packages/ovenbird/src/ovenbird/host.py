"""What Ovenbird needs of the machine that it runs on: programs, by the Debian package that brings each of them.

One list serves `ovenbird doctor`, the errors for a missing program, and the project's own set-up script.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

# Program -> Debian package. GRUB's folders and the firmware of the virtual machine are files, see FILES.
TOOLS: dict[str, str] = {
    "apt-get": "apt",
    "buildah": "buildah",
    "cmp": "diffutils",
    "debugfs": "e2fsprogs",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "grub-mkimage": "grub-common",
    "lsblk": "util-linux",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "openssl": "openssl",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "unshare": "util-linux",
    "unsquashfs": "squashfs-tools",
    "zstd": "zstd",
}
# What only some recipes need: a program -> the Debian package that brings it.
SOMETIMES: dict[str, str] = {
    "dnsmasq": "dnsmasq-base",
    "dtc": "device-tree-compiler",
    "go": "golang-go",
    "gpg": "gnupg",
    "pacman": "pacman-package-manager",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-x86_64-static": "qemu-user-static",
}
FILES: dict[tuple[str, ...], str] = {
    ("/usr/share/OVMF/OVMF_CODE_4M.fd",): "ovmf",
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"): (
        "debian-archive-keyring"
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: fine, or missing with the command that mends it."""

    name: str
    fine: bool
    detail: str
    remedy: str | None = None


def missing_tool_hint(tool: str) -> str:
    """The exact command that brings a missing program."""
    name = Path(tool).name
    if name == "uv":
        return "pip install uv (it comes with Ovenbird)"
    package = TOOLS.get(name) or SOMETIMES.get(name)
    return f"sudo apt-get install {package}" if package else f"install the program {tool}"


def packages() -> list[str]:
    """All Debian packages that a build and a boot need on this machine, sorted."""
    return sorted({*TOOLS.values(), *FILES.values()})


def find_tool(tool: str) -> str | None:
    """Where a program is; looks into the system's administration folders too, which users often lack in PATH, and
    beside our own Python, where what comes with Ovenbird is.
    """
    beside = str(Path(sys.executable).parent)
    return shutil.which(tool) or shutil.which(tool, path=f"/usr/local/sbin:/usr/sbin:/sbin:{beside}")


def spare_memory() -> int:
    """Bytes of memory that may be used without pushing anything out: what the kernel and our control groups leave."""
    available = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    spare = int(available[1]) * 1024 if available else 0
    with contextlib.suppress(OSError):  # A kernel without control groups.
        groups = Path("/proc/self/cgroup").read_text().splitlines()
        own = Path("/sys/fs/cgroup") / next((line[4:] for line in groups if line.startswith("0::/")), "")
        for folder in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # No limit is written as "max".
                limit = int((folder / "memory.max").read_text())
                spare = min(spare, limit - int((folder / "memory.current").read_text()))
    return max(0, spare)


def examine() -> list[Finding]:
    """Look at this machine and say what is there and what is missing. Starts no program."""
    findings = [_tool(tool, package) for tool, package in sorted(TOOLS.items())]
    for paths, package in FILES.items():
        found = next((path for path in paths if Path(path).exists()), None)
        findings.append(
            Finding(
                package,
                found is not None,
                found or f"{paths[0]} is missing",
                None if found else f"sudo apt-get install {package}",
            )
        )
    findings.append(_subordinate_ids())
    findings.append(_user_namespaces())
    return findings


def _tool(tool: str, package: str) -> Finding:
    path = find_tool(tool)
    if path:
        return Finding(tool, True, path)
    return Finding(tool, False, f"not installed (package {package})", f"sudo apt-get install {package}")


def _subordinate_ids() -> Finding:
    """An ordinary user needs 65,536 subordinate user and group ids so that a tree can have owners."""
    name = "subordinate ids"
    if os.geteuid() == 0:
        return Finding(name, True, "not needed by root")
    user = getpass.getuser()
    remedy = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        counts = [
            int(fields[2])
            for line in (file.read_text().splitlines() if file.exists() else [])
            if len(fields := line.split(":")) == 3 and fields[0] in (user, str(os.geteuid())) and fields[2].isdecimal()
        ]
        if not counts or max(counts) < 65536:
            return Finding(name, False, f"{file} gives {user} fewer than 65536", remedy)
    return Finding(name, True, f"65536 or more for {user}")


def _user_namespaces() -> Finding:
    """Some kernels forbid user namespaces to ordinary users."""
    name = "user namespaces"
    if os.geteuid() == 0:
        return Finding(name, True, "not needed by root")
    for setting, forbidden in (
        ("kernel/unprivileged_userns_clone", "0"),
        ("user/max_user_namespaces", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        file = Path("/proc/sys") / setting
        if file.exists() and file.read_text().strip() == forbidden:
            key = setting.replace("/", ".")
            allowed = {"0": "1", "1": "0"}[forbidden] if "max" not in key else "15000"
            return Finding(name, False, f"{key} is {forbidden}", f"sudo sysctl -w {key}={allowed}")
    return Finding(name, True, "allowed")


def remedies(missing: list[Finding]) -> list[str]:
    """The commands that mend what is missing, all packages in one."""
    install = "sudo apt-get install "
    wanted = sorted({f.remedy.removeprefix(install) for f in missing if f.remedy and f.remedy.startswith(install)})
    others = [f.remedy for f in missing if f.remedy and not f.remedy.startswith(install)]
    return [*([install + " ".join(wanted)] if wanted else []), *others]
