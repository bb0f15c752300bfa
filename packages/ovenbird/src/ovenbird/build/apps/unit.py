"""How systemd runs an app: a hardened unit for a program, a quadlet for a container.

An app of its own user may read the system, write its own state, and talk to the network; everything else is shut. One
that runs as root is trusted with the machine, so only what keeps it alive is left. What grows between two restarts
needs systemd 254; on an older one (bookworm) the first delay stays as it is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

from ovenbird.build.apps.container import packed
from ovenbird.recipe.app import App
from ovenbird_device.format import apps

SCRIPTS = "/usr/lib/ovenbird"
GROWING = ("trixie",)  # Releases whose systemd (254 or newer) lets the delay between restarts grow.
STEPS = 8  # restarts until the longest delay
PULLING = 900  # seconds more that a container may take to start, as its image comes first
_LOWEST_PORT = 1024
_ID_RANGE = 65536
_ID_FIRST = 1 << 20

# Whom Debian lets use a kind of device, beside root.
GROUPS: dict[str, tuple[str, ...]] = {
    r"tty(S|USB|ACM|AMA)\d*|serial/.*|rfcomm\d*": ("dialout",),
    r"video\d+|media\d+|vchiq|vcsm-cma|fb\d+": ("video",),
    r"dri/.*": ("render", "video"),
    r"snd(/.*)?": ("audio",),
    r"input/.*|uinput": ("input",),
    r"kvm": ("kvm",),
    r"sr\d+|cdrom": ("cdrom",),
}
HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
UMask=0077
"""


def service(app: App, command: Sequence[str], environment: Mapping[str, str], release: str) -> str:
    """The text of a program's unit."""
    words = [*command, *app.arguments]
    home = {"HOME": apps.state_folder(app.name)}
    if app.wait_for_clock:
        words = ["/bin/sh", f"{SCRIPTS}/app-clock", *words]
    lines = [
        *_unit(app),
        "",
        "[Service]",
        f"Type={'notify' if app.ready == 'notify' else 'exec'}",
        *(["NotifyAccess=all"] if app.ready == "notify" else []),
        f"User={app.runs_as}",
        *([f"SupplementaryGroups={' '.join(groups(app))}"] if groups(app) else []),
        f"SyslogIdentifier={app.name}",  # Not what happens to be the first word: a shell, or python3.
        f"WorkingDirectory=-{apps.state_folder(app.name)}",
        *(
            f"Environment={quoted(f'{name}={value}')}"
            for name, value in _environment(app, {**environment, **home}).items()
        ),
        *(f"LoadCredential={secret}:{apps.secret_file(app.name, secret)}" for secret in app.secrets),
        f"ExecStartPre=+/bin/sh {SCRIPTS}/app-state {app.name} {app.runs_as}",
        f"ExecStart={' '.join(quoted(word, command=True) for word in words)}",
        *_life(app, release, 0),
        # The one word that an app has: do not start me again until somebody does. Not a failure, either.
        f"SuccessExitStatus={apps.STAY_DOWN}",
        f"RestartPreventExitStatus={apps.STAY_DOWN}",
        *_limits(app),
        *([] if app.runs_as == "root" else _shut(app)),
        *_install(app),
    ]
    return "\n".join(lines) + "\n"


def quadlet(app: App, image: str, release: str) -> str:
    """The text of a container's quadlet (podman-systemd.unit(5)).

    podman itself ends with 125 where it cannot start a container, so that code does not stay down here.
    """
    name, state = app.name, apps.state_folder(app.name)
    packed_here = packed(app)[1] is not None
    first = _ID_FIRST + _ID_RANGE * (zlib.crc32(name.encode()) % 4096)
    own_ids = [] if app.runs_as == "root" else [f"UIDMap=0:{first}:{_ID_RANGE}", f"GIDMap=0:{first}:{_ID_RANGE}"]
    environment = _environment(app, {"CREDENTIALS_DIRECTORY": "/run/secrets"} if app.secrets else {})
    before = [f"ExecStartPre=/bin/sh {SCRIPTS}/app-state {name}"]
    if packed_here:
        before.append(f"ExecStartPre=/bin/sh {SCRIPTS}/app-image {name} {image}")
    before += [
        f"ExecStartPre=/usr/bin/podman secret create --replace app-{name}-{secret} {apps.secret_file(name, secret)}"
        for secret in app.secrets
    ]
    if app.wait_for_clock:
        before.append(f"ExecStartPre=/bin/sh {SCRIPTS}/app-clock true")
    lines = [
        *_unit(app),
        "",
        "[Container]",
        f"ContainerName={name}",
        f"Image={image}",
        f"Pull={'never' if packed_here else 'missing'}",
        *own_ids,
        "NoNewPrivileges=true",
        f"Volume={state}:{state}:U",
        *(
            f"Environment={quoted(f'{variable}={value}', command=True)}"
            for variable, value in environment.items()
        ),
        *(f"Secret=app-{name}-{secret},target={secret}" for secret in app.secrets),
        *(f"PublishPort={_published(port)}" for port in app.ports),
        *(f"AddDevice={device}" for device in app.devices),
        *(f"PodmanArgs={quoted(option, command=True)}" for option in app.options),
        *([f"Exec={' '.join(quoted(word, command=True) for word in app.arguments)}"] if app.arguments else []),
        f"StopTimeout={app.stop_within}",
        "",
        "[Service]",
        *before,
        *_life(app, release, PULLING),
        *_limits(app),
        *_install(app),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def remembered(units: Sequence[str]) -> str:
    """What the target says of the apps that it does not start: an order, and so a reference.

    systemd forgets a unit that has ended well and that no other one names, and with it its exit code.
    """
    return f"# Not started by this, but remembered: how they ended stays known.\n[Unit]\nAfter={' '.join(units)}\n"


def _unit(app: App) -> list[str]:
    others = [name if "." in name else apps.unit_name(name) for name in app.after]
    return [
        "[Unit]",
        f"Description={_specifiers(app.description) or f'App {app.name}'}",
        f"After={' '.join(['network.target', *others])}",
        *([f"Wants={' '.join(others)}"] if others else []),
        # An app is never given up: what limits its restarts is the delay, which grows.
        "StartLimitIntervalSec=0",
        # Without its secrets it waits, and is no failure: they are given on the device.
        *(f"ConditionPathExists={apps.secret_file(app.name, secret)}" for secret in app.secrets),
    ]


def _environment(app: App, more: Mapping[str, str]) -> dict[str, str]:
    clock = {"OVENBIRD_WAIT_FOR_CLOCK": "1"} if app.wait_for_clock else {}
    ours = {"OVENBIRD_APP": app.name, "OVENBIRD_STATE": apps.state_folder(app.name), **clock}
    return {**more, **app.environment, **ours}


def _life(app: App, release: str, more: int) -> list[str]:
    """How it is started again, and how long it may take to start and to end."""
    ready = app.ready_within + more
    lines = [f"TimeoutStartSec={'infinity' if app.wait_for_clock else ready}"]
    lines.append(f"TimeoutStopSec={app.stop_within + (5 if app.kind == 'container' else 0)}")
    if app.restart == "never":
        return [*lines, "Restart=no"]
    lines += [f"Restart={app.restart}", f"RestartSec={app.restart_delay}"]
    if release in GROWING and app.restart_delay_most > app.restart_delay:
        lines += [f"RestartSteps={STEPS}", f"RestartMaxDelaySec={app.restart_delay_most}"]
    return lines


def _limits(app: App) -> list[str]:
    memory = [f"MemoryMax={app.memory}", "MemorySwapMax=0"] if app.memory else []
    return [*memory, *([f"CPUQuota={app.cpu}%"] if app.cpu else [])]


def _shut(app: App) -> list[str]:
    """What keeps an app to itself."""
    low = any(int(port.partition("/")[0]) < _LOWEST_PORT for port in app.ports)
    bind = "CAP_NET_BIND_SERVICE" if low else ""
    devices = ["PrivateDevices=yes"]
    if app.devices:
        devices = ["DevicePolicy=closed", *(f"DeviceAllow={device} rw" for device in app.devices)]
    return [
        *([f"AmbientCapabilities={bind}"] if bind else []),
        f"CapabilityBoundingSet={bind}",
        f"ReadWritePaths=-{apps.state_folder(app.name)}",
        *devices,
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        *HARDENING.splitlines(),
    ]


def _install(app: App) -> list[str]:
    return ["", "[Install]", "WantedBy=multi-user.target"] if app.start == "boot" else []


def groups(app: App) -> list[str]:
    """The groups that an app is in beside its user's own."""
    found = list(app.groups)
    for device in app.devices:
        name = device.removeprefix("/dev/")
        found += next((names for pattern, names in GROUPS.items() if re.fullmatch(pattern, name)), ())
    return [] if app.runs_as == "root" else list(dict.fromkeys(found))


def _published(port: str) -> str:
    number, _, protocol = port.partition("/")
    return f"{number if ':' in number else f'{number}:{number}'}/{protocol}"


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def quoted(text: str, *, command: bool = False) -> str:
    """A word as systemd.syntax(7) reads it; in a `command`, variables would be replaced, too."""
    plain = _specifiers(text)
    if command:
        plain = plain.replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'
