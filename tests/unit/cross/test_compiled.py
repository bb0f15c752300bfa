"""What is compiled for an architecture that nobody publishes it for: what its key covers, where its source is from."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from ovenbird.base.apt import Index, Package
from ovenbird.boards.board import ARMHF
from ovenbird.build import device
from ovenbird.build.compiled import (
    Compiler,
    Library,
    compile_library,
    fetch,
    libraries_inputs,
    requirement,
    without,
)
from ovenbird.build.store import key_of
from ovenbird.errors import BuildError, NetworkError
from ovenbird.files import sha256_of

NEST = Library("nest", "src/nest", "_core")
PROJECT = '[project]\nname = "nest"\nversion = "1.0"\n'
ABOUT = "Metadata-Version: 2.2\nName: nest\nVersion: 1.0\n"


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    """Packages by name, which nobody fetches."""
    index = Index.at(tmp_path, ["deb http://127.0.0.1:9 nest main"], "amd64", ())
    program = Package("gcc", "14", "amd64", "a" * 64, 1)
    return Compiler(ARMHF, "3.13", index, (program,), index, (Package("libc6-dev", "2", "armhf", "b" * 64, 1),))


def key(compiler: Compiler, locked: str) -> str:
    made = libraries_inputs(compiler, locked)
    assert list(made) == ["library msgspec"]
    return key_of("library", made["library msgspec"])


def test_all_that_is_compiled_with_is_in_the_key(compiler: Compiler) -> None:
    locked = device.locked_requirements()
    same = key(compiler, locked)
    version = requirement(locked, "msgspec").split()[0]
    others = [
        key(replace(compiler, python="3.14"), locked),
        key(compiler, locked.replace(version, "msgspec==0.1")),
        key(compiler, locked.replace(requirement(locked, "msgspec").split()[-1], "--hash=sha256:0")),
        key(replace(compiler, programs=(Package("gcc", "14", "amd64", "c" * 64, 1),)), locked),
        key(replace(compiler, headers=(Package("libc6-dev", "2", "armhf", "c" * 64, 1),)), locked),
    ]
    assert len({same, *others}) == 6


def test_what_is_not_compiled_is_not_in_the_key(compiler: Compiler) -> None:
    locked = device.locked_requirements()
    assert key(compiler, without(locked, {"uvicorn"})) == key(compiler, locked)
    assert libraries_inputs(None, locked) == {}


def test_packages_of_one_name_for_both_architectures_count_both(compiler: Compiler) -> None:
    locked = device.locked_requirements()
    of_both = replace(compiler, programs=(Package("libc6-dev", "1", "amd64", "d" * 64, 1),))
    inputs = libraries_inputs(of_both, locked)["library msgspec"]
    assert {value.split()[0] for name, value in inputs.items() if "libc6-dev" in name} == {"1", "2"}


def test_locked_libraries_can_be_left_out_and_found() -> None:
    text = device.locked_requirements()
    left = without(text, {"msgspec"})
    assert "msgspec==" not in left
    assert left.count("==") == text.count("==") - 1
    assert without(text, set()) == text
    assert without(left, {"anyio"}).splitlines()[0].startswith("click==")
    found = requirement(text, "msgspec")
    assert found.startswith("msgspec==")
    assert found.count("==") == 1
    assert found in text


def test_an_installation_is_left_with_python_alone(tmp_path: Path) -> None:
    for name, tag in (("pure", "py3-none-any"), ("fast", "cp313-cp313-manylinux_2_28_aarch64")):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info/WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "fast.cpython-313-aarch64-linux-gnu.so").touch()
    device.leave_python(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["WHEEL", "fast.py", "pure.py"]
    assert (tmp_path / "pure-1.dist-info/WHEEL").exists()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library's source in a folder that uv takes for its registry; there is no other."""
    archive = tmp_path / "links/nest-1.0.tar.gz"
    archive.parent.mkdir()
    pack(archive, {"PKG-INFO": ABOUT, "pyproject.toml": PROJECT, "src/nest/__init__.py": ""})
    monkeypatch.setenv("UV_FIND_LINKS", str(archive.parent))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return archive


def pack(archive: Path, files: dict[str, str]) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"nest-1.0/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))


def find(locked: str, tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return fetch(NEST, locked, "3.13", scratch, tmp_path / "cache")


def test_the_locked_source_is_found_where_uv_looks(source: Path, tmp_path: Path) -> None:
    locked = f"nest==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{sha256_of(source)}\n"
    assert sha256_of(find(locked, tmp_path)) == sha256_of(source)


def test_a_source_that_is_not_the_locked_one_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises((BuildError, NetworkError), match="nest"):
        find(f"nest==1.0 \\\n    --hash=sha256:{'0' * 64}\n", tmp_path)


def test_a_source_that_is_nowhere_is_the_networks_affair(source: Path, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="the search for the source of nest") as caught:
        find(f"nest==2.0 \\\n    --hash=sha256:{sha256_of(source)}\n", tmp_path)
    assert "network" in str(caught.value.hint)


def test_a_source_that_is_laid_out_in_another_way_is_told(source: Path, compiler: Compiler, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(BuildError, match=r"the source of nest has no src/nest/_core\.c"):
        compile_library(NEST, compiler, root, source, tmp_path / "out")
