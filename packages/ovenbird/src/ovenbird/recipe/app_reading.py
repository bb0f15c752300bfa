"""Reads what an `[[app]]` names on this machine or elsewhere: projects, modules, programs, images, files, ports.

A text that begins with `.`, `~` or `/` is a place on this machine, as it is for stages; it becomes an absolute path.
Whether a project can be built is for its own tools to say, but that it is there, and one of its kind, is said here with
file and line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ovenbird.recipe import app_rules, rules
from ovenbird.recipe.decode import FAILED, Decoder, Failed, Reader, beside, existing
from ovenbird.recipe.nodes import Node
from ovenbird.recipe.problems import did_you_mean

PLACE: Final = (".", "~", "/")
_REQUIREMENT: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._, -]*\])?\s*([=<>~!@;(].*)?"
)
_GO_MODULE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+(/[A-Za-z0-9._~+-]+)+")
_GO_VERSION: Final = re.compile(r"v[0-9]+(\.[0-9]+){0,2}([.+-][0-9A-Za-z.+-]+)?|[0-9a-f]{7,40}")
_IMAGE: Final = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+\.[A-Za-z0-9-]+(:[0-9]+)?|localhost(:[0-9]+)?)/[a-z0-9._/-]+"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_PORT: Final = re.compile(r"(?:([0-9]{1,5}):)?([0-9]{1,5})(?:/([a-z]+))?")


def read_python(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A Python project's folder, or a requirement."""
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    if not written.startswith(PLACE):
        if (hint := _meant_folder(node, written)) is not None:
            return decoder.wrong(
                node, f'`{label}`: "{written}" is a requirement here, and there is such a folder', hint
            )
        if _REQUIREMENT.fullmatch(written):
            return written
        return decoder.wrong(
            node,
            f'`{label}`: "{written[:80]}" is neither a folder nor a requirement',
            'write "./FOLDER" or "NAME==VERSION"',
        )
    folder = _folder(decoder, node, label, written)
    if folder is None:
        return FAILED
    if not (folder / "pyproject.toml").is_file() and not any(folder.glob("*.py")):
        return decoder.wrong(
            node, f'`{label}`: "{written}" is no Python project', "it has neither a pyproject.toml nor a file *.py"
        )
    return str(folder)


def main_script(folder: Path) -> str | None:
    """The file that a plain folder is run by: `main.py`, `__main__.py`, `app.py`, or the only one."""
    files = sorted(path.name for path in folder.glob("*.py"))
    usual = next((name for name in ("main.py", "__main__.py", "app.py") if name in files), None)
    return usual or (files[0] if len(files) == 1 else None)


def read_go(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A Go package's folder, or its path and version."""
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    if written.startswith(PLACE):
        folder = _folder(decoder, node, label, written)
        if folder is None:
            return FAILED
        if go_module(folder) is None:
            begin = "`go mod init NAME` there makes one"
            return decoder.wrong(node, f'`{label}`: "{written}" is in no Go module: there is no go.mod', begin)
        if not any(folder.glob("*.go")):
            inside = sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("main.go"))
            hint = f'did you mean "{written.rstrip("/")}/{inside[0]}"?' if inside else None
            return decoder.wrong(node, f'`{label}`: "{written}" has no Go files', hint)
        return str(folder)
    module, at, version = written.partition("@")
    if not _GO_MODULE.fullmatch(module):
        meant = _meant_folder(node, written) or 'write "./FOLDER" or "example.com/MODULE@VERSION"'
        return decoder.wrong(node, f'`{label}`: "{written[:80]}" is neither a folder nor a Go module', meant)
    if not at or not _GO_VERSION.fullmatch(version):
        what = "lacks its version" if not version else f'has no fixed version: "{version[:40]}" moves'
        hint = f'write "{module}@v1.2.3", with a version of it'
        return decoder.wrong(node, f'`{label}`: "{module[:80]}" {what}', hint)
    return written


def go_module(folder: Path) -> Path | None:
    """The folder of the Go module that a folder is in."""
    return next((parent for parent in (folder, *folder.parents) if (parent / "go.mod").is_file()), None)


def read_binary(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A program's file, or its address."""
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    if "://" in written:
        checked = decoder.text(node, label, rules.web_address)
        return FAILED if isinstance(checked, Failed) else written
    path = _normal(beside(node, written))
    return str(path) if existing(decoder, node, label, written, path) else FAILED


def read_container(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A container image: `oci-archive:FILE`, `oci:FOLDER`, or a name in a registry."""
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    transport, colon, rest = written.partition(":")
    if colon and transport == "docker-archive":
        hint = "`skopeo copy docker-archive:FILE oci-archive:NEW` makes one"
        return decoder.wrong(node, f"`{label}`: this is an archive of Docker's own kind, but must be OCI's", hint)
    if colon and transport == "oci-archive":
        path = _normal(beside(node, rest))
        return f"{transport}:{path}" if existing(decoder, node, label, rest, path) else FAILED
    if colon and transport == "oci":
        folder = _folder(decoder, node, label, rest)
        if folder is None:
            return FAILED
        if not (folder / "index.json").is_file():
            return decoder.wrong(node, f'`{label}`: "{rest}" is no OCI layout: it has no index.json')
        return f"oci:{folder}"
    found = _IMAGE.fullmatch(written.removeprefix("docker://"))
    if found is None:
        hint = 'write "oci-archive:FILE", "oci:FOLDER", or a name with its registry: "docker.io/library/NAME:VERSION"'
        if re.fullmatch(r"[a-z0-9._-]+(/[a-z0-9._-]+)?(:[A-Za-z0-9._-]+)?", written):
            if beside(node, written).exists():
                hint = f'write "oci{"" if beside(node, written).is_dir() else "-archive"}:{written}"'
            else:
                hint = f'write "docker.io/{"" if "/" in written else "library/"}{written}"'
        return decoder.wrong(node, f'`{label}`: "{written[:80]}" is no container image', hint)
    if not found["tag"] and not found["digest"]:
        return decoder.wrong(node, f'`{label}`: "{written[:80]}" lacks its version', f'write "{written[:80]}:VERSION"')
    return written.removeprefix("docker://")


def read_words(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> tuple[str, ...] | Failed:
    """Arguments in their order, the same one twice if it is written twice."""
    if node.items is None:
        hint = None
        if isinstance(node.value, str):
            words = ", ".join(f'"{word}"' for word in node.value.split()[:8])
            hint = f"write [{words}]"
        return decoder.kind(node, label, "a list", hint)
    found = [decoder.text(item, label, app_rules.word) for item in node.items]
    good = tuple(word for word in found if not isinstance(word, Failed))
    return good if len(good) == len(found) else FAILED


def read_environment(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> dict[str, str] | Failed:
    """Variables and their values."""
    return _table(decoder, node, label, app_rules.variable, _value)


def _value(decoder: Decoder, node: Node, label: str) -> str | Failed:
    return decoder.text(node, label, app_rules.word)


def read_files(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> dict[str, str] | Failed:
    """Where in the image = which file or folder of this machine."""
    return _table(decoder, node, label, app_rules.target, _file_or_folder)


def _table(
    decoder: Decoder,
    node: Node,
    label: str,
    rule: rules.Rule,
    read: Any,  # noqa: ANN401 - one of the two functions beside
) -> dict[str, str] | Failed:
    if node.table is None:
        return decoder.kind(node, label, "a table", f'write `{label.rpartition(".")[2]} = {{ NAME = "VALUE" }}`')
    failed = False
    found: dict[str, str] = {}
    for key, item in node.table.items():
        if (complaint := rule(key)) is not None:
            decoder.wrong(item, f"`{label}`: {complaint.message}", complaint.hint)
            failed = True
            continue
        value: str | Failed = read(decoder, item, f"{label}.{key}")
        if isinstance(value, Failed):
            failed = True
        else:
            found[key] = value
    return FAILED if failed else found


def _file_or_folder(decoder: Decoder, node: Node, label: str) -> str | Failed:
    written = decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    path = _normal(beside(node, written))
    if path.is_dir() or existing(decoder, node, label, written, path):
        return str(path)
    return FAILED


def read_port(decoder: Decoder, node: Node, label: str, extra: Mapping[str, Any]) -> str | Failed:
    """A port as `8000/tcp`, for a container perhaps `8000:80/tcp`; a plain number is a TCP port."""
    value = node.value
    written = str(value) if isinstance(value, int) and not isinstance(value, bool) else decoder.text(node, label)
    if isinstance(written, Failed):
        return written
    found = _PORT.fullmatch(written)
    if found is None:
        return decoder.wrong(node, f'`{label}`: "{written[:80]}" is no port', 'write "8000" or "53/udp"')
    inner, kind = found[2], found[3] or "tcp"
    outer = found[1] or inner
    if kind not in ("tcp", "udp"):
        return decoder.wrong(node, f'`{label}`: there is no protocol "{kind}"', did_you_mean(kind, ("tcp", "udp")))
    if not (0 < int(outer) < 1 << 16 and 0 < int(inner) < 1 << 16):
        return decoder.wrong(node, f'`{label}`: a port is a number from 1 to 65535, not "{written[:80]}"')
    return f"{int(outer)}/{kind}" if int(inner) == int(outer) else f"{int(outer)}:{int(inner)}/{kind}"


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _folder(decoder: Decoder, node: Node, label: str, written: str) -> Path | None:
    """An existing folder as the recipe writes it; None, and a problem noted, if there is none."""
    path = _normal(beside(node, written))
    try:
        if path.is_dir():
            return path
        if path.exists():
            decoder.wrong(node, f'`{label}`: "{written}" is a file, but must be a folder')
            return None
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    except (OSError, ValueError):
        siblings = []
    near = did_you_mean(path.name, siblings)
    hint = near if near and near.startswith("did") else None
    decoder.wrong(node, f'`{label}`: there is no folder "{written[:200]}"', hint)
    return None


def _meant_folder(node: Node, written: str) -> str | None:
    """The hint for what looks like a name and is a folder beside the recipe."""
    try:
        return f'write "./{written}"' if beside(node, written).is_dir() else None
    except (OSError, ValueError):
        return None


READERS: Final[dict[str, Reader]] = {
    "python": read_python,
    "go": read_go,
    "binary": read_binary,
    "container": read_container,
    "words": read_words,
    "environment": read_environment,
    "files": read_files,
    "port": read_port,
}
