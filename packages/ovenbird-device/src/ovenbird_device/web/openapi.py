"""`/openapi.json`: what programs can ask of the device, as OpenAPI 3.1; made out of the structs that the answers are.

One line an operation. A test holds the list against the routes, and another has schemathesis try all of it on the real
agent. Made when it is asked for: it is of no use to anybody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..accounts.users import Users
from ..facts.overview import Overview
from ..history.sampler import History
from ..logs.query import LEVELS
from ..logs.reader import Page
from ..services.catalog import Services
from ..services.names import VERBS
from ..services.unit import Service
from ..slots.status import Status
from .answers import (
    Accepted,
    Changed,
    Developed,
    JobAnswer,
    Packed,
    Refusal,
    ResetDone,
    ServiceState,
    Settled,
    TerminalAnswer,
    Ticket,
)
from .certificate import CertificateAnswer
from .changes import ChangeList
from .health import HealthAnswer, HealthHistory
from .machine import StatusAnswer
from .network import NetworkAnswer, Waiting
from .storage import StorageAnswer
from .update.status import UpdateStatus

PATH = "/openapi.json"
PAGES = frozenset({"/login", "/logout", "/static/{name}", "/support"})
"""What only browsers are for."""

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
YES: Schema = {"type": "string", "description": "`1`, `true`, `yes` or `on` for yes; everything else is no"}
_LOGS: dict[str, Schema] = {
    "lines": {"type": "integer", "minimum": 0, "maximum": 999_999_999, "description": "at most 1000 are sent"},
    "before": {"type": "string", "pattern": r"^$|^s=[0-9a-f]{32};i=[0-9a-f]{1,16};b=[0-9a-f]{32}"},
    "level": {"type": "string", "enum": [*LEVELS, *"01234567"]},
    "boot": {"type": "string", "pattern": "^(|0|-[1-9][0-9]{0,2})$"},
    "text": {"type": "string", "maxLength": 200},
}
_FILE = {name: schema for name, schema in _LOGS.items() if name in ("level", "boot", "text")}
_WISHES: dict[str, Schema] = {name: YES for name in ("allow_downgrade", "force", "trial_only", "reboot")}
_APP: dict[str, Schema] = {"app": {"type": "string", "minLength": 1, "maxLength": 64}}
_SETTINGS: dict[str, Schema] = {
    "mode": {"type": "string", "enum": ["dhcp", "fixed", "image"]},
    "addresses": TEXT,
    "gateways": TEXT,
    "dns": TEXT,
}


class Operation(msgspec.Struct, frozen=True):
    """One thing that a program can do. `answer` is a struct, or the kind of a file."""

    method: str
    path: str
    summary: str
    answer: type[msgspec.Struct] | str
    status: int = 200
    secret: bool = False
    """Whether it needs the password."""
    query: Mapping[str, Schema] = msgspec.field(default_factory=dict[str, Schema])
    form: Mapping[str, Schema] = msgspec.field(default_factory=dict[str, Schema])
    needed: tuple[str, ...] = ()
    """Fields of the form that must be there."""
    body: str = ""
    """The kind of a body that is no form."""
    also: tuple[int, ...] = ()
    """What it may answer beside what every operation may."""


def _get(path: str, summary: str, answer: type[msgspec.Struct] | str, **more: Any) -> Operation:  # noqa: ANN401 - its fields
    return Operation("get", path, summary, answer, **more)


def _post(path: str, summary: str, answer: type[msgspec.Struct] | str, **more: Any) -> Operation:  # noqa: ANN401 - its fields
    more.setdefault("secret", True)
    return Operation("post", path, summary, answer, **more)


OPERATIONS: tuple[Operation, ...] = (
    _get("/", "The overview", Overview),
    _get("/status", "Who this is", StatusAnswer),
    _get("/health", "Whether the device is well", HealthAnswer),
    _get("/health/history", "How boots were judged, and how trials ended", HealthHistory),
    _get("/health/trials/{number}/log", "The log that a trial left", "text/plain", secret=True, also=(404,)),
    _get("/history", "Up to twelve hours of samples", History),
    _get("/metrics", "Numbers for Prometheus", "text/plain"),
    _get("/services", "The apps, with `all` the system's units too", Services, query={"all": YES},
         also=(401, 429, 503)),
    _get("/services/{name}", "One of them", Service, also=(401, 404, 429, 503)),
    *(
        _post(f"/services/{{name}}/{verb}", f"{verb.capitalize()} it", ServiceState, status=202, also=(404, 409, 503))
        for verb in VERBS
    ),
    _get("/services/{name}/logs", "Its log", Page, secret=True, query=_LOGS, also=(400, 404, 503)),
    _get("/services/{name}/logs.txt", "Its log as a file", "text/plain", secret=True, query=_FILE,
         also=(400, 404, 503)),
    _get("/logs", "The journal", Page, secret=True, query=_LOGS, also=(400, 404, 503)),
    _get("/logs.txt", "The journal as a file", "text/plain", secret=True, query=_FILE, also=(400, 404, 503)),
    _get("/network", "Interfaces, routes, name servers, and a change that waits", NetworkAnswer, also=(401, 429)),
    _post("/network/keep", "Keep the change that waits", Settled, form={"id": TEXT}, also=(400, 409, 415, 503)),
    _post("/network/undo", "Undo the change that waits", Settled, also=(409, 503)),
    _post("/network/{name}", "Try settings", Waiting, status=202, form=_SETTINGS, needed=("mode",),
          also=(400, 404, 409, 415, 503)),
    _get("/storage", "The medium and the data on it", StorageAnswer),
    _post("/storage/grow", "Let data have the rest of its medium", Accepted, status=202, also=(503,)),
    _post("/storage/reset", "Factory reset", Accepted, status=202, form={"confirm": {"const": "factory reset"}},
          needed=("confirm",), also=(400, 409, 415, 503)),
    _get("/users", "Who can log in, by which keys", Users, secret=True),
    _post("/users/{name}/keys", "Give a key", Users, form={"key": TEXT}, needed=("key",), also=(400, 404, 415, 503)),
    _post("/users/{name}/keys/remove", "Take a key away", Users, form={"fingerprint": TEXT}, needed=("fingerprint",),
          also=(400, 404, 415, 503)),
    _get("/certificate", "What HTTPS is served with", CertificateAnswer),
    _post("/certificate", "Serve HTTPS with another certificate", CertificateAnswer, form={"chain": TEXT, "key": TEXT},
          needed=("chain", "key"), also=(400, 415, 503)),
    _post("/certificate/own", "Serve HTTPS with the device's own again", CertificateAnswer, also=(409, 503)),
    _get("/changes", "Who changed what", ChangeList, secret=True,
         query={"count": {"type": "integer", "minimum": 1, "maximum": 2000}}, also=(400,)),
    _get("/support.zip", "The support bundle", "application/zip", secret=True, also=(503,)),
    _post("/password", "Change the password", Changed, form={"old": TEXT, "new": TEXT}, needed=("old", "new"),
          secret=False, also=(400, 401, 409, 415, 429, 503)),
    _get("/update", "How updates stand", UpdateStatus, also=(401, 429)),
    _post("/update", "Send a bundle", UpdateStatus, query=_WISHES, body="application/octet-stream",
          also=(400, 408, 409, 422, 503, 507)),
    Operation("put", "/update", "Send a bundle", UpdateStatus, secret=True, query=_WISHES,
              body="application/octet-stream", also=(400, 408, 409, 422, 503, 507)),
    _get("/update/log", "The log of the trial that failed last", "text/plain", also=(404,)),
    _get("/jobs/{id}", "An update that was sent", JobAnswer, also=(404,)),
    _get("/slots", "Both slots", Status, also=(503,)),
    _post("/slots/{order}", "`commit`, `rollback`, `try`, `rescue`", Status, query={"reboot": YES},
          also=(202, 404, 409, 503)),
    _post("/eeprom", "Update the boot loader in a Pi's EEPROM", Accepted, status=202, also=(409, 503)),
    _post("/rescue/reset", "In rescue: reset /etc or data", ResetDone,
          form={"confirm": {"enum": ["reset etc", "erase data"]}}, needed=("confirm",), also=(400, 409, 415, 503)),
    _post("/dev", "Run another program in place of an app's", Developed, status=202, query=_APP,
          body="application/x-tar", also=(400, 404, 503)),
    _get("/dev", "Hold it for as long as this is read", "text/event-stream", secret=True, query=_APP,
         also=(400, 404, 503)),
    Operation("delete", "/dev", "Put the packed program back", Packed, status=202, secret=True, query=_APP,
              also=(400, 404, 503)),
    _post("/reboot", "Restart the device", Accepted, status=202, also=(409, 503)),
    _post("/poweroff", "Turn the device off", Accepted, status=202, also=(409, 503)),
    _get(PATH, "This description", "application/json"),
)  # fmt: skip

TERMINAL: tuple[Operation, ...] = (
    _get("/terminal", "Whose shell it is, and how many are open", TerminalAnswer, secret=True),
    _post("/terminal", "Open one; a browser's session has to send the password once more", Ticket,
          form={"password": TEXT}, also=(400, 409, 415, 503)),
)  # fmt: skip
"""Only where the image has a terminal."""

_WORDS = {
    200: "Done",
    202: "Taken",
    400: "That makes no sense",
    401: "No password, or a wrong one",
    403: "Refused at the door",
    404: "There is no such thing",
    408: "The upload was cut off",
    409: "Not as things are",
    413: "Too large",
    415: "Not a form",
    422: "A bundle that is not taken",
    429: "Too many attempts",
    431: "Too large headers",
    503: "The device could not do it",
    507: "The disk did not take it",
}
_NAME: Schema = {"type": "string", "minLength": 1}
_PARAMETERS: dict[str, Schema] = {
    "number": {"type": "integer", "minimum": 0},
    "order": {"type": "string", "enum": ["commit", "rollback", "try", "rescue"]},
}


def describe(version: str, *, terminal: bool = False) -> Schema:
    """The whole document; `version` is the image's, and so is whether there is a `terminal`."""
    operations = OPERATIONS + TERMINAL if terminal else OPERATIONS
    kinds = {one.answer for one in operations if not isinstance(one.answer, str)} | {Refusal}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    references, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(ordered, references, strict=True))
    paths: dict[str, Schema] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ovenbird device",
            "version": version,
            "description": "What an Ovenbird device tells programs and takes from them. Browsers get pages at the same "
            "URLs; who wants JSON does not ask for text/html.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"password": {"type": "http", "scheme": "basic", "description": "User `ovenbird`."}},
        },
    }


def _operation(one: Operation, schemas: Mapping[type, Schema]) -> Schema:
    errors = {400, 403, 413, 431, *((401, 429) if one.secret else ()), *one.also} - {one.status, 202}
    refusal = {"application/json": {"schema": schemas[Refusal]}}
    responses: dict[str, Schema] = {
        str(one.status): {"description": _WORDS[one.status], "content": _content(one, schemas)}
    }
    if 202 in one.also:
        responses["202"] = {"description": _WORDS[202], "content": {"application/json": {"schema": schemas[Accepted]}}}
    responses |= {str(code): {"description": _WORDS[code], "content": refusal} for code in sorted(errors)}
    found: Schema = {
        "summary": one.summary,
        "operationId": f"{one.method}{re.sub(r'[^a-zA-Z0-9]+', '_', one.path).rstrip('_')}",
        "responses": responses,
        "security": [{"password": []}] if one.secret else [],
    }
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _PARAMETERS.get(name, {"type": "string", "minLength": 1}),
        }
        for name in re.findall(r"{(\w+)}", one.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in one.query.items()]
    if parameters:
        found["parameters"] = parameters
    if one.form:
        form: Schema = {"type": "object", "properties": dict(one.form)}
        if one.needed:
            form["required"] = list(one.needed)
        found["requestBody"] = {
            "required": bool(one.needed),
            "content": {"application/x-www-form-urlencoded": {"schema": form}},
        }
    if one.body:
        found["requestBody"] = {
            "required": True,
            "content": {one.body: {"schema": {"type": "string", "format": "binary"}}},
        }
    return found


def _content(one: Operation, schemas: Mapping[type, Schema]) -> Schema:
    if isinstance(one.answer, str):
        schema: Schema = {"type": "object"} if one.answer == "application/json" else {"type": "string"}
        return {one.answer: {"schema": schema}}
    return {"application/json": {"schema": schemas[one.answer]}}
