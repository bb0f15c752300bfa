"""The packages of an image in the manner of Arch Linux: pacman's own database in a real squashfs."""

from __future__ import annotations

from pathlib import Path

from ovenbird.image.packages import Installed, installed_packages
from ovenbird.run import run


def test_pacman_s_database(tmp_path: Path) -> None:
    packages = {
        "kmod": ("34-1", "x86_64", 120),
        "python": ("3.13.5-1", "x86_64", 4000),
        "tzdata": ("2025b-1", "any", 7),
    }
    for name, (version, architecture, size) in packages.items():
        folder = tmp_path / f"root/var/lib/pacman/local/{name}-{version}"
        folder.mkdir(parents=True)
        fields = {"NAME": name, "VERSION": version, "DESC": "a\nline", "ARCH": architecture, "SIZE": str(size)}
        (folder / "desc").write_text("".join(f"%{key}%\n{value}\n\n" for key, value in fields.items()))
    (tmp_path / "root/var/lib/pacman/local/ALPM_DB_VERSION").write_text("9\n")
    run(["mksquashfs", tmp_path / "root", tmp_path / "root.squashfs", "-quiet", "-no-progress"])
    found = installed_packages(tmp_path / "root.squashfs")
    assert found == tuple(Installed(name, *rest) for name, rest in packages.items())


def test_a_root_with_neither(tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    run(["mksquashfs", tmp_path / "root", tmp_path / "root.squashfs", "-quiet", "-no-progress"])
    assert installed_packages(tmp_path / "root.squashfs") == ()
