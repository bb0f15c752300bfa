"""`settle_pyc.py`: compiled files must not depend on file times, and must still be the ones that Python uses."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from ovenbird.recipe.stage import STOCK

SCRIPT = STOCK / "cleanup" / "settle_pyc.py"


MODE = py_compile.PycInvalidationMode


def compiled(folder: Path, text: str = "answer = 42\n", time: int = 1_700_000_000, mode: MODE = MODE.TIMESTAMP) -> Path:
    """A module and its compiled file, by default of the kind that names the source's time."""
    folder.mkdir(exist_ok=True)
    source = folder / "module.py"
    source.write_text(text)
    os.utime(source, (time, time))
    made = py_compile.compile(str(source), invalidation_mode=mode)
    assert made
    return Path(made)


def settle(folder: Path) -> None:
    """Run the script as the stage does."""
    subprocess.run([sys.executable, "-I", "-S", "-B", SCRIPT, folder], check=True)


def test_the_time_of_the_source_leaves_no_trace(tmp_path: Path) -> None:
    one, two = (
        compiled(tmp_path, time=1_700_000_000).read_bytes(),
        compiled(tmp_path, time=1_600_000_000).read_bytes(),
    )
    assert one != two
    results: list[bytes] = []
    for time in (1_700_000_000, 1_600_000_000):
        file = compiled(tmp_path, time=time)
        settle(tmp_path)
        results.append(file.read_bytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("mode", [MODE.TIMESTAMP, MODE.CHECKED_HASH])
def test_python_uses_it_and_does_not_read_the_source(tmp_path: Path, mode: MODE) -> None:
    file = compiled(tmp_path, mode=mode)
    settle(tmp_path)
    assert file.read_bytes()[4:8] == b"\1\0\0\0"
    os.utime(tmp_path / "module.py", (1, 1))
    before = file.read_bytes()
    code = "import module; print(module.answer, module.__cached__)"
    done = subprocess.run([sys.executable, "-v", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("42 ")
    assert f"code object from {str(file)!r}" in done.stderr or f"matches {tmp_path / 'module.py'}" in done.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize("mode", [MODE.TIMESTAMP, MODE.CHECKED_HASH])
def test_one_that_does_not_fit_its_source_is_removed(tmp_path: Path, mode: MODE) -> None:
    stale = compiled(tmp_path / "stale", mode=mode)
    (tmp_path / "stale" / "module.py").write_text("answer = 1\n")
    orphan = compiled(tmp_path / "orphan")
    (tmp_path / "orphan" / "module.py").unlink()
    settle(tmp_path)
    assert not stale.exists()
    assert not orphan.exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "__pycache__"
    folder.mkdir()
    contents = {"short.cpython-311.pyc": b"\0" * 7, "foreign.cpython-27.pyc": b"\x03\xf3\r\n" + bytes(20)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    settle(tmp_path)
    settle(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    file = compiled(tmp_path)
    settle(tmp_path)
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    settle(tmp_path)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
