"""Turns values into pages: the one place that knows the templates."""

import socket
from functools import cached_property
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..facts.overview import Overview
from ..slots.status import Status
from . import fan, view
from .assets import Assets
from .charts import ChartsView
from .negotiate import packed

if TYPE_CHECKING:
    import jinja2


class Pages:
    """Renders the templates; loads each at its first use."""

    def __init__(self, assets: Assets, *, terminal: bool = False) -> None:
        """`terminal`: whether this image has one."""
        self._assets = assets
        self._terminal = terminal

    @cached_property
    def _templates(self) -> "jinja2.Environment":
        from . import engine  # with Jinja2, a tenth of the agent's start, and not needed by programs

        return engine.for_pages({"duration": view.duration, "sized": view.sized})

    def prepare(self) -> None:
        """Load every template now. Safe in a thread beside the event loop."""
        from .engine import names

        for name in names():
            self._templates.get_template(name)

    def overview(
        self,
        request: Request,
        overview: Overview,
        *,
        signed_in: bool,
        fragment: bool,
        charts: ChartsView | None,
    ) -> Response:
        """The overview, or only its live numbers when htmx asks for them."""
        return self._page(
            request,
            "now.html" if fragment else "overview.html",
            signed_in=signed_in,
            about=overview,
            meters=view.meters(overview),
            strata=view.strata(overview),
            headline=view.headline(overview),
            fan=fan.view(overview.fan),
            full=view.is_full(overview),
            charts=charts,
        )

    def show(
        self, request: Request, template: str, *, signed_in: bool, status: int = 200, **values: object
    ) -> Response:
        """Any other page."""
        return self._page(
            request, template, status=status, signed_in=signed_in, hostname=socket.gethostname(), **values
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

    def message(self, request: Request, status: int, text: str, hint: str, *, signed_in: bool) -> Response:
        """A refusal or an error, in the page's own clothes."""
        return self._page(request, "message.html", status=status, signed_in=signed_in, text=text, hint=hint)

    def _page(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        here = request.url.path.split("/")[1]
        text = self._templates.get_template(template).render(
            values, asset=self._assets.url, pellets=view.PELLETS, here=here, terminal=self._terminal
        )
        return packed(request.headers, text.encode(), "text/html", status)
