"""What the keys of the apps say together: which of them belong to a kind, what two apps share, what has no sense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ovenbird.recipe.app import KINDS, ONLY_FOR, App
from ovenbird.recipe.app_reading import main_script
from ovenbird.recipe.decode import Decoder
from ovenbird.recipe.model import Recipe
from ovenbird.recipe.nodes import Node
from ovenbird.recipe.problems import did_you_mean, shown

AGENT_PORT = "80/tcp"
SWUPDATE_PORT = "8080/tcp"
CONTAINER_RELEASES = ("trixie",)
"""Releases whose podman knows quadlets (4.4 or newer)."""


def crosscheck_apps(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    """Notes the contradictions of apps whose values are each good. `root` has their places."""
    listed = (root.table or {}).get("app")
    pairs = list(zip(recipe.app, (listed.items if listed else None) or [], strict=True))
    names = [app.name for app in recipe.app]
    seen: dict[str, Node] = {}
    for app, node in pairs:
        if app.name in seen:
            decoder.wrong(node, f'there are two apps "{app.name}"', f"the first is at {_place(seen[app.name])}")
        seen.setdefault(app.name, node)
        if not app.kinds and any(key not in app.__struct_fields__ for key in node.table or {}):
            continue  # It was misspelt, and that has been told.
        if len(app.kinds) != 1:
            what = " and ".join(f"`{kind}`" for kind in app.kinds) or "no program"
            wanted = ", ".join(f"`{kind}`" for kind in KINDS)
            decoder.wrong(node, f'the app "{app.name}" names {what}', f"give exactly one of {wanted}")
            continue
        _keys_of_kind(app, node, decoder)
        _program(app, node, decoder)
        _after(app, node, decoder, names)
        if app.kind == "container" and recipe.base.release not in CONTAINER_RELEASES:
            decoder.wrong(
                _at(node, "container"),
                f"containers need a newer podman than {recipe.base.release} has",
                f'write `release = "{CONTAINER_RELEASES[0]}"` in [base]',
            )
    _ports(recipe, pairs, decoder)
    _files(pairs, decoder)


def _at(node: Node, key: str) -> Node:
    return (node.table or {}).get(key, node)


def _place(node: Node) -> str:
    return f"{shown(node.file)}:{node.line}"


def _keys_of_kind(app: App, node: Node, decoder: Decoder) -> None:
    for key, kinds in ONLY_FOR.items():
        if key in (node.table or {}) and app.kind not in kinds:
            wanted = " and ".join(f"`{kind}`" for kind in kinds)
            decoder.wrong(_at(node, key), f"`app.{key}` is only for {wanted}, and this app is `{app.kind}`")


def _program(app: App, node: Node, decoder: Decoder) -> None:
    """What single kinds ask for."""
    ways = [key for key in ("entry", "module", "script") if getattr(app, key) is not None]
    if len(ways) > 1:
        both = " and ".join(f"`{key}`" for key in ways)
        decoder.wrong(_at(node, ways[1]), f'the app "{app.name}" has {both}', "give one of them")
    if app.python is not None and not ways and app.python.startswith("/"):
        _plain_folder(app, Path(app.python), node, decoder)
    if app.binary is not None and ("://" in app.binary) != (app.sha256 is not None):
        if app.sha256 is None:
            hint = "write `sha256 = …`; `curl -L ADDRESS | sha256sum` tells it"
            decoder.wrong(_at(node, "binary"), "a program from an address needs its `sha256`", hint)
        else:
            decoder.wrong(_at(node, "sha256"), "`app.sha256` is for a program from an address, and this one is a file")
    if app.kind == "container":
        if app.user not in (None, "root"):
            hint = "leave `user` out, or write a user of the container with `options`: --user=NAME"
            decoder.wrong(_at(node, "user"), "a container runs as its own user, or as root", hint)
    else:
        for port in app.ports:
            if ":" in port:
                decoder.wrong(_at(node, "ports"), f"`app.ports`: only a container can have two numbers ({port})")
    if app.development and app.runs_as == "root":
        hint = "leave `user` out while you work on it"
        decoder.wrong(_at(node, "development"), "a program that nobody has signed does not run as root", hint)
    if app.restart_delay_most < app.restart_delay:
        decoder.wrong(
            _at(node, "restart_delay_most" if "restart_delay_most" in (node.table or {}) else "restart_delay"),
            "`app.restart_delay_most` is shorter than `app.restart_delay`",
        )


def _plain_folder(app: App, folder: Path, node: Node, decoder: Decoder) -> None:
    """A folder that is copied as it is must have a file to run."""
    if (folder / "pyproject.toml").is_file() or main_script(folder) is not None:
        return
    names = ", ".join(sorted(path.name for path in folder.glob("*.py"))[:6])
    message = f'the app "{app.name}" does not say which of its files to run ({names})'
    decoder.wrong(_at(node, "python"), message, 'write `script = "FILE.py"`')


def _after(app: App, node: Node, decoder: Decoder, names: list[str]) -> None:
    for item in _at(node, "after").items or []:
        wanted = str(item.value)
        if wanted in (app.name, app.unit):
            decoder.wrong(item, f'the app "{app.name}" cannot come after itself')
        elif "." not in wanted and wanted not in names:
            others = [name for name in names if name != app.name]
            hint = did_you_mean(wanted, others, otherwise="the others are") or f'for a unit, write "{wanted}.service"'
            decoder.wrong(item, f'there is no app "{wanted}"', hint)


def _ports(recipe: Recipe, pairs: list[tuple[App, Node]], decoder: Decoder) -> None:
    taken = {AGENT_PORT: "the device's own page"}
    if recipe.update.swupdate_api:
        taken[SWUPDATE_PORT] = "SWUpdate's API ([update] swupdate_api)"
    taken |= dict(_stage_ports(recipe))
    for app, node in pairs:
        listed = _at(node, "ports")
        items = listed.items or []
        if len(items) != len(app.ports):  # The same port twice counts once.
            items = [listed] * len(app.ports)
        for port, item in zip(app.ports, items, strict=True):
            number, _, protocol = port.partition("/")
            outer = f"{number.partition(':')[0]}/{protocol}"
            if outer in taken:
                decoder.wrong(item, f"the port {outer} is taken by {taken[outer]}", "give the app another one")
            taken.setdefault(outer, f'the app "{app.name}" ({_place(node)})')


def _stage_ports(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for stage in recipe.build.stages:
        if stage.use == "ssh":
            yield f"{stage.arguments.get('port', 22)}/tcp", "the stage `ssh`"


def _files(pairs: list[tuple[App, Node]], decoder: Decoder) -> None:
    """Two apps must not add the same file."""
    seen: dict[str, App] = {}
    for app, node in pairs:
        for target, item in (_at(node, "files").table or {}).items():
            if target.startswith("/") and target in seen:
                decoder.wrong(item, f'the app "{seen[target].name}" adds {target}, too')
            seen.setdefault(target, app)
