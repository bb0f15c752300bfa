"""The agent's way to the steward: one request, one answer, one connection. Nothing else in the agent opens it."""

import asyncio
from pathlib import Path

import msgspec

from .protocol import LINE_LIMIT, Answer, Request, decode_answer, encode

_PATIENCE = 20.0


class StewardError(Exception):
    """The steward is not there, does not answer, or refused."""


async def ask(socket: Path, request: Request) -> None:
    """Have the steward do `request`. Raises StewardError with a sentence for people when it did not."""
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await _exchange(socket, request)
    except TimeoutError as error:
        raise StewardError("The device's steward does not answer.") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise StewardError(f"The device's steward cannot be reached: {error}") from error
    if not answer.ok:
        raise StewardError(answer.error or "The device's steward refused.")


async def _exchange(socket: Path, request: Request) -> Answer:
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=LINE_LIMIT)
    try:
        writer.write(encode(request))
        await writer.drain()
        return decode_answer(await reader.readline())
    finally:
        writer.close()
