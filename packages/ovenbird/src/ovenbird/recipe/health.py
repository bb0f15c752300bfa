"""`[[health]]`: what must hold for a new system to be kept. The apps' own checks are the same."""

from __future__ import annotations

from typing import Annotated, Final

from ovenbird.recipe import rules
from ovenbird.recipe.duration import parse_duration
from ovenbird.recipe.section import Section, text, time


class Health(Section, frozen=True, kw_only=True):
    """A check that must hold for a new system to be kept, beside the built-in ones. It looks at exactly one thing."""

    name: Annotated[str, text("What the check is called.", rules.label, example="greeting")]
    command: Annotated[
        str | None, text("Command for the shell that must succeed.", rules.command, example="test -e /data/ready")
    ] = None
    http: Annotated[
        str | None,
        text("Address that must answer with a status below 400.", rules.web_address, example="http://localhost:8000/"),
    ] = None
    tcp: Annotated[
        str | None, text("Host and port that must take a connection.", rules.host_and_port, example="localhost:1883")
    ] = None
    unit: Annotated[str | None, text("systemd unit that must be active.", rules.unit, example="mosquitto.service")] = (
        None
    )
    container: Annotated[str | None, text("podman container that must be running.", rules.container, example="web")] = (
        None
    )
    timeout: Annotated[int, time("How long one look may take.", least="1s", most="10m")] = parse_duration("10s")
    every: Annotated[int, time("How long after a look the next one comes.", least="1s", most="10m")] = parse_duration(
        "5s"
    )

    @property
    def kinds(self) -> list[str]:
        """Which of the things to look at are given; a good recipe gives one."""
        return [kind for kind in HEALTH_KINDS if getattr(self, kind) is not None]


HEALTH_KINDS: Final = ("command", "http", "tcp", "unit", "container")
