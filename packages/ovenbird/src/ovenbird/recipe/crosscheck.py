"""What no single value of a recipe can tell: keys that contradict each other."""

from __future__ import annotations

from ovenbird import boards
from ovenbird.boards.board import Selector
from ovenbird.recipe.app_crosscheck import crosscheck_apps
from ovenbird.recipe.base_crosscheck import crosscheck_base
from ovenbird.recipe.decode import Decoder
from ovenbird.recipe.model import ARCHIVE_COMPONENTS, HEALTH_KINDS, Health, Recipe
from ovenbird.recipe.nodes import Node
from ovenbird.recipe.pi import conflicts
from ovenbird.recipe.problems import did_you_mean
from ovenbird_device.format.selector import TRIES


def crosscheck(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    """Notes the contradictions of a recipe whose values are each good. `root` has their places."""
    crosscheck_base(recipe, root, decoder)
    _gateway(recipe, root, decoder)
    _components(recipe, root, decoder)
    _persist(recipe, root, decoder)
    if recipe.logs.keep == "data" and recipe.state.var == "volatile":
        message = "`logs.keep`: with a volatile /var there is no place on data for the journal"
        decoder.wrong(_at(root, "logs", "keep"), message, 'write `keep = "memory"`, or `var = "persistent"` in [state]')
    _health(recipe, root, decoder)
    crosscheck_apps(recipe, root, decoder)
    _board(recipe, root, decoder)
    _pi(recipe, root, decoder)


def _at(root: Node, section: str, key: str) -> Node:
    """The node of a key, which must be there."""
    return ((root.table or {})[section].table or {})[key]


def _gateway(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    network = recipe.network
    if network.gateway is None:
        return
    node = _at(root, "network", "gateway")
    if not network.addresses:
        decoder.wrong(node, "`network.gateway` is only for fixed addresses", "set `addresses`, or leave it out")
        return
    import ipaddress

    gateway = ipaddress.ip_address(network.gateway)
    interfaces = [ipaddress.ip_interface(address) for address in network.addresses]
    if gateway.is_link_local or any(gateway in interface.network for interface in interfaces):
        for interface in interfaces:
            if interface.ip == gateway:
                decoder.wrong(node, f'`network.gateway`: "{gateway}" is the device\'s own address')
        return
    networks = ", ".join(str(interface.network) for interface in interfaces)
    decoder.wrong(node, f'`network.gateway`: "{gateway}" is in none of the device\'s networks ({networks})')


def _components(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    if recipe.base.mirror is not None or recipe.base.components == ("main",):
        return  # another archive may have other components
    for item in _at(root, "base", "components").items or []:
        if item.value not in ARCHIVE_COMPONENTS:
            name = str(item.value)
            decoder.wrong(item, f"Debian's archive has no component `{name}`", did_you_mean(name, ARCHIVE_COMPONENTS))


def _persist(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    kept = ["/home", "/root", *(["/var"] if recipe.state.var == "persistent" else [])]
    if not recipe.state.persist:
        return
    for item in _at(root, "state", "persist").items or []:
        path = "/" + str(item.value).strip("/")
        for whole in kept:
            if path == whole or path.startswith(whole + "/"):
                decoder.wrong(item, f"`state.persist`: {whole} is kept anyway", f'leave "{path}" out')
        if path == "/var" and recipe.state.var == "volatile":
            decoder.wrong(item, "`state.persist`: all of /var is volatile here", 'write `var = "persistent"` instead')


def _health(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    _checks(recipe.health, (root.table or {}).get("health"), decoder)
    listed = (root.table or {}).get("app")
    for app, node in zip(recipe.app, (listed.items if listed else None) or [], strict=True):
        _checks(app.health, (node.table or {}).get("health"), decoder)


def _checks(checks: tuple[Health, ...], listed: Node | None, decoder: Decoder) -> None:
    seen: set[str] = set()
    for check, node in zip(checks, (listed.items if listed else None) or [], strict=True):
        if check.name in seen:
            decoder.wrong(node, f'there are two health checks "{check.name}"', "give each a name of its own")
        seen.add(check.name)
        if len(check.kinds) != 1:
            what = " and ".join(f"`{kind}`" for kind in check.kinds) or "nothing"
            wanted = ", ".join(f"`{kind}`" for kind in HEALTH_KINDS)
            decoder.wrong(node, f'the health check "{check.name}" looks at {what}', f"give exactly one of {wanted}")


def _board(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    """What the packages of the board's release, and the way it boots, make impossible."""
    machine = boards.board(recipe.image.board)
    release = recipe.base.release
    if machine.releases and release not in machine.releases:
        message = f"the board {machine.name} cannot be built from {release}: its firmware is too old for two slots"
        decoder.wrong(_at(root, "image", "board"), message, f'write `release = "{machine.releases[0]}"` in [base]')
    if recipe.disk.rescue is not None and machine.selector is Selector.AUTOBOOT:
        message = f"`disk.rescue`: the board {machine.name} has no rescue, as its firmware starts two slots only"
        decoder.wrong(_at(root, "disk", "rescue"), message, "leave it out")
    if recipe.update.tries != TRIES and machine.selector is Selector.AUTOBOOT:
        message = f"`update.tries`: on the board {machine.name} a new system has one boot to be healthy in"
        decoder.wrong(_at(root, "update", "tries"), message, "leave it out")


def _pi(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    section = (root.table or {}).get("pi")
    if section is None or section.table is None:
        return
    machine = boards.board(recipe.image.board)
    if not machine.models:
        decoder.wrong(section, f"[pi] is for the boards of a Raspberry Pi, but the board is {machine.name}")
        return
    for one in conflicts(recipe.pi):
        node = section.table[one.key]
        decoder.wrong(node.items[one.place] if node.items and one.place >= 0 else node, one.message, one.hint)
