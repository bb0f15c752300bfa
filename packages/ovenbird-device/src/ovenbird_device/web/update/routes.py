"""The URLs of updates: `/update`, `/update/log`, `/slots`, `/jobs/ID`. Reading is free, changing needs the password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ...format import FormatError, settings
from ...health import report
from ...raspberry import bootloader
from ...slots.status import BootLoader, Status
from ...steward import client
from ...steward.protocol import Arm, Commit, Eeprom, Rescue, Reset, Rollback
from ...update import record
from ...update.snapshot import Reason
from ..answers import JobAnswer, Refusal, ResetDone
from ..auth import basic, peer
from ..forms import fields
from ..linger import Lingering
from ..negotiate import json, wants_html
from ..stream import Stream
from ..view import boot_loader
from .intake import Intake, Job, RefusedError, Upload
from .multipart import MultipartError
from .requests import Body, CutError, order_of, place_of
from .scene import Facts, scene, state_of
from .status import Running, UpdateStatus
from .trial import failed_log, trial_of

if TYPE_CHECKING:
    from ..app import Site

PATH = "/update"
_STATUS = {
    Reason.BUSY: 409,
    Reason.INTERRUPTED: 409,
    Reason.ABORTED: 409,
    Reason.DISK: 507,
    Reason.SLOTS: 503,
    Reason.INTERNAL: 503,
}
_HINTS = {
    Reason.OLDER: "Allow an older version, if that is what you want: ?allow_downgrade=1, or `--allow-downgrade`.",
    Reason.FAILED_BEFORE: "Insist, if something else was the reason: ?force=1, or `--force`.",
    Reason.SIGNATURE: "Sign it with a key whose certificate is in the image that runs on this device.",
    Reason.COMPATIBLE: "Build it for this board, or name this device in the recipe's [update] compatible.",
}
_BEAT = 15.0  # seconds after which a silent stream of events shows that it is alive


class Updates:
    """Serves them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.intake = Intake(site.settings.steward)
        try:
            self.said = settings.load(site.settings.update.read_bytes())
        except (OSError, FormatError):
            self.said = settings.UpdateSettings()

    def routes(self) -> list[Route]:
        """What the site serves for updates."""
        return [
            Route(PATH, self.update, methods=["GET"]),
            Route(PATH, self.take, methods=["POST", "PUT"]),
            Route(f"{PATH}/log", self.log, methods=["GET"]),
            Route("/jobs/{id}", self.job, methods=["GET"]),
            Route("/slots", self.slots, methods=["GET"]),
            Route("/slots/{order}", self.decide, methods=["POST"]),
            Route("/eeprom", self.eeprom, methods=["POST"]),
            Route("/rescue/reset", self.reset, methods=["POST"]),
        ]

    # Looking

    async def update(self, request: Request) -> Response:
        """How updates stand. A program that sends a password learns here whether it is right, before it uploads."""
        if not wants_html(request.headers):
            signed_in = self._site.auth.signed_in(request)
            if basic(request.headers) is not None:
                verdict = await self._site.auth.may_change(request)
                if verdict != "right":
                    return self._site.refuse(request, verdict)
                signed_in = True
            return json(request.headers, await self.status(signed_in=signed_in))
        return await self._page(request, fragment=request.headers.get("hx-request") == "true")

    async def status(self, *, signed_in: bool = False) -> UpdateStatus:
        """Everything about updates, now."""
        facts = await self._facts()
        image = self._site.reader.image
        return UpdateStatus(
            state=state_of(facts),
            boot_id=self._site.boot_id,
            running=Running(slot=facts.slot, name=image.name, version=image.version),
            accepts=bool(self.said.certificates),
            signed_in=signed_in,
            job=facts.job,
            trial=facts.trial,
            last=facts.last,
            log=facts.log,
        )

    async def _facts(self) -> Facts:
        site = self._site
        job = await self.intake.look()
        note = site.reader.boot_note()
        health = self.health()
        return Facts(
            slot=note.slot,
            version=site.reader.image.version,
            job=None if job is None else job.now,
            trial=trial_of(health, booted=note.trial, slot=note.slot),
            last=record.last(site.settings.state),
            log=failed_log(site.settings.state) is not None,
        )

    def health(self) -> report.Health | None:
        """What health says of this boot; None before it said anything."""
        return report.state(self._site.settings.places.boot_note.with_name("health.json"))

    async def _page(
        self, request: Request, *, fragment: bool = False, trouble: str = "", status: int = 200
    ) -> Response:
        facts = await self._facts()
        return self._site.pages.update(
            request,
            fragment=fragment,
            status=status,
            scene=scene(facts),
            signed_in=self._site.auth.signed_in(request),
            accepts=bool(self.said.certificates),
            image=self._site.reader.image,
            slot=facts.slot,
            diskless=self._site.reader.boot_note().diskless,
            boot_loader=None if fragment else boot_loader(await self._boot_loader()),
            trouble=trouble,
        )

    async def log(self, request: Request) -> Response:
        """The log of the trial that failed last."""
        path = failed_log(self._site.settings.state)
        try:
            text = path.read_bytes() if path else b""
        except OSError as error:
            raise HTTPException(404, f"The log cannot be read: {error.strerror}.") from error
        if not text:
            raise HTTPException(404, "No trial has failed here and left a log.")
        return Response(text, media_type="text/plain; charset=utf-8")

    async def job(self, request: Request) -> Response:
        """One update: as JSON, or its events as they happen for `Accept: text/event-stream`."""
        job = await self.intake.look()
        if job is None or job.now.id != request.path_params["id"]:
            raise HTTPException(404, "This device does not know that job (any more).")
        if "text/event-stream" not in request.headers.get("accept", ""):
            return json(request.headers, JobAnswer(job=job.now, events=job.events.since(0)))
        last = request.headers.get("last-event-id", "0")
        number = int(last) if last.isascii() and last.isdigit() and len(last) < 10 else 0
        return Stream(_stream(job, number), media_type="text/event-stream")

    # Taking a bundle

    async def take(self, request: Request) -> Response:
        """Take a bundle, and answer when its trial is armed or it is clear that there will be none."""
        html = wants_html(request.headers)
        verdict = await self._site.auth.may_change(request)
        if verdict != "right":
            if html and verdict == "none":
                return Lingering(RedirectResponse(f"/login?next={quote(PATH)}", 303))
            return Lingering(self._site.refuse(request, verdict))
        try:
            body = Body.of(request)
            job, upload = await self._open(request, body)
        except HTTPException as error:
            return Lingering(await self._site.failed(request, error))
        except RefusedError as error:
            return Lingering(await self._unfit(request, error.reason, str(error)))
        except MultipartError as error:
            return Lingering(self._site.failure(request, 400, str(error)))
        except CutError:
            return Response(status_code=400)
        try:
            whole = await _pump(body, upload)
        except CutError:
            self.intake.cut(job, upload)
            return self._site.failure(request, 408, "The upload was cut off.", "It can go on for ten minutes.")
        except MultipartError as error:
            self.intake.cut(job, upload)
            return Lingering(self._site.failure(request, 400, str(error)))
        if whole:
            upload.close()
        elif self.intake.upload is not upload and job.running:
            return Lingering(await self._unfit(request, Reason.BUSY, "This upload goes on elsewhere."))
        await job.ended.wait()
        answer = await self._verdict(request, job)
        return answer if whole else Lingering(answer)

    async def _open(self, request: Request, body: Body) -> tuple[Job, Upload]:
        place = place_of(request)
        if place is not None:
            return await self.intake.resume(*place)
        fields = await body.start()
        return await self.intake.begin(order_of({**fields, **request.query_params}, body.size, peer(request)))

    async def _verdict(self, request: Request, job: Job) -> Response:
        if job.now.state == "failed":
            return await self._unfit(request, job.now.reason, job.now.message)
        if wants_html(request.headers):
            return RedirectResponse(PATH, 303)
        return json(request.headers, await self.status(signed_in=True))

    async def _unfit(self, request: Request, reason: str, message: str) -> Response:
        """A bundle that was not taken, with what could be done about it."""
        status, hint = _STATUS.get(Reason(reason), 422), _HINTS.get(Reason(reason), "")
        if wants_html(request.headers):
            return await self._page(request, trouble=f"{message} {hint}".strip(), status=status)
        answer = Refusal(error=message, hint=hint, reason=reason)
        if (job := self.intake.job) is not None and job.running:
            answer = msgspec.structs.replace(answer, id=job.now.id, offset=job.now.received)
        return json(request.headers, answer, status)

    # Slots

    async def slots(self, request: Request) -> Response:
        """Both slots and the selector's state."""
        try:
            status = await client.slots(self._site.settings.steward)
        except client.StewardError as error:
            raise HTTPException(503, str(error)) from error
        return self._slots_answer(request, status)

    def _slots_answer(self, request: Request, status: Status) -> Response:
        if not wants_html(request.headers):
            return json(request.headers, status)
        return self._site.pages.slots(request, status, signed_in=self._site.auth.signed_in(request))

    async def decide(self, request: Request) -> Response:
        """Commit the running slot, go back, or try the other slot (again); `?reboot=1` restarts at once."""
        name = request.path_params["order"]
        if name == "rescue":
            return await self._site.restart(request, "/slots", Rescue(by=peer(request)))
        html = wants_html(request.headers)
        verdict = await self._site.auth.may_change(request)
        if verdict != "right":
            if html and verdict == "none":
                return RedirectResponse(f"/login?next={quote('/slots')}", 303)
            return self._site.refuse(request, verdict)
        reboot = request.query_params.get("reboot", "0").lower() in ("1", "true", "yes", "on")
        orders: dict[str, Commit | Rollback | Arm] = {
            "commit": Commit(by=peer(request)),
            "rollback": Rollback(reboot, by=peer(request)),
            "try": Arm(None, reboot, by=peer(request)),
        }
        if name not in orders:
            raise HTTPException(404)
        try:
            status = await client.slots(self._site.settings.steward, orders[name])
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        return RedirectResponse("/slots", 303) if html else self._slots_answer(request, status)

    async def eeprom(self, request: Request) -> Response:
        """Restart, and have the boot loader that the card carries written into a Pi's EEPROM on the way."""
        return await self._site.restart(request, PATH, Eeprom(by=peer(request)))

    async def _boot_loader(self) -> BootLoader | None:
        """For the page; only a Raspberry Pi with an EEPROM is asked for it."""
        if bootloader.read(self._site.settings.places.system / bootloader.IN_SYSFS).built is None:
            return None
        with suppress(client.StewardError):
            return (await client.slots(self._site.settings.steward)).boot_loader
        return None

    async def reset(self, request: Request) -> Response:
        """In rescue: reset `what` (etc, data), which has to be typed out in `confirm` (`reset etc`, `erase data`)."""
        html = wants_html(request.headers)
        verdict = await self._site.auth.may_change(request)
        if verdict != "right":
            if html and verdict == "none":
                return RedirectResponse(f"/login?next={quote('/slots')}", 303)
            return self._site.refuse(request, verdict)
        given = await fields(request) | dict(request.query_params)
        sure = {"reset etc": Reset("etc", by=peer(request)), "erase data": Reset("data", by=peer(request))}
        words = " ".join(given.get("confirm", "").lower().split())
        order = sure.get(words)
        if order is None or order.what != given.get("what", order.what):
            raise HTTPException(400, 'Nothing was reset. Type "reset etc" or "erase data" to have it done.')
        try:
            await client.ask(self._site.settings.steward, order)
        except client.StewardError as error:
            raise HTTPException(409 if error.reason else 503, str(error)) from error
        text = "Both slots begin with a fresh /etc." if order.what == "etc" else "Data is empty; the password was kept."
        if html:
            return self._site.pages.message(request, 200, text, "Restart the device to leave rescue.", signed_in=True)
        return json(request.headers, ResetDone(reset=order.what, message=text))


async def _pump(body: Body, upload: Upload) -> bool:
    """Pass the whole bundle on. False if it is not wanted to its end. Raises CutError and MultipartError."""
    async for piece in body.pieces():
        if piece and not await upload.feed(piece):
            return False
    return upload.open


async def _stream(job: Job, number: int) -> AsyncIterator[bytes]:
    """A job's events as server-sent events, beginning behind `number`."""
    yield b"retry: 2000\n\n"
    events = job.events.follow(number)
    following = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=_BEAT)
            if not done:
                yield b": still here\n\n"
                continue
            try:
                event = following.result()
            except StopAsyncIteration:
                return
            data = msgspec.json.encode(event).decode()
            yield f"id: {event.id}\nevent: {event.state}\ndata: {data}\n\n".encode()
            following = asyncio.ensure_future(anext(events))
    finally:
        following.cancel()
