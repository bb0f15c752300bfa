"""The page: what there is to boot and who is there, drawn here, and the list drawn again every two seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, Response

from ovenbird.deliver.serve.images import Image
from ovenbird.deliver.serve.live import Client, Stage
from ovenbird.deliver.watch import WELL, duration
from ovenbird.units import size_text

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
STATIC = {"serve.css": "text/css", "serve.js": "text/javascript"}
WORDS = {
    Stage.FIRMWARE: "starts its firmware",
    Stage.MENU: "has its menu",
    Stage.KERNEL: "loads the kernel",
    Stage.ROOT: "loads the root",
    Stage.STARTING: "starts",
    Stage.RUNNING: "runs",
    Stage.SILENT: "is silent",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """An image in the list."""

    name: str
    version: str
    board: str
    architecture: str
    size: str
    build: str
    former: str

    @classmethod
    def of(cls, image: Image, former: Image | None) -> Shown:
        """As people read it."""
        manifest = image.manifest
        size = size_text(sum(file.size for file in manifest.files))
        return cls(
            image.name,
            manifest.version,
            manifest.board,
            manifest.architecture,
            size,
            image.id,
            former.manifest.version if former else "",
        )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ovenbird.deliver.serve", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _since(client: Client, now: float) -> str:
    passed = max(0.0, now - client.last_seen)
    return "now" if passed < 2 else f"{duration(passed)} ago"


def level(client: Client) -> str:
    """How a line is coloured: well, busy, ill, or away."""
    if client.trouble:
        return "ill"
    if client.stage == Stage.RUNNING:
        return "well" if client.health in WELL else "ill"
    return "away" if client.stage == Stage.SILENT else "busy"


def whole(base: str, clients: Sequence[Client], images: Sequence[Shown], now: float) -> Response:
    """The page."""
    text = (
        _environment()
        .get_template("serve.html")
        .render(base=base, clients=clients, images=images, now=now, words=WORDS, since=_since, level=level)
    )
    return HTMLResponse(text, headers={"Cache-Control": "no-store", "Content-Security-Policy": POLICY})


def rows(clients: Sequence[Client], now: float) -> Response:
    """The list of clients alone."""
    text = (
        _environment()
        .get_template("clients.html")
        .render(clients=clients, now=now, words=WORDS, since=_since, level=level)
    )
    return HTMLResponse(text, headers={"Cache-Control": "no-store"})


def static(name: str) -> Response | None:
    """A file of the page."""
    if name not in STATIC:
        return None
    content = files("ovenbird.deliver.serve").joinpath("static", name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={"Cache-Control": "no-cache"})
