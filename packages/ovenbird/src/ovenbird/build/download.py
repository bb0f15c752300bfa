"""Files from an address, known by their sha256 and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ovenbird.errors import NetworkError
from ovenbird.files import replacing, sha256_of

_PIECE = 1 << 20


def download(address: str, sha256: str, cache: Path, *, hint: str) -> Path:
    """The file at an address (http, https, or file), from the cache folder if it is there.

    `hint` is for content that is another one. Raises NetworkError.
    """
    kept = cache / "downloads" / sha256
    if kept.exists():
        return kept
    parts = urlsplit(address)
    if parts.scheme == "file":
        return _checked(Path(unquote(parts.path)), sha256, address, hint)
    import httpx  # only here: it takes longer than a plan

    digest = hashlib.sha256()
    with (
        _answered(address),
        replacing(kept) as beside,
        beside.open("wb") as writing,
        httpx.stream("GET", address, follow_redirects=True, timeout=30) as answer,
    ):
        answer.raise_for_status()
        for piece in answer.iter_bytes(_PIECE):
            writing.write(piece)
            digest.update(piece)
        writing.flush()
        if digest.hexdigest() != sha256:
            raise _another(address, digest.hexdigest(), sha256, hint)
    return kept


def fetch(address: str) -> bytes:
    """A small file at an address, which nothing is known of and nothing is kept of. Raises NetworkError."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        with _read(address):
            return Path(unquote(parts.path)).read_bytes()
    import httpx

    with _answered(address):
        answer = httpx.get(address, follow_redirects=True, timeout=30)
        answer.raise_for_status()
    return answer.content


@contextmanager
def _answered(address: str) -> Generator[None]:
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        raise NetworkError(f"the server answers {error.response.status_code}", where=address) from error
    except httpx.HTTPError as error:
        raise NetworkError(f"cannot be fetched: {error or type(error).__name__}", where=address) from error


@contextmanager
def _read(address: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise NetworkError(f"cannot be read: {error.strerror}", where=address) from error


def _checked(file: Path, sha256: str, address: str, hint: str) -> Path:
    with _read(address):
        found = sha256_of(file)
    if found != sha256:
        raise _another(address, found, sha256, hint)
    return file


def _another(address: str, found: str, sha256: str, hint: str) -> NetworkError:
    return NetworkError(f"what is there has the sha256 {found}, not {sha256}", where=address, hint=hint)
