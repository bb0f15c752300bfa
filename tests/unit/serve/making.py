"""Images for the boot server's tests: right manifests around any content, and the server's HTTP without DHCP."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uvicorn

from ovenbird.deliver.serve import choice
from ovenbird.deliver.serve.app import Desk, make_app
from ovenbird.deliver.serve.images import Images
from ovenbird.deliver.serve.live import Clients
from ovenbird.deliver.serve.sending import Sendfile
from ovenbird.deliver.serve.settings import EMPTY, Book
from ovenbird_device.format import netboot
from ovenbird_device.format.netboot import Netboot, NetbootFile

Architecture = Literal["amd64", "arm64"]


def make_out(
    folder: Path,
    name: str = "thin",
    version: str = "1.0",
    *,
    architecture: Architecture = "amd64",
    kernel: bytes = b"kernel",
    initrd: bytes = b"initrd",
    root: bytes = b"hsqs root",
    line: str = "quiet",
) -> Path:
    """The output folder of a build."""
    out = folder / netboot.FOLDER
    out.mkdir(parents=True, exist_ok=True)
    files: list[NetbootFile] = []
    for file, content in (("kernel", kernel), ("initrd", initrd), ("root.squashfs", root)):
        (out / file).write_bytes(content)
        files.append(NetbootFile(file, hashlib.sha256(content).hexdigest(), len(content)))
    words = f"{line} ovenbird.hash=sha256:{files[2].sha256} ovenbird.data=tmpfs"
    board = "vm" if architecture == "amd64" else "vm-arm64"
    value = Netboot(netboot.FORMAT, name, version, board, architecture, files[0], files[1], files[2], words)
    (out / netboot.MANIFEST).write_bytes(netboot.dump(value))
    return folder


@dataclass(frozen=True)
class Serving:
    """HTTP that answers."""

    desk: Desk

    @property
    def url(self) -> str:
        """Where."""
        return self.desk.base


@contextmanager
def serving(state: Path, book: Book = EMPTY) -> Generator[Serving]:
    """The server's HTTP, as it is, on a port of loopback."""
    programs = state / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "snponly.efi").write_bytes(b"MZ program")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        desk = Desk(base, book, Images(state), Clients(), programs, choice.served_overlays(book))
        config = uvicorn.Config(
            make_app(desk), http=Sendfile, loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Serving(desk)
        finally:
            server.should_exit = True
            thread.join(20)
