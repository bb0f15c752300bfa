"""Python programs: made by the real uv, without any network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ovenbird.build.apps import step
from ovenbird.build.apps.python import START
from ovenbird.build.inputs import Tools
from ovenbird.errors import BuildError

from .conftest import AMD64, ARM64, Load, Make, Write, contents, write_wheel

# A build backend of a few lines, so that a project is built without any network.
BACKEND = """\
import zipfile
from pathlib import Path
TAG = "py3-none-any"
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = f"hello-1.0-{TAG}.whl", "hello-1.0.dist-info/"
    entries = {
        "hello/__init__.py": Path("hello/__init__.py").read_text(),
        info + "METADATA": "Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n",
        info + "WHEEL": f"Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: {TAG}\\n",
        info + "entry_points.txt": Path("commands").read_text(),
    }
    with zipfile.ZipFile(Path(folder, name), "w") as archive:
        for path, text in entries.items():
            archive.writestr(path, text)
        archive.writestr(info + "RECORD", "".join(f"{path},,\\n" for path in [*entries, info + "RECORD"]))
    Path("left-behind").write_text("x")
    return name
"""


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """uv sees no network, and only the wheels in this folder."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    return wheels


@pytest.fixture
def project(write: Write) -> Path:
    """A project that installs one command."""
    write("project/pyproject.toml", '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
          '[project]\nname = "hello"\nversion = "1.0"\n')  # fmt: skip
    write("project/b.py", BACKEND)
    write("project/commands", "[console_scripts]\nhello = hello:main\n")
    write("project/.venv/pyvenv.cfg")
    write("project/out/disk.img")
    return write("project/hello/__init__.py", "def main():\n    print('hello')\n    return 7\n").parent.parent


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a made program with this machine's Python, as its unit would."""
    program = folder / "program"
    return subprocess.run(
        [sys.executable, "-s", "-P", *words],
        env={"PYTHONPATH": str(program), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_project_is_installed_and_its_only_command_starts(read: Load, make: Make, project: Path) -> None:
    [app] = read("[[app]]\nname = 'hello'\npython = './project'\n").recipe.app
    folder = make(app)
    assert step.KINDS["python"].command(app)[-1] == f"/usr/lib/ovenbird-apps/hello/{START}"
    ended = start(folder, str(folder / "program" / START))
    assert (ended.stdout, ended.returncode) == ("hello\n", 7)
    program = folder / "program"
    assert not (program / "bin").exists()
    assert not any(program.rglob("RECORD"))
    assert not (project / "left-behind").exists(), "the build wrote into the user's folder"
    assert str((program / "ovenbird_device").readlink()) == "/usr/lib/ovenbird/ovenbird_device"


def test_the_same_inputs_give_the_same_bytes(read: Load, make: Make, project: Path) -> None:
    [app] = read("[[app]]\nname = 'hello'\npython = './project'\n").recipe.app
    first, second = make(app), make(app)
    assert contents(first / "program") == contents(second / "program")


def test_only_a_project_s_own_files_go_into_its_key(read: Load, project: Path, write: Write) -> None:
    [app] = read("[[app]]\nname = 'hello'\npython = './project'\n").recipe.app
    before = step.app_inputs(app, AMD64)
    assert {name for name in before if name.startswith("file")} == {
        "file b.py", "file commands", "file hello/__init__.py", "file pyproject.toml"
    }  # fmt: skip
    write("project/out/disk.img", "more")
    write("project/hello/__pycache__/x.pyc", "more")
    assert step.app_inputs(app, AMD64) == before
    write("project/hello/__init__.py", "def main(): ...\n")
    assert step.app_inputs(app, AMD64) != before
    assert step.app_inputs(app, ARM64) != before


def test_a_plain_folder_is_copied_with_what_it_requires(
    read: Load, make: Make, write: Write, offline: Path
) -> None:  # fmt: skip
    write_wheel(offline, "greeting")
    write("app/main.py", "import greeting, neighbour\ngreeting.main()\n")
    write("app/neighbour.py")
    write("app/requirements.txt", "greeting==1.0\n")
    [app] = read("[[app]]\nname = 'page'\npython = './app'\n").recipe.app
    folder = make(app, ARM64)
    assert step.KINDS["python"].command(app) == (
        "/usr/bin/python3", "-s", "-P", "/usr/lib/ovenbird-apps/page/main.py"
    )  # fmt: skip
    assert start(folder, str(folder / "program/main.py")).stdout == "hello\n"


def test_a_requirement_and_a_command_of_it(read: Load, make: Make, offline: Path) -> None:
    write_wheel(offline, "tool", commands="tool = tool:main\nother = tool:main\n", needs="greeting")
    write_wheel(offline, "greeting")
    [app] = read("[[app]]\nname = 'a'\npython = 'tool==1.0'\nscript = 'other'\n").recipe.app
    folder = make(app)
    assert start(folder, str(folder / "program" / START)).stdout == "hello\n"
    assert (folder / "program/greeting.py").is_file()


def test_locked_requirements_are_installed_and_nothing_else(
    read: Load, make: Make, write: Write, project: Path, offline: Path
) -> None:
    write_wheel(offline, "tool", needs="greeting")
    write_wheel(offline, "greeting")
    write("lock.txt", "tool==1.0\n")
    [app] = read("[[app]]\nname = 'a'\npython = './project'\nrequirements = 'lock.txt'\n").recipe.app
    program = make(app) / "program"
    assert (program / "tool.py").is_file()
    assert not (program / "greeting.py").exists()
    assert "file requirements" in step.app_inputs(app, AMD64)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("python = './project'\nscript = 'helo'", 'there is no command "helo"', "did you mean `hello`?"),
        ("python = './project'\nmodule = 'helo'", 'there is no module "helo"', "did you mean `hello`?"),
        ("python = './project'\nentry = 'nothing:main'", 'there is no module "nothing"', None),
        ("python = 'several'", "installs 2 commands", "one, two"),
        ("python = 'none'", "installs no command", "`module`"),
    ],
)
def test_a_program_that_is_not_there(
    read: Load, make: Make, project: Path, offline: Path, text: str, message: str, hint: str | None
) -> None:
    write_wheel(offline, "several", commands="one = several:main\ntwo = several:main\n")
    write_wheel(offline, "none")
    [app] = read(f"[[app]]\nname = 'a'\n{text}\n").recipe.app
    with pytest.raises(BuildError) as caught:
        make(app)
    assert message in caught.value.message
    assert caught.value.where == "app a"
    assert hint is None or (caught.value.hint and hint in caught.value.hint)


def test_a_library_without_a_wheel_for_the_device(read: Load, make: Make, offline: Path) -> None:
    write_wheel(offline, "fast", tag="cp313-cp313-manylinux_2_17_x86_64")
    [app] = read("[[app]]\nname = 'a'\npython = 'fast==1.0'\nmodule = 'fast'\n").recipe.app
    assert (make(app, AMD64) / "program/fast.py").is_file()
    with pytest.raises(BuildError) as caught:
        make(app, ARM64)
    assert "the installation by uv failed" in caught.value.message
    assert "fast" in caught.value.message
    assert caught.value.hint == "libraries must have a wheel for arm64 and Python 3.13"


def test_a_project_that_does_not_build_says_why(read: Load, make: Make, project: Path) -> None:
    (project / "b.py").write_text("def build_wheel(*_, **__):\n    raise SystemExit('the clay is too wet')\n")
    [app] = read("[[app]]\nname = 'a'\npython = './project'\n").recipe.app
    with pytest.raises(BuildError) as caught:
        make(app)
    assert "the clay is too wet" in caught.value.message
    assert caught.value.where == "app a"


def test_a_project_that_is_compiled_for_this_machine_is_refused(read: Load, make: Make, project: Path) -> None:
    (project / "b.py").write_text(BACKEND.replace("py3-none-any", "py3-none-linux_x86_64"))
    [app] = read("[[app]]\nname = 'a'\npython = './project'\n").recipe.app
    with pytest.raises(BuildError, match="compiled for this machine"):
        make(app)


def test_uv_s_version_is_part_of_the_key(tmp_path: Path) -> None:
    assert Tools(tmp_path / "tools.json").inputs("uv")["tool uv"].startswith("uv ")
