"""Who asks: a browser, which gets HTML, or a program, which gets JSON. And how answers and refusals are written."""

import gzip
from collections.abc import Mapping
from html import escape
from http import HTTPStatus

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

_WORTH_PACKING = 1024
ASKS = "asks"
"""The name of routes that ask people before something is done: programs do it at once."""


def wants_html(headers: Headers) -> bool:
    """Whether the client names HTML in Accept, and not with less weight than JSON.

    A bare `*/*` (curl, most HTTP libraries) gets JSON. htmx sends `*/*` too but says who it is.
    """
    if headers.get("hx-request") == "true":
        return True
    html = json = 0.0
    for part in headers.get("accept", "").lower().split(","):
        kind, _, parameters = part.strip().partition(";")
        weight = _weight(parameters)
        if kind.strip() in ("text/html", "application/xhtml+xml", "text/*"):
            html = max(html, weight)
        elif kind.strip() == "application/json":
            json = max(json, weight)
    return html > 0 and html >= json


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def packed(headers: Headers, body: bytes, kind: str, status: int = 200) -> Response:
    """A response, compressed when that is worth it and the client takes it."""
    extra = {"Vary": "Accept, Accept-Encoding, HX-Request"}
    if len(body) >= _WORTH_PACKING and takes_gzip(headers):
        body = gzip.compress(body, 5, mtime=0)
        extra["Content-Encoding"] = "gzip"
    return Response(body, status, extra, media_type=kind)


def takes_gzip(headers: Headers) -> bool:
    """Whether the client takes gzip."""
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, parameters = part.strip().partition(";")
        if name.strip() == "gzip":
            return _weight(parameters) > 0
    return False


def json(headers: Headers, value: object, status: int = 200) -> Response:
    """A value as JSON, indented: people read it with curl."""
    return packed(headers, msgspec.json.format(msgspec.json.encode(value)) + b"\n", "application/json", status)


def refusal(
    headers: Headers, status: int, text: str, hint: str = "", extra: Mapping[str, str] | None = None
) -> Response:
    """A refusal that needs neither template nor style sheet: one sentence and a hint, in the client's language."""
    if wants_html(headers):
        title = escape(HTTPStatus(status).phrase)
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
            f'<h1>{escape(text)}</h1><p>{escape(hint)}</p><p><a href="/">To the overview</a></p></html>'
        )
        response = Response(page, status, media_type="text/html")
    else:
        response = json(headers, {"error": text, "hint": hint} if hint else {"error": text}, status)
    for name, value in (extra or {}).items():
        response.headers[name] = value
    return response
