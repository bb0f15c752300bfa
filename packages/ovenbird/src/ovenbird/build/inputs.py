"""What goes into a step, in a form that a key can be computed from and a person can be told about.

Every input has a name that a user understands ("file motd", "package zlib1g"), so that `build --explain` can say which
one changed.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from ovenbird.base.apt import Package
from ovenbird.errors import HostError
from ovenbird.files import sha256_of, write_atomically
from ovenbird.host import find_tool, missing_tool_hint
from ovenbird.run import run

# How each tool says its version, where that is not `--version`.
VERSION_WORDS = {"go": "version", "mke2fs": "-V", "mksquashfs": "-version", "mkfs.vfat": "--help"}


def text_digest(text: str) -> str:
    """A short digest of a text, for an input's value."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_digest(file: Path) -> str:
    """A short digest of a file's content and of what else of it counts: whether it may be run, or where it links to."""
    if file.is_symlink():
        return f"link {file.readlink()}"
    run_bit = "x" if file.stat().st_mode & stat.S_IXUSR else "-"
    return f"{run_bit} {sha256_of(file)[:24]}"


def folder_files(folder: Path) -> dict[str, Path]:
    """All files and links below a folder by their relative path, sorted; folders themselves do not count."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(folder)): path for path in sorted(found) if "__pycache__" not in path.parts}


def file_inputs(files: Mapping[str, Path]) -> dict[str, str]:
    """One input a file."""
    return {f"file {name}": file_digest(path) for name, path in files.items()}


def package_inputs(packages: Iterable[Package]) -> dict[str, str]:
    """One input a package: its version and content."""
    return {f"package {package.name}": f"{package.version} {package.sha256[:16]}" for package in packages}


class Tools:
    """The versions of the host's tools, remembered by their files: asking thirty programs takes longer than a plan."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        try:
            self._known = msgspec.json.decode(memory.read_bytes(), type=dict[str, str])
        except (FileNotFoundError, msgspec.DecodeError):
            self._known = {}

    def inputs(self, *tools: str) -> dict[str, str]:
        """One input a tool. Raises HostError for one that is missing."""
        return {f"tool {tool}": self.version(tool) for tool in tools}

    def version(self, tool: str) -> str:
        """What a tool says of its version."""
        path = find_tool(tool) or shutil.which(tool)
        if path is None:
            raise HostError(f"{tool} is not installed", hint=missing_tool_hint(tool))
        status = Path(path).resolve().stat()
        identity = f"{path} {status.st_size} {status.st_mtime_ns}"
        if identity not in self._known:
            completed = run([path, VERSION_WORDS.get(tool, "--version")], check=False)
            lines = (completed.stdout + completed.stderr).strip().splitlines()
            self._known[identity] = lines[0].strip() if lines else "unknown"
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._memory, msgspec.json.encode(self._known))
        return self._known[identity]
