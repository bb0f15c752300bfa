"""Every template, as the site really fills it: what the device has compiled gives the same page as the source."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import jinja2
import pytest
from jinja2 import meta
from tests import services
from tests.lab import PASSWORD, Lab

from ovenbird_device.accounts.users import Places as Users
from ovenbird_device.facts.overview import Places, Reader
from ovenbird_device.format import terminal
from ovenbird_device.health import history
from ovenbird_device.web import engine
from ovenbird_device.web.app import Site, build
from ovenbird_device.web.settings import Settings

HTML = {"Accept": "text/html"}
PARTS = {"HX-Request": "true"}
ENGINE = engine.for_pages
PUBLIC = ("/", "/login", "/nothing", "/services", "/services/hello", "/health", "/update", "/network", "/storage")
PAGES = (
    "/services?all=1",
    "/logs",
    "/history",
    "/network/eth0",
    "/users",
    "/changes",
    "/support",
    "/password",
    "/certificate",
    "/terminal",
    "/slots",
    "/reboot",
    "/poweroff",
)


class Both:
    """In place of one engine: gives each page from both, and holds them against each other."""

    def __init__(self, filters: engine.Filters, compiled: Path) -> None:
        self._ready = ENGINE(filters, compiled)
        self._plain = ENGINE(filters, compiled / "none")
        assert isinstance(self._ready.loader, jinja2.ModuleLoader)
        assert isinstance(self._plain.loader, jinja2.FileSystemLoader)
        self.seen: set[str] = set()

    def get_template(self, name: str) -> Both.Page:
        return Both.Page(self, name)

    def render(self, name: str, values: Mapping[str, object]) -> str:
        self.seen.add(name)
        ready = self._ready.get_template(name).render(values)
        assert ready == self._plain.get_template(name).render(values), name
        return ready

    def touched(self) -> set[str]:
        """The templates that were filled, with those that they are made of."""
        found, waiting = set[str](), set(self.seen)
        while waiting:
            name = waiting.pop()
            found.add(name)
            parsed = self._plain.parse((engine.SOURCES / name).read_text())
            waiting |= {str(one) for one in meta.find_referenced_templates(parsed)} - found
        return found

    class Page:
        """One of them."""

        def __init__(self, both: Both, name: str) -> None:
            self._both, self._name = both, name

        def render(self, values: Mapping[str, object], **more: object) -> str:
            return self._both.render(self._name, {**values, **more})


def test_every_template_is_the_same_compiled(whole: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.compile_all(tmp_path / "compiled")
    made: list[Both] = []

    def both(filters: engine.Filters) -> Both:
        made.append(Both(filters, tmp_path / "compiled"))
        return made[-1]

    monkeypatch.setattr(engine, "for_pages", both)
    monkeypatch.setenv("PATH", services.path(whole.folder / "tools"))
    whole.health("good", ("agent", "ok", "answers"), ("disk", "failing", "full"), watching=False)
    history.note(whole.state, "boot", "good", trial=False, slot="a", version="1.0.0", reason="")
    folder = whole.folder
    places = Places(
        image=folder / "image.json",
        boot_note=folder / "run/ovenbird/boot",
        data=folder,
        processes=folder / "proc",
        system=folder / "sys",
    )
    (folder / "terminal.json").write_bytes(terminal.dump(terminal.Terminal("maker")))
    settings = Settings(
        state=whole.state,
        steward=folder / "run/ovenbird/steward.sock",
        places=places,
        update=folder / "update.json",
        apps=folder / "apps.json",
        terminal=folder / "terminal.json",
        networks=folder / "networks",
        users=Users(folder / "users", folder / "passwd", folder / "ssh"),
    )
    site = Site(settings, Reader(places))

    async def look() -> None:
        transport = httpx.ASGITransport(build(site, settings), client=("127.0.0.1", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=HTML) as client:
            for path in PUBLIC:
                assert (await client.get(path)).status_code in (200, 404), path
            own = {"Origin": "http://127.0.0.1"}
            assert (await client.post("/login", data={"password": PASSWORD}, headers=own)).status_code == 303
            for path in (*PUBLIC, *PAGES):
                for headers in ({}, PARTS):
                    assert (await client.get(path, headers=headers)).status_code in (200, 404), path
            assert (await client.post("/reboot", headers=own)).status_code == 202

    asyncio.run(look())
    (found,) = made
    assert found.touched() == set(engine.names())
