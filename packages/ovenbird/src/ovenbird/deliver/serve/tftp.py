"""Menus that are files: PXELINUX looks for `pxelinux.cfg/01-HARDWARE-ADDRESS`, then for `pxelinux.cfg/default`.

They are written anew when settings or images have changed, each in one step, so that a client reads the old or the new.
"""

from __future__ import annotations

from pathlib import Path

from ovenbird.deliver.serve import menus, words
from ovenbird.deliver.serve.choice import Asker, choose
from ovenbird.deliver.serve.images import Image
from ovenbird.deliver.serve.settings import Book
from ovenbird.errors import OvenbirdError
from ovenbird.files import write_atomically

FOLDER = "pxelinux.cfg"


def write_menus(programs: Path, book: Book, images: list[Image], base: str) -> None:
    """Bring the files up to date; those of clients that are no longer named go."""
    folder = programs / FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    wanted = {"default": _menu(book, images, base, Asker(architecture="amd64"))}
    for client in book.clients.values():
        if mac := words.plain_mac(client.mac or ""):
            wanted[f"01-{mac.replace(':', '-')}"] = _menu(book, images, base, Asker(mac, client.serial or "", "amd64"))
    for name, content in wanted.items():
        file = folder / name
        if not file.is_file() or file.read_text() != content:
            write_atomically(file, content.encode())
            file.chmod(0o644)
    for file in folder.iterdir():
        if file.name not in wanted:
            file.unlink()


def _menu(book: Book, images: list[Image], base: str, asker: Asker) -> str:
    try:
        choice = choose(book, images, base, asker)
    except OvenbirdError as error:
        return menus.pxelinux_trouble(str(error))
    others = [one.name for one in images if one.manifest.architecture == "amd64" and one.name != choice.image.name]
    shown = others if book.server.menu else []
    more = tuple(choose(book, images, base, asker, name) for name in shown)
    return menus.pxelinux(menus.Menu(base, choice, more, book.server.menu))
