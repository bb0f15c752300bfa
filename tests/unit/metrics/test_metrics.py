"""What Prometheus reads, over real HTTP, by the grammar of its text format; and the status for who looks around."""

from __future__ import annotations

import re

import httpx
from tests.unit.device.conftest import Device
from tests.unit.device.conftest import device as device

from ovenbird_device.metrics.text import Exposition
from ovenbird_device.web.machine import identity

SAMPLE = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,(?=\w))?)+\})?'
    r" -?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
)


def families(text: str) -> dict[str, list[str]]:
    """The samples by family. Fails for text that Prometheus would not read."""
    found: dict[str, list[str]] = {}
    name = ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in found, "a family comes twice"
            found[name] = []
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == name
            assert kind in ("gauge", "counter")
            assert kind != "counter" or name.endswith("_total")
        else:
            assert SAMPLE.fullmatch(line), line
            assert re.split(r"[{ ]", line)[0] == name
            assert line not in found[name]
            found[name].append(line)
    assert all(found.values())
    return found


def test_metrics(device: Device) -> None:
    with device.client() as client:
        answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = families(answer.text)
    assert {"node_load1", "node_cpu_seconds_total", "node_memory_MemAvailable_bytes", "node_boot_time_seconds"} <= set(
        found
    )
    assert found["ovenbird_slot_running"] == ['ovenbird_slot_running{slot="a"} 0', 'ovenbird_slot_running{slot="b"} 1']
    assert 'name="hello",version="1.4.0",board="vm"' in found["ovenbird_image_info"][0]
    assert found["ovenbird_healthy"] == ["ovenbird_healthy 1"]


def test_what_needs_escaping() -> None:
    out = Exposition()
    out.add("a", "gauge", "text\nand \\", [({"x": 'q"uo\\te\n'}, 1.5), ({"x": "none"}, None)])
    out.add("empty", "gauge", "nothing", [])
    out.one("b_total", "counter", "count", 1 << 60)
    assert out.text() == (
        "# HELP a text\\nand \\\\\n# TYPE a gauge\n"
        'a{x="q\\"uo\\\\te\\n"} 1.5\n'
        "# HELP b_total count\n# TYPE b_total counter\nb_total 1152921504606846976\n"
    )
    families(out.text())


def test_status(device: Device) -> None:
    with device.client() as client:
        about = client.get("/status").json()
        again = client.get("/status").json()
    told = ["name", "version", "board", "model", "slot", "health", "boot_id", "hostname", "https", "https_only", "id"]
    assert list(about) == told
    assert (about["name"], about["version"], about["slot"], about["health"]) == ("hello", "1.4.0", "b", "ok")
    assert about == again
    assert re.fullmatch(r"[0-9a-f]{32}", about["id"])


def test_the_identity_does_not_tell_the_machine_id() -> None:
    machine = "0123456789abcdef0123456789abcdef"
    assert identity(machine, "x") == identity(machine, "y") != machine
    assert identity("", "x") != identity("", "y")


def test_history(device: Device) -> None:
    with device.client() as client:
        found = client.get("/history").json()
        assert found["step_s"] == 30
        assert {one["name"] for one in found["series"]} >= {"cpu", "memory", "temperature", "disk_read", "net_in"}
        page: httpx.Response = client.get("/history", headers={"Accept": "text/html"})
        assert page.text.count("<figure") >= 4
        assert "style=" not in page.text
        part = client.get("/history", headers={"HX-Request": "true"})
        assert part.text.lstrip().startswith('<section id="charts"')
