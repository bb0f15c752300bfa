"""What agent and steward say to each other: one JSON object a line, at most `LINE_LIMIT` bytes, one answer each.

Requests are a tagged union, so an unknown action or field is refused by the decoder and never reaches any code.
"""

import msgspec

LINE_LIMIT = 4096
SOCKET = "/run/ovenbird/steward.sock"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="action"):
    """Any request."""


class Reboot(Request, frozen=True, tag="reboot"):
    """Restart the device, orderly."""


class PowerOff(Request, frozen=True, tag="poweroff"):
    """Stop the device and turn it off, orderly."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`, or why not in `error`."""

    ok: bool
    error: str = ""


Action = Reboot | PowerOff


def decode_request(line: bytes) -> Action:
    """The request on a line. Raises msgspec.DecodeError (msgspec.ValidationError among them) for anything else."""
    action: Action = msgspec.json.decode(line, type=Action)
    return action


def encode(message: Request | Answer) -> bytes:
    """One line with its newline."""
    return msgspec.json.encode(message) + b"\n"


def decode_answer(line: bytes) -> Answer:
    """The answer on a line. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(line, type=Answer)
