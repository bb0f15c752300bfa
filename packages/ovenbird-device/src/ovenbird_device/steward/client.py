"""The agent's way to the steward: one request, one answer, one connection. Nothing else in the agent opens it."""

import asyncio
import socket as sockets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from ..slots.status import Status
from ..update.snapshot import Update as Snapshot
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


async def hand_over(socket: Path, request: Request, pipe: int, patience: float) -> Answer:
    """Have the steward do `request` with what comes through a pipe, whose reading end it gets; the caller still owns
    `pipe`. Raises StewardError.
    """
    try:
        async with asyncio.timeout(patience):
            async with _handed(socket, request, pipe) as reader:
                answer = decode_answer(await reader.readline())
    except TimeoutError as error:
        raise StewardError("The device's steward does not answer.") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise StewardError(f"The device's steward cannot be reached: {error}") from error
    return _good(answer)


async def take(socket: Path, request: Request) -> sockets.socket:
    """Have the steward do `request`, and take the socket that comes with its answer. Raises StewardError."""
    try:
        answer, taken = await asyncio.to_thread(_take, socket, request)
    except TimeoutError as error:
        raise StewardError("The device's steward does not answer.") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise StewardError(f"The device's steward cannot be reached: {error}") from error
    _good(answer)
    if taken is None:
        raise StewardError("The device's steward gave nothing.")
    return taken


def _take(path: Path, request: Request) -> tuple[Answer, sockets.socket | None]:
    """In a thread, as asyncio receives no descriptors."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as link:
        link.settimeout(_PATIENCE)
        link.connect(str(path))
        link.sendall(encode(request))
        line, numbers, _, _ = sockets.recv_fds(link, _ANSWER_LIMIT, 1, sockets.MSG_CMSG_CLOEXEC)
        taken = sockets.socket(fileno=numbers[0]) if numbers else None
        try:
            return decode_answer(line), taken
        except msgspec.DecodeError:
            if taken is not None:
                taken.close()
            raise


@asynccontextmanager
async def _handed(socket: Path, request: Request, pipe: int) -> AsyncGenerator[asyncio.StreamReader]:
    """A connection on which a request and a pipe have been sent."""
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as link:
        link.setblocking(False)
        await asyncio.get_running_loop().sock_connect(link, str(socket))
        sockets.send_fds(link, [encode(request)], [pipe])
        reader, writer = await asyncio.open_unix_connection(sock=link, limit=_ANSWER_LIMIT)
        try:
            yield reader
        finally:
            writer.close()


async def slots(socket: Path, request: SlotsStatus | Commit | Rollback | Arm | None = None) -> Status:
    """Both slots, after `request` if one is given. Raises StewardError."""
    answer = await ask(socket, request or SlotsStatus())
    return msgspec.json.decode(answer.value, type=Status)


async def status(socket: Path) -> Snapshot | None:
    """The update under way, or the last one that the steward remembers. Raises StewardError."""
    answer = await ask(socket, UpdateStatus())
    return msgspec.json.decode(answer.value, type=Snapshot | None)


async def abort(socket: Path) -> None:
    """End the update that is under way. Raises StewardError."""
    await ask(socket, UpdateAbort())


async def update(socket: Path, request: Update | UpdateResume, pipe: int) -> AsyncIterator[Snapshot]:
    """Hand the reading end of a pipe over and follow the update to its end. The caller still owns `pipe`.

    The first item comes when the steward has taken the order. Raises StewardError if it did not, or went away.
    """
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader = await stack.enter_async_context(_handed(socket, request, pipe))
                answer = decode_answer(await reader.readline())
        except TimeoutError as error:
            raise StewardError("The device's steward does not answer.") from error
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise StewardError(f"The device's steward cannot be reached: {error}") from error
        _good(answer)
        try:
            while line := await reader.readline():
                yield msgspec.json.decode(line, type=Snapshot)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise StewardError(f"The device's steward went away: {error}") from error


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
