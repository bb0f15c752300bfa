"""All of flashing, in its order: what can be refused is refused before the image is built, and all else before the
first byte is written.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ovenbird.deliver.flash import asking, cards, settings, source, writing
from ovenbird.deliver.flash.settings import Device
from ovenbird.errors import HostError, UsageError
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


def flash(request: Request, progress: Progress) -> Iterator[Flashed]:
    """Do it; gives each card when it is done. Raises OvenbirdError."""
    if (request.card is None) == (request.to is None):
        raise UsageError("name a card, or --to FILE", hint=cards.listed(cards.cards()))
    if request.card is not None:
        cards.choose(request.card, force=request.force)
    node, name = _said(request)
    device = _countable(settings.settle(node), request)
    image, called = find_image(request.image, progress)
    if request.card is not None:
        may_write(request.card, image)
    device = _completed(device)
    whole = source.whole(image)
    for number in range(request.first, request.first + request.count):
        yield _one(request, device, whole, number, name, called, progress)


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


def _countable(device: Device, request: Request) -> Device:
    """Several devices cannot have one name. Raises UsageError."""
    if request.count > 1 and device.hostname is not None and settings.numbered(device.hostname, 1) == device.hostname:
        raise UsageError(
            f"{request.count} devices cannot all be called {device.hostname}",
            hint=f"--hostname '{device.hostname}-{{n}}' counts them",
        )
    return device


def _one(
    request: Request, device: Device, whole: source.Source, number: int, name: str, image: str, progress: Progress
) -> Flashed:
    personal = None
    if not device.is_empty:
        from ovenbird.deliver.flash import fitting, making  # Whoever writes an image as it is should not wait for them.

        personal = making.make(device, number=number, name=name)
        if number == request.first:
            fitting.check_fits(whole.image, personal)
    hostname = personal.hostname if personal is not None else ""
    with _prepared(whole, personal) as ready:
        if request.to is not None:
            to = _file(request, number, hostname or name)
            done = writing.write_file(ready, to, progress, verify=request.verify)
            return _flashed(done, str(to), "", image, hostname)
        assert request.card is not None
        if number > request.first:
            asking.next_card(hostname or f"number {number}")
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


def _file(request: Request, number: int, name: str) -> Path:
    assert request.to is not None
    text = settings.numbered(str(request.to), number, name)
    if request.count > 1 and text == str(request.to):
        raise UsageError("several devices need several files", hint="--to 'card-{n}.img' counts them")
    return Path(text)


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


def _completed(device: Device) -> Device:
    """The device with the passphrases that nobody has written down."""
    wifi = tuple(
        msgspec.structs.replace(one, passphrase=asking.passphrase(one.ssid).encode())
        if one.passphrase is None and one.security != "open"
        else one
        for one in device.wifi
    )
    return msgspec.structs.replace(device, wifi=wifi)


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
