"""The file of targets: what Prometheus reads, whole at every moment, with nobody in it twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.deliver.speaker import Speaker
from tests.unit.deliver.test_scan import LOOPBACK, announced

from ovenbird.deliver.console import Glance
from ovenbird.deliver.prometheus import Exporter, groups, write
from ovenbird.deliver.scan import Found
from ovenbird.errors import UsageError


def found(name: str, target: str, id: str = "") -> Found:
    """A device that answered."""
    glance = Glance(name="hello", version="1.0.0", board="rpi", model="Raspberry Pi 4", id=id or f"id-{name}")
    return Found(target=target, hostname=name, addresses=(target,), glance=glance)


def test_each_device_is_a_target_of_each_job() -> None:
    made = groups([found("one", "10.0.0.7"), found("two", "10.0.0.8:8080")], [Exporter.parse("9100")])
    assert [(group.targets, group.labels["job"], group.labels["instance"]) for group in made] == [
        (("10.0.0.7:80",), "ovenbird", "one"),
        (("10.0.0.7:9100",), "node", "one"),
        (("10.0.0.8:8080",), "ovenbird", "two"),
        (("10.0.0.8:9100",), "node", "two"),
    ]
    assert made[0].labels["ovenbird_model"] == "Raspberry Pi 4"


def test_addresses_are_as_prometheus_takes_them() -> None:
    silent = Found(target="10.0.0.9", announced=True, hostname="silent")
    link_local = found("far", "fe80::1%eth0")
    made = groups([found("six", "fd00::7"), found("eight", "[fd00::8]:8080"), silent, link_local])
    assert [group.targets for group in made] == [("[fd00::7]:80",), ("[fd00::8]:8080",)]


def test_who_is_away_stays_if_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    write(file, groups([found("one", "10.0.0.7"), found("two", "10.0.0.8")]))
    write(file, groups([found("two", "10.0.0.18"), found("three", "10.0.0.9")]), keep=True)
    listed = json.loads(file.read_bytes())
    assert {one["labels"]["instance"]: one["targets"] for one in listed} == {
        "one": ["10.0.0.7:80"],
        "two": ["10.0.0.18:80"],
        "three": ["10.0.0.9:80"],
    }
    write(file, groups([found("two", "10.0.0.18")]))
    assert [one["labels"]["instance"] for one in json.loads(file.read_bytes())] == ["two"]
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_of_others_is_not_built_upon(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    file.write_text("not ours")
    with pytest.raises(UsageError, match="no file of targets"):
        write(file, [], keep=True)
    assert file.read_text() == "not ours"
    write(file, [])
    assert json.loads(file.read_bytes()) == []


@pytest.mark.parametrize("text", ["", "node", "0", "70000", "a b:1", "ovenbird:80", "node:9100:1"])
def test_an_exporter_that_is_none_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        Exporter.parse(text)


@pytest.mark.usefixtures("air")
def test_the_verb(speaker: Speaker, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("ovenbird"))
    words = [program, "scan", "--interface", LOOPBACK, "--wait", "6", "--prometheus", f"{tmp_path}/targets.json"]
    with announced("oven", speaker.port):
        done = subprocess.run(
            [*words, "--exporter", "apps:8001"], capture_output=True, text=True, timeout=600, check=True
        )
    assert "oven" in done.stdout
    page, apps = json.loads((tmp_path / "targets.json").read_bytes())
    assert (page["targets"], apps["targets"]) == ([f"127.0.0.1:{speaker.port}"], ["127.0.0.1:8001"])
    assert (page["labels"]["job"], apps["labels"]["job"], apps["labels"]["instance"]) == ("ovenbird", "apps", "oven")
    wrong = subprocess.run(
        [*words[:-2], "--exporter", "9100"], capture_output=True, text=True, timeout=600, check=False
    )
    assert wrong.returncode == 2
    assert "--prometheus FILE" in wrong.stderr
    gone = subprocess.run(
        [*words[:-1], "/proc/no/targets.json"], capture_output=True, text=True, timeout=600, check=False
    )
    assert gone.returncode == 1
    assert "Traceback" not in gone.stderr
