"""Package archives of the tests' own: signed, and put before the real one by a proxy."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import urllib.request
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit


def sign(releases: Iterable[Path], home: Path, key: Path) -> None:
    """Sign each Release as an InRelease beside it, with a new key, which gpg has in `home` and `key` gets."""
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*gpg, "--quick-gen-key", "nest", "rsa2048", "sign", "never"], check=True, capture_output=True)
    for release in releases:
        signed = str(release.with_name("InRelease"))
        subprocess.run([*gpg, "--clearsign", "--output", signed, str(release)], check=True, capture_output=True)
    subprocess.run([*gpg, "--output", str(key), "--export", "nest"], check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


def keyrings(*more: str) -> str:
    """`keyrings` of a recipe: the distribution's own key, and more files."""
    own = sorted(path for path in Path("/usr/share/keyrings").glob("debian-archive-keyring.*pg"))[:1]
    named = ", ".join(f'"{ring}"' for ring in [*own, *more])
    return f"keyrings = [{named}]"


class Proxy(BaseHTTPRequestHandler):
    """An HTTP proxy that writes down what it was asked for. What lies in the folder `own`, by the end of the address
    from `dists/` on, it answers itself.
    """

    asked: ClassVar[list[str]] = []
    own: ClassVar[Path | None] = None

    def do_GET(self) -> None:
        """Fetch what is asked for, past all proxies."""
        self.asked.append(self.path)
        body = self._own()
        if body is None:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                with opener.open(self.path, timeout=20) as answer:
                    body = answer.read()
            except OSError:
                self.send_error(404)
                return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _own(self) -> bytes | None:
        path = urlsplit(self.path).path
        if self.own is None or "/dists/" not in path:
            return None
        file = self.own / path[path.index("dists/") :]
        return file.read_bytes() if file.is_file() else None

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def proxying(folder: Path | None = None) -> Generator[str]:
    """A proxy while the context lasts: its URL. `folder` has what it answers itself."""
    Proxy.asked.clear()
    Proxy.own = folder
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        Proxy.own = None


def without_updates(folder: Path, home: Path, release: str, architectures: Iterable[str]) -> Path:
    """Make empty suites for a release's updates and security updates below a folder; returns the file with their key.

    Through the proxy, only the release itself is left of an archive: mirrors are seldom whole for every architecture.
    """
    components = ("main", "non-free-firmware")
    lists = [f"{component}/binary-{name}/Packages" for component in components for name in architectures]
    nothing = hashlib.sha256().hexdigest()
    releases: list[Path] = []
    for suite in (f"{release}-updates", f"{release}-security"):
        place = folder / "dists" / suite
        for name in lists:
            (place / name).parent.mkdir(parents=True)
            (place / name).touch()
        head = f"Origin: Nest\nSuite: {suite}\nCodename: {suite}\nArchitectures: {' '.join(architectures)}\n"
        head += f"Components: {' '.join(components)}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
        (place / "Release").write_text(head + "".join(f" {nothing} 0 {name}\n" for name in lists))
        releases.append(place / "Release")
    key = folder / "nest.gpg"
    sign(releases, home, key)
    return key
