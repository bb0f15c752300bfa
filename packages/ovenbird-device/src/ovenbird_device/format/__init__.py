"""What the workstation and the device must agree on, byte by byte.

Everything here is pure: bytes in, values out, and the other way round. Nothing opens a device or runs a program, so
every format can be tested exhaustively, and the same code decides on both sides. `docs/CONTRACT.md` is the page for
people.
"""


class FormatError(ValueError):
    """Bytes or values that do not follow the format; the text says what is wrong and where."""
