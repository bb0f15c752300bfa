"""`[[app]]`: a program of the user's to run on the device, and all that may be said of it.

Exactly one of `python`, `go`, `binary` and `container` names the program; the keys that only some kinds have are in
`ONLY_FOR`. What a place on this machine means is read by `app_reading.py`; what keys say together is judged by
`app_crosscheck.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, cast

from msgspec import Meta, field

from ovenbird.recipe import app_rules, rules
from ovenbird.recipe.duration import parse_duration
from ovenbird.recipe.health import Health
from ovenbird.recipe.section import Section, size, text, time
from ovenbird_device.format import apps

KINDS: Final[tuple[apps.Kind, ...]] = ("python", "go", "binary", "container")
ONLY_FOR: Final[dict[str, tuple[apps.Kind, ...]]] = {
    "entry": ("python",),
    "module": ("python",),
    "script": ("python",),
    "requirements": ("python",),
    "build_flags": ("go",),
    "build_environment": ("go",),
    "sha256": ("binary",),
    "options": ("container",),
    "groups": ("python", "go", "binary"),
    "ready": ("python", "go", "binary"),
    "development": ("python", "go", "binary"),
}
"""The keys that only some kinds of apps have."""


class App(Section, frozen=True, kw_only=True):
    """A program of yours that the device runs. Exactly one of `python`, `go`, `binary`, `container` names it."""

    name: Annotated[str, text("Name of the app: its unit is `app-NAME.service`.", app_rules.name, example="hello")]
    python: Annotated[
        str | None,
        Meta(
            description="A Python project's folder, or a requirement. A folder with a `pyproject.toml` is installed; "
            "one without is copied, with what its `requirements.txt` names.",
            examples=["./app"],
            extra={"read": "python"},
        ),
    ] = None
    go: Annotated[
        str | None,
        Meta(
            description="A Go package: its folder, or its path and version.",
            examples=["example.com/cmd/hello@v1.2.0"],
            extra={"read": "go"},
        ),
    ] = None
    binary: Annotated[
        str | None,
        Meta(
            description="A finished program: a file, or its address together with `sha256`.",
            examples=["./hello"],
            extra={"read": "binary"},
        ),
    ] = None
    container: Annotated[
        str | None,
        Meta(
            description="A container image: an OCI archive or layout that goes into the image (`oci-archive:FILE`, "
            "`oci:FOLDER`), or a name that the device pulls.",
            examples=["oci-archive:web.tar"],
            extra={"read": "container"},
        ),
    ] = None
    description: Annotated[str, text("One line for people.", rules.line)] = ""
    entry: Annotated[
        str | None,
        text("Python function that is the program, as `MODULE:FUNCTION`.", app_rules.entry, example="hello.main:run"),
    ] = None
    module: Annotated[
        str | None,
        text("Python module to run, as `python -m` would.", app_rules.module, example="uvicorn"),
    ] = None
    script: Annotated[
        str | None,
        text(
            "Python script to run: a command that the project installs, or a file in its folder. Without `entry`, "
            "`module` and `script`, the only command of a project, or a folder's `main.py`.",
            app_rules.script,
            example="main.py",
        ),
    ] = None
    requirements: Annotated[
        Path | None,
        Meta(
            description="File with every library and its version, as `uv pip compile --generate-hashes` writes it. "
            "Without it, a project's `uv.lock` or a folder's `requirements.txt`.",
            extra={"read": "file"},
        ),
    ] = None
    build_flags: Annotated[
        tuple[str, ...],
        Meta(
            description="Further arguments for `go build`, one an item.",
            examples=["-ldflags=-X=main.where=here"],
            extra={"read": "words"},
        ),
    ] = ()
    build_environment: Annotated[
        dict[str, str],
        Meta(description="Further environment for `go build`.", extra={"read": "environment"}),
    ] = field(default_factory=dict[str, str])
    sha256: Annotated[
        str | None,
        text("Digest of what is at the address, in 64 hexadecimal digits.", app_rules.sha256),
    ] = None
    options: Annotated[
        tuple[str, ...],
        Meta(
            description="Further arguments for `podman run`, one an item.",
            examples=["--network=host"],
            extra={"read": "words"},
        ),
    ] = ()
    arguments: Annotated[
        tuple[str, ...],
        Meta(description="Arguments of the program, one an item.", examples=["--verbose"], extra={"read": "words"}),
    ] = ()
    environment: Annotated[
        dict[str, str],
        Meta(
            description="Environment of the program. It is in the image, for everybody to read: what must stay secret "
            "is among the `secrets`.",
            extra={"read": "environment"},
        ),
    ] = field(default_factory=dict[str, str])
    secrets: Annotated[
        tuple[Annotated[str, text("", app_rules.secret, example="api-token")], ...],
        Meta(
            description="Names of secrets that the app needs. They are given on the device, never in an image; the app "
            "finds each as a file of that name in the folder `$CREDENTIALS_DIRECTORY`, and does not start without."
        ),
    ] = ()
    user: Annotated[
        str | None,
        text(
            "User to run as, one that the image has. Without it, a user of the app's own, `app-NAME`, that may do "
            "nothing else.",
            app_rules.user,
            example="root",
        ),
    ] = None
    groups: Annotated[
        tuple[Annotated[str, text("", app_rules.user, example="plugdev")], ...],
        Meta(description="Further groups, beside those that `devices` call for."),
    ] = ()
    ports: Annotated[
        tuple[
            Annotated[str, Meta(examples=["8000/tcp"], extra={"read": "port"})],
            ...,
        ],
        Meta(
            description="Ports that the app listens on, `8000` or `53/udp`; no two apps may have the same. For a "
            "container, `8000:80` reaches its port 80."
        ),
    ] = ()
    devices: Annotated[
        tuple[Annotated[str, text("", app_rules.device, example="/dev/ttyUSB0")], ...],
        Meta(description="Device files that the app may use. Without any, it sees none."),
    ] = ()
    files: Annotated[
        dict[str, str],
        Meta(
            description="Files and folders to add: where in the image (or in the app's own folder, if the path is not "
            'absolute) = what, as `{ "/etc/hello.conf" = "hello.conf" }`.',
            extra={"read": "files"},
        ),
    ] = field(default_factory=dict[str, str])
    start: Annotated[
        Literal["boot", "manual"], Meta(description="Whether the app starts at boot, or when somebody starts it.")
    ] = "boot"
    after: Annotated[
        tuple[Annotated[str, text("", app_rules.after, example="database")], ...],
        Meta(description="What is to be started before it: apps by their name, systemd units (`NAME.service`)."),
    ] = ()
    wait_for_clock: Annotated[
        bool, Meta(description="Whether the program is started only when the device has the right time.")
    ] = False
    ready: Annotated[
        Literal["started", "notify"],
        Meta(description="When what comes `after` it may start: at once, or when it says so (sd_notify(3))."),
    ] = "started"
    ready_within: Annotated[int, time("How long it may take to be ready.", least="1s", most="24h")] = parse_duration(
        "90s"
    )
    stop_within: Annotated[
        int, time("How long it may take to end when it is told to; then it is killed.", least="1s", most="10m")
    ] = parse_duration("10s")
    restart: Annotated[
        Literal["always", "on-failure", "never"],
        Meta(
            description="When a program that has ended is started again. One that ends with exit code 125 never is, "
            "until somebody starts it."
        ),
    ] = "always"
    restart_delay: Annotated[
        int, time("How long after its end it is started again, the first time.", least="1s", most="1h")
    ] = parse_duration("1s")
    restart_delay_most: Annotated[
        int, time("How long that may become, as it grows from one restart to the next.", least="1s", most="24h")
    ] = parse_duration("1m")
    memory: Annotated[
        int | None, size("Memory that it may use; above, it is ended. Without it, no limit.", least="4M", most="1T")
    ] = None
    cpu: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None,
        Meta(description="Processor time that it may use, in percent of one core."),
    ] = None
    development: Annotated[
        bool,
        Meta(
            description="Whether `ovenbird dev` may run another program in its place, for as long as somebody works on "
            "it. Such a program is not signed: whoever has the device's password can run it, as the app's user."
        ),
    ] = False
    health: Annotated[
        tuple[Health, ...],
        Meta(description="Checks as in `[[health]]` that must hold, too, for a new system to be kept."),
    ] = ()

    @property
    def kinds(self) -> list[apps.Kind]:
        """Which of the programs are named; a good recipe names one."""
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    @property
    def kind(self) -> apps.Kind:
        """What the app is."""
        return self.kinds[0]

    @property
    def source(self) -> str:
        """The program as the recipe names it; a place on this machine is an absolute path."""
        return cast("str", getattr(self, self.kind))

    @property
    def runs_as(self) -> str:
        """The user that it runs as."""
        return self.user or own_user(self.name)

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return apps.unit_name(self.name)


def own_user(name: str) -> str:
    """The user of the app's own."""
    return f"app-{name}"
