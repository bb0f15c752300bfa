"""What is done in a foreign tree, with the engine alone: a stage that installs by itself, and a root's own kernel."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ovenbird.base import tar
from ovenbird.base.arch import Pacman
from ovenbird.build import foreign
from ovenbird.build.engine import Engine
from ovenbird.build.foreign import Foreign
from ovenbird.errors import BuildError
from tests.foreign import musl, tiny
from tests.foreign.arch import Arch, Members, make_key, publish, write_package

pytestmark = pytest.mark.build


def files(*names: str) -> Members:
    return [(tarfile.TarInfo(name), b"x\n") for name in names]


class Quiet(SimpleHTTPRequestHandler):
    """A server that keeps to itself."""

    def log_message(self, format: str, *args: object) -> None:  # the library's name
        pass


@dataclass(frozen=True)
class Workplace:
    """A root in an engine of its own, with a repository behind a server."""

    cache: Path
    engine: Engine
    found: Foreign

    def build(self, text: str, parent: str, key: str, **more: Any) -> None:  # noqa: ANN401  # passed on
        context = self.cache / f"context-{key}"
        context.mkdir(exist_ok=True)
        self.engine.build(
            parent=parent, key=key, text=text, context=context, arguments={}, on_line=None, what=key, **more
        )

    def tell(self, key: str, script: str) -> str:
        return self.engine.with_tree(key, script, what="a look").stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Generator[Workplace]:
    folder = tmp_path_factory.mktemp("pacman")
    made = Arch(folder / "repository")
    made.core.mkdir(parents=True)
    make_key(made)
    write_package(made.core, "kmod", "34-1", files("usr/bin/kmod"), [])
    publish(made)
    root = tiny.tree(folder / "root")
    modules = root / "usr/lib/modules/6.1-tiny"
    modules.mkdir(parents=True)
    for name in ("modules.dep", "vmlinuz"):
        (modules / name).write_text(f"{name}\n")
    tarball = musl.pack(root, folder / "root.tar.gz")
    inspection = tar.inspect(tarball)
    tar.check(inspection, tarball, init=None, architecture="amd64")
    handler = partial(Quiet, directory=str(made.folder / "repo"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/$repo/$arch"
        pacman = Pacman(folder / "pacman", tarball, "", "x86_64", address, ("core",), (made.keys,))
        cache = folder / "cache"
        engine = Engine.at(cache)
        tar.write_root(tarball, inspection, folder / "base.tar")
        engine.load(folder / "base.tar", "base", "amd64")
        yield Workplace(cache, engine, Foreign(tarball, "0", inspection, None, pacman, pacman.resolve(["kmod"]), "1"))
        engine.remove_folder(engine.folder)
        server.shutdown()


def test_a_stage_that_installs_by_itself(place: Workplace) -> None:
    lent = foreign.volumes(place.found, place.cache)
    text = "RUN pacman --noconfirm -S kmod && pacman -Q >/installed\n"
    assert foreign.USES_PACMAN.search(text)
    place.build(text, "base", "stage", volumes=lent)
    assert "kmod 34-1" in place.tell("stage", 'cat "$TREE/installed"')
    left = place.tell(
        "stage", 'ls "$TREE/var/lib/pacman/sync" "$TREE/var/cache/pacman/pkg" "$TREE/etc/pacman.d/gnupg" || :'
    )
    assert "core.db" not in left
    assert ".pkg." not in left
    assert "gpg" not in left
    assert list((place.cache / "packages/pacman").glob("kmod-34-1-*"))


def test_a_root_s_own_kernel(place: Workplace, tmp_path: Path) -> None:
    step = SimpleNamespace(parent="base", key="base")

    def step_of(name: str) -> SimpleNamespace:
        return step

    def engine_of(one: object) -> Engine:
        return place.engine

    baker = SimpleNamespace(need=str, plan=SimpleNamespace(step=step_of), engine_of=engine_of)
    foreign.lend_kernel(cast("Any", baker), cast("Any", step), tmp_path)
    assert (tmp_path / "boot/vmlinuz-6.1-tiny").read_text() == "vmlinuz\n"
    assert (tmp_path / "usr/lib/modules/6.1-tiny/modules.dep").read_text() == "modules.dep\n"
    place.build("RUN mkdir /usr/lib/modules/6.2 && touch /usr/lib/modules/6.2/modules.dep\n", "base", "two")
    step.key = "two"
    with pytest.raises(BuildError, match="one kernel, but there is 2 folders of modules"):
        foreign.lend_kernel(cast("Any", baker), cast("Any", step), tmp_path / "again")
