"""What `ovenbird serve` and its verbs say, as values for the rest of this room, and what is printed of them."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import httpx
import msgspec

from ovenbird.deliver.logs import harmless
from ovenbird.deliver.serve import foreign, server, settings, unit, words
from ovenbird.deliver.serve.images import Images
from ovenbird.deliver.serve.live import Client
from ovenbird.deliver.watch import duration
from ovenbird.errors import NetworkError, UsageError
from ovenbird.progress import Progress
from ovenbird.recipe.problems import did_you_mean

IMAGE_COLUMNS = ("image", "version", "board", "architecture", "build", "former")
CLIENT_COLUMNS = ("client", "state", "boots", "runs", "health", "address", "seen")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says of the server; None where it says nothing."""

    interface: str | None = None
    dhcp: str | None = None
    address: str | None = None
    port: int | None = None

    def over(self, below: settings.Server) -> settings.Server:
        """The file's settings, with these over them."""
        said = {
            name: getattr(self, name)
            for name in ("interface", "dhcp", "address", "port")
            if getattr(self, name) is not None
        }
        if "interface" in said and "address" not in said:
            said["address"] = None  # The file's one is of its interface.
        return msgspec.structs.replace(below, **said)


def state_folder(state: Path | None) -> Path:
    """Where images are kept: what was asked for, else the user's folder for data."""
    if state is not None:
        return state
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local/share") / "ovenbird" / "serve"


def images(state: Path | None) -> Images:
    """The images that are kept."""
    return Images(state_folder(state))


def order(state: Path | None, file: Path | None, wishes: Wishes, *, force: bool) -> server.Order:
    """What to serve. Raises UsageError."""
    if wishes.dhcp is not None and wishes.dhcp not in get_args(settings.Dhcp):
        raise UsageError(
            f'--dhcp cannot be "{wishes.dhcp}"',
            hint=did_you_mean(wishes.dhcp, get_args(settings.Dhcp), otherwise="possible are"),
        )
    if wishes.address is not None and (complaint := words.ipv4(wishes.address)):
        raise UsageError(f"--address: {complaint.message}", hint=complaint.hint)
    return server.Order(state_folder(state).absolute(), file, wishes.over, force)


def run(asked: server.Order, progress: Progress) -> None:
    """Serve until it is ended."""
    server.run(asked, progress)


def foreign_text(asked: server.Order, kind: str) -> str:
    """What to type into a DHCP server. Raises UsageError."""
    kinds = [one.value for one in foreign.Kind]
    if kind not in kinds:
        raise UsageError(f'--print cannot be "{kind}"', hint=did_you_mean(kind, kinds, otherwise="possible are"))
    with tempfile.TemporaryDirectory() as folder:
        return foreign.text(foreign.Kind(kind), server.plan(server.prepare(asked), Path(folder)))


def unit_text(file: Path | None, wishes: Wishes, *, force: bool) -> str:
    """A unit of systemd that runs the server so."""
    options: list[str] = []
    for name in ("interface", "dhcp", "address", "port"):
        if (value := getattr(wishes, name)) is not None:
            options += [f"--{name}", str(value)]
    options += ["--file", str(file.absolute())] if file is not None else []
    return unit.unit([*options, *(["--force"] if force else [])])


def image_rows(there: Images) -> list[list[str]]:
    """The images, in the order of IMAGE_COLUMNS."""
    rows: list[list[str]] = []
    for name in there.names():
        image, former = there.current(name), there.former(name)
        facts = image.manifest
        rows.append(
            [
                name,
                facts.version,
                facts.board,
                facts.architecture,
                image.id,
                f"{former.manifest.version} {former.id}" if former else "",
            ]
        )
    return rows


class _Answer(msgspec.Struct, frozen=True):
    """What `/clients` says."""

    clients: tuple[Client, ...]


def live_clients(url: str) -> tuple[Client, ...]:
    """The clients of a running server. Raises NetworkError."""
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/clients", timeout=10, trust_env=False, headers={"Accept": "application/json"}
        )
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=_Answer).clients
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as error:
        raise NetworkError(
            f"{url} does not answer as a boot server does: {error}",
            hint="`ovenbird serve` says its address when it starts",
        ) from error


def client_rows(clients: Sequence[Client]) -> list[list[str]]:
    """The clients, in the order of CLIENT_COLUMNS."""
    return [
        [
            harmless(one.name or one.hostname or one.mac or one.address),
            f"{one.stage} {one.percent} %" if one.stage == "root" else str(one.stage),
            f"{one.image} {one.version}".strip(),
            harmless(f"{one.running_image} {one.running_version}".strip()),
            harmless(one.trouble or one.health),
            one.address,
            duration(max(0.0, time.time() - one.last_seen)),
        ]
        for one in clients
    ]
