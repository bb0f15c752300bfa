"""What a screen reader gets of a page: Chromium's own accessibility tree, and what must hold of every page's."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

ACTIVE = {"button", "link", "textbox", "searchbox", "checkbox", "radio", "combobox", "listbox"}
"""Roles of what somebody can use, under Chromium's names."""

Node = dict[str, Any]


def nodes(page: Page) -> list[Node]:
    """All nodes that are told, in the order of the page."""
    session: Any = page.context.new_cdp_session(page)
    found: list[Node] = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    by_id = {one["nodeId"]: one for one in found}
    ordered: list[Node] = []

    def walk(one: Node) -> None:
        if not one.get("ignored"):
            ordered.append(one)
        for child in one.get("childIds", []):
            if child in by_id:
                walk(by_id[child])

    walk(found[0])
    return ordered


def role(one: Node) -> str:
    """As `button`."""
    return str(one.get("role", {}).get("value", ""))


def name(one: Node) -> str:
    """What is read out for it."""
    return str(one.get("name", {}).get("value", "")).strip()


def level(one: Node) -> int:
    """Of a heading."""
    return next((int(own["value"]["value"]) for own in one.get("properties", []) if own["name"] == "level"), 0)


def troubles(page: Page) -> list[str]:
    """What is wrong with a page for who does not see it; empty if nothing is."""
    told = nodes(page)
    roles = [role(one) for one in told]
    found = [f"{count} of {kind}" for kind in ("main", "banner") if (count := roles.count(kind)) != 1]
    found += [f"{role(one)} without a name" for one in told if role(one) in ACTIVE | {"image"} and not name(one)]
    found += [f"{role(one)} without a name" for one in told if role(one) in ("navigation", "region") and not name(one)]
    headings = [(level(one), name(one)) for one in told if role(one) == "heading"]
    if [number for number, _ in headings].count(1) != 1 or headings[0][0] != 1:
        found.append(f"the one first heading is missing: {headings[:3]}")
    last = 0
    for number, text in headings:
        if number > last + 1 or not text:
            found.append(f"heading {text!r} of level {number} after {last}")
        last = number
    if "status" not in roles:
        found.append("no live region")
    names = [name(one) for one in told if role(one) == "region"]
    found += [f"two regions {text!r}" for text in sorted(set(names)) if names.count(text) > 1]
    return found
