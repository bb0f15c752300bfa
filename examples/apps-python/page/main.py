"""A page that counts its visitors; the count outlives restarts and updates."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

COUNT = Path(os.environ["OVENBIRD_STATE"]) / "visitors"


async def home(request: Request) -> PlainTextResponse:
    """Greet, and count."""
    visitors = (int(COUNT.read_text()) if COUNT.exists() else 0) + 1
    fresh = COUNT.with_suffix(".new")
    fresh.write_text(str(visitors))
    fresh.replace(COUNT)
    return PlainTextResponse(f"{os.environ['GREETING']}, visitor {visitors}\n")


app = Starlette(routes=[Route("/", home)])
