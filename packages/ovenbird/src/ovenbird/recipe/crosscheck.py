"""What no single value of a recipe can tell: keys that contradict each other."""

from __future__ import annotations

from ovenbird.recipe.decode import Decoder
from ovenbird.recipe.model import ARCHIVE_COMPONENTS, HEALTH_KINDS, Recipe
from ovenbird.recipe.nodes import Node
from ovenbird.recipe.problems import did_you_mean


def crosscheck(recipe: Recipe, root: Node, decoder: Decoder) -> None:
    """Notes the contradictions of a recipe whose values are each good. `root` has their places."""
    _gateway(recipe, root, decoder)
    _components(recipe, root, decoder)
    _persist(recipe, root, decoder)
    _health(recipe, root, decoder)


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
    listed = (root.table or {}).get("health")
    seen: set[str] = set()
    for check, node in zip(recipe.health, (listed.items if listed else None) or [], strict=True):
        if check.name in seen:
            decoder.wrong(node, f'there are two health checks "{check.name}"', "give each a name of its own")
        seen.add(check.name)
        if len(check.kinds) != 1:
            what = " and ".join(f"`{kind}`" for kind in check.kinds) or "nothing"
            wanted = ", ".join(f"`{kind}`" for kind in HEALTH_KINDS)
            decoder.wrong(node, f'the health check "{check.name}" looks at {what}', f"give exactly one of {wanted}")
