"""A device as `ovenbird update` and `ovenbird slots` need it: its slots, and bundles sent to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from ovenbird.deliver.link import CONNECT, GLANCE, Link
from ovenbird_device.slots.status import Status
from ovenbird_device.web.update.status import UpdateStatus

CHUNK = 1 << 18
_VERDICT = 900.0
"""Seconds in which a device must have verified what it has got: a slow card reads 10 MB/s, a root has some GB."""
_STALL = 300.0  # seconds in which a device must take the next bytes; a slow card flushes that long

Advance = Callable[[int, int], None]
"""Told how many bytes of how many have been sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an interrupted upload goes on."""

    id: str
    offset: int


class _Judged(msgspec.Struct, frozen=True):
    state: str


class _Health(msgspec.Struct, frozen=True):
    """What is used of the answer of `/health`."""

    system: _Judged | None = None


class Device(Link):
    """A device that is updated."""

    def check(self) -> UpdateStatus:
        """How updates stand, asked with the password: PasswordError if it is wrong."""
        return self.value(self.send("GET", "/update"), UpdateStatus)

    def status(self) -> UpdateStatus:
        """How updates stand. Asked without the password, whose check costs a small device a second of its time."""
        return self.value(self.send("GET", "/update", timeout=httpx.Timeout(GLANCE), signed=False), UpdateStatus)

    def has_judged(self) -> bool:
        """Whether the device has judged this boot, so that nothing more will be written down about the last one."""
        answer = self.send("GET", "/health", timeout=httpx.Timeout(GLANCE), signed=False)
        judged = self.value(answer, _Health).system
        return judged is not None and judged.state in ("good", "unhealthy", "committed")

    def slots(self) -> Status:
        """Both slots."""
        return self.value(self.send("GET", "/slots"), Status)

    def decide(self, order: str, *, reboot: bool = False) -> Status:
        """`commit`, `rollback`, or `try` the other slot (again)."""
        return self.value(self.send("POST", f"/slots/{order}", {"reboot": str(int(reboot))}), Status)

    def rescue(self) -> None:
        """Restart into rescue."""
        self.send("POST", "/slots/rescue")

    def upload(
        self, file: Path, wishes: Mapping[str, bool], advance: Advance, place: Place | None = None
    ) -> UpdateStatus:
        """Send a bundle, or the rest of it from `place`; returns when its trial is armed.

        NetworkError when the connection breaks: the device then waits for the rest.
        """
        size, offset = file.stat().st_size, place.offset if place else 0
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size - offset)}
        if place:
            headers |= {"Upload-Id": place.id, "Upload-Offset": str(offset)}
        query = {name: str(int(value)) for name, value in wishes.items()}
        timeout = httpx.Timeout(_VERDICT, connect=CONNECT, write=_STALL)
        pieces = _pieces(file, offset, size, advance)
        return self.value(self.send("POST", "/update", query, headers, pieces, timeout), UpdateStatus)


def _pieces(file: Path, offset: int, size: int, advance: Advance) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(offset)
        while data := stream.read(CHUNK):
            yield data
            offset += len(data)
            advance(offset, size)
