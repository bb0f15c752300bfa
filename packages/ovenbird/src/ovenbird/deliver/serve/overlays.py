"""Overlays that are files of the server: found under a URL that names their content, which the client verifies."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from ovenbird.errors import from_os_error
from ovenbird.files import sha256_of

_lock = threading.Lock()
_sums: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True, slots=True)
class Overlay:
    """One file."""

    path: Path

    @property
    def sha256(self) -> str:
        """The sum of its content as it is now; read again only when the file has changed. Raises OvenbirdError."""
        try:
            facts = self.path.stat()
            key = (str(self.path), facts.st_mtime_ns, facts.st_size)
            with _lock:
                if key not in _sums:
                    _sums[key] = sha256_of(self.path)
                return _sums[key]
        except OSError as error:
            raise from_os_error(error) from error

    @property
    def place(self) -> str:
        """Its path below /overlays/: other content has another one."""
        return f"{self.sha256[:16]}/{self.path.name}"


def address_of(written: str, base: str) -> str:
    """The URL of an overlay as the settings have it: a URL, or an absolute path, whose content is named with it."""
    if "://" in written:
        return written
    overlay = Overlay(Path(written))
    return f"{base}/overlays/{overlay.place}#sha256={overlay.sha256}"
