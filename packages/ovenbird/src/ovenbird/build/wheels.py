"""Python libraries as wheels, installed by uv for a target's architecture and Python: nothing of the target is run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ovenbird.run import run

# The newest C library that a wheel may ask for, by the release: glibc 2.41 in trixie, 2.36 in bookworm.
GLIBC = {"trixie": "2_40", "bookworm": "2_36"}
_PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}
# What differs from one installation to the next, and only serves to undo it.
_RECORDS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")


def uv() -> Path | str:
    """The program uv: the one that was installed with Ovenbird, else the one in PATH."""
    beside = Path(sys.executable).with_name("uv")
    return beside if beside.exists() else "uv"


def platform(architecture: str, glibc: str) -> str | None:
    """What uv calls a target; None if there is no name for it."""
    processor = _PROCESSORS.get(architecture)
    return f"{processor}-manylinux_{glibc}" if processor else None


def install(
    target: Path,
    wanted: Sequence[str | Path],
    *,
    platform: str,
    python: str,
    what: str,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Install what uv's words name into the folder `target`, and leave there only what counts.

    Raises CommandError with uv's own words.
    """
    run(
        [
            uv(), "pip", "install", "--quiet", "--target", target, "--no-config",
            "--python-platform", platform, "--python-version", python, "--link-mode", "copy",
            "--only-binary", ":all:", "--no-compile-bytecode", *wanted,
        ],
        on_line=on_line,
        what=what,
    )  # fmt: skip
    tidy(target)


def tidy(target: Path) -> None:
    """Take away what an installation leaves that differs from one to the next, or names this machine's Python."""
    (target / ".lock").unlink(missing_ok=True)
    programs = target / "bin"
    if programs.is_dir():
        for program in programs.iterdir():
            with program.open("rb") as stream:
                if stream.read(2) == b"#!":
                    program.unlink()
        if not any(programs.iterdir()):
            programs.rmdir()
    for info in target.glob("*.dist-info"):
        for name in _RECORDS:
            (info / name).unlink(missing_ok=True)
    for compiled in list(target.rglob("__pycache__")):
        shutil.rmtree(compiled)
