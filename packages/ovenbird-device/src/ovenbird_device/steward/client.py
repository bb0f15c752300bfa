"""The agent's way to the steward: one request, one answer, one connection. Nothing else in the agent opens it."""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from ..slots.manage import Status
from ..update import job
from .protocol import (
    Answer,
    Arm,
    Commit,
    Request,
    Rollback,
    SlotsStatus,
    Update,
    UpdateAbort,
    UpdateResume,
    UpdateStatus,
    decode_answer,
    encode,
)

_PATIENCE = 60.0  # longer than anything that the steward itself waits for
_ANSWER_LIMIT = 1 << 16


class StewardError(Exception):
    """The steward is not there, does not answer, or refused; then `reason` may say why, for programs."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


async def ask(socket: Path, request: Request) -> Answer:
    """Have the steward do `request`. Raises StewardError with a sentence for people when it did not."""
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await _exchange(socket, request)
    except TimeoutError as error:
        raise StewardError("The device's steward does not answer.") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise StewardError(f"The device's steward cannot be reached: {error}") from error
    return _good(answer)


async def slots(socket: Path, request: SlotsStatus | Commit | Rollback | Arm | None = None) -> Status:
    """Both slots, after `request` if one is given. Raises StewardError."""
    answer = await ask(socket, request or SlotsStatus())
    return msgspec.json.decode(answer.value, type=Status)


async def status(socket: Path) -> job.Update | None:
    """The update under way, or the last one that the steward remembers. Raises StewardError."""
    answer = await ask(socket, UpdateStatus())
    return msgspec.json.decode(answer.value, type=job.Update | None)


async def abort(socket: Path) -> None:
    """End the update that is under way. Raises StewardError."""
    await ask(socket, UpdateAbort())


async def update(socket: Path, request: Update | UpdateResume, pipe: int) -> AsyncIterator[job.Update]:
    """Hand the reading end of a pipe over and follow the update to its end. The caller still owns `pipe`.

    The first item comes when the steward has taken the order. Raises StewardError if it did not, or went away.
    """
    link = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    try:
        link.setblocking(False)
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.get_running_loop().sock_connect(link, str(socket))
                sockets.send_fds(link, [encode(request)], [pipe])
                reader, writer = await asyncio.open_unix_connection(sock=link, limit=_ANSWER_LIMIT)
                answer = decode_answer(await reader.readline())
        except TimeoutError as error:
            raise StewardError("The device's steward does not answer.") from error
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise StewardError(f"The device's steward cannot be reached: {error}") from error
        _good(answer)
        try:
            while line := await reader.readline():
                yield msgspec.json.decode(line, type=job.Update)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise StewardError(f"The device's steward went away: {error}") from error
        finally:
            writer.close()
    finally:
        link.close()


def _good(answer: Answer) -> Answer:
    if not answer.ok:
        raise StewardError(answer.error or "The device's steward refused.", answer.reason)
    return answer


async def _exchange(socket: Path, request: Request) -> Answer:
    reader, writer = await asyncio.open_unix_connection(str(socket), limit=_ANSWER_LIMIT)
    try:
        writer.write(encode(request))
        await writer.drain()
        return decode_answer(await reader.readline())
    finally:
        writer.close()
