"""`ovenbird flash`: an image onto a card, personal to its device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ovenbird.cli.tables import table
from ovenbird.units import size_text

if TYPE_CHECKING:
    from ovenbird.deliver.flash.cards import Card


def flash(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CARD] [IMAGE]", help="The card, as /dev/sdb; an image, or a recipe (built first)."),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write to a file in place of a card.")] = None,
    hostname: Annotated[str | None, typer.Option(help="Host name; `{n}` is the device's number.")] = None,
    user: Annotated[str | None, typer.Option(help="User who may log in; made if there is none.")] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for the page's and user's password.")] = False,
    password_file: Annotated[Path | None, typer.Option(help="Take it from a file.")] = None,
    password_hash: Annotated[str | None, typer.Option(help="The user's password as crypt(5) has it.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="Public SSH key of the user: a file (repeatable).")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Further group of the user (repeatable).")] = None,
    no_sudo: Annotated[bool, typer.Option("--no-sudo", help="The user may not become root.")] = False,
    wifi: Annotated[str | None, typer.Option(metavar="SSID", help="Wi-Fi; its passphrase is asked for.")] = None,
    wifi_passphrase_file: Annotated[Path | None, typer.Option(help="Take the passphrase from a file.")] = None,
    wifi_security: Annotated[str, typer.Option(help="wpa2, wpa3, wpa2-wpa3 or open.")] = "wpa2",
    wifi_hidden: Annotated[bool, typer.Option("--wifi-hidden", help="The network does not tell its name.")] = False,
    country: Annotated[str | None, typer.Option(help="Country for the radio, as AT.")] = None,
    locale: Annotated[str | None, typer.Option(help="Language and formats, as de_AT.UTF-8.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone, as Europe/Vienna.")] = None,
    address: Annotated[list[str] | None, typer.Option(help="Fixed address, as 192.168.1.7/24 (repeatable).")] = None,
    gateway: Annotated[str | None, typer.Option(help="Gateway for a fixed address.")] = None,
    dns: Annotated[list[str] | None, typer.Option(help="Name server (repeatable).")] = None,
    interface: Annotated[str | None, typer.Option(help="Whose address it is: wired, wifi or a name.")] = None,
    server: Annotated[str | None, typer.Option(help="The update server's address.")] = None,
    secret: Annotated[
        list[str] | None, typer.Option(metavar="APP/NAME=FILE", help="Secret of an app, from a file (repeatable).")
    ] = None,
    devices: Annotated[Path | None, typer.Option(metavar="FILE", help="A file that describes devices.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Which device of it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every device of it, one card after the other.")] = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="With --all: begin with this one.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask for what was not said.")] = False,
    number: Annotated[int, typer.Option(min=0, help="The device's number, for `{n}`.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="How many cards, one after the other.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether the card may be erased.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also a disk that is not removable, or is in use.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not read back what was written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write an image to a card, and make it one device's. Without a card, list the cards that are there."""
    import msgspec

    from ovenbird.deliver.flash import asking, cards, job
    from ovenbird.deliver.flash.command import Said, said
    from ovenbird.progress import choose

    given = list(places or [])
    if not given and to is None:
        show(cards.cards(), as_json=as_json)
        return
    card = given.pop(0) if to is None else None
    if len(given) > 1:
        raise typer.BadParameter("a card and an image are all that is named")
    options = Said(
        hostname=hostname, user=user, password_hash=password_hash, password_file=password_file, keys=key, groups=group,
        sudo=not no_sudo, ssid=wifi, passphrase_file=wifi_passphrase_file, security=wifi_security, hidden=wifi_hidden,
        country=country, locale=locale, timezone=timezone, addresses=address, gateway=gateway, dns=dns,
        interface=interface, server=server, secrets=secret, password=asking.password() if password else None,
    )  # fmt: skip
    request = job.Request(
        given[0] if given else Path(), card, to, devices, device, every, start, said(options), ask=ask, first=number,
        count=count, force=force, yes=yes, verify=not no_verify,
    )  # fmt: skip
    done: list[job.Flashed] = []
    for one in job.flash(request, choose(quiet=as_json)):
        done.append(one)
        if not as_json:
            print(one)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(done), indent=2).decode())


def show(found: list[Card], *, as_json: bool) -> None:
    """The disks of this machine, with what speaks against each."""
    import msgspec

    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found, enc_hook=str), indent=2).decode())
        return
    if not found:
        print("There is no disk here.")
    rows = [(str(one.path), one.name, size_text(one.size) if one.size else "no card", one.verdict) for one in found]
    table(["disk", "model", ">size", "may it be written?"], rows)
