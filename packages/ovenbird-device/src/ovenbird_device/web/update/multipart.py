"""A form with a file in it (multipart/form-data, RFC 7578), read as it arrives: what plain browsers and SWUpdate's
clients send. The first part with a file name is handed on piece by piece; small fields before it are kept; whatever
comes after it is passed over. Memory stays constant whatever the sender writes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from email.message import Message

_HEADERS, _FIELD = 8192, 1024
_MOST_FIELDS = 16
_BOUNDARY = re.compile(rb"[\x21-\x7e ]{1,70}")


def _message() -> Message:
    from email.message import Message  # a tenth of a megabyte, for the few who send forms

    return Message()


class MultipartError(ValueError):
    """The body is no form with a file; the message is for people."""


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a Content-Type names; None if it is not multipart/form-data. Raises MultipartError."""
    message = _message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return None
    boundary = message.get_param("boundary")
    raw = boundary.encode("latin-1", "replace") if isinstance(boundary, str) else b""
    if not _BOUNDARY.fullmatch(raw):
        raise MultipartError("The form has no boundary.")
    return raw


class Multipart:
    """Takes the body in pieces of any size and gives the file's bytes back."""

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._rest = b"\r\n"  # the first mark may come without the line break before it
        self._state = self._preamble
        self._field = ""
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        """The file's name, once its part has begun."""
        self.complete = False
        """Whether the file has arrived to its end."""
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """What these bytes hold of the file. Raises MultipartError."""
        self._rest += data
        self._out = []
        while self._state():
            pass
        return self._out

    def end(self) -> None:
        """The body is over. Raises MultipartError if the file is not."""
        if self.filename is None:
            raise MultipartError("There is no file in this form.")
        if not self.complete:
            raise MultipartError("The form ends in the middle of its file.")

    def _preamble(self) -> bool:
        return self._to_mark(None)

    def _after_mark(self) -> bool:
        if len(self._rest) < 2:
            return False
        if self._rest.startswith(b"--"):
            self._state = self._over
            return True
        head, found, rest = self._rest.partition(b"\r\n")
        if not found:
            return self._wait(64)
        if head.strip(b" \t"):
            raise MultipartError("The form's boundary is not where it belongs.")
        self._rest = b"\r\n" + rest
        self._state = self._headers
        return True

    def _headers(self) -> bool:
        block, found, rest = self._rest.partition(b"\r\n\r\n")
        if not found:
            return self._wait(_HEADERS)
        if len(block) > _HEADERS:
            raise MultipartError("A part of the form has too large a head.")
        self._rest = rest
        message = _message()
        for line in block.split(b"\r\n"):
            title, _, value = line.decode("utf-8", "replace").partition(":")
            if title.strip().lower() == "content-disposition":
                message["Content-Disposition"] = value.strip()
        name, filename = message.get_param("name", "", "content-disposition"), message.get_filename()
        if filename is not None:
            self.filename = filename[:255]
            self._state = self._file
        else:
            if len(self.fields) >= _MOST_FIELDS:
                raise MultipartError("The form has too many fields.")
            self._field = name if isinstance(name, str) else ""
            self.fields[self._field] = ""
            self._state = self._value
        # An empty part's mark follows at once: its line break is the one that ended the head.
        self._rest = b"\r\n" + self._rest
        self._skip = 2
        return True

    _skip = 0

    def _value(self) -> bool:
        place = self._rest.find(self._mark)
        if place < 0:
            return self._wait(_FIELD + len(self._mark))
        if place > _FIELD + 2:
            raise MultipartError("A field of the form is too long.")
        self.fields[self._field] = self._rest[2:place].decode("utf-8", "replace")
        self._rest = self._rest[place + len(self._mark) :]
        self._state = self._after_mark
        return True

    def _file(self) -> bool:
        return self._to_mark(self._out)

    def _to_mark(self, out: list[bytes] | None) -> bool:
        """Pass everything before the next mark to `out`."""
        place = self._rest.find(self._mark)
        end = place if place >= 0 else max(0, len(self._rest) - len(self._mark) + 1)
        if out is not None and end > self._skip:
            out.append(self._rest[self._skip : end])
        self._skip = max(0, self._skip - end)
        if place < 0:
            self._rest = self._rest[end:]
            return False
        self._rest = self._rest[place + len(self._mark) :]
        if out is not None:
            self.complete = True
            self._state = self._over
        else:
            self._state = self._after_mark
        return True

    def _over(self) -> bool:
        self._rest = b""
        return False

    def _wait(self, limit: int) -> bool:
        if len(self._rest) > limit + 4:
            raise MultipartError("The form is not one.")
        return False
