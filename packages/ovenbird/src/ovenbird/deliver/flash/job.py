"""All of flashing, in its order: what can be refused is refused before the image is built, and all else before the
first byte is written.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from ovenbird.deliver.flash import asking, cards, settings, source, writing
from ovenbird.deliver.flash.settings import Device
from ovenbird.errors import HostError, OvenbirdError, UsageError
from ovenbird.progress import Progress
from ovenbird.recipe.nodes import Node
from ovenbird.units import size_text
from ovenbird_device.format import FormatError
from ovenbird_device.format.manifest import load_manifest
from ovenbird_device.format.personal import Personal


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for: exactly one of `card` and `to`. `said` is what the options say of the device."""

    image: Path
    card: Path | None = None
    to: Path | None = None
    devices: Path | None = None
    device: str | None = None
    every: bool = False
    """All devices of the file, one after the other."""
    start: str | None = None
    """With which of them to begin, after cards that are done."""
    said: Mapping[str, object] = field(default_factory=dict[str, object])
    ask: bool = False
    first: int = 1
    count: int = 1
    force: bool = False
    yes: bool = False
    verify: bool = True


class Flashed(msgspec.Struct, frozen=True, kw_only=True):
    """One card, or file. Sizes are in bytes, times in seconds; `check_s` is 0 if it was not read back."""

    target: str
    card: str
    image: str
    hostname: str
    written: int
    read: int
    write_s: float
    check_s: float

    def __str__(self) -> str:
        name = f" as {self.hostname}" if self.hostname else ""
        speed = f"{size_text(self.written)} in {self.write_s:.1f} s, {self._speed(self.write_s)}"
        checked = f"; read back in {self.check_s:.1f} s, {self._speed(self.check_s)}" if self.check_s else ""
        return f"{self.card or self.target} holds {self.image}{name} ({speed}{checked})"

    def _speed(self, seconds: float) -> str:
        return f"{size_text(self.written / max(seconds, 1e-3))}/s"


@dataclass(frozen=True, slots=True)
class _Order:
    """One card: the device's number, its name in the file (or nothing), and what was said of it."""

    number: int
    name: str
    device: Device

    @property
    def called(self) -> str:
        """What the card is asked for by."""
        hostname = settings.numbered(self.device.hostname or "", self.number, self.name)
        return hostname or self.name or f"number {self.number}"


def flash(request: Request, progress: Progress) -> Iterator[Flashed]:
    """Do it; gives each card when it is done. Raises OvenbirdError."""
    if (request.card is None) == (request.to is None):
        raise UsageError("name a card, or --to FILE", hint=cards.listed(cards.cards()))
    if request.card is not None:
        cards.choose(request.card, force=request.force)
    orders = _orders(request)
    files = _files(request, orders)
    image, called = find_image(request.image, progress)
    if request.card is not None:
        may_write(request.card, image)
    orders = _completed(orders)
    whole = source.whole(image)
    personals = _personals(whole, orders)
    for place, (order, personal) in enumerate(zip(orders, personals, strict=True)):
        try:
            yield _one(request, order, personal, files[place] if files else None, whole, called, progress, place > 0)
        except OvenbirdError as error:
            if request.every and place:
                again = f"the cards before it are done: --from {shlex.quote(order.name)} goes on with this one"
                error.hint = f"{error.hint}; {again}" if error.hint else again
            raise


def find_image(path: Path, progress: Progress) -> tuple[Path, str]:
    """The disk image that a path means, and what it is called: a file, one in a folder, or a recipe's, which is built
    where it is not. Raises UsageError, and whatever a build raises.
    """
    if path.suffix == ".toml" or (path / "ovenbird.toml").is_file():
        from ovenbird.build import job

        path = job.build(job.Request(path), progress).out
    disk = path / "disk.img" if path.is_dir() else path
    if not disk.is_file():
        raise UsageError(
            "there is no image and no recipe", where=str(path), hint="name a recipe's folder, or an image: out/disk.img"
        )
    with suppress(OSError, FormatError):
        if disk.name == "disk.img":
            image = load_manifest(disk.with_name("manifest.json").read_bytes()).image
            return disk, f"{image.name} {image.version}"
    return disk, disk.name


def _orders(request: Request) -> list[_Order]:
    """The cards that are to be made, in their order. Raises UsageError, RecipeProblemsError."""
    if request.every:
        return _every(request)
    if request.start is not None:
        raise UsageError("--from says where --all begins", hint="--all --from NAME")
    node, name = _said(request)
    device = _countable(settings.settle(node), request)
    return [_Order(number, name, device) for number in range(request.first, request.first + request.count)]


def _every(request: Request) -> list[_Order]:
    """All devices of the file; they are judged before the first card is written, also those that are left out."""
    if request.devices is None:
        raise UsageError("--all means the devices of a file", hint="--devices FILE")
    if request.device is not None or request.count > 1 or request.ask:
        raise UsageError("--all means each device once, as the file has it", hint="leave --device, --count, --ask out")
    above = settings.as_node(request.said)
    known = {name: settings.over(node, above) for name, node in settings.read_devices(request.devices).items()}
    settings.check_distinct(known, first=request.first)
    orders = [_Order(request.first + place, name, settings.settle(known[name])) for place, name in enumerate(known)]
    if request.start is None:
        return orders
    settings.pick(known, request.start, request.devices)
    return orders[list(known).index(request.start) :]


def _countable(device: Device, request: Request) -> Device:
    """Several devices cannot have one name. Raises UsageError."""
    if request.count > 1 and device.hostname is not None and settings.numbered(device.hostname, 1) == device.hostname:
        raise UsageError(
            f"{request.count} devices cannot all be called {device.hostname}",
            hint=f"--hostname '{device.hostname}-{{n}}' counts them",
        )
    return device


def _personals(whole: source.Source, orders: Sequence[_Order]) -> list[Personal | None]:
    """What goes onto each card, if anything. Raises UsageError for what a device or the image cannot be."""
    if all(order.device.is_empty for order in orders):
        return [None] * len(orders)
    from ovenbird.deliver.flash import fitting, making  # Whoever writes an image as it is should not wait for them.

    made = [
        None if order.device.is_empty else making.make(order.device, number=order.number, name=order.name)
        for order in orders
    ]
    fitting.check_fits(whole.image, *(one for one in made if one is not None))
    return made


def _one(
    request: Request,
    order: _Order,
    personal: Personal | None,
    file: Path | None,
    whole: source.Source,
    image: str,
    progress: Progress,
    another: bool,
) -> Flashed:
    hostname = personal.hostname if personal is not None else ""
    with _prepared(whole, personal) as ready:
        if file is not None:
            done = writing.write_file(ready, file, progress, verify=request.verify)
            return _flashed(done, str(file), "", image, hostname)
        assert request.card is not None
        if another:
            asking.next_card(order.called)
        card = cards.choose(request.card, force=request.force)
        if not request.yes and not asking.may_erase(card):
            raise UsageError("nothing was written")
        done = writing.write_card(ready, card.path, progress, verify=request.verify, force=request.force)
        return _flashed(done, str(card.path), str(card), image, hostname)


@contextmanager
def _prepared(whole: source.Source, personal: Personal | None) -> Generator[source.Source]:
    if personal is None:
        yield whole
    else:
        from ovenbird.deliver.flash.handover import handed_over

        with handed_over(whole, personal) as ready:
            yield ready


def _flashed(done: writing.Written, target: str, card: str, image: str, hostname: str) -> Flashed:
    return Flashed(
        target=target,
        card=card,
        image=image,
        hostname=hostname,
        written=done.written,
        read=done.read,
        write_s=round(done.write_s, 3),
        check_s=round(done.check_s, 3),
    )


def _files(request: Request, orders: Sequence[_Order]) -> list[Path]:
    """The file of each, if it is files that are made. Raises UsageError where two would be one."""
    if request.to is None:
        return []
    to = str(request.to)
    named = [settings.numbered(to, order.number, _label(order)) for order in orders]
    if len(set(named)) < len(named):
        raise UsageError("several devices need several files", hint="--to 'card-{n}.img' counts them")
    return [Path(text) for text in named]


def _label(order: _Order) -> str:
    """What `{name}` in a file's name stands for: the host name, else the name in the devices file."""
    return settings.numbered(order.device.hostname or "", order.number, order.name) or order.name


def _said(request: Request) -> tuple[Node, str]:
    """What was said of the device, and its name in its file."""
    below, name = None, ""
    if request.devices is not None:
        known = settings.read_devices(request.devices)
        name = request.device or (next(iter(known)) if len(known) == 1 else asking.which(list(known)))
        below = settings.pick(known, name, request.devices)
    elif request.device is not None:
        raise UsageError("--device names a device of a file", hint="--devices FILE")
    node = settings.over(below, settings.as_node(request.said))
    if request.ask:
        node = settings.over(settings.as_node(asking.everything(node.table or {})), node)
    return node, name


def _completed(orders: Sequence[_Order]) -> list[_Order]:
    """The same with the passphrases that nobody has written down; each network's is asked for once."""
    known: dict[str, bytes] = {}

    def complete(one: settings.Wifi) -> settings.Wifi:
        if one.passphrase is not None or one.security == "open":
            return one
        if one.ssid not in known:
            known[one.ssid] = asking.passphrase(one.ssid).encode()
        return msgspec.structs.replace(one, passphrase=known[one.ssid])

    return [
        replace(order, device=msgspec.structs.replace(order.device, wifi=tuple(map(complete, order.device.wifi))))
        for order in orders
    ]


def may_write(card: Path, image: Path) -> None:
    """Raise HostError, with the command that works, where this user may not write the card."""
    if os.access(card, os.R_OK | os.W_OK):
        return
    words = [os.path.abspath(sys.argv[0]), "flash", str(card), str(image.resolve()), *_options(sys.argv[1:])]  # noqa: PTH100 - a link of a virtual environment stays one
    raise HostError(f"writing {card} needs root, or membership in the group disk", hint=f"sudo {shlex.join(words)}")


def _options(words: list[str]) -> list[str]:
    """The options of a command line, without the verb, the card and the image."""
    first = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return words[first:]
