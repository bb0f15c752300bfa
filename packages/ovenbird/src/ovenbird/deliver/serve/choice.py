"""Which client is asking, and what it boots: its settings, its image, its whole command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovenbird.deliver.serve import words
from ovenbird.deliver.serve.images import Image
from ovenbird.deliver.serve.overlays import Overlay, address_of
from ovenbird.deliver.serve.settings import Book, Client, Display, Settings
from ovenbird.errors import UsageError
from ovenbird.recipe import rules
from ovenbird_device.format.cmdline import PREFIX

LONGEST = 2047
"""Characters that the kernel takes on x86 and arm64 (COMMAND_LINE_SIZE, less its end)."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as far as its boot program tells. `architecture` is Debian's name, empty if it is not known."""

    mac: str = ""
    serial: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a client boots."""

    client: str
    image: Image
    command_line: str


class NoChoiceError(UsageError):
    """There is nothing for this client to boot; the message is for its screen, too."""


def find(book: Book, asker: Asker) -> tuple[str, Settings]:
    """The client's name (empty for one that the file does not name) and its settings: its address says more than its
    number, which boards of a batch may share.
    """
    for name, client in book.clients.items():
        if client.mac is not None and words.plain_mac(client.mac) == words.plain_mac(asker.mac):
            return name, client
    if wanted := words.plain_serial(asker.serial):
        for name, client in book.clients.items():
            if client.serial is not None and words.plain_serial(client.serial) == wanted:
                return name, client
    return "", book.everyone


def choose(book: Book, images: Sequence[Image], base: str, asker: Asker, wanted: str = "") -> Choice:
    """What the client boots: `wanted`, if it chose so in the menu, else what its settings say, else the only image that
    its processor can run. `base` is the URL of the server. Raises NoChoiceError.
    """
    name, settings = find(book, asker)
    image = _image(images, wanted or settings.image or "", asker.architecture)
    line = command_line(image, settings, base, asker)
    if len(line) > LONGEST:
        raise NoChoiceError(
            f"the command line of {name or 'this client'} has {len(line)} characters, the kernel takes {LONGEST}"
        )
    return Choice(name, image, line)


def _image(images: Sequence[Image], wanted: str, architecture: str) -> Image:
    fitting = [one for one in images if architecture in ("", one.manifest.architecture)]
    for one in fitting:
        if one.name == wanted:
            return one
    if wanted and not any(one.name == wanted for one in images):
        raise NoChoiceError(f"there is no image {wanted}")
    # An image that was named for all may be of the other processor: then the only one that fits is meant.
    if len(fitting) == 1:
        return fitting[0]
    kind = f" for {architecture}" if architecture else ""
    if not fitting:
        raise NoChoiceError(f"there is no image{kind}")
    raise NoChoiceError(
        f"there are several images{kind}, and none is named for this client", hint="set `image` in serve.toml"
    )


def command_line(image: Image, settings: Settings, base: str, asker: Asker) -> str:
    """The words of the manifest, the server's own, and the client's; of equal ones the last wins."""
    said = [image.manifest.command_line, f"{PREFIX}root={image_url(base, image, image.manifest.root.file)}"]
    if settings.data is not None:
        said.append(f"{PREFIX}data={settings.data}")
    if settings.toram:
        said.append(f"{PREFIX}toram")
    if settings.overlays:
        said.append(f"{PREFIX}overlays={';'.join(address_of(one, base) for one in settings.overlays)}")
    if settings.home is not None:
        said.append(f"{PREFIX}home={address_of(settings.home, base)}")
    if settings.zram is not None:
        said.append(f"{PREFIX}zram={settings.zram}")
    if asker.mac:
        said.append(f"BOOTIF=01-{asker.mac.replace(':', '-')}")  # The initrd asks on this interface first.
    if hostname := host_name(settings, asker):
        said.append(f"systemd.hostname={hostname}")
    for display in settings.display:
        said += display_words(display)
    return " ".join((*said, *settings.command_line))


def image_url(base: str, image: Image, file: str) -> str:
    """Where a file of an image is."""
    return f"{base}/images/{image.name}/{image.id}/{file}"


def host_name(settings: Settings, asker: Asker) -> str:
    """The client's host name, its fields filled in; empty if nothing is said, or nothing good comes of it."""
    filled = settings.hostname or ""
    for field, value in (("{mac}", asker.mac), ("{serial}", asker.serial)):
        if field in filled:
            plain = words.host_label(value.replace(":", ""))
            if not plain:
                return ""
            filled = filled.replace(field, plain)
    return filled if filled and rules.hostname(filled) is None else ""


def display_words(display: Display) -> list[str]:
    """A screen in the kernel's words: `video=CONNECTOR:MODE[e|d][,rotate=N]` (Documentation/fb/modedb.rst), and how the
    text console is turned.
    """
    state = {True: "e", False: "d", None: ""}[display.enabled]
    value = (display.mode or "") + state
    turn = display.rotate or 0
    if turn:
        value += f",rotate={turn}" if value else f"rotate={turn}"
    found = [f"video={display.connector}:{value}" if display.connector else f"video={value}"] if value else []
    if turn:
        found.append(f"fbcon=rotate:{turn // 90}")
    return found


def served_overlays(book: Book) -> dict[str, Overlay]:
    """The overlays that are files here, by the path below /overlays/ in their URLs."""
    everybody = (book.everyone, *book.clients.values())
    named = [one for some in everybody for one in (*some.overlays, some.home or "://")]
    overlays = [Overlay(Path(one)) for one in dict.fromkeys(named) if "://" not in one]
    return {overlay.place: overlay for overlay in overlays}


def check(book: Book, images: Sequence[Image], base: str) -> None:
    """Find out now what a client would find out at its boot. Raises NoChoiceError naming it."""
    for name, client in book.clients.items():
        asker = Asker(words.plain_mac(client.mac or ""), client.serial or "")
        try:
            _check_one(client, images, base, asker)
        except NoChoiceError as error:
            raise NoChoiceError(f"client {name}: {error}", hint=error.hint) from error


def _check_one(client: Client, images: Sequence[Image], base: str, asker: Asker) -> None:
    """Which processor it has is not known yet, so only what is named is looked at."""
    for image in images:
        if client.image in (None, image.name):
            line = command_line(image, client, base, asker)
            if len(line) > LONGEST:
                raise NoChoiceError(
                    f"its command line for {image.name} has {len(line)} characters, the kernel takes {LONGEST}",
                    hint="shorten `command_line`, or the names of overlays",
                )
