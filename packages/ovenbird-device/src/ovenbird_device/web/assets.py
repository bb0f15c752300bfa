"""Static files: read once, named by the hash of their content, cached by browsers for ever.

The table of names is closed, so no path from a request ever reaches the file system.
"""

import gzip
import hashlib
from functools import cached_property
from pathlib import Path

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

from .negotiate import takes_gzip

_FOLDER = Path(__file__).with_name("static")
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Asset(msgspec.Struct, frozen=True, dict=True):
    """One file."""

    url: str
    kind: str
    plain: bytes

    @cached_property
    def packed(self) -> bytes:
        """Compressed, once somebody wants it."""
        return gzip.compress(self.plain, 9, mtime=0)


class Assets:
    """All static files of the page."""

    def __init__(self, *more: Path) -> None:
        """`more` are the folders of pages that not every image has."""
        self._by_name: dict[str, Asset] = {}
        self._by_url: dict[str, Asset] = {}
        for path in sorted(path for folder in (_FOLDER, *more) for path in folder.iterdir()):
            kind = _KINDS.get(path.suffix)
            if kind is None:
                continue
            plain = path.read_bytes()
            digest = hashlib.sha256(plain).hexdigest()[:16]
            url = f"/static/{path.stem}.{digest}{path.suffix}"
            asset = Asset(url, kind, plain)
            self._by_name[path.name] = self._by_url[url] = asset

    def url(self, name: str) -> str:
        """The URL of a file. Raises KeyError for a file that the package does not have."""
        return self._by_name[name].url

    def response(self, path: str, headers: Headers) -> Response | None:
        """The file under a URL's path, or None."""
        asset = self._by_url.get(path)
        if asset is None:
            return None
        extra = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        if takes_gzip(headers):
            extra["Content-Encoding"] = "gzip"
            return Response(asset.packed, headers=extra, media_type=asset.kind)
        return Response(asset.plain, headers=extra, media_type=asset.kind)
