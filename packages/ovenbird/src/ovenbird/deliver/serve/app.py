"""The server's HTTP: menus, images, overlays, boot programs, and the page with the list of clients.

Nothing can be changed by it, so nobody signs in. Paths are looked up in closed tables; no path of a request reaches the
file system.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ovenbird.deliver.serve import menus, page, words
from ovenbird.deliver.serve.choice import Asker, Choice, NoChoiceError, choose, find
from ovenbird.deliver.serve.images import Image, Images
from ovenbird.deliver.serve.live import Clients, Stage
from ovenbird.deliver.serve.overlays import Overlay
from ovenbird.deliver.serve.programs import grub_device
from ovenbird.deliver.serve.sending import FileAnswer
from ovenbird.deliver.serve.settings import Book
from ovenbird.errors import OvenbirdError, UsageError

# What boot programs say for a processor (iPXE's ${buildarch}, GRUB's $grub_cpu), by Debian's names.
PROCESSORS = {"i386": "amd64", "x86_64": "amd64", "arm64": "arm64", "aarch64": "arm64"}


@dataclass(slots=True)
class Desk:
    """What the answers are made of. The book and the overlays are replaced as a whole when the file changes."""

    base: str
    book: Book
    images: Images
    clients: Clients
    programs: Path
    overlays: dict[str, Overlay]

    def menu(self, asker: Asker, address: str) -> menus.Menu:
        """What a client is offered; notes that it asked. Raises NoChoiceError."""
        name, _ = find(self.book, asker)
        who = {"mac": asker.mac, "address": address}
        try:
            images = self.images.all()
            choice = choose(self.book, images, self.base, asker)
        except OvenbirdError as error:
            self.clients.saw(time.time(), **who, stage=Stage.MENU, name=name, serial=asker.serial, trouble=str(error))
            raise
        manifest = choice.image.manifest
        self.clients.saw(
            time.time(), **who, stage=Stage.MENU, name=name, serial=asker.serial, trouble="", sent=0,
            architecture=manifest.architecture, image=choice.image.name, version=manifest.version,
            build=choice.image.id, size=manifest.root.size,
        )  # fmt: skip
        return menus.Menu(self.base, choice, self._others(choice, images, asker), self.book.server.menu)

    def _others(self, choice: Choice, images: list[Image], asker: Asker) -> tuple[Choice, ...]:
        if not self.book.server.menu:
            return ()
        kind = choice.image.manifest.architecture
        names = [one.name for one in images if one.manifest.architecture == kind and one.name != choice.image.name]
        return tuple(choose(self.book, images, self.base, asker, name) for name in names)


def make_app(desk: Desk) -> ASGIApp:
    """The application."""
    answers = _Answers(desk)
    routes = [
        Route("/", answers.page),
        Route("/clients", answers.clients),
        Route("/static/{name}", answers.static),
        Route("/boot/ipxe", answers.ipxe),
        Route("/boot/grub", answers.grub),
        Route("/programs/{name}", answers.program),
        Route("/images/{name}/{number}/{file}", answers.image),
        Route("/overlays/{number}/{file}", answers.overlay),
    ]
    return Starlette(routes=routes)


class _Answers:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.programs = {path.name: path for path in desk.programs.iterdir() if path.is_file()}
        self.builds: dict[tuple[str, str], Image] = {}

    # --- for people and programs that watch ---

    async def page(self, request: Request) -> Response:
        images = await run_in_threadpool(_shown_images, self.desk.images)
        return page.whole(self.desk.base, self.desk.clients.all(time.time()), images, time.time())

    async def clients(self, request: Request) -> Response:
        found = self.desk.clients.all(time.time())
        if "text/html" in request.headers.get("accept", ""):
            return page.rows(found, time.time())
        return Response(
            msgspec.json.encode({"clients": found}),
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def static(self, request: Request) -> Response:
        return page.static(request.path_params["name"]) or _nothing()

    # --- for boot programs ---

    async def ipxe(self, request: Request) -> Response:
        if "mac" not in request.query_params:
            return _script(menus.ipxe_start(self.desk.base))
        return await self._menu(request, menus.ipxe, lambda text: menus.ipxe_trouble(self.desk.base, text))

    async def grub(self, request: Request) -> Response:
        device = grub_device(self.desk.base)
        return await self._menu(request, lambda menu: menus.grub(menu, device), menus.grub_trouble)

    async def _menu(
        self, request: Request, write: Callable[[menus.Menu], str], trouble: Callable[[str], str]
    ) -> Response:
        said = request.query_params
        processor = PROCESSORS.get(said.get("processor", ""), "")
        serial = said.get("serial", "").strip()
        mac = words.plain_mac(said.get("mac", ""))
        asker = Asker(mac, serial if words.serial(serial) is None else "", processor)
        try:
            # The images' manifests are read anew: an image that was just swapped is what the next client gets.
            return _script(write(await run_in_threadpool(self.desk.menu, asker, _address(request))))
        except NoChoiceError as error:
            return _script(trouble(f"{error}{f' ({error.hint})' if error.hint else ''}"))
        except OvenbirdError as error:
            return _script(trouble(str(error)))

    # --- files ---

    async def program(self, request: Request) -> ASGIApp:
        path = self.programs.get(request.path_params["name"])
        if path is None:
            return _nothing()
        self.desk.clients.saw(time.time(), address=_address(request), stage=Stage.FIRMWARE)
        return FileAnswer(path, f"{path.name}-{path.stat().st_mtime_ns:x}")

    async def image(self, request: Request) -> ASGIApp:
        name, number, file = (str(request.path_params[key]) for key in ("name", "number", "file"))
        image = self.builds.get((name, number))
        if image is None:
            try:
                image = self.desk.images.served(name, number)
            except UsageError:
                return _nothing()
            self.builds[name, number] = image
        path = image.file(file)
        if path is None or not path.is_file():
            return _nothing()
        address = _address(request)
        is_root = file == image.manifest.root.file
        self.desk.clients.saw(
            time.time(), address=address, stage=Stage.ROOT if is_root else Stage.KERNEL, image=name, build=number,
            version=image.manifest.version, architecture=image.manifest.architecture, size=image.manifest.root.size,
        )  # fmt: skip
        sums = {one.file: one.sha256 for one in image.manifest.files}
        return FileAnswer(path, sums[file], moved=self._progress(address) if is_root else None)

    def _progress(self, address: str) -> Callable[[int, int], None]:
        def moved(done: int, total: int) -> None:
            stage = Stage.STARTING if done >= total else Stage.ROOT
            self.desk.clients.saw(time.time(), address=address, stage=stage, sent=done, size=total)

        return moved

    async def overlay(self, request: Request) -> ASGIApp:
        number, file = str(request.path_params["number"]), str(request.path_params["file"])
        overlay = self.desk.overlays.get(f"{number}/{file}")
        if overlay is None:
            return _nothing()
        total = await run_in_threadpool(lambda: overlay.sha256)
        if not total.startswith(number):
            return _nothing()  # It has been changed; clients that ask from now on are told its new place.
        return FileAnswer(overlay.path, total)


def _shown_images(images: Images) -> list[page.Shown]:
    return [page.Shown.of(images.current(name), images.former(name)) for name in images.names()]


def _script(text: str) -> Response:
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


def _nothing() -> Response:
    return PlainTextResponse("there is nothing here\n", 404)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
