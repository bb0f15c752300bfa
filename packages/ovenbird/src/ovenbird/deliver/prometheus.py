"""Devices as targets for Prometheus: a file for its file-based discovery (`file_sd_configs`), out of what `scan` found.

Format: Prometheus' documentation, "<file_sd_config>", in JSON. Prometheus reads the file again whenever it changes, so
it is replaced in one step. A device's name is its `instance`; what else is said of it has a name of our own, so that no
exporter's label is in its way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ovenbird.deliver.scan import Found
from ovenbird.errors import UsageError, from_os_error
from ovenbird.files import write_atomically

PAGE = "ovenbird"
"""The job of what a device's own page tells at `/metrics`."""
_EXPORTER = re.compile(r"(?:([A-Za-z0-9_-]{1,64}):)?([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Exporter:
    """What else answers at `/metrics` on each device, and the job that Prometheus shows it as."""

    job: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Exporter:
        """Read PORT or JOB:PORT. Raises UsageError."""
        found = _EXPORTER.fullmatch(text)
        if found is None or not 0 < int(found[2]) < 65536:
            raise UsageError(f'"{text}" is no exporter', hint="write its port, or JOB:PORT such as node:9100")
        if found[1] == PAGE:
            raise UsageError(f"the job {PAGE} is that of the devices' own page", hint="give the exporter another name")
        return cls(found[1] or "node", int(found[2]))


class Group(msgspec.Struct, frozen=True):
    """Targets with the labels that they share: here, one target each."""

    targets: tuple[str, ...]
    labels: dict[str, str]

    @property
    def key(self) -> tuple[str, str]:
        """Which device and what of it."""
        return self.labels.get("ovenbird_id", ""), self.labels.get("job", "")


def groups(found: Iterable[Found], exporters: Sequence[Exporter] = ()) -> list[Group]:
    """The targets of those that answered: each one's page, and the exporters. An address that is of use on this machine
    alone (link-local) is left out.
    """
    made: list[Group] = []
    for one in found:
        host, port = _place(one.target)
        if one.glance is None or "%" in host:
            continue
        labels = {
            "instance": one.hostname or host,
            "ovenbird_id": one.glance.id or one.hostname or host,
            "ovenbird_image": one.glance.name,
            "ovenbird_board": one.glance.board,
            "ovenbird_model": one.glance.model,
        }
        for exporter in (Exporter(PAGE, port), *exporters):
            address = f"[{host}]:{exporter.port}" if ":" in host else f"{host}:{exporter.port}"
            made.append(Group((address,), {"job": exporter.job, **labels}))
    return made


def write(file: Path, made: Sequence[Group], *, keep: bool = False) -> None:
    """Replace the file. With `keep`, what was in it and is not among these stays, so that Prometheus tells that it is
    down. Raises UsageError for a file of others', OvenbirdError where it cannot be written.
    """
    try:
        known = _read(file) if keep else []
        new = {group.key for group in made}
        every = [*(group for group in known if group.key not in new), *made]
        every.sort(key=lambda group: (group.labels.get("instance", ""), group.targets))
        write_atomically(file, msgspec.json.format(msgspec.json.encode(every), indent=2) + b"\n")
    except OSError as error:
        raise from_os_error(error) from error


def _read(file: Path) -> list[Group]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Group])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"this is no file of targets: {error}", where=str(file), hint="without --keep, it is replaced"
        ) from error


def _place(target: str) -> tuple[str, int]:
    """The host and the port of what other verbs take (`target.on_port`)."""
    if target.startswith("["):
        host, _, port = target[1:].partition("]:")
        return host, int(port)
    if target.count(":") == 1:
        host, _, port = target.partition(":")
        return host, int(port)
    return target, 80
