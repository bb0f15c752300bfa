"""A zip file that is made while it is sent: no temporary file, and never more in memory than a piece.

Zip, because every system opens it; its format allows lengths and checksums to follow the content (APPNOTE 4.3.9), so
nothing has to be known beforehand.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable
from typing import IO, cast

from .redact import Redactor

_PIECE = 64 << 10


class _Sink:
    """What zipfile writes to: cannot seek, keeps what it got until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        found, self._parts, self.size = b"".join(self._parts), [], 0
        return found


async def archive(parts: AsyncIterable[tuple[str, AsyncIterable[str]]]) -> AsyncGenerator[bytes]:
    """The pieces of a zip file with the parts: each a name and its text in whole lines, cleaned of secrets here."""
    sink = _Sink()
    stamp = max(time.gmtime()[:6], (1980, 1, 1, 0, 0, 0))  # the format knows nothing before it
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_DEFLATED, compresslevel=5) as file:
        async for name, text in parts:
            about = zipfile.ZipInfo(name, stamp)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = 0o100600 << 16
            redactor = Redactor()
            with file.open(about, "w") as member:
                async for piece in text:
                    member.write(redactor.clean(piece).encode("utf-8", "replace"))
                    if sink.size >= _PIECE:
                        yield sink.take()
            yield sink.take()
    yield sink.take()
