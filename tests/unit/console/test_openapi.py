"""The description for programs: it tells all routes, and the real agent keeps what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.lab import PASSWORD, Lab

from ovenbird_device.facts.overview import Places, Reader
from ovenbird_device.web import openapi
from ovenbird_device.web.app import Site
from ovenbird_device.web.negotiate import ASKS
from ovenbird_device.web.settings import Settings

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
# Names that this device knows, so that more than a 404 is tried; and what no schema can tell: whether bytes are a
# signed bundle, whether a text is a key or a certificate, and whether addresses fit together. Unknown parameters are
# passed over.
CONFIGURATION = """
[generation]
allow-extra-parameters = false

[[operations]]
include-path-regex = "^/services/"
parameters = { name = "hello" }

[[operations]]
include-path = "/network/{name}"
parameters = { name = "eth0" }
checks = { positive_data_acceptance = { enabled = false } }

[[operations]]
include-path-regex = "^/users/"
parameters = { name = "admin" }
checks = { positive_data_acceptance = { enabled = false } }

[[operations]]
include-path = "/certificate"
checks = { positive_data_acceptance = { enabled = false } }

[[operations]]
include-path = "/dev"
parameters = { app = "hello" }
checks = { positive_data_acceptance = { enabled = false } }

[[operations]]
include-path = "/update"
checks = { positive_data_acceptance = { enabled = false } }
"""


@pytest.mark.parametrize("opened", [False, True])
def test_it_tells_every_route(tmp_path: Path, opened: bool) -> None:
    places = Places(image=tmp_path / "none", boot_note=tmp_path / "run/boot")
    if opened:
        (tmp_path / "terminal.json").write_text('{"user": "anna"}')
    settings = Settings(state=tmp_path, places=places, terminal=tmp_path / "terminal.json")
    site = Site(settings, Reader(places))
    served: set[tuple[str, str]] = set()
    for route in site.routes():
        path = re.sub(r":\w+}", "}", route.path)
        if path not in openapi.PAGES and route.name != ASKS:
            served |= {(method.lower(), path) for method in route.methods or () if method != "HEAD"}
    assert served == {(one.method, one.path) for one in openapi.OPERATIONS + (openapi.TERMINAL if opened else ())}


def test_every_answer_is_in_words() -> None:
    description = openapi.describe("1.0", terminal=True)
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            assert all(answer["description"] for answer in operation["responses"].values())
    names = [one["operationId"] for operations in description["paths"].values() for one in operations.values()]
    assert len(names) == len(set(names))


def test_the_agent_does_as_it_says(whole: Lab, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{whole.url}/openapi.json"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "1"]
    command += ["--auth", f"ovenbird:{PASSWORD}", "--generation-database", "none", "--no-color", "--workers", "1"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
