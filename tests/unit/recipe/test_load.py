"""A good recipe: what is read, included, merged, found, and how it is identified."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ovenbird.errors import RecipeError
from ovenbird.recipe.load import load
from ovenbird.recipe.model import Recipe

from .conftest import IMAGE, Write


def test_smallest(write: Write) -> None:
    file = write(IMAGE)
    loaded = load(file)
    recipe = loaded.recipe
    assert (recipe.image.name, recipe.image.version, recipe.image.board) == ("hello", "1.0", "vm")
    assert recipe.base.release == "trixie"
    assert recipe.base.components == ("main",)
    assert (recipe.disk.boot, recipe.disk.root, recipe.disk.data) == (64 << 20, 512 << 20, 64 << 20)
    assert recipe.state.var == "persistent"
    assert recipe.hostname == "hello"
    assert recipe.network.mdns
    assert [stage.name for stage in loaded.stages] == ["cleanup"]
    assert loaded.path == file
    assert loaded.folder == file.parent
    assert loaded.files == (file,)


def test_everything(write: Write) -> None:
    write("key", "keys/archive.gpg")
    write("x", "answers/one")
    file = write(
        """\
[image]
name = "kiosk-1"
version = "2.0.0-rc.1+5"
board = "pc"
description = "Shows things: always"
[base]
distribution = "debian"
release = "bookworm"
packages = ["htop", "git", "libc6:amd64", "nano=7.2-1"]
mirror = "http://deb.example.org/debian"
components = ["main", "odd"]
keyrings = ["keys/archive.gpg"]
sources = ["deb [signed-by=/x] http://a.example.org/ x main", "Types: deb\\nURIs: http://b.example.org\\nSuites: y"]
preseed = ["answers/one"]
[build]
stages = ["os", { use = "ssh", port = 2222 }]
[disk]
boot = "128M"
root = "2G"
data = "1G"
compression_level = 19
[state]
persist = ["/etc/myapp", "/opt/x.d"]
var = "volatile"
[network]
hostname = "k.example.org"
addresses = ["192.168.1.7/24", "2001:db8::7/64"]
gateway = "192.168.1.1"
dns = ["9.9.9.9", "2620:fe::fe"]
mdns = false
[boot]
cmdline = ["mitigations=off", "console=ttyS1,115200n8"]
modules = ["r8169", "nvme"]
debug = true
"""
    )
    loaded = load(file)
    recipe = loaded.recipe
    assert recipe.base.keyrings == (file.parent / "keys/archive.gpg",)
    assert recipe.base.preseed == (file.parent / "answers/one",)
    assert recipe.base.packages == ("htop", "git", "libc6:amd64", "nano=7.2-1")
    assert recipe.disk.root == 2 << 30
    assert recipe.hostname == "k.example.org"
    assert recipe.boot.debug
    assert [stage.name for stage in loaded.stages] == ["os", "ssh", "cleanup"]
    assert loaded.stages[1].arguments["port"] == "2222"
    assert recipe.build.stages[1].arguments == {"port": 2222}
    assert msgspec.to_builtins(recipe, enc_hook=str)["disk"]["boot"] == 128 << 20


def test_folder_means_its_recipe(write: Write) -> None:
    file = write(IMAGE)
    assert load(file.parent) == load(file)
    assert load(Path()) == load(file)
    assert load(Path("ovenbird.toml")).path.is_absolute()


def test_the_model_is_frozen(write: Write) -> None:
    recipe: Recipe = load(write(IMAGE)).recipe
    with pytest.raises(AttributeError):
        recipe.image.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_include_merges(write: Write) -> None:
    write('[base]\npackages = ["a1", "b1"]\n[disk]\nroot = "1G"\nboot = "32M"\n', "../common.toml")
    write('include = ["../../common.toml"]\n[base]\npackages = ["c1"]\n[disk]\nroot = "2G"\n', "sub/more.toml")
    file = write('include = ["sub/more.toml"]\n' + IMAGE + '[base]\npackages = ["d1", "a1"]\n[disk]\nboot = "48M"\n')
    loaded = load(file)
    assert loaded.recipe.base.packages == ("a1", "b1", "c1", "d1")
    assert (loaded.recipe.disk.root, loaded.recipe.disk.boot) == (2 << 30, 48 << 20)
    assert [path.name for path in loaded.files] == ["common.toml", "more.toml", "ovenbird.toml"]
    assert loaded.recipe.include == ()


def test_included_twice_counts_once(write: Write) -> None:
    write('[build]\nstages = ["os"]\n', "base.toml")
    write('include = ["base.toml"]\n', "one.toml")
    write('include = ["./base.toml"]\n', "two.toml")
    loaded = load(write('include = ["one.toml", "two.toml", "one.toml"]\n' + IMAGE))
    assert [stage.name for stage in loaded.stages] == ["os", "cleanup"]
    assert len(loaded.files) == 4


def test_paths_are_relative_to_the_file_that_writes_them(write: Write) -> None:
    write("RUN true\n", "shared/stages/mine/Containerfile.part")
    write("k", "shared/k.gpg")
    write("ssh-ed25519 AAAA me\n", "shared/keys/me.pub")
    text = '[base]\nkeyrings = ["k.gpg"]\n[build]\nstages = ["./stages/mine", {use = "ssh", keys = "keys/*.pub"}]\n'
    write(text, "shared/common.toml")
    file = write('include = ["../shared/common.toml"]\n' + IMAGE, "device/ovenbird.toml")
    loaded = load(file)
    shared = file.parent.parent / "shared"
    assert [path.resolve() for path in loaded.recipe.base.keyrings] == [shared / "k.gpg"]
    assert loaded.stages[0].folder == shared / "stages/mine"
    assert loaded.stages[1].arguments["keys"] == "parameters/keys"
    assert [path.resolve() for path in loaded.stages[1].files.values()] == [shared / "keys/me.pub"]


def test_digest_is_of_the_content(write: Write) -> None:
    plain = load(write(IMAGE)).digest
    assert load(write("# a comment\n" + IMAGE.replace(" = ", "=") + "\n")).digest == plain
    assert load(write(IMAGE, "elsewhere/ovenbird.toml")).digest == plain
    assert load(write(IMAGE.replace("1.0", "1.1"))).digest != plain
    write('[disk]\nroot = "1G"\n', "part.toml")
    included = load(write('include = ["part.toml"]\n' + IMAGE)).digest
    assert included == load(write(IMAGE + '[disk]\nroot = "1G"\n')).digest != plain


def test_cleanup_is_last_once(write: Write) -> None:
    stages = load(write(IMAGE + '[build]\nstages = ["os", { use = "cleanup", docs = true }]\n')).stages
    assert [stage.name for stage in stages] == ["os", "cleanup"]
    assert stages[-1].arguments["docs"] == "true"
    assert [stage.name for stage in load(write(IMAGE + '[build]\nstages = ["cleanup"]\n')).stages] == ["cleanup"]


@pytest.mark.parametrize(
    ("name", "message"), [("", "there is no ovenbird.toml in this folder"), ("no.toml", "there is no recipe 'no.toml'")]
)
def test_no_recipe(write: Write, name: str, message: str) -> None:
    write("", "sub/other")
    with pytest.raises(RecipeError) as caught:
        load(Path(name))
    assert caught.value.message == message
    assert caught.value.hint == "`ovenbird new NAME` makes a folder with a recipe"


def test_no_recipe_but_a_near_one(write: Write) -> None:
    write(IMAGE)
    with pytest.raises(RecipeError) as caught:
        load(Path("ovenbrid.toml"))
    assert caught.value.hint == "did you mean `ovenbird.toml`?"


def test_loading_imports_nothing_heavy(write: Write) -> None:
    """A build in which nothing has changed must take less than half a second altogether."""
    file = write(IMAGE + '[build]\nstages = ["os", "ssh"]\n')
    script = (
        "import sys; from pathlib import Path; from ovenbird.recipe.load import load; load(Path(sys.argv[1])); "
        "print(*{'typer', 'rich', 'httpx', 'cryptography', 'starlette', 'difflib', 'asyncio', 'email', "
        "'subprocess', 'ssl', 'importlib.metadata'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
