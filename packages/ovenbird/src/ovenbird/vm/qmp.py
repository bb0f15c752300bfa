"""The little of QEMU's control protocol (QMP) that Ovenbird needs: one command, one answer, over a local socket.

Protocol: QEMU, `docs/interop/qmp-spec`. A line of JSON each way; QEMU greets first and wants `qmp_capabilities`.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ovenbird.errors import OvenbirdError


class Qmp:
    """A connection to one QEMU. Events that arrive on the way are kept by name in `events`."""

    def __init__(self, path: Path, *, timeout: float = 10.0) -> None:
        """Connect; waits until QEMU listens, at most `timeout` seconds. Raises OvenbirdError."""
        deadline = time.monotonic() + timeout
        self.events: list[str] = []
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(timeout)
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise OvenbirdError("QEMU does not answer on its control socket") from error
                time.sleep(0.02)
        self._lines = self._socket.makefile("rb")
        try:
            self._read()
        except (OSError, ValueError) as error:
            self.close()
            raise OvenbirdError("QEMU ended while it started") from error
        self.execute("qmp_capabilities")

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the guest runs on."""
        self._lines.close()
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - the answer is any JSON value
        """Run a command and return its value. An underscore in an argument's name is a dash. Raises OvenbirdError."""
        message = {"execute": command, "arguments": {name.replace("_", "-"): arguments[name] for name in arguments}}
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            while True:
                answer = self._read()
                if "event" in answer:
                    self.events.append(answer["event"])
                elif "error" in answer:
                    raise OvenbirdError(f"QEMU refused {command}: {answer['error'].get('desc')}")
                else:
                    return answer.get("return")
        except (OSError, ValueError) as error:
            raise OvenbirdError(f"QEMU did not answer to {command}: {error}") from error

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("it has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
