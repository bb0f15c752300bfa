"""The example for a Pi, built as its head says out of the packages of the day: each model finds what it starts with."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

import pytest

from ovenbird.boards import board
from ovenbird.boards.board import Model
from ovenbird.build.elf import HEAD, machine_of
from tests.tool import Tool
from tests.vm.pi.example import build_example
from tests.vm.pi.firmware import Card, Firmware

pytestmark = pytest.mark.build
RPI = board("rpi")
WIRELESS = "usr/lib/firmware/brcm/brcmfmac43455-sdio.raspberrypi,4-model-b.txt"


@pytest.fixture(scope="module")
def out(tool: Tool) -> Path:
    """The folder with its image."""
    return build_example(tool).out("1.0.0")


@pytest.mark.parametrize("model", RPI.models, ids=[model.name for model in RPI.models])
def test_every_model_starts_from_the_card(out: Path, model: Model, tmp_path: Path) -> None:
    started = Firmware(Card(out / "disk.img"), model).boot()
    assert (started.partition, started.program) == (2, model.firmware[0])
    assert gzip.decompress(started.kernel)[56:60] == b"ARM\x64"
    assert started.initramfs
    (tmp_path / "tree").write_bytes(started.device_tree)
    words = ["fdtget", str(tmp_path / "tree"), "/", "model"]
    named = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert named.startswith("Raspberry Pi")
    assert started.config.get("arm_boost") == ("1" if model.section in ("pi4", "pi400", "cm4") else None)
    assert "ovenbird-pwm" in started.overlays


def test_its_programs_and_firmware_are_the_pis(out: Path) -> None:
    root = out / "root.squashfs"
    program = subprocess.run(["unsquashfs", "-cat", root, "usr/bin/bash"], capture_output=True, check=True).stdout
    assert machine_of(program[:HEAD]) == RPI.cpu.facts.elf
    listed = subprocess.run(["unsquashfs", "-l", "-d", "", root], capture_output=True, text=True, check=True).stdout
    assert f"/{WIRELESS}" in listed.splitlines()


def test_there_is_a_bundle_for_devices_that_run_it(out: Path) -> None:
    assert (out / "pi.swu").is_file()
