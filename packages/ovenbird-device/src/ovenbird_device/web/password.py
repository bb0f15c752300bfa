"""`/password`: the device's password is changed by who knows it. The steward keeps it and looks at the old one too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..provision import password
from ..steward import client
from ..steward.protocol import Password
from .answers import Changed
from .auth import peer, sender
from .forms import fields
from .negotiate import ASKS, json, wants_html

if TYPE_CHECKING:
    from .app import Site

PATH = "/password"


class Passwords:
    """Serves it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """What the site serves of it."""
        return [
            Route(PATH, self.ask, methods=["GET"], name=ASKS),
            Route(PATH, self.change, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """The form, for who is signed in."""
        if not wants_html(request.headers):
            raise HTTPException(405, headers={"Allow": "POST"})
        if not self._site.auth.signed_in(request):
            return RedirectResponse(f"/login?next={PATH}", 303)
        return self._form(request)

    async def change(self, request: Request) -> Response:
        """Change it: `old` proves who asks, whether signed in or not. All sessions end, but the asker's."""
        site = self._site
        form = await fields(request)
        old, new = form.get("old", ""), form.get("new", "")
        verdict = await site.auth.check(sender(request), old)
        if verdict == "wait":
            return site.refuse(request, verdict)
        html = wants_html(request.headers)
        if verdict != "right":
            return self._form(request, "That is not the old password.", 403) if html else site.refuse(request, "wrong")
        wrong = password.trouble(new) or ("That is the old password." if new == old else "")
        if not wrong and form.get("again", new) != new:
            wrong = "The new password was not typed the same twice."
        if wrong:
            return self._form(request, wrong, 400) if html else site.failure(request, 400, wrong)
        kept = password.read(site.settings.password_file)
        try:
            await client.ask(site.settings.steward, Password(old, new, by=peer(request)))
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        given = kept is not None and kept.origin == "credential"
        hint = (
            "This machine is started with a password given to it, which comes back with the next start."
            if given
            else ""
        )
        if not html:
            return json(request.headers, Changed(changed=True, hint=hint))
        response = site.pages.message(request, 200, "The password is changed.", hint, signed_in=True)
        site.auth.renew(request, response)
        return response

    def _form(self, request: Request, trouble: str = "", status: int = 200) -> Response:
        site = self._site
        return site.pages.show(
            request,
            "password.html",
            status=status,
            signed_in=site.auth.signed_in(request),
            trouble=trouble,
            shortest=password.SHORTEST,
        )
