"""Turns values into pages: the one place that knows the templates."""

import socket
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..facts.overview import Overview
from ..slots.manage import Status
from . import view
from .assets import Assets
from .negotiate import packed

if TYPE_CHECKING:
    import jinja2


class Pages:
    """Renders the templates; compiles each at its first use."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    @cached_property
    def _templates(self) -> "jinja2.Environment":
        import jinja2  # a tenth of the agent's start, and not needed by programs

        loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
        environment = jinja2.Environment(
            loader=loader,
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.filters["sized"] = view.sized
        environment.filters["duration"] = view.duration
        return environment

    def prepare(self) -> None:
        """Compile every template now. Safe in a thread beside the event loop."""
        for name in self._templates.list_templates(extensions=["html"]):
            self._templates.get_template(name)

    def overview(self, request: Request, overview: Overview, *, signed_in: bool, fragment: bool) -> Response:
        """The overview, or only its live numbers when htmx asks for them."""
        return self._page(
            request,
            "now.html" if fragment else "overview.html",
            signed_in=signed_in,
            about=overview,
            meters=view.meters(overview),
            strata=view.strata(overview),
            headline=view.headline(overview),
        )

    def update(self, request: Request, *, fragment: bool, status: int, signed_in: bool, **values: object) -> Response:
        """The updates, or only what moves when htmx asks for it."""
        template = "update_now.html" if fragment else "update.html"
        return self._page(
            request, template, status=status, signed_in=signed_in, hostname=socket.gethostname(), **values
        )

    def slots(self, request: Request, status: Status, *, signed_in: bool) -> Response:
        """Both slots, and what can be decided by hand."""
        return self._page(
            request,
            "slots.html",
            signed_in=signed_in,
            hostname=socket.gethostname(),
            both=status.slots,
            rescue="runs" if not status.running else "ready" if status.rescue and not status.trial else "",
            about=view.slots(status),
        )

    def login(self, request: Request, *, target: str, trouble: str = "", status: int = 200) -> Response:
        """The sign-in form, with what went wrong last time."""
        return self._page(request, "login.html", status=status, signed_in=False, target=target, trouble=trouble)

    def confirm(self, request: Request, name: str) -> Response:
        """Asks whether to restart or turn off."""
        return self._page(request, "confirm.html", signed_in=True, name=name)

    def going(self, request: Request, name: str, boot_id: str) -> Response:
        """The device goes down now."""
        return self._page(request, "going.html", status=202, signed_in=True, name=name, boot_id=boot_id)

    def message(self, request: Request, status: int, text: str, hint: str) -> Response:
        """A refusal or an error, in the page's own clothes."""
        return self._page(request, "message.html", status=status, signed_in=False, text=text, hint=hint)

    def _page(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(template).render(values, asset=self._assets.url, pellets=view.PELLETS)
        return packed(request.headers, text.encode(), "text/html", status)
