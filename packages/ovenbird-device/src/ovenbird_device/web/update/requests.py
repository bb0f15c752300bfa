"""A request that carries a bundle: what it wants, and its bytes, raw or out of a form, never all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ...steward.protocol import Update as Order
from .intake import SILENCE
from .multipart import Multipart, MultipartError, boundary_of

LARGEST = 8 << 30
"""Bytes of the largest upload: two images of less than 4 GiB each."""
_YES = ("1", "true", "yes", "on")


class CutError(Exception):
    """The sender went away in the middle."""


class Body(msgspec.Struct):
    """The bundle in a request's body."""

    request: Request
    form: Multipart | None
    size: int | None
    """Bytes of the body, if it is the bundle itself and says so."""
    _kept: list[bytes] = msgspec.field(default_factory=list[bytes])
    _over: bool = False

    @classmethod
    def of(cls, request: Request) -> Body:
        """Look at the head only. Raises HTTPException for what cannot be a bundle."""
        length = request.headers.get("content-length")
        size = int(length) if length is not None and length.isascii() and length.isdigit() else None
        if size is not None and size > LARGEST:
            raise HTTPException(413, "That is too large for a bundle.")
        try:
            boundary = boundary_of(request.headers.get("content-type", ""))
        except MultipartError as error:
            raise HTTPException(400, str(error)) from error
        if boundary is not None:
            return cls(request, Multipart(boundary), None)
        if size == 0:
            raise HTTPException(400, "There is no bundle in this request.")
        return cls(request, None, size)

    async def start(self) -> Mapping[str, str]:
        """Read a form up to its file, and return the fields that came before. Raises CutError and MultipartError."""
        if self.form is None:
            return {}
        while self.form.filename is None:
            data = await self._receive()
            if data is None:
                self.form.end()
                break
            self._kept += self.form.feed(data)
        return self.form.fields

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bundle's bytes as they come. Raises CutError and MultipartError."""
        for piece in self._kept:
            yield piece
        self._kept = []
        taken = 0
        while (data := await self._receive()) is not None:
            taken += len(data)
            if taken > LARGEST:
                raise MultipartError("That is too large for a bundle.")
            for piece in [data] if self.form is None else self.form.feed(data):
                yield piece
        if self.form is not None:
            self.form.end()

    async def _receive(self) -> bytes | None:
        """The next bytes of the body; None at its end."""
        if self._over:
            return None
        try:
            message = await asyncio.wait_for(self.request.receive(), SILENCE)
        except TimeoutError as error:
            raise CutError from error
        if message["type"] != "http.request":
            raise CutError
        self._over = not message.get("more_body", False)
        data: bytes = message.get("body", b"")
        return data


def order_of(values: Mapping[str, str], size: int | None, by: str) -> Order:
    """What the query or the form asks for."""

    def said(name: str, default: bool = False) -> bool:
        return values[name].lower() in _YES if name in values else default

    return Order(
        size=size,
        allow_downgrade=said("allow_downgrade"),
        force=said("force"),
        trial_only=said("trial_only"),
        reboot=said("reboot", True),
        by=by,
    )


def place_of(request: Request) -> tuple[str, int] | None:
    """The job and the offset at which an upload goes on; None for one from the beginning. Raises HTTPException."""
    text = request.headers.get("upload-offset")
    identity = request.headers.get("upload-id", "")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise HTTPException(400, "Upload-Offset must be a number of bytes.")
    if int(text) == 0 and not identity:
        return None
    if not identity:
        raise HTTPException(400, "Upload-Offset needs Upload-Id: the job's id, as GET /update tells it.")
    return identity, int(text)
