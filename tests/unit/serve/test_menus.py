"""What boot programs are told: every word of the command line arrives as it was meant, and nothing else is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.serve.making import make_out

from ovenbird.deliver.serve import menus, words
from ovenbird.deliver.serve.choice import Asker, NoChoiceError, check, choose, host_name
from ovenbird.deliver.serve.images import Image, Images
from ovenbird.deliver.serve.settings import EMPTY, Book, Client, Display, Server, Settings
from ovenbird.progress import QuietProgress

BASE = "http://10.0.0.1:8080"
WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    """One for each processor."""
    folder = tmp_path_factory.mktemp("images")
    there = Images(folder)
    there.add(make_out(folder / "one"), QuietProgress())
    there.add(make_out(folder / "two", "thin-arm", architecture="arm64"), QuietProgress())
    return there.all()


@given(said=st.lists(WORD, max_size=6))
@settings(max_examples=200, deadline=None)
def test_every_word_arrives(images: list[Image], said: list[str]) -> None:
    """GRUB's quoting is a shell's; iPXE and PXELINUX split at blanks."""
    assume(all(words.argument(word) is None for word in said))
    book = Book(Server(), Settings(command_line=tuple(said), image="thin"), {})
    choice = choose(book, images, BASE, Asker(architecture="amd64"))
    menu = menus.Menu(BASE, choice)
    wanted = choice.command_line.split()
    assert wanted[len(wanted) - len(said) :] == said
    (linux,) = re.findall(r"^  if linux \S+ (.*); then$", menus.grub(menu, "http,10.0.0.1"), re.MULTILINE)
    assert shlex.split(linux) == wanted
    (kernel,) = re.findall(r"^kernel \S+ initrd=initrd (.*) \|\| goto failed$", menus.ipxe(menu), re.MULTILINE)
    assert kernel.split() == wanted
    assert "${" not in kernel
    (append,) = re.findall(r"^  APPEND (.*)$", menus.pxelinux(menu), re.MULTILINE)
    assert append.split() == wanted


@given(st.text())
@settings(deadline=None)
def test_a_trouble_is_only_shown(text: str) -> None:
    """A name that somebody has chosen never becomes a command of a boot program."""
    for made in (menus.ipxe_trouble(BASE, text), menus.grub_trouble(text), menus.pxelinux_trouble(text)):
        (line,) = [line for line in made.splitlines() if "Ovenbird: " in line and "trying again" not in line]
        shown = line.partition("Ovenbird: ")[2].removesuffix("'")
        assert not set(shown) & set("'\"$`{};|&\\")
        assert shown.isascii()
    assert len(menus.ipxe_trouble(BASE, text).splitlines()) == len(menus.ipxe_trouble(BASE, "x").splitlines())


def test_the_command_line_is_the_manifests_then_the_clients(images: list[Image]) -> None:
    """In an order in which the last one wins."""
    client = Client(
        mac="52:54:00:00:00:01", image="thin", hostname="desk", zram=0, data="tmpfs:64M", toram=True,
        overlays=("http://a/one", "http://a/two"), command_line=("quiet",),
        display=(
            Display(connector="HDMI-A-1", mode="1920x1080@60", rotate=90), Display(connector="DP-1", enabled=False),
        ),
    )  # fmt: skip
    choice = choose(Book(Server(), Settings(), {"d": client}), images, BASE, Asker("52:54:00:00:00:01", "", "amd64"))
    manifest = choice.image.manifest
    assert choice.command_line == (
        f"{manifest.command_line} ovenbird.root={BASE}/images/thin/{choice.image.id}/root.squashfs"
        " ovenbird.data=tmpfs:64M ovenbird.toram ovenbird.overlays=http://a/one;http://a/two ovenbird.zram=0"
        " BOOTIF=01-52-54-00-00-00-01"
        " systemd.hostname=desk video=HDMI-A-1:1920x1080@60,rotate=90 fbcon=rotate:1 video=DP-1:d quiet"
    )


def test_the_image_is_the_named_one_or_the_only_one_that_fits(images: list[Image]) -> None:
    """An image named for everybody is of one processor; the others get theirs if there is only one."""
    book = Book(Server(), Settings(image="thin"), {})
    assert choose(book, images, BASE, Asker(architecture="amd64")).image.name == "thin"
    assert choose(book, images, BASE, Asker(architecture="arm64")).image.name == "thin-arm"
    assert choose(EMPTY, images, BASE, Asker(architecture="arm64")).image.name == "thin-arm"
    with pytest.raises(NoChoiceError, match="several images"):
        choose(EMPTY, images, BASE, Asker())
    with pytest.raises(NoChoiceError, match="no image for arm64"):
        choose(EMPTY, images[:1], BASE, Asker(architecture="arm64"))


def test_a_menu_has_all_images_of_the_processor(images: list[Image], tmp_path: Path) -> None:
    """Each program in its own language, and the client's own first."""
    more = Images(tmp_path)
    more.add(make_out(tmp_path / "x", "other", "2.0"), QuietProgress())
    both = [images[0], more.current("other")]
    book = Book(Server(menu=5), Settings(image="thin"), {})
    mine, other = (choose(book, both, BASE, Asker(architecture="amd64"), name) for name in ("", "other"))
    menu = menus.Menu(BASE, mine, (other,), 5)
    assert "choose --default 0 --timeout 5000 chosen" in menus.ipxe(menu)
    assert "item 1 other 2.0" in menus.ipxe(menu)
    assert menus.grub(menu, "http,x").count("menuentry") == 2
    assert "set timeout=5\n" in menus.grub(menu, "http,x")
    assert "TIMEOUT 50\n" in menus.pxelinux(menu)


def test_a_command_line_that_no_kernel_takes_is_found_at_the_start(images: list[Image]) -> None:
    """Not by the client."""
    client = Client(mac="52:54:00:00:00:01", image="thin", command_line=tuple(f"word{n}={'x' * 90}" for n in range(22)))
    with pytest.raises(NoChoiceError, match="client long: its command line for thin has"):
        check(Book(Server(), Settings(), {"long": client}), images, BASE)


@pytest.mark.parametrize(
    ("template", "name"),
    [("desk-{mac}", "desk-525400aa0001"), ("pc-{serial}", "pc-sn-42"), ("plain", "plain"), ("{serial}", "sn-42")],
)
def test_a_host_name_is_filled_in(template: str, name: str) -> None:
    """From what the firmware tells."""
    assert host_name(Settings(hostname=template), Asker("52:54:00:aa:00:01", "SN 42")) == name
    assert host_name(Settings(hostname="{serial}"), Asker("52:54:00:aa:00:01", " ")) == ""
