"""The step `device`: what every tree carries for Ovenbird, put on the base before the stages.

The kernel's modules, the agent with its libraries for the target's Python, its units, and the standing network and
mount points. It comes before the stages, so that they find it and a change in the last of them repeats none of this.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from ovenbird.base.apt import Package
from ovenbird.build import compiled, wheels
from ovenbird.build.inputs import folder_files
from ovenbird.build.kernel import KernelFiles
from ovenbird.errors import BuildError, NetworkError
from ovenbird.run import CommandError

# What the agent and the initrd's hand-over need, beside the start of a base. Without libidn2, which it only recommends,
# systemd-resolved takes "linux" for the name of each device, and announces it by that. Without login (trixie's base has
# none) consoles ask who it is and then let nobody in.
PACKAGES = (
    "ca-certificates", "dbus", "e2fsprogs", "iproute2", "kmod", "libidn2-0", "libnss-resolve", "login", "openssl",
    "python3", "systemd-resolved", "systemd-sysv", "systemd-timesyncd", "udev",
)  # fmt: skip
PLATFORMS = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
# For 32-bit ARM nobody publishes wheels, and uv has no name for it: what cannot do without its part in C is compiled
# (`compiled`), and all else is of Python alone. One that does without its compiled part (markupsafe) goes without.
ANY_PLATFORM = PLATFORMS["arm64"]
HOME = "usr/lib/ovenbird"
LOCK = "requirements.lock"

# Compiling here, natively, saves the device from doing it at each boot of its read-only root: the page's templates
# (with `-B`, as what that leaves compiled would not be done again), then all modules; `unchecked-hash` needs no times.
# `preset-all` would enable what the packages left off, so only our own presets are applied.
CONTAINERFILE = f"""\
COPY files/ /
RUN set -eu; \\
    PYTHONPATH=/{HOME} python3 -P -S -B -m ovenbird_device.web.engine; \\
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /{HOME}; \\
    if [ -d /usr/lib/sysusers.d ]; then systemd-sysusers; fi; \\
    cd /{HOME}/ovenbird_device/units; systemctl preset $(ls | grep -E '^[^@]+\\.(service|socket|timer|path)$'); \\
    systemctl enable systemd-networkd systemd-resolved systemd-timesyncd; \\
    systemctl set-default multi-user.target
"""


def device_package() -> Path:
    """The folder of the device package on this machine."""
    return Path(str(resources.files("ovenbird_device")))


def device_files() -> dict[str, Path]:
    """The device package's files that go into an image."""
    return folder_files(device_package())


def locked_requirements() -> str:
    """The agent's libraries, with their versions and hashes."""
    return (device_package() / LOCK).read_text()


def python_version(packages: Sequence[Package]) -> str:
    """The target's Python ("3.13") out of the packages of its base. Raises BuildError where there is none."""
    for package in packages:
        if found := re.fullmatch(r"libpython(3\.\d+)-minimal", package.name):
            return found[1]
    raise BuildError("the base has no Python for the agent", hint="use a release with Python 3.11 or newer")


def lay_out_device(
    context: Path,
    *,
    kernel: KernelFiles,
    architecture: str,
    python: str,
    libraries: Mapping[str, Path] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Fill the context of the device step, to be settled. Raises NetworkError where the libraries cannot be had.

    `libraries` are the folders of those that were compiled for the architecture, by their names.
    """
    root = context / "files"
    home = root / HOME
    home.mkdir(parents=True)
    if libraries:
        with tempfile.TemporaryDirectory() as folder:
            requirements = Path(folder) / LOCK
            requirements.write_text(compiled.without(locked_requirements(), set(libraries)))
            _install_libraries(home, ANY_PLATFORM, python, requirements, on_line)
        leave_python(home)
        for made in libraries.values():
            shutil.copytree(made / compiled.FILES, home, dirs_exist_ok=True)
    else:
        _install_libraries(home, PLATFORMS[architecture], python, device_package() / LOCK, on_line)
    for name, source in device_files().items():
        target = home / "ovenbird_device" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o644)
    units = home / "ovenbird_device" / "units"
    for file in sorted(units.iterdir()):
        target = root / "usr/lib" / _place(file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.copytree(kernel.modules, root / "usr/lib/modules" / kernel.version, symlinks=True)
    for name in ("data", "boot"):
        (root / name).mkdir()


def _place(name: str) -> str:
    """Where a file of the units folder belongs below /usr/lib: "ovenbird.sysusers.conf" in sysusers.d, and so on."""
    for kind in ("sysusers", "tmpfiles"):
        if name.endswith(f".{kind}.conf"):
            return f"{kind}.d/{name.removesuffix(f'.{kind}.conf')}.conf"
    if name.endswith(".dnssd"):
        return f"systemd/dnssd/{name}"
    return f"systemd/system-preset/{name}" if name.endswith(".preset") else f"systemd/system/{name}"


def leave_python(home: Path) -> None:
    """Take away what is compiled among installed wheels, and what says that they are for an architecture."""
    for made in list(home.rglob("*.so")):
        made.unlink()
    for about in home.glob("*.dist-info/WHEEL"):
        if not re.search(r"^Tag: \S+-none-any$", about.read_text(), re.MULTILINE):
            about.unlink()


def _install_libraries(
    home: Path, platform: str, python: str, requirements: Path, on_line: Callable[[str], None] | None
) -> None:
    """Install the locked wheels for the target's architecture and Python; nothing of the target is run."""
    try:
        wheels.install(
            home,
            ("--no-deps", "--require-hashes", "--requirement", requirements),
            platform=platform,
            python=python,
            what="the agent's libraries",
            on_line=on_line,
        )
    except CommandError as error:
        raise NetworkError(error.message, hint="look at the network, and run the same command again") from error
    shutil.rmtree(home / "bin", ignore_errors=True)
