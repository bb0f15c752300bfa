"""An image for `rpi-armhf`: what nobody publishes compiled for 32-bit ARM is compiled, and fits the rest."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ovenbird.boards.board import ARMHF
from ovenbird.build import compiled, device
from ovenbird.build.bake import Baker
from ovenbird.build.cross.crossing import host_architecture
from ovenbird.build.cross.proof import foreign
from ovenbird.build.elf import HEAD, machine_of
from ovenbird.build.engine import Engine
from ovenbird.build.inputs import file_inputs, folder_files
from ovenbird.build.plan import make_plan
from ovenbird.build.store import Store
from ovenbird.progress import QuietProgress
from ovenbird.recipe.load import load
from tests.archive import keyrings, proxying, without_updates
from tests.tool import Tool

pytestmark = pytest.mark.build
RECIPE = """\
[image]
name = "armhf"
version = "1"
board = "rpi-armhf"
[base]
{keyrings}
[build]
stages = ["os"]
[disk]
root = "256M"
"""
EXTENSION = "msgspec/_core.cpython-313-arm-linux-gnueabihf.so"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], Path]]:
    """The environment of builds that find the release alone, and the key that goes with it."""
    folder = tmp_path_factory.mktemp("archive")
    architectures = sorted({"armhf", host_architecture().debian})
    key = without_updates(folder, tmp_path_factory.mktemp("gnupg"), "trixie", architectures)
    with proxying(folder) as url:
        yield {"http_proxy": url, "no_proxy": ""}, key


@pytest.fixture(scope="module")
def recipe(network: tuple[dict[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "ovenbird.toml").write_text(RECIPE.format(keyrings=keyrings(str(network[1]))))
    return folder


@pytest.fixture(scope="module")
def tree(
    tool: Tool, network: tuple[dict[str, str], Path], recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The image's root, unpacked."""
    done = tool.run("build", recipe, env=network[0], within=1200)
    assert done.code == 0, done.err
    folder = tmp_path_factory.mktemp("tree") / "root"
    root = recipe / "out/root.squashfs"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", folder, root], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def agent(tree: Path) -> Path:
    """The folder of the agent and its libraries."""
    return tree / device.HOME


def python(tree: Path, code: str) -> str:
    """What the image's own Python prints, with the agent's libraries; emulated, without a kernel of its own."""
    command = ["qemu-arm-static", "-L", str(tree), str(tree / "usr/bin/python3"), "-S", "-B", "-c", code]
    home = {"PYTHONHOME": str(tree / "usr"), "PYTHONPATH": str(tree / device.HOME), "PATH": os.environ["PATH"]}
    return subprocess.run(command, env=home, check=True, capture_output=True, text=True).stdout


def test_the_extension_is_the_targets(agent: Path) -> None:
    head = (agent / EXTENSION).read_bytes()[:HEAD]
    assert (machine_of(head), head[4]) == (ARMHF.facts.elf, 1), "ARM, 32 bits"
    assert [str(file.relative_to(agent)) for file in agent.rglob("*.so")] == [EXTENSION]
    assert not list((agent / "msgspec").rglob("*.[ch]"))


def test_nothing_in_the_tree_is_for_other_processors(tree: Path) -> None:
    files = (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    assert [path for path in files if foreign(tree, str(path.relative_to(tree)), ARMHF)] == []


def test_a_compiled_library_has_the_files_of_its_wheel(agent: Path) -> None:
    """Beside that of this machine, which is of the same version; but for the commit that it was made from."""
    [info] = agent.glob("msgspec-*.dist-info")
    assert info.name == f"msgspec-{msgspec.__version__}.dist-info"
    assert (info / "METADATA").is_file()
    assert (info / "licenses/LICENSE").is_file()
    here = Path(msgspec.__file__).parent
    named = {file.name for file in here.iterdir() if file.suffix in (".py", ".pyi") or file.name == "py.typed"}
    assert {file.name for file in (agent / "msgspec").iterdir() if file.is_file()} == {*named, Path(EXTENSION).name}
    for name in named - {"_version.py"}:
        assert (agent / "msgspec" / name).read_bytes() == (here / name).read_bytes(), name


def test_all_that_the_agent_imports_is_there_and_can_be_loaded(tree: Path, agent: Path) -> None:
    """Every module of the device's programs and all that these import, in the image's own Python."""
    modules = [file.relative_to(agent).with_suffix("") for file in (agent / "ovenbird_device").rglob("*.py")]
    # What runs a program is not imported; `lean` loads the server by its name.
    wanted = {".".join(module.parts) for module in modules if module.name != "__main__"} | {"uvicorn.server", "wsproto"}
    for module in modules:
        for node in ast.walk(ast.parse((agent / module.with_suffix(".py")).read_text())):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module)
    assert wanted > {"msgspec", "ovenbird_device.agent"}
    code = f"import importlib\nfor name in {sorted(wanted)}: importlib.import_module(name)\nprint('all')"
    assert python(tree, code) == "all\n"


def test_the_compiled_library_does_what_this_machines_does(tree: Path) -> None:
    """Numbers at the edges of 32 and 64 bits, floats, texts, times and checks, encoded and decoded there and here."""
    code = """
import datetime, hashlib, msgspec
class S(msgspec.Struct, frozen=True, tag=True):
    n: int
    x: float
    t: str = 'ä\\U0001f426'
    w: datetime.datetime = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
edges = [s * (1 << b) + d for b in (15, 31, 32, 52, 53, 62, 63) for s in (1, -1) for d in (-1, 0) if s > 0 or d == 0]
values = [S(n, x) for n in edges for x in (0.1, 1e-320, 1.7e308, 5e-324, float(n))]
json, pack = msgspec.json.encode(values), msgspec.msgpack.encode(values)
assert msgspec.json.decode(json, type=list[S]) == values == msgspec.msgpack.decode(pack, type=list[S])
said = []
for bad in (b'[{"type":"S","n":1.5,"x":1}]', b'[{"type":"S","n":1}]', b'[1', b'[{"type":"S","n":9999999999999999e9}]'):
    try: msgspec.json.decode(bad, type=list[S])
    except msgspec.DecodeError as error: said.append(str(error))
print(hashlib.sha256(json + pack).hexdigest(), said)
"""
    here = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert python(tree, code) == here


def test_an_unchanged_recipe_is_not_made_again(
    tool: Tool, network: tuple[dict[str, str], Path], recipe: Path, tree: Path
) -> None:
    assert tool.build(recipe, env=network[0]) == []


def test_another_store_has_the_same_bytes(tool: Tool, recipe: Path, tree: Path, tmp_path: Path) -> None:
    plan = make_plan(load(recipe), tool.cache)
    step = plan.step("library msgspec")
    baker = Baker(plan, Store(tmp_path), Engine.at(tmp_path), QuietProgress())
    baker.bake(step.name)
    assert baker.made == [step.name]
    first, again = (Store(root).folder(step.kind, step.key) / compiled.FILES for root in (tool.cache, tmp_path))
    assert list(folder_files(again)) == list(folder_files(first))
    assert file_inputs(folder_files(again)) == file_inputs(folder_files(first))
