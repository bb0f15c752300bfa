"""The whole server for the time that it runs: what it needs is looked at first, and all of it ends together."""

from __future__ import annotations

import contextlib
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ovenbird.deliver.serve import choice, dnsmasq, network, probe, programs, settings, tftp
from ovenbird.deliver.serve.app import Desk, make_app
from ovenbird.deliver.serve.images import HOW, Images
from ovenbird.deliver.serve.live import Clients, Stage
from ovenbird.deliver.serve.network import Place
from ovenbird.deliver.serve.polling import Polling
from ovenbird.deliver.serve.sending import Sendfile
from ovenbird.deliver.serve.settings import Book
from ovenbird.errors import HostError, OvenbirdError, UsageError
from ovenbird.progress import Progress

LIST = "clients.json"
BOOK = "serve.toml"
LOOK = 1.0
"""Seconds between two looks at the settings' file."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for. `file` is the settings' file, None for the one in the state folder, if it is there."""

    state: Path
    file: Path | None = None
    overrides: Callable[[settings.Server], settings.Server] = lambda server: server
    force: bool = False

    @property
    def book_file(self) -> Path | None:
        """The settings' file that is read."""
        if self.file is not None:
            return self.file
        own = self.state / BOOK
        return own if own.is_file() else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is known before the first port is opened."""

    book: Book
    images: Images
    place: Place
    base: str
    architectures: frozenset[str]


def prepare(order: Order) -> Prepared:
    """Read what there is. Raises UsageError and its like for whatever is wrong with it."""
    images = Images(order.state)
    names = images.names()
    if not names:
        raise UsageError("there are no images to serve", where=str(order.state), hint=HOW)
    book = _book(order, names)
    place = network.find_place(book.server)
    base = f"http://{place.address}:{book.server.port}"
    architectures = frozenset(str(one.manifest.architecture) for one in images.all())
    choice.check(book, images.all(), base)
    return Prepared(book, images, place, base, architectures)


def _book(order: Order, names: list[str]) -> Book:
    file = order.book_file
    book = settings.read(file, names) if file is not None else settings.EMPTY
    return Book(order.overrides(book.server), book.everyone, book.clients)


def plan(prepared: Prepared, folder: Path) -> dnsmasq.Plan:
    """What dnsmasq would be told; `folder` is where the boot programs are."""
    first, last = "", ""
    if prepared.book.server.dhcp == "full":
        first, last = network.check_range(prepared.book.server, prepared.place)
    return dnsmasq.Plan(
        prepared.book.server, prepared.place, prepared.base, folder, prepared.architectures, first, last
    )


def run(order: Order, progress: Progress) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises OvenbirdError where it cannot, or cannot go on."""
    prepared = prepare(order)
    server = prepared.book.server
    with ExitStack() as stack:
        folder = stack.enter_context(_public_folder())
        doing = plan(prepared, folder)
        listener = stack.enter_context(contextlib.closing(network.listen(prepared.place.address, server.port)))
        network.check_rights(prepared.place, dhcp=server.dhcp != "none")
        if server.dhcp == "full" and not order.force:
            _alone(prepared.place, progress)
        programs.lay_out(
            folder,
            prepared.base,
            architectures=set(prepared.architectures),
            pxelinux=server.bios == "pxelinux",
            progress=progress,
        )
        clients = Clients(order.state / LIST)
        stack.callback(clients.save)
        desk = Desk(
            prepared.base, prepared.book, prepared.images, clients, folder, choice.served_overlays(prepared.book)
        )
        if server.bios == "pxelinux":
            tftp.write_menus(folder, prepared.book, prepared.images.all(), prepared.base)
        http = _Http(desk)
        stack.enter_context(_answering(doing, desk, http))
        polling = Polling(clients, prepared.place.interface, prepared.place.address)
        polling.start()
        stack.callback(polling.stop)
        stack.enter_context(_watching(order, desk, progress))
        _announce(prepared, progress)
        http.serve(listener)
        if http.trouble is not None:
            raise http.trouble


@contextmanager
def _public_folder() -> Generator[Path]:
    """A folder for TFTP: dnsmasq gives its rights up and must still be able to read it."""
    with tempfile.TemporaryDirectory(prefix="ovenbird-serve-") as name:
        Path(name).chmod(0o755)
        folder = Path(name) / "programs"
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        yield folder


def _alone(place: Place, progress: Progress) -> None:
    with progress.step(f"looking for another DHCP server on {place.interface}"):
        other = probe.look(place.interface)
    if other is not None:
        raise UsageError(
            f"{place.interface} already has a DHCP server: {other.server} offers {other.offered}",
            hint="leave the addresses to it (--dhcp proxy), or say --force if it shall be so",
        )


@contextmanager
def _answering(doing: dnsmasq.Plan, desk: Desk, http: _Http) -> Generator[None]:
    """dnsmasq; where another server gives addresses and names, for TFTP alone."""

    clients = desk.clients

    def seen(sighting: dnsmasq.Sighting) -> None:
        stage = Stage.FIRMWARE if not sighting.file else None
        known = clients.now(sighting.mac) if sighting.mac else None
        if known is not None and known.stage not in (Stage.SILENT, Stage.RUNNING, Stage.FIRMWARE):
            stage = None  # Its boot program and its system ask for addresses again.
        if known is not None and known.stage == Stage.RUNNING:
            stage = None  # A lease that is renewed.
        name = choice.find(desk.book, choice.Asker(mac=sighting.mac))[0] if sighting.mac else ""
        clients.saw(time.time(), mac=sighting.mac, address=sighting.address, stage=stage, name=name or None)

    with dnsmasq.running(doing, seen, http.fail):
        yield


@contextmanager
def _watching(order: Order, desk: Desk, progress: Progress) -> Generator[None]:
    """Take the settings' file anew whenever it has changed; one with a mistake is told, and the former one holds."""
    stop = threading.Event()

    def mark() -> tuple[int, int] | None:
        file = order.book_file
        try:
            facts = file.stat() if file is not None else None
        except OSError:
            return None
        return (facts.st_mtime_ns, facts.st_size) if facts is not None else None

    def watch() -> None:
        known = mark()
        while not stop.wait(LOOK):
            try:
                if desk.book.server.bios == "pxelinux":
                    tftp.write_menus(desk.programs, desk.book, desk.images.all(), desk.base)
                if (new := mark()) == known:
                    continue
                known = new
                book = _book(order, desk.images.names())
                choice.check(book, desk.images.all(), desk.base)
                desk.overlays = choice.served_overlays(book)
                # What is open stays open: only clients change while the server runs.
                desk.book = Book(desk.book.server, book.everyone, book.clients)
                progress.note(f"{order.book_file} was read again")
            except OvenbirdError as error:
                progress.note(f"{error}{f' ({error.hint})' if error.hint else ''}; the settings from before hold")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _announce(prepared: Prepared, progress: Progress) -> None:
    server = prepared.book.server
    how = {"proxy": "PXE beside the DHCP server", "full": "DHCP and PXE", "none": "no DHCP"}[server.dhcp]
    for image in prepared.images.all():
        progress.note(f"serving {image.name} {image.manifest.version} ({image.manifest.architecture})")
    progress.note(f"{how} on {prepared.place.interface}; the page is {prepared.base}/ (Ctrl-C ends)")


class _Quiet(uvicorn.Server):
    """uvicorn that leaves signals alone: it would raise again the one that has ended it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _Http:
    """uvicorn, ended by Ctrl-C, by SIGTERM, or when dnsmasq has ended."""

    def __init__(self, desk: Desk) -> None:
        config = uvicorn.Config(
            make_app(desk), http=Sendfile, loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Quiet(config)
        self.trouble: HostError | None = None

    def fail(self, trouble: HostError) -> None:
        """Nothing can be served any more."""
        self.trouble = trouble
        self._server.should_exit = True

    def serve(self, listener: socket.socket) -> None:
        """Answer until it is ended. A second Ctrl-C does not wait for anybody."""
        former = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            self._server.run(sockets=[listener])
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: object) -> None:
        self._server.force_exit = self._server.should_exit
        self._server.should_exit = True
