"""A public SSH key whose private half nobody has: its bytes are made up."""

from __future__ import annotations

import base64
import struct

KIND = b"ssh-ed25519"
BLOB = struct.pack(">I", len(KIND)) + KIND + struct.pack(">I", 32) + bytes(range(32))
PUBLIC = f"{KIND.decode()} {base64.b64encode(BLOB).decode()} anna@home"
