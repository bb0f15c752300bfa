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

from ovenbird.recipe import duration, rules
from ovenbird.recipe.duration import parse_duration
from ovenbird.recipe.size import PATTERN, format_size, parse_size

MEBIBYTE: Final = 1 << 20
RELEASES: Final = ("trixie", "bookworm")
ARCHIVE_COMPONENTS: Final = ("main", "contrib", "non-free", "non-free-firmware")


def text(description: str, rule: rules.Rule, *, example: str | None = None) -> Meta:
    """A text that a rule judges."""
    return Meta(description=description, examples=[example] if example else None, extra={"rule": rule})


def size(description: str, *, least: str, most: str) -> Meta:
    """A number of bytes, written as "512M"; whole mebibytes, because partitions are."""
    return Meta(
        description=f"{description} From {least} to {most}, in whole mebibytes.",
        extra={"read": "size", "least": parse_size(least), "most": parse_size(most)},
        extra_json_schema={"type": "string", "pattern": PATTERN},
    )


def time(description: str, *, least: str, most: str) -> Meta:
    """A time in seconds, written as "90s" or "5m"."""
    return Meta(
        description=f"{description} From {least} to {most}.",
        extra={"read": "duration", "least": parse_duration(least), "most": parse_duration(most)},
        extra_json_schema={"type": "string", "pattern": duration.PATTERN},
    )


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the recipe."""


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


class Base(Section, frozen=True, kw_only=True):
    """Where the tree starts: a distribution's packages."""

    distribution: Annotated[Literal["debian"], Meta(description="The distribution.")] = "debian"
    release: Annotated[
        str,
        Meta(
            description="The release of the distribution.",
            extra={"read": "release"},
            extra_json_schema={"enum": list(RELEASES)},
        ),
    ] = "trixie"
    packages: Annotated[
        tuple[Annotated[str, text("", rules.package, example="podman")], ...],
        Meta(
            description="Packages to install, beside those of the board and the stages. "
            "`name=version` asks for one version."
        ),
    ] = ()
    mirror: Annotated[
        str | None,
        text(
            "Package archive for the release and its updates. Without it, the one that this machine's apt or mmdebstrap"
            " knows.",
            rules.mirror,
            example="https://mirror.example.org/debian",
        ),
    ] = None
    security_mirror: Annotated[
        str | None,
        text(
            "Package archive for security updates, which is another one. Without it, the one that this machine's apt or"
            " mmdebstrap knows.",
            rules.mirror,
            example="https://mirror.example.org/debian-security",
        ),
    ] = None
    components: Annotated[
        tuple[Annotated[str, text("", rules.component, example="non-free-firmware")], ...],
        Meta(description="Components of the archive. Naming some here replaces the default."),
    ] = ("main",)
    keyrings: Annotated[
        tuple[Annotated[Path, Meta(extra={"read": "file"})], ...],
        Meta(
            description="Files with the keys that the mirror and the further sources are signed with, "
            "beside the distribution's own."
        ),
    ] = ()
    sources: Annotated[
        tuple[Annotated[str, text("", rules.source, example="deb https://apt.example.org/ stable main")], ...],
        Meta(description="Further apt sources, each as one line (`deb …`) or in deb822 form."),
    ] = ()
    preseed: Annotated[
        tuple[Annotated[Path, Meta(extra={"read": "file"})], ...],
        Meta(description="Files with answers to packages' questions, as debconf-set-selections reads them."),
    ] = ()


class StageUse(Struct, frozen=True):
    """A stage as a recipe names it: its name or folder, and the parameters given."""

    use: str
    arguments: Mapping[str, Any] = {}


class Build(Section, frozen=True, kw_only=True):
    """How the tree is made from the base."""

    stages: Annotated[
        tuple[Annotated[StageUse, Meta(extra={"read": "stage"})], ...],
        Meta(
            description="The stages, in order. Each is a stock stage's name, a folder (`./stages/mine`), or a table "
            '`{ use = "ssh", keys = "keys/*.pub" }` that gives it parameters. The stage `cleanup` follows by itself.'
        ),
    ] = ()


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
            least="16M",
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


class Boot(Section, frozen=True, kw_only=True):
    """The way from the firmware to the root."""

    cmdline: Annotated[
        tuple[Annotated[str, text("", rules.kernel_argument, example="mitigations=off")], ...],
        Meta(description="Further arguments for the kernel, one an item."),
    ] = ()
    modules: Annotated[
        tuple[Annotated[str, text("", rules.kernel_module, example="r8169")], ...],
        Meta(description="Further kernel modules for the initrd, beside the board's."),
    ] = ()
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
    network: Network = Network()
    boot: Boot = Boot()
    update: Update = Update()
    health: tuple[Health, ...] = ()

    @property
    def hostname(self) -> str:
        """The device's host name: `[network] hostname`, else the image's name."""
        return self.network.hostname or self.image.name


__all__ = [
    "Base", "Boot", "Build", "Disk", "Health", "Image", "Network", "Recipe", "StageUse", "State", "Update",
    "format_size",
]  # fmt: skip
