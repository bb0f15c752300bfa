"""What keeps the device's programs small: modules that stay out of them, and templates that are compiled beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from ovenbird_device.web import engine, view

FILTERS = {"duration": view.duration, "sized": view.sized}


def loaded(code: str) -> set[str]:
    """The modules in a process of its own behind some statements."""
    printing = f"{code}\nimport sys\nprint(*(name for name, module in sys.modules.items() if module is not None))"
    done = subprocess.run([sys.executable, "-P", "-c", printing], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_agent_leaves_out_what_it_never_uses() -> None:
    found = loaded(
        "from ovenbird_device.lean import load_server; load_server(); import ovenbird_device.web.serve;"
        "import uvicorn.protocols.http.h11_impl"
    )
    assert {"uvicorn.server", "starlette.applications", "asyncio", "msgspec"} <= found
    assert found.isdisjoint({"click", "multiprocessing", "ssl", "http.client", "pickle", "tempfile", "bz2"})
    assert found.isdisjoint({"ovenbird_device.update.installer", "ovenbird_device.slots.manage"})


STREAMED = """
from ovenbird_device.lean import load_server; load_server()
import asyncio
from ovenbird_device.web.stream import Stream
sent, ended = [], []

async def numbers(most, trouble=None):
    try:
        for number in range(most):
            yield f"{number} "
            await asyncio.sleep(0)
        if trouble:
            raise trouble
    finally:
        ended.append(most)

async def send(message):
    sent.append(message.get("body", b""))

async def main():
    gone = asyncio.Event()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    await Stream(numbers(3))({"type": "http"}, receive, send)
    assert (sent, ended) == ([b"", b"0 ", b"1 ", b"2 ", b""], [3])
    asyncio.get_running_loop().call_later(0.05, gone.set)
    await Stream(numbers(10**9))({"type": "http"}, receive, send)
    assert ended == [3, 10**9]
    gone.clear()
    try:
        await Stream(numbers(1, OSError("broken")))({"type": "http"}, receive, send)
    except OSError as error:
        assert str(error) == "broken"
    else:
        raise AssertionError("nothing was raised")
    asking = asyncio.ensure_future(Stream(numbers(10**9))({"type": "http"}, receive, send))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait([asking])
    assert ended == [3, 10**9, 1, 10**9]

asyncio.run(main())
"""


def test_a_stream_ends_with_its_visitor_and_brings_nothing_along() -> None:
    """To its end, until the visitor leaves, with its error, and with the server."""
    found = loaded(STREAMED)
    assert "ovenbird_device.web.stream" in found
    assert found.isdisjoint({"ssl", "anyio._backends._asyncio"})


@pytest.mark.parametrize("program", ["provision", "grow", "steward"])
def test_programs_of_each_boot_do_without_an_event_loop(program: str) -> None:
    found = loaded(f"import ovenbird_device.{program}.__main__")
    assert "msgspec" in found
    assert found.isdisjoint({"asyncio", "inspect", "typing_extensions", "ssl"})


def test_what_was_left_out_can_be_imported_later() -> None:
    code = (
        "from ovenbird_device.lean import load_server; load_server()\n"
        "import ssl, http.client, tempfile, uvicorn.main, logging.config, configparser\n"
        "assert ssl.create_default_context() and http.client.HTTPConnection and uvicorn.main.run\n"
        "assert tempfile.TemporaryFile and logging.config.dictConfig and configparser.ConfigParser\n"
    )
    assert "ssl" in loaded(code)


def test_errors_know_their_words_without_the_http_client() -> None:
    code = (
        "from ovenbird_device.lean import load_server; load_server()\n"
        "from starlette.exceptions import HTTPException\n"
        "assert HTTPException(404).detail == 'Not Found'\n"
    )
    assert "starlette.exceptions" in loaded(code)


def test_compiled_templates_are_the_same_pages(tmp_path: Path) -> None:
    engine.compile_all(tmp_path / "compiled")
    ready = engine.for_pages(FILTERS, tmp_path / "compiled")
    plain = engine.for_pages(FILTERS, tmp_path / "none")
    assert isinstance(ready.loader, jinja2.ModuleLoader)
    assert isinstance(plain.loader, jinja2.FileSystemLoader)
    for name in engine.names():
        assert ready.get_template(name).name == name
    values = {"title": "T", "hint": "<b>", "text": "words", "signed_in": False, "hostname": "h", "asset": str}
    values |= {"pellets": "", "here": "/", "status": 404, "terminal": True}
    pages = [made.get_template("message.html").render(values) for made in (ready, plain)]
    assert pages[0] == pages[1]
    assert "&lt;b&gt;" in pages[0]


def test_compiling_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    code = "import sys, pathlib; from ovenbird_device.web import engine; engine.compile_all(pathlib.Path(sys.argv[1]))"
    for seed in ("1", "2"):
        command = [sys.executable, "-P", "-c", code, str(tmp_path / seed)]
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, check=True)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert first == second
    assert len(first) == len(engine.names())
