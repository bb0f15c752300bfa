"""What a single text in a recipe may look like: names, versions, addresses, paths, arguments.

Each rule takes the text and returns None if it is good, else what is wrong with it and, where that can be told, what
to write. The model (`model.py`) says which rule holds for which key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple


class Complaint(NamedTuple):
    """What is wrong with a text, and what to do."""

    message: str
    hint: str | None = None


Rule = Callable[[str], Complaint | None]

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VERSION: Final = re.compile(r"[0-9][0-9A-Za-z.+~-]{0,63}")
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?(?:=[0-9A-Za-z.+:~-]+)?")
_FOREIGN: Final = re.compile(r"[a-z0-9@_+][a-z0-9@._+-]*")
_COMPONENT: Final = re.compile(r"[a-z0-9][a-z0-9/-]*")
_MODULE: Final = re.compile(r"[A-Za-z0-9_-]+")
_PATH: Final = re.compile(r"/[A-Za-z0-9._@:+,=%~/-]+")
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*):(//?)([^\s/]*)(\S*)")
_LIVING: Final = ("/data", "/dev", "/proc", "/run", "/sys", "/tmp", "/boot")
_OURS: Final = (
    "ovenbird.slot", "ovenbird.root", "ovenbird.hash", "ovenbird.size", "ovenbird.data", "ovenbird.trial",
    "root", "initrd",
)  # fmt: skip


def _as_label(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:63].strip("-")


def name(text: str) -> Complaint | None:
    """An image's name: also the host name, so the rules of RFC 1123 for one label."""
    if _LABEL.fullmatch(text):
        return None
    good = _as_label(text)
    return Complaint(
        f'"{text[:80]}" is no name for an image: use lower-case letters, digits and "-", at most 63, not "-" at an end',
        f'write "{good}"' if good else None,
    )


def hostname(text: str) -> Complaint | None:
    """A host name, with or without a domain: RFC 1123 labels, 64 characters at most as Linux has it."""
    labels = text.split(".")
    if len(text) <= 64 and all(_LABEL.fullmatch(label) for label in labels):
        return None
    if len(text) > 64:
        return Complaint(f"a host name has at most 64 characters, this one has {len(text)}")
    good = ".".join(filter(None, map(_as_label, labels)))
    return Complaint(
        f'"{text}" is no host name: use lower-case letters, digits and "-" (and "." before a domain)',
        f'write "{good}"' if good else None,
    )


def version(text: str) -> Complaint | None:
    """A version that can be compared and put into file names."""
    if _VERSION.fullmatch(text):
        return None
    hint = None
    if _VERSION.fullmatch(text[1:]) and text[0] in "vV":
        hint = f'write "{text[1:]}"'
    return Complaint(
        f'"{text[:80]}" is no version: begin with a digit, then digits, letters, ".", "-", "+" or "~", at most 64', hint
    )


def line(text: str) -> Complaint | None:
    """One line of text for people."""
    if len(text) > 200:
        return Complaint(f"this is one line of at most 200 characters, and has {len(text)}")
    return None if text.isprintable() else Complaint("this is one line, without line breaks and control characters")


def package(text: str) -> Complaint | None:
    """A Debian package: `name`, `name=version` or `name:architecture` (Debian Policy 5.6.1); or one of Arch
    (PKGBUILD(5), pkgname), whose names may also have "_" and "@".
    """
    if _PACKAGE.fullmatch(text) or ("_" in text and arch_package(text) is None):
        return None
    words = text.replace(",", " ").split()
    if len(words) > 1 and all(_PACKAGE.fullmatch(word) for word in words):
        spelt = ", ".join(f'"{word}"' for word in words)
        return Complaint(f'"{text[:80]}" is more than one package', f"write {spelt}")
    lowered = text.strip().lower()
    return Complaint(f'"{text[:80]}" is no package name', f'write "{lowered}"' if _PACKAGE.fullmatch(lowered) else None)


def arch_package(text: str) -> Complaint | None:
    """A package of Arch Linux: PKGBUILD(5), pkgname."""
    return None if _FOREIGN.fullmatch(text) else Complaint(f'"{text[:80]}" is no package name')


def repository(text: str) -> Complaint | None:
    """The name of a repository of pacman's: a section of pacman.conf(5), and a part of file names."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) and text not in ("options", "local"):
        return None
    return Complaint(f'"{text[:80]}" is no name of a repository')


def server(text: str) -> Complaint | None:
    """The address of pacman's repositories: pacman.conf(5), Server."""
    found = _URL.fullmatch(text)
    if found is None or found[1] not in ("http", "https", "file"):
        return Complaint(f'"{text[:80]}" is no address of a server', "write it as http://, https:// or file:///")
    if "$repo" not in text:
        return Complaint(f'"{text[:80]}" does not say where the repository goes', "put $repo in, and $arch")
    return None


def sha256(text: str) -> Complaint | None:
    """A SHA-256, in lower case."""
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return None
    hint = f'write "{text.lower()}"' if re.fullmatch(r"[0-9a-fA-F]{64}", text) else "`sha256sum FILE` prints it"
    return Complaint(f'"{text[:80]}" is no SHA-256', hint)


def program(text: str) -> Complaint | None:
    """The absolute path of a program, in its plain form."""
    if _PATH.fullmatch(text) and not {"", ".", ".."} & set(text.split("/")[1:]):
        return None
    return Complaint(f'"{text[:80]}" is no absolute path of a program', 'write it as "/sbin/init"')


def component(text: str) -> Complaint | None:
    """A component of an archive: `main`, `contrib`."""
    return None if _COMPONENT.fullmatch(text) else Complaint(f'"{text[:80]}" is no component of an archive')


def mirror(text: str) -> Complaint | None:
    """The address of a package archive, as apt has it in sources.list(5)."""
    found = _URL.fullmatch(text)
    if found is None:
        return Complaint(f'"{text[:80]}" is no address of a mirror', "write it as http://, https:// or file:///")
    scheme, slashes, host = found[1], found[2], found[3]
    if scheme.endswith(("http", "https", "ftp")) and not (slashes == "//" and host):
        return Complaint(f'"{text[:80]}" names no host', f"write it as {scheme}://host/path")
    return None


def source(text: str) -> Complaint | None:
    """An apt source, as one line (`deb …`) or in deb822 form (`Types: deb …`)."""
    if re.match(r"\s*deb(-src)?\s+(\[[^\]\n]*\]\s+)?\S+\s+\S+", text) and "\n" not in text.strip():
        return None
    missing = [key for key in ("Types", "URIs", "Suites") if not re.search(rf"(?mi)^{key}:\s*\S", text)]
    if not missing:
        return None
    if len(missing) < 3:
        return Complaint(f"this apt source lacks {' and '.join(f'`{key}:`' for key in missing)}")
    return Complaint(
        f'"{text[:80]}" is no apt source',
        'write "deb ADDRESS SUITE COMPONENT", or the deb822 form with Types, URIs, Suites',
    )


def kept_path(text: str) -> Complaint | None:
    """A path that stays over updates: absolute, normal, and in a part of the tree that an update replaces."""
    if not text.startswith("/"):
        return Complaint(f'"{text[:80]}" is not absolute', f'write "/{text}"' if _PATH.fullmatch(f"/{text}") else None)
    if not _PATH.fullmatch(text):
        return Complaint(
            f'"{text[:80]}" cannot be kept: only letters, digits and ._@:+,=%~- are possible in such a path'
        )
    parts = text.strip("/").split("/")
    if "" in parts or "." in parts or ".." in parts:
        return Complaint(f'"{text[:80]}" is not a plain path: it may not contain "//", "." or ".."')
    normal = "/" + "/".join(parts)
    if normal == "/etc":
        return Complaint(
            "/etc as a whole belongs to the slot, so that a broken /etc goes with it",
            "name the files or folders inside",
        )
    for living in _LIVING:
        if normal == living or normal.startswith(living + "/"):
            reason = "is kept anyway" if living == "/data" else "is no part of the root that could be kept"
            return Complaint(f"{normal} {reason}")
    return None


def address(text: str) -> Complaint | None:
    """An address of the device with its prefix length: `192.168.1.7/24`, `2001:db8::7/64`."""
    import ipaddress  # only where a recipe has addresses

    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        return Complaint(f'"{text[:80]}" is no address', 'write it with its prefix length, as in "192.168.1.7/24"')
    if "/" not in text:
        length = 24 if interface.version == 4 else 64
        return Complaint(f'"{text}" lacks the prefix length', f'write "{text}/{length}" if the network is that large')
    network = interface.network
    if interface.ip.is_multicast or interface.ip.is_unspecified or interface.ip.is_loopback:
        return Complaint(f'"{text}" is not an address that a device can have')
    if network.num_addresses > 2 and interface.ip == network.network_address:
        return Complaint(
            f'"{text}" is the network itself, not an address in it', f'write "{interface.ip + 1}/{network.prefixlen}"'
        )
    if interface.version == 4 and network.num_addresses > 2 and interface.ip == network.broadcast_address:
        return Complaint(f'"{text}" is the broadcast address of its network')
    return None


def host_address(text: str) -> Complaint | None:
    """The address of another machine: a gateway, a name server."""
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        hint = f'write "{text.split("/")[0]}"' if "/" in text and host_address(text.split("/")[0]) is None else None
        return Complaint(f'"{text[:80]}" is no address of a machine', hint)
    return None


def kernel_argument(text: str) -> Complaint | None:
    """One argument of the kernel's command line. It travels through GRUB's script, so its quoting signs are out."""
    if not text or not text.isprintable() or not text.isascii():
        return Complaint("a kernel argument is printable ASCII text, and not empty")
    if " " in text:
        spelt = ", ".join(f'"{word}"' for word in text.split())
        return Complaint(f'"{text[:80]}" is more than one argument', f"write {spelt}" if spelt else None)
    bad = sorted(set(text) & set("\"'\\$`;{}<>|&"))
    if bad:
        return Complaint(f'"{text[:80]}" cannot be passed through the boot loader because of {" ".join(bad)}')
    key = text.split("=")[0]
    if key in _OURS:
        return Complaint(f"`{key}` is set by Ovenbird at each boot")
    if key == "ovenbird.debug":
        return Complaint("`ovenbird.debug` is the key `debug` of [boot]", "write `debug = true`")
    return None


def kernel_module(text: str) -> Complaint | None:
    """The name of a kernel module, as modprobe has it."""
    if _MODULE.fullmatch(text):
        return None
    bare = re.sub(r"^.*/|\.ko(\.[a-z0-9]+)?$", "", text)
    return Complaint(f'"{text[:80]}" is no kernel module', f'write "{bare}"' if _MODULE.fullmatch(bare) else None)


def revision(text: str) -> Complaint | None:
    """A hardware revision that bundles name: one word, as `/etc/hwrevision` has it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", text):
        return None
    return Complaint(f'"{text[:80]}" is no hardware revision: use letters, digits and . _ + -, at most 64')


def web_address(text: str) -> Complaint | None:
    """An address for a health check: http or https, with a host."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if good and text.isascii() and text.isprintable() and " " not in text:
        return None
    return Complaint(f'"{text[:80]}" is no web address', 'write it as "http://HOST/PATH" or "https://HOST/PATH"')


def host_and_port(text: str) -> Complaint | None:
    """`HOST:PORT`; an IPv6 address in brackets."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = re.fullmatch(r"[A-Za-z0-9._-]+" if bare == host else r"[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?", bare)
    if good and re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) < 1 << 16:
        return None
    return Complaint(f'"{text[:80]}" is no host and port', 'write it as "localhost:80", or "[::1]:80"')


def unit(text: str) -> Complaint | None:
    """The name of a systemd unit, with its kind (systemd.unit(5))."""
    kinds = "service|socket|target|mount|automount|timer|path|swap|slice|scope|device"
    if re.fullmatch(rf"[A-Za-z0-9:_.\\@-]{{1,200}}\.({kinds})", text):
        return None
    plain = re.fullmatch(r"[A-Za-z0-9:_@-]{1,200}", text)
    return Complaint(f'"{text[:80]}" is no unit of systemd', f'write "{text}.service"' if plain else None)


def container(text: str) -> Complaint | None:
    """The name of a podman container."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
        return None
    return Complaint(f'"{text[:80]}" is no name for a container')


def command(text: str) -> Complaint | None:
    """One line for the shell."""
    if not text.strip() or len(text) > 1000:
        return Complaint("a command is one line of 1 to 1000 characters")
    return (
        None if text.isprintable() else Complaint("a command is one line, without line breaks; call a script instead")
    )


def person(text: str) -> Complaint | None:
    """The name of a person's account, as the stage `users` takes it."""
    if text == "root":
        return Complaint("root has no password and no shell on the page", 'write a user who may use sudo, as "admin"')
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", text):
        return None
    hint = f'write "{text.lower()}"' if re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", text.lower()) else None
    return Complaint(f'"{text[:80]}" is no name of a user', hint)


def label(text: str) -> Complaint | None:
    """A short name for people: a health check's."""
    if 0 < len(text) <= 64 and text.isprintable() and text == text.strip():
        return None
    return Complaint(f'"{text[:80]}" is no name for a check: one line of 1 to 64 characters')
