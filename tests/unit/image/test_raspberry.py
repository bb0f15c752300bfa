"""A Pi's boot partition and card: what config.txt says, what is on them, and who reads them."""

from __future__ import annotations

import gzip
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.vm.pi.firmware import Card, DoesNotBootError, Firmware

from ovenbird.boards import Board, board
from ovenbird.boards.board import Model
from ovenbird.errors import ImageError
from ovenbird.image import raspberry
from ovenbird.image.disk import write_disk
from ovenbird.image.layout import MIB, CardLayout, plan_card
from ovenbird.image.raspberry import Parts
from ovenbird.image.reading.contents import inspect
from ovenbird.recipe.pi import Pi
from ovenbird_device.format.selector import Slot, State

RPI = board("rpi")
EVERY = [(board(name), model) for name in ("rpi", "rpi-armhf") for model in board(name).models]
NAMES = ("start", "start4", "fixup", "fixup4")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """Files of the right names. The kernel has the header of a 64-bit one."""
    firmware, trees = tmp_path / "firmware", tmp_path / "trees"
    (firmware / "overlays").mkdir(parents=True)
    trees.mkdir()
    for stem in NAMES:
        ending = "elf" if stem.startswith("start") else "dat"
        for more in ("", "x", "cd"):
            joined = f"{stem}{more}" if stem[-1] == "4" or not more else f"{stem}_{more}"
            (firmware / f"{joined}.{ending}").write_bytes(joined.encode())
    (firmware / "bootcode.bin").write_bytes(b"boot loader")
    (firmware / "overlays/pi4-spidev.dtbo").write_bytes(b"an overlay")
    for model in EVERY:
        (trees / model[1].device_tree).write_bytes(model[1].device_tree.encode())
    kernel, initrd = tmp_path / "kernel", tmp_path / "initrd"
    kernel.write_bytes(bytes(56) + b"ARM\x64" + b"Linux version 6.12.1-arm64 (debian)" + bytes(100_000))
    initrd.write_bytes(b"initrd" * 1000)
    return Parts(kernel, initrd, firmware, trees)


def make(folder: Path, parts: Parts, machine: Board = RPI, pi: Pi | None = None, *, both: bool = False) -> Path:
    """A card with this in slot a, or in both slots."""
    layout: CardLayout = plan_card(select=16 * MIB, boot=8 * MIB, root=MIB, data=40 * MIB, digest="test")
    boot, select, root = folder / "boot", folder / "select", folder / "root"
    arguments = ["quiet", "ovenbird.hash=sha256:0"]
    raspberry.write_boot(boot, board=machine, pi=pi or Pi(), parts=parts, arguments=arguments, size=8 * MIB, epoch=0)
    raspberry.write_select(select, board=machine, firmware=parts.firmware, epoch=0)
    root.write_bytes(bytes(100_000))
    out = folder / "card.img"
    write_disk(out, layout=layout, select=select, boot=boot, root=root, digest="test", epoch=0)
    if both:
        with out.open("r+b") as card:
            card.seek(layout.partition("boot-b").offset)
            card.write(boot.read_bytes())
    return out


@pytest.mark.parametrize(("machine", "model"), EVERY, ids=[f"{one.name} {model.name}" for one, model in EVERY])
def test_every_model_starts_what_is_its_own(tmp_path: Path, parts: Parts, machine: Board, model: Model) -> None:
    started = Firmware(Card(make(tmp_path, parts, machine)), model).boot()
    assert started.partition == 2
    assert started.program == model.firmware[0]
    assert started.device_tree == model.device_tree.encode()
    assert gzip.decompress(started.kernel) == parts.kernel.read_bytes()
    assert started.initramfs == parts.initrd.read_bytes()
    assert started.cmdline == "ovenbird.root=autoboot ovenbird.data=autoboot quiet ovenbird.hash=sha256:0"
    ours = "ovenbird-pi4" if model.section in ("pi4", "pi400", "cm4") else "ovenbird"
    assert started.overlays == (ours,)
    assert started.config["arm_64bit"] == str(int(machine.architecture == "arm64"))


def test_the_flag_and_both_slots(tmp_path: Path, parts: Parts) -> None:
    card = make(tmp_path, parts, both=True)
    for model in (RPI.models[0], RPI.models[-1]):
        pi = Firmware(Card(card), model, flag=True)
        assert (pi.boot().partition, pi.flag) == (2, False)  # nothing is armed
    select = tmp_path / "select"
    raspberry.write_select(select, board=RPI, firmware=parts.firmware, epoch=0, state=State().arm(Slot.B, 1))
    with card.open("r+b") as file:
        file.seek(MIB)
        file.write(select.read_bytes())
    for model in (RPI.models[0], RPI.models[-1]):
        pi = Firmware(Card(card), model, flag=True)
        tried = pi.boot()
        assert (tried.partition, tried.tryboot, tried.kernel) == (3, True, pi.boot().kernel)
        assert pi.boot().partition == 2


def test_firmware_that_forgets_about_a_b_reads_the_same(tmp_path: Path, parts: Parts) -> None:
    card = Card(make(tmp_path, parts))
    assert card.read(2, "tryboot.txt") == card.read(2, "config.txt")


def test_a_pi_3_without_its_boot_loader_does_not_start(tmp_path: Path, parts: Parts) -> None:
    card = make(tmp_path, parts, replace(RPI, models=RPI.models[-1:]))
    assert Firmware(Card(card), RPI.models[-1]).boot().partition == 2
    with pytest.raises(DoesNotBootError, match=r"bootcode\.bin"):
        Firmware(Card(card), RPI.models[0]).boot()


def test_what_the_recipe_says(tmp_path: Path, parts: Parts) -> None:
    source = tmp_path / "relay.dts"
    source.write_text(raspberry.pwm_source([12]))
    pi = Pi(
        overlays=(f"{source},gpio=17", "pi4-spidev"),
        parameters=("i2c_arm=on",),
        uart=False,
        pwm=(18, 19),
        camera=True,
        lines=("hdmi_group=2", "[pi4]", "over_voltage=2", "[pi3]", "over_voltage=4"),
    )
    card = Card(make(tmp_path, parts, pi=pi))
    three, four = (Firmware(card, RPI.models[number]).boot() for number in (0, 5))
    assert (three.program, four.program) == ("start_x.elf", "start4x.elf")
    assert three.overlays == ("ovenbird,i2c_arm=on", "ovenbird-pwm", "relay,gpio=17", "pi4-spidev")
    for name, value in {"enable_uart": "0", "gpu_mem": "128", "hdmi_group": "2", "start_x": "1"}.items():
        assert three.config[name] == value
    assert (three.config["over_voltage"], four.config["over_voltage"]) == ("4", "2")
    assert three.overlay_files["pi4-spidev"] == b"an overlay"
    for name in ("ovenbird", "ovenbird-pwm", "relay"):
        assert three.overlay_files[name][:4] == b"\xd0\x0d\xfe\xed"


def test_little_memory_starts_the_small_firmware(tmp_path: Path, parts: Parts) -> None:
    card = Card(make(tmp_path, parts, pi=Pi(gpu_memory=16)))
    assert Firmware(card, RPI.models[0]).boot().program == "start_cd.elf"
    assert Firmware(card, RPI.models[5]).boot().program == "start4cd.elf"


@pytest.mark.parametrize(
    ("pi", "missing", "what"),
    [
        (Pi(overlays=("vc4-kms-v3d",)), "", 'no overlay "vc4-kms-v3d".*they have: pi4-spidev'),
        (Pi(), "firmware/start4.elf", r"firmware file start4\.elf is missing, which Raspberry Pi 4 Model B"),
        (Pi(camera=True), "firmware/start_x.elf", r"start_x\.elf is missing"),
        (
            Pi(),
            "trees/bcm2711-rpi-400.dtb",
            r"device tree bcm2711-rpi-400\.dtb is missing, which Raspberry Pi 400 starts",
        ),
        (Pi(), "firmware/bootcode.bin", r"firmware file bootcode\.bin is missing, which Raspberry Pi 3 Model B starts"),
    ],
)
def test_what_is_missing(tmp_path: Path, parts: Parts, pi: Pi, missing: str, what: str) -> None:
    if missing:
        (tmp_path / missing).unlink()
    with pytest.raises(ImageError, match=what):
        make(tmp_path, parts, pi=pi)


def test_the_overlays_of_ours_fit_onto_trees_of_either_width(tmp_path: Path) -> None:
    """The memory for requests must be written with as many cells as the tree's own."""
    for name, cells in (("ovenbird", 1), ("ovenbird-pi4", 2)):
        overlay, base, tree = tmp_path / f"{name}.dtbo", tmp_path / f"{name}.base", tmp_path / f"{name}.dtb"
        text = (
            f"/dts-v1/; / {{ #address-cells=<{cells}>; #size-cells=<1>; reserved-memory {{ "
            f"#address-cells=<{cells}>; #size-cells=<1>; ranges; }}; }};"
        )
        for source, out in ((raspberry.OVERLAYS / f"{name}.dts", overlay), (text, base)):
            words = ["dtc", "-@", "-q", "-I", "dts", "-O", "dtb", "-o", str(out), "-"]
            given = source if isinstance(source, str) else source.read_text()
            subprocess.run(words, input=given.encode(), check=True)
        subprocess.run(["fdtoverlay", "-i", base, "-o", tree, overlay], check=True)
        words = ["fdtget", "-t", "x", str(tree), "/reserved-memory/ovenbird@10000000", "reg"]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert said == ["0"] * (cells - 1) + ["10000000", "200000"]


def test_a_card_is_looked_into(tmp_path: Path, parts: Parts) -> None:
    found = inspect(make(tmp_path, parts))
    assert found.kind == "disk"
    assert [one.name for one in found.partitions] == ["select", "boot-a", "boot-b", "", "root-a", "root-b", "data"]
    assert found.selector is not None
    assert (found.selector.active, found.selector.damaged) == ("a", ())


def test_equal_content_is_equal_bytes(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "twin").mkdir()
    one, two = make(tmp_path, parts), make(tmp_path / "twin", parts)
    assert one.read_bytes() == two.read_bytes()
