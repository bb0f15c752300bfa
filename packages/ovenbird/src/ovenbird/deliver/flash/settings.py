"""What a user may say of a device: on the command line, in a file with many devices, or when asked.

All three end as the same nodes (`recipe/nodes.py`) and are decoded as a recipe is, so that every mistake has its file
and line. What is secret may be written in a file that only its owner reads, or stand in another file or a variable:
`passphrase = { file = "wifi.txt" }`, `passphrase = { env = "WIFI" }`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from msgspec import Meta, field

from ovenbird.errors import UsageError
from ovenbird.recipe import app_rules, rules
from ovenbird.recipe.decode import FAILED, Decoder, Failed, beside, existing
from ovenbird.recipe.nodes import Node, kind, merge, read_toml
from ovenbird.recipe.problems import Problems, did_you_mean
from ovenbird.recipe.rules import Complaint
from ovenbird.recipe.section import Section, text

COMMAND_LINE = Path("the command line")
_COUNTER = re.compile(r"\{n(?::0?(\d))?\}")


def numbered(template: str, number: int, name: str = "") -> str:
    """A text with a device's number for `{n}` (`{n:03}`: of three digits) and its name for `{name}`."""
    counted = _COUNTER.sub(lambda found: f"{number:0{found[1] or 1}}", template)
    return counted.replace("{name}", name)


def _hostname(template: str) -> Complaint | None:
    return rules.hostname(numbered(template, 1, "name"))


class Wifi(Section, frozen=True, kw_only=True):
    """A Wi-Fi network to connect with."""

    ssid: Annotated[str, text("Its name.", rules.line, example="Home")]
    passphrase: Annotated[
        bytes | None, Meta(description="Its passphrase, or the 64 digits of its key.", extra={"read": "given"})
    ] = None
    security: Annotated[
        Literal["wpa2", "wpa3", "wpa2-wpa3", "open"],
        Meta(
            description="`wpa2` puts the key onto the card in place of the passphrase; the others need the passphrase "
            "itself there."
        ),
    ] = "wpa2"
    hidden: Annotated[bool, Meta(description="Whether the network does not tell its name.")] = False


class Device(Section, frozen=True, kw_only=True):
    """What makes a device this one. All of it may be left out."""

    hostname: Annotated[
        str | None,
        text("Host name. `{n}` is a device's number, `{name}` its name.", _hostname, example="pi-{n}"),
    ] = None
    password: Annotated[
        bytes | None,
        Meta(
            description="Password of the page, and of `user`. Only hashes of it are put onto the card.",
            extra={"read": "given"},
        ),
    ] = None
    user: Annotated[
        str | None, text("User who may log in; made if the image has no such user.", rules.person, example="anna")
    ] = None
    password_hash: Annotated[
        str | None, text("The user's password as crypt(5) has it, in place of `password`.", rules.line)
    ] = None
    sudo: Annotated[bool, Meta(description="Whether the user may become root.")] = True
    groups: Annotated[
        tuple[Annotated[str, text("", app_rules.user, example="gpio")], ...],
        Meta(description="Further groups of the user."),
    ] = ()
    keys: Annotated[
        tuple[Annotated[str, Meta(extra={"read": "keys"})], ...],
        Meta(description="Public SSH keys of the user: files (`*` is possible), or the keys themselves."),
    ] = ()
    country: Annotated[str | None, text("Country whose rules of the radio hold.", rules.line, example="AT")] = None
    wifi: Annotated[tuple[Wifi, ...], Meta(description="Wi-Fi networks.")] = ()
    locale: Annotated[str | None, text("Language and formats.", rules.line, example="de_AT.UTF-8")] = None
    timezone: Annotated[str | None, text("Time zone.", rules.line, example="Europe/Vienna")] = None
    interface: Annotated[
        str, text("Whose the fixed address is: `wired`, `wifi`, or an interface's name.", rules.line, example="wired")
    ] = "wired"
    addresses: Annotated[
        tuple[Annotated[str, text("", rules.address, example="192.168.1.7/24")], ...],
        Meta(description="Fixed addresses with their prefix lengths. Without any, the network gives one."),
    ] = ()
    gateway: Annotated[str | None, text("Gateway for fixed addresses.", rules.host_address)] = None
    dns: Annotated[tuple[Annotated[str, text("", rules.host_address)], ...], Meta(description="Name servers.")] = ()
    server: Annotated[str | None, text("The update server's address.", rules.web_address)] = None
    secrets: Annotated[
        dict[str, dict[str, Annotated[bytes, Meta(extra={"read": "given"})]]],
        Meta(description="Secrets of apps, by the app's and the secret's name."),
    ] = field(default_factory=dict[str, dict[str, bytes]])

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return self == Device()


def _read_given(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> bytes | Failed:
    """A text, or the content of a file or a variable; the line's end that an editor leaves does not count."""
    if isinstance(node.value, str):
        return node.value.encode()
    if node.table is None or set(node.table) not in ({"file"}, {"env"}):
        return decoder.kind(node, label, 'a text, { file = "…" } or { env = "…" }')
    ((how, named),) = node.table.items()
    name = decoder.text(named, f"{label}.{how}")
    if isinstance(name, Failed):
        return name
    if how == "env":
        value = os.environ.get(name)
        return decoder.wrong(named, f"the variable {name} is not set") if value is None else value.encode()
    path = beside(named, name)
    if not existing(decoder, named, label, name, path):
        return FAILED
    try:
        return _without_end(path.read_bytes())
    except OSError as error:
        return decoder.wrong(named, f"{name} cannot be read: {(error.strerror or str(error)).lower()}")


def _without_end(content: bytes) -> bytes:
    return content[:-1].removesuffix(b"\r") if content.endswith(b"\n") and content.count(b"\n") == 1 else content


def _read_keys(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A key, or those in files, a line each."""
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    if written.startswith(("ssh-", "ecdsa-", "sk-")) and " " in written:
        return written
    path = beside(node, written)
    files = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not files or not all(existing(decoder, node, label, written, file) for file in files):
        return FAILED if files else decoder.wrong(node, f'`{label}`: there is no file "{written[:200]}"')
    try:
        texts = [line.strip() for file in files for line in file.read_text("utf-8", "replace").splitlines()]
    except OSError as error:
        return decoder.wrong(node, f"`{label}`: {written} cannot be read: {(error.strerror or str(error)).lower()}")
    return "\n".join(line for line in texts if line and not line.startswith("#"))


def decode(node: Node, problems: Problems) -> Device | None:
    """A device out of its node; None, and problems noted, if something in it is wrong."""
    return Decoder(problems, {"given": _read_given, "keys": _read_keys}).struct(Device, node)


def read_devices(file: Path) -> dict[str, Node]:
    """The devices of a file, `[device.NAME]`, each laid over what `[all]` says, as nodes. Raises RecipeProblemsError,
    UsageError.
    """
    problems = Problems()
    root = read_toml(file, problems)
    problems.stop_if_any()
    assert root is not None
    table = root.table or {}
    for key in table:
        if key not in ("all", "device"):
            problems.add(
                f"unknown section `{key[:80]}`",
                file=file,
                line=table[key].line,
                hint=did_you_mean(key, ("all", "device")),
            )
    common = table.get("all", Node(file, 1, table={}))
    devices = table.get("device", Node(file, 1, table={}))
    for name, node in (("all", common), ("device", devices)):
        if node.table is None:
            problems.add(f"`{name}` is {kind(node)}, but must be a table", file=file, line=node.line)
    problems.stop_if_any()
    found = {name: merge(common, node, problems, name) for name, node in (devices.table or {}).items()}
    problems.stop_if_any()
    if not found:
        raise UsageError("the file has no device", where=str(file), hint="write [device.NAME]")
    called = {name: _called(node, name) for name, node in found.items()}
    check_distinct(called)
    return called


def check_distinct(devices: Mapping[str, Node], *, first: int | None = None) -> None:
    """No two devices of a file have one host name; those that are counted from `first` on have no address in common
    either. Without it, names with a number in them are not judged. Raises RecipeProblemsError.
    """
    problems = Problems()
    names: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for place, (name, node) in enumerate(devices.items()):
        said = (node.table or {}).get("hostname")
        counts = said is not None and numbered(str(said.value), 1) != numbered(str(said.value), 2)
        if said is not None and isinstance(said.value, str) and not (counts and first is None):
            called = numbered(said.value, (first or 0) + place, name)
            other = names.setdefault(called, name)
            if other != name:
                problems.add(
                    f'the devices {other} and {name} would both be called "{called[:80]}"',
                    file=said.file,
                    line=said.line,
                    hint="give each its own `hostname`, or put {name} or {n} into it",
                )
        for item in _items(node, "addresses") if first is not None else ():
            address = str(item.value).partition("/")[0]
            other = addresses.setdefault(address, name)
            if other != name:
                problems.add(f"the devices {other} and {name} have one address", file=item.file, line=item.line)
    problems.stop_if_any()


def _items(node: Node, key: str) -> Sequence[Node]:
    listed = (node.table or {}).get(key)
    return () if listed is None else listed.items or ()


def _called(node: Node, name: str) -> Node:
    """A device is called as its table is, unless it says otherwise."""
    if node.table is None or "hostname" in node.table or rules.hostname(name) is not None:
        return node
    return Node(node.file, node.line, table={**node.table, "hostname": Node(node.file, node.line, name)})


def pick(devices: Mapping[str, Node], name: str, file: Path) -> Node:
    """The device of that name. Raises UsageError where there is none."""
    if name not in devices:
        raise UsageError(f'there is no device "{name}"', where=str(file), hint=did_you_mean(name, devices))
    return devices[name]


def as_node(value: object, file: Path = COMMAND_LINE) -> Node:
    """Plain values as a node of the command line, or of whatever `file` is."""
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return Node(file, 0, table={key: as_node(item, file) for key, item in table.items()})
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return Node(file, 0, items=[as_node(item, file) for item in items])
    return Node(file, 0, value)


def over(below: Node | None, above: Node) -> Node:
    """What was said later, over what was said before: keys and secrets add up, all else takes its place."""
    if below is None or below.table is None or above.table is None:
        return above
    merged = dict(below.table)
    for key, node in above.table.items():
        known = merged.get(key)
        merged[key] = merge(known, node, Problems(), key) if known is not None and key in ("keys", "secrets") else node
    return Node(above.file, above.line, table=merged)


def settle(node: Node) -> Device:
    """The device that a node says. Raises RecipeProblemsError."""
    problems = Problems()
    device = decode(node, problems)
    problems.stop_if_any()
    assert device is not None
    return device


def key_lines(device: Device) -> Iterable[str]:
    """All keys, one each."""
    return (line for text in device.keys for line in text.splitlines())
