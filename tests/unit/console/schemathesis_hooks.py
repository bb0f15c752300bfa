"""Loaded by schemathesis: each request comes from an address of its own, and an archive is bytes like any other.

The device makes an address wait that sends wrong passwords, which schemathesis does on purpose, and the waiting would
soon be all that it gets to see.
"""

from __future__ import annotations

import itertools
from typing import Any

import schemathesis
from requests.adapters import HTTPAdapter

_NUMBERS = itertools.count(1)
_SEND = HTTPAdapter.send


def _send(self: HTTPAdapter, *words: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on
    """Send from another one of the loopback's sixteen million addresses."""
    number = next(_NUMBERS)
    address = f"127.{1 + number // 62500 % 200}.{number // 250 % 250}.{1 + number % 250}"
    self.poolmanager.connection_pool_kw["source_address"] = (address, 0)
    return _SEND(self, *words, **more)


HTTPAdapter.send = _send  # type: ignore[method-assign] # the one place that every request passes
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")
