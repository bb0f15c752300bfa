"""A device over HTTP, as `ovenbird update` and `ovenbird slots` need it: typed answers, and one kind of error for each
kind of trouble: the network (NetworkError), or the device's own no (DeviceError).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
import msgspec

from ovenbird.deliver.target import USER, Target
from ovenbird.errors import NetworkError, OvenbirdError
from ovenbird_device.slots.manage import Status
from ovenbird_device.web.update.status import UpdateStatus

CHUNK = 1 << 18
_VERDICT = 900.0
"""Seconds in which a device must have verified what it has got: a slow card reads 10 MB/s, a root has some GB."""
_STALL = 300.0  # seconds in which a device must take the next bytes; a slow card flushes that long
_ANSWER, _GLANCE = 60.0, 15.0
_Value = TypeVar("_Value")

Advance = Callable[[int, int], None]
"""Told how many bytes of how many have been sent."""


class DeviceError(OvenbirdError):
    """The device said no. `reason` is for programs (see the device's `update.policy.Reason`)."""

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.status = status


class PasswordError(DeviceError):
    """The password is missing or wrong."""


class _Trouble(msgspec.Struct):
    error: str = ""
    hint: str | None = None
    reason: str = ""


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


class Device:
    """A device; a context manager. Methods raise NetworkError and DeviceError."""

    def __init__(self, target: Target) -> None:
        self.target = target
        auth = None if target.password is None else (target.user or USER, target.password)
        # Keep-alive probes find out about a network that is gone while the device is busy and we only wait.
        options = [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
        ]
        self._client = httpx.Client(
            base_url=target.url,
            auth=auth,
            headers={"Accept": "application/json"},
            timeout=httpx.Timeout(_ANSWER, connect=8.0),
            transport=httpx.HTTPTransport(socket_options=options),
            trust_env=False,  # a proxy for the internet does not lead to a device in the house
        )

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def check(self) -> UpdateStatus:
        """How updates stand, asked with the password: PasswordError if it is wrong."""
        return self._value(self._send("GET", "/update"), UpdateStatus)

    def status(self) -> UpdateStatus:
        """How updates stand. Asked without the password, whose check costs a small device a second of its time."""
        return self._value(self._send("GET", "/update", timeout=httpx.Timeout(_GLANCE), signed=False), UpdateStatus)

    def has_judged(self) -> bool:
        """Whether the device has judged this boot, so that nothing more will be written down about the last one."""
        answer = self._send("GET", "/health", timeout=httpx.Timeout(_GLANCE), signed=False)
        judged = self._value(answer, _Health).system
        return judged is not None and judged.state in ("good", "unhealthy", "committed")

    def slots(self) -> Status:
        """Both slots."""
        return self._value(self._send("GET", "/slots"), Status)

    def decide(self, order: str, *, reboot: bool = False) -> Status:
        """`commit`, `rollback`, or `try` the other slot (again)."""
        return self._value(self._send("POST", f"/slots/{order}", {"reboot": str(int(reboot))}), Status)

    def rescue(self) -> None:
        """Restart into rescue."""
        self._send("POST", "/slots/rescue")

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
        timeout = httpx.Timeout(_VERDICT, connect=8.0, write=_STALL)
        pieces = _pieces(file, offset, size, advance)
        return self._value(self._send("POST", "/update", query, headers, pieces, timeout), UpdateStatus)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: Iterator[bytes] | None = None,
        timeout: httpx.Timeout | None = None,
        signed: bool = True,
    ) -> httpx.Response:
        try:
            answer = self._client.request(
                method,
                path,
                params=query,
                headers=headers,
                content=content,
                timeout=timeout or httpx.USE_CLIENT_DEFAULT,
                auth=httpx.USE_CLIENT_DEFAULT if signed else None,
            )
        except httpx.HTTPError as error:
            raise NetworkError(f"{self.target.name} does not answer: {_words(error)}") from error
        if answer.status_code < 400:
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: httpx.Response) -> DeviceError:
        try:
            said = msgspec.json.decode(answer.content, type=_Trouble)
        except msgspec.MsgspecError:
            said = _Trouble(f"it answered {answer.status_code} {answer.reason_phrase}; is it an Ovenbird device?")
        kind = PasswordError if answer.status_code in (401, 429) else DeviceError
        return kind(f"{self.target.name}: {said.error}", hint=said.hint, reason=said.reason, status=answer.status_code)

    def _value(self, answer: httpx.Response, kind: type[_Value]) -> _Value:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise DeviceError(f"{self.target.name} is not an Ovenbird device that takes updates: {error}") from error


def _pieces(file: Path, offset: int, size: int, advance: Advance) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(offset)
        while data := stream.read(CHUNK):
            yield data
            offset += len(data)
            advance(offset, size)


def _words(error: httpx.HTTPError) -> str:
    text = str(error) or type(error).__name__
    return {"ConnectTimeout": "no connection within 8 s", "ReadTimeout": "no answer in time"}.get(
        type(error).__name__, text[:1].lower() + text[1:]
    )
