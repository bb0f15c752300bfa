"""What a recipe may say: the one definition behind loading, checking, the JSON Schema and the reference page.

Every key carries its own description, its default and how its text is judged (`rules.py`), so that adding a key is
adding a line here. Values are frozen; sizes are bytes; files are absolute paths, found relative to the recipe file
that names them. Only what Ovenbird does is here: anything else is an unknown key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from ovenbird.recipe import rules
from ovenbird.recipe.app import App
from ovenbird.recipe.base import ARCHIVE_COMPONENTS, RELEASES, Base
from ovenbird.recipe.duration import parse_duration
from ovenbird.recipe.health import HEALTH_KINDS, Health
from ovenbird.recipe.pi import Pi
from ovenbird.recipe.section import Section, size, text, time
from ovenbird.recipe.size import format_size, parse_size

MEBIBYTE: Final = 1 << 20


class Image(Section, frozen=True, kw_only=True):
    """What the image is called and which kind of machine it is for."""

    name: Annotated[
        str,
        text(
            "Name of the image. Also the device's host name, if `[network]` says no other.", rules.name, example="hello"
        ),
    ]
    version: Annotated[
        str, text("Version of the image, shown by the device and compared by updates.", rules.version, example="1.4.0")
    ]
    board: Annotated[
        str,
        Meta(
            description="Kind of machine: how it boots, its kernel and firmware.",
            examples=["vm"],
            extra={"read": "board"},
        ),
    ]
    description: Annotated[str, text("One line for people.", rules.line)] = ""


class StageUse(Struct, frozen=True):
    """A stage as a recipe names it: its name or folder, and the parameters given."""

    use: str
    arguments: Mapping[str, Any] = {}
    emulate: bool = False


class Build(Section, frozen=True, kw_only=True):
    """How the tree is made from the base."""

    stages: Annotated[
        tuple[Annotated[StageUse, Meta(extra={"read": "stage"})], ...],
        Meta(
            description="The stages, in order. Each is a stock stage's name, a folder (`./stages/mine`), or a table "
            '`{ use = "ssh", keys = "keys/*.pub" }` that gives it parameters. `emulate = true` in the table runs this '
            "stage and what follows it under emulation, for a board of another architecture. The stage `cleanup` "
            "follows by itself."
        ),
    ] = ()
    emulate: Annotated[
        bool,
        Meta(
            description="For a board of another architecture: whether everything is built under emulation (qemu-user), "
            "which takes many times as long as the twin build."
        ),
    ] = False


class Disk(Section, frozen=True, kw_only=True):
    """The sizes of the partitions. There are two slots, `a` and `b`, each with a boot and a root partition."""

    boot: Annotated[int, size("Size of each slot's boot partition: kernel and initrd.", least="24M", most="2G")] = (
        parse_size("64M")
    )
    root: Annotated[
        int,
        size(
            "Size of each slot's root partition. The compressed root must fit, now and in later versions.",
            least="16M",
            most="64G",
        ),
    ] = parse_size("512M")
    data: Annotated[
        int,
        size(
            "Size of the data partition in the image; it grows over the rest of the medium on first boot.",
            least="18M",  # A smaller one has no room for the journal, which keeps its size when the rest grows.
            most="1T",
        ),
    ] = parse_size("64M")
    rescue: Annotated[
        int | None,
        size(
            "Size of the rescue partition: a system in RAM that is reached when both slots fail, and takes a bundle. "
            "Without it, there is none.",
            least="64M",
            most="4G",
        ),
    ] = None
    compression_level: Annotated[
        int, Meta(description="How hard the root is compressed (zstd): 1 builds fastest, 22 is smallest.", ge=1, le=22)
    ] = 6


class State(Section, frozen=True, kw_only=True):
    """What of a running device outlives an update."""

    persist: Annotated[
        tuple[Annotated[str, text("", rules.kept_path, example="/etc/myapp")], ...],
        Meta(
            description="Files and folders that an update does not replace, beside the built-in ones (machine id, SSH "
            "host keys, network and users set on the device): written once from the image, then the device's own."
        ),
    ] = ()
    var: Annotated[
        Literal["persistent", "volatile"],
        Meta(
            description="Whether /var is kept on the data partition, or is in memory and begins "
            "as the image has it at each boot."
        ),
    ] = "persistent"


class Logs(Section, frozen=True, kw_only=True):
    """The journal: what the system and the apps say."""

    keep: Annotated[
        Literal["data", "memory"] | None,
        Meta(
            description="Where it is kept: on data, over restarts, or in memory. Without it, on data if /var is "
            "persistent."
        ),
    ] = None
    limit: Annotated[int, size("How much of it is kept; the oldest lines go first.", least="8M", most="64G")] = (
        parse_size("64M")
    )


class Network(Section, frozen=True, kw_only=True):
    """How the device is found and reached."""

    hostname: Annotated[
        str | None, text("Host name of the device. Without it, the image's name.", rules.hostname, example="hello-1")
    ] = None
    addresses: Annotated[
        tuple[Annotated[str, text("", rules.address, example="192.168.1.7/24")], ...],
        Meta(description="Fixed addresses with their prefix lengths. Without any, the network gives one (DHCP)."),
    ] = ()
    gateway: Annotated[str | None, text("Gateway for fixed addresses.", rules.host_address, example="192.168.1.1")] = (
        None
    )
    dns: Annotated[
        tuple[Annotated[str, text("", rules.host_address, example="192.168.1.1")], ...],
        Meta(description="Name servers."),
    ] = ()
    mdns: Annotated[bool, Meta(description="Whether the device answers to HOSTNAME.local.")] = True


class Page(Section, frozen=True, kw_only=True):
    """The device's page, which is its HTTP interface too."""

    tls: Annotated[
        Literal["also", "only", "off"],
        Meta(
            description="HTTPS: beside HTTP (`also`), in place of it, so that plain requests go on to it (`only`), "
            "or not at all (`off`). The device makes a certificate at its first boot; its owner can give it another."
        ),
    ] = "also"
    terminal: Annotated[
        str | None,
        text(
            "User whose shell the page opens, for whoever types the device's password once more: one of the stages "
            "`users` or `ssh`, never root. What the user may do, who has the password may, with `sudo` all. Without "
            "it, the image has no terminal.",
            rules.person,
            example="admin",
        ),
    ] = None


class Boot(Section, frozen=True, kw_only=True):
    """The way from the firmware to the root."""

    cmdline: Annotated[
        tuple[Annotated[str, text("", rules.kernel_argument, example="mitigations=off")], ...],
        Meta(description="Further arguments for the kernel, one an item."),
    ] = ()
    modules: Annotated[
        tuple[Annotated[str, text("", rules.kernel_module, example="r8169")], ...],
        Meta(description="Further kernel modules for the initrds (of disks and of `netboot/`), beside the board's."),
    ] = ()
    netboot: Annotated[
        bool,
        Meta(
            description="Whether a build also makes `netboot/`, from which machines without a disk boot this image; "
            "only on boards that can."
        ),
    ] = True
    debug: Annotated[
        bool,
        Meta(description="Whether each boot stops in a shell in the initrd, before and after the root is mounted."),
    ] = False


class Update(Section, frozen=True, kw_only=True):
    """Whose updates a device takes, and when a new system has proved itself."""

    keys: Annotated[
        tuple[Annotated[Path, Meta(extra={"read": "certificate"})], ...],
        Meta(
            description="Files with the certificates (PEM) of those whose bundles the device takes; `ovenbird keys "
            "new` makes one. The first whose private key is at hand signs this image's own bundle. Without any, "
            "the device refuses every bundle, and none is written."
        ),
    ] = ()
    compatible: Annotated[
        tuple[Annotated[str, text("", rules.revision, example="weather-station-2")], ...],
        Meta(
            description="Hardware revisions: a bundle is taken if it names one of the device's. "
            "Without any, the board's name."
        ),
    ] = ()
    deadline: Annotated[
        int,
        time("How long a new system may take to be healthy; then the device goes back.", least="30s", most="24h"),
    ] = parse_duration("5m")
    tries: Annotated[
        int, Meta(description="How many boots a new system gets to be healthy, before it is given up.", ge=1, le=9)
    ] = 3
    usb: Annotated[
        bool, Meta(description="Whether a bundle on a USB stick is installed at boot. It must be signed like any.")
    ] = False
    swupdate_api: Annotated[
        bool, Meta(description="Whether SWUpdate's own upload API is served, on port 8080, for its clients.")
    ] = False
    server: Annotated[
        str | None,
        text(
            "Address that must answer for a new system to be healthy, your update server's for example.",
            rules.web_address,
            example="https://updates.example.org/",
        ),
    ] = None


class Recipe(Section, frozen=True, kw_only=True):
    """A recipe: `ovenbird.toml`."""

    include: Annotated[
        tuple[str, ...],
        Meta(
            description="Recipe files to begin with, relative to this one. Later files win over earlier ones and this "
            "file over all; tables merge and lists append. A file that is reached twice counts once."
        ),
    ] = ()
    image: Image
    base: Base = Base()
    build: Build = Build()
    disk: Disk = Disk()
    state: State = State()
    logs: Logs = Logs()
    network: Network = Network()
    page: Page = Page()
    boot: Boot = Boot()
    pi: Pi = Pi()
    update: Update = Update()
    health: tuple[Health, ...] = ()
    app: tuple[App, ...] = ()

    @property
    def hostname(self) -> str:
        """The device's host name: `[network] hostname`, else the image's name."""
        return self.network.hostname or self.image.name


__all__ = [
    "ARCHIVE_COMPONENTS", "HEALTH_KINDS", "RELEASES", "App", "Base", "Boot", "Build", "Disk", "Health", "Image", "Logs",
    "Network", "Page", "Pi", "Recipe", "Section", "StageUse", "State", "Update", "format_size",
]  # fmt: skip
