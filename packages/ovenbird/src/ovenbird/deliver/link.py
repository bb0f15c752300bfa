"""A device over HTTP: one connection, typed answers, and one kind of error for each kind of trouble: the network
(NetworkError), or the device's own no (DeviceError).
"""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec

from ovenbird.deliver import trust
from ovenbird.deliver.target import USER, Target
from ovenbird.errors import NetworkError, OvenbirdError

CONNECT, ANSWER, GLANCE = 8.0, 60.0, 15.0
"""Seconds for a connection, for an answer, and for one that costs the device nothing."""
_Value = TypeVar("_Value")


class DeviceError(OvenbirdError):
    """The device said no. `reason` is for programs (see the device's `update.policy.Reason`)."""

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.status = status


class PasswordError(DeviceError):
    """The password is missing or wrong."""


class _Ways(msgspec.Struct):
    """What is used of the answer of `/status`."""

    https: int | None = None
    https_only: bool = False


class _Trouble(msgspec.Struct):
    error: str = ""
    hint: str | None = None
    reason: str = ""


class Link:
    """A connection to a device; a context manager. Methods raise NetworkError and DeviceError."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._asked = target.secure or target.explicit  # whether it is known by what the device wants to be reached
        self._client: httpx.Client | None = None

    def _open(self) -> httpx.Client:
        """The client, made when it is needed first: by HTTPS, the device is looked at then."""
        if self._client is not None:
            return self._client
        target = self.target
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
            timeout=httpx.Timeout(ANSWER, connect=CONNECT),
            transport=httpx.HTTPTransport(
                verify=trust.context(target) if target.secure else True, socket_options=options
            ),
            trust_env=False,  # a proxy for the internet does not lead to a device in the house
        )
        return self._client

    def _ask_first(self) -> None:
        """Find out whether the device wants HTTPS only, before it is sent a password or a bundle in clear."""
        if self._asked:
            return
        self._asked = True
        try:
            said = msgspec.json.decode(self._open().get("/status", auth=None).content, type=_Ways)
        except (httpx.HTTPError, msgspec.MsgspecError):
            return  # What comes next will say it.
        if said.https_only and said.https:
            self._go_secure(said.https)

    def _go_secure(self, port: int) -> None:
        """Reach the device by HTTPS from now on."""
        self.close()
        self.target = replace(self.target, secure=True, port=port)

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: Iterator[bytes] | None = None,
        timeout: httpx.Timeout | None = None,
        signed: bool = True,
        form: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A whole answer, if it is a yes. Not `signed`: without the password, whose check costs a small device a
        second of its time.
        """
        if signed or content is not None or form is not None:
            self._ask_first()
        try:
            answer = self._open().request(
                method,
                path,
                params=query,
                headers=headers,
                content=content,
                data=form,
                timeout=timeout or httpx.USE_CLIENT_DEFAULT,
                auth=httpx.USE_CLIENT_DEFAULT if signed else None,
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code == 308 and not self._asked:
            self._ask_first()
            return self.send(method, path, query, headers, content, timeout, signed, form)
        if answer.status_code < 300:
            return answer
        if answer.status_code == 308:
            where = self.target.host
            raise DeviceError(f"{self.target.name} answers by HTTPS only", hint=f"name it as https://{where}")
        raise self._refusal(answer)

    @contextmanager
    def stream(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], *, signed: bool = True
    ) -> Generator[Iterator[bytes]]:
        """The pieces of an answer as they come, for as long as they come."""
        timeout = httpx.Timeout(ANSWER, connect=CONNECT, read=None)
        auth = httpx.USE_CLIENT_DEFAULT if signed else None
        self._ask_first()
        try:
            with self._open().stream("GET", path, params=query, headers=headers, timeout=timeout, auth=auth) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise self._refusal(answer)
                yield self._pieces(answer)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _pieces(self, answer: httpx.Response) -> Iterator[bytes]:
        try:
            yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def value(self, answer: httpx.Response, kind: type[_Value]) -> _Value:
        """What an answer says."""
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise DeviceError(
                f"{self.target.name} does not answer as an Ovenbird device of this version does: {error}"
            ) from error

    def _unreachable(self, error: httpx.HTTPError) -> NetworkError:
        return NetworkError(f"{self.target.name} does not answer: {_words(error)}")

    def _refusal(self, answer: httpx.Response) -> DeviceError:
        try:
            said = msgspec.json.decode(answer.content, type=_Trouble)
        except msgspec.MsgspecError:
            said = _Trouble(f"it answered {answer.status_code} {answer.reason_phrase}; is it an Ovenbird device?")
        kind = PasswordError if answer.status_code in (401, 429) else DeviceError
        return kind(f"{self.target.name}: {said.error}", hint=said.hint, reason=said.reason, status=answer.status_code)


def _words(error: httpx.HTTPError) -> str:
    text = str(error) or type(error).__name__
    return {"ConnectTimeout": f"no connection within {CONNECT:.0f} s", "ReadTimeout": "no answer in time"}.get(
        type(error).__name__, text[:1].lower() + text[1:]
    )
