"""`serve.toml`: how the boot server meets its network, and what is whose among its clients.

`[all]` holds for every client, `[group.NAME]` for those of a group, `[client.NAME]` for one, which is known by its
hardware address or its serial number. Later ones win, lists grow; it is decoded as a recipe is, so that every mistake
has its line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ovenbird.deliver.serve import words
from ovenbird.recipe import rules
from ovenbird.recipe.decode import FAILED, Decoder, Failed, beside, existing
from ovenbird.recipe.nodes import Node, kind, merge, read_toml
from ovenbird.recipe.problems import Problems, did_you_mean
from ovenbird.recipe.section import Section, text, time

HTTP_PORT = 8080
SECTIONS = ("server", "all", "group", "client")
Dhcp = Literal["proxy", "full", "none"]


class Server(Section, frozen=True, kw_only=True):
    """How the server meets its network; what the command line says wins."""

    interface: Annotated[str | None, text("The network interface of the clients.", rules.line, example="enp3s0")] = None
    dhcp: Annotated[
        Dhcp,
        Meta(
            description="`proxy`: another DHCP server gives addresses, this one says what to boot. `full`: this one "
            "does both. `none`: neither; `ovenbird serve --print` says what the other one must be told."
        ),
    ] = "proxy"
    address: Annotated[str | None, text("The server's own address, if it has several.", words.ipv4)] = None
    first: Annotated[str | None, text("`full`: the first address to give.", words.ipv4)] = None
    last: Annotated[str | None, text("`full`: the last one.", words.ipv4)] = None
    gateway: Annotated[str | None, text("`full`: the gateway to tell.", words.ipv4)] = None
    dns: Annotated[
        tuple[Annotated[str, text("", words.ipv4)], ...], Meta(description="`full`: the name servers to tell.")
    ] = ()
    port: Annotated[int, Meta(description="The port of HTTP.", ge=1, le=65535)] = HTTP_PORT
    bios: Annotated[
        Literal["ipxe", "pxelinux"], Meta(description="What machines with BIOS are given to boot with.")
    ] = "ipxe"
    menu: Annotated[
        int, time("How long a client shows all images to choose from, before it boots its own.", least="0s", most="1h")
    ] = 0


class Display(Section, frozen=True, kw_only=True):
    """A screen, as the kernel sets it up before anything is drawn (the kernel's fb/modedb)."""

    connector: Annotated[
        str | None, text("Which one: the kernel's name for the connector.", words.connector, example="HDMI-A-1")
    ] = None
    mode: Annotated[
        str | None, text("Width and height, and the rate if need be.", words.mode, example="1920x1080@60")
    ] = None
    rotate: Annotated[
        int | None, Meta(description="Degrees to turn the picture: 0, 90, 180, 270.", extra={"read": "turn"})
    ] = None
    enabled: Annotated[
        bool | None, Meta(description="`true`: on even if no screen is seen; `false`: off even if one is.")
    ] = None


class Settings(Section, frozen=True, kw_only=True):
    """What may be said of clients, one or many."""

    image: Annotated[
        str | None,
        Meta(description="The image to boot. May be left out where there is only one.", extra={"read": "image"}),
    ] = None
    command_line: Annotated[
        tuple[Annotated[str, text("", words.argument)], ...],
        Meta(description="Further words of the kernel's command line."),
    ] = ()
    overlays: Annotated[
        tuple[Annotated[str, Meta(extra={"read": "overlay"})], ...],
        Meta(description="Overlays over the root, the lowest first: files, which the server gives out, or URLs."),
    ] = ()
    home: Annotated[
        str | None,
        Meta(description="What lies below /home: a file or a URL, as an overlay.", extra={"read": "overlay"}),
    ] = None
    hostname: Annotated[
        str | None,
        text("Host name. `{mac}` is the hardware address, `{serial}` the serial number.", words.host_template),
    ] = None
    zram: Annotated[
        int | None, Meta(description="Percent of the memory that compressed swap may hold; 0: none.", ge=0, le=200)
    ] = None
    data: Annotated[
        str | None,
        text(
            "Where changes go: `tmpfs`, `zram` or `local` (a disk), with `:SIZE` if need be.",
            words.data,
            example="tmpfs:512M",
        ),
    ] = None
    toram: Annotated[bool | None, Meta(description="Whether the root is copied into memory first.")] = None
    display: Annotated[tuple[Display, ...], Meta(description="Screens.")] = ()


class Client(Settings, frozen=True, kw_only=True):
    """One client. It needs `mac` or `serial`."""

    mac: Annotated[str | None, text("Its hardware address.", words.mac, example="52:54:00:12:34:56")] = None
    serial: Annotated[
        str | None,
        text("Its serial number, as its firmware or its label says it.", words.serial, example="100000003d1a"),
    ] = None
    group: Annotated[str | None, text("The group that it is in.", rules.line)] = None


@dataclass(frozen=True, slots=True)
class Book:
    """The whole file: the server, what holds for whoever is not named, and the named ones, each complete."""

    server: Server
    everyone: Settings
    clients: Mapping[str, Client]


EMPTY = Book(Server(), Settings(), {})


def read(file: Path, images: Collection[str] | None = None) -> Book:
    """Read the file; `images` are the names that there are, if they shall be checked. Raises RecipeProblemsError."""
    problems = Problems()
    root = read_toml(file, problems)
    problems.stop_if_any()
    assert root is not None
    book = _decode(root, problems, images)
    problems.stop_if_any()
    return book


def _decode(root: Node, problems: Problems, images: Collection[str] | None) -> Book:
    decoder = Decoder(problems, {"image": _image_reader(images), "overlay": _read_overlay, "turn": _read_turn})
    table = root.table or {}
    for key in table:
        if key not in SECTIONS:
            problems.add(
                f"unknown section `{key[:80]}`", file=root.file, line=table[key].line, hint=did_you_mean(key, SECTIONS)
            )
    nothing = Node(root.file, 1, table={})
    server = decoder.struct(Server, table.get("server", nothing), "server") or Server()
    common = table.get("all", nothing)
    everyone = decoder.struct(Settings, common, "all") or Settings()
    groups = _tables(table.get("group", nothing), "group", problems)
    for name, node in groups.items():
        decoder.struct(Settings, node, f"group.{name}")
    clients: dict[str, Client] = {}
    nodes: dict[str, Node] = {}
    for name, node in _tables(table.get("client", nothing), "client", problems).items():
        client = _client(decoder, name, node, groups, common)
        if client is not None:
            clients[name] = client
            nodes[name] = node
    _check_unique(clients, nodes, problems)
    _check_server(server, table.get("server", nothing), problems)
    return Book(server, everyone, clients)


def _tables(node: Node, name: str, problems: Problems) -> dict[str, Node]:
    if node.table is None:
        problems.add(
            f"`{name}` is {kind(node)}, but must be tables", file=node.file, line=node.line, hint=f"write [{name}.NAME]"
        )
        return {}
    return node.table


def _client(decoder: Decoder, name: str, node: Node, groups: Mapping[str, Node], common: Node) -> Client | None:
    """One client with what its group and everybody has; its own name is its host name if nothing else is said."""
    label = f"client.{name}"
    own = decoder.struct(Client, node, label)
    if own is None or node.table is None:
        return None
    if own.mac is None and own.serial is None:
        decoder.wrong(
            node, f"[{label}] has neither `mac` nor `serial`", 'write `mac = "52:54:00:12:34:56"`, for example'
        )
        return None
    layers = [common]
    if own.group is not None:
        if own.group not in groups:
            hint = did_you_mean(own.group, groups) if groups else f"write [group.{own.group}]"
            decoder.wrong(node.table["group"], f'`{label}.group`: there is no group "{own.group[:80]}"', hint)
            return None
        layers.append(groups[own.group])
    whole = layers[0]
    for layer in (*layers[1:], node):
        if whole.table is None or layer.table is None:
            return None  # Noted where it was decoded by itself.
        whole = merge(whole, layer, decoder.problems, label)
    if whole.table is not None and "hostname" not in whole.table and rules.hostname(name) is None:
        whole = Node(node.file, node.line, table={**whole.table, "hostname": Node(node.file, node.line, name)})
    return decoder.struct(Client, whole, label)


def _check_unique(clients: Mapping[str, Client], nodes: Mapping[str, Node], problems: Problems) -> None:
    """No two clients may be one machine."""
    lines: dict[tuple[str, str], int] = {}
    for name, client in clients.items():
        table = nodes[name].table or {}
        for key, value in (
            ("mac", words.plain_mac(client.mac or "")),
            ("serial", words.plain_serial(client.serial or "")),
        ):
            if not value:
                continue
            line = table[key].line
            former = lines.setdefault((key, value), line)
            if former != line:
                problems.add(f"`client.{name}.{key}` is that of line {former} again", file=nodes[name].file, line=line)


def _check_server(server: Server, node: Node, problems: Problems) -> None:
    """What only `full` takes, and what it takes together."""
    table = node.table or {}
    if (server.first is None) != (server.last is None):
        here, other = ("first", "last") if server.first else ("last", "first")
        problems.add(f"`server.{here}` needs `{other}` beside it", file=node.file, line=table[here].line)
    if server.first and server.last and IPv4Address(server.first) > IPv4Address(server.last):
        problems.add("`server.first` is after `last`", file=node.file, line=table["first"].line)
    for key in ("first", "gateway", "dns"):
        if key in table and server.dhcp != "full":
            problems.add(
                f'`server.{key}` has no meaning with `dhcp = "{server.dhcp}"`', file=node.file, line=table[key].line,
                hint='write `dhcp = "full"`, or leave it out',
            )  # fmt: skip


def _image_reader(images: Collection[str] | None) -> Callable[[Decoder, Node, str, Mapping[str, Any]], str | Failed]:
    def read_image(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
        name = decoder.text(node, label, rules.name)
        if isinstance(name, Failed) or images is None or name in images:
            return name
        hint = did_you_mean(name, images) if images else "`ovenbird serve add OUT` brings one"
        return decoder.wrong(node, f'`{label}`: there is no image "{name}"', hint)

    return read_image


def _read_overlay(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A URL as it is, or the absolute path of a file that is there."""
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    if "://" in written:
        complaint = words.overlay_url(written)
        return written if complaint is None else decoder.wrong(node, f"`{label}`: {complaint.message}", complaint.hint)
    path = beside(node, written)
    complaint = words.overlay_file(path.name)
    if complaint is not None:
        return decoder.wrong(node, f"`{label}`: {complaint.message}", complaint.hint)
    return str(path.resolve()) if existing(decoder, node, label, written, path) else FAILED


def _read_turn(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> int | Failed:
    turn = decoder.integer(node, label, ())
    if isinstance(turn, Failed) or turn in (0, 90, 180, 270):
        return turn
    return decoder.wrong(node, f"`{label}` is {turn}, but must be 0, 90, 180 or 270")
