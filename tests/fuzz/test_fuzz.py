"""The readers of strangers' bytes against noise: by hypothesis everywhere, and by coverage where atheris runs.

`python -m tests.fuzz TARGET` goes on for as long as one likes; the runs here are short and begin with good inputs, so
that the fuzzer starts behind the first checks.
"""

from __future__ import annotations

import gzip
import importlib.util
import random
import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovenbird.image.bundle import write_bundle
from ovenbird.image.fat import write_fat
from ovenbird_device.format import gpt, selector
from ovenbird_device.format.selector import Slot, State
from tests.fuzz.targets import TARGETS, harmless
from tests.unit.bundle.conftest import FACTS
from tests.unit.bundle.test_libconfig import TEXT

SECONDS = 6
ATHERIS = importlib.util.find_spec("atheris") is not None


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A good input for each target."""
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "boot").write_bytes(b"boot")
    (folder / "root").write_bytes(b"root")
    write_bundle(
        folder / "bundle", facts=FACTS, boot=folder / "boot", root=folder / "root", sign=lambda text: b"signed",
        epoch=0, scratch=folder,
    )  # fmt: skip
    bundle = (folder / "bundle").read_bytes()
    write_fat(folder / "fat", {"grub/grubenv": b"x" * 1024, "long name.txt": b"y"}, size=16 << 20, label="X", epoch=0)
    table = gpt.Table(UUID(int=1), (gpt.Partition(1, "root-a", UUID(int=2), UUID(int=3), 2048, 4095),), 1 << 16)
    disk = bytearray(40 * 512)
    for write in gpt.primary(table):
        disk[write.offset : write.offset + len(write.data)] = write.data
    state = selector.encode(State(active=Slot.B, good=frozenset(Slot)).arm(Slot.A))
    return {
        "bundle": bundle,
        "unpack": gzip.compress(b"x" * 10_000, mtime=0),
        "cpio": bundle,
        "description": bundle[bundle.index(b"{") : bundle.rindex(b"}\n") + 2],
        "libconfig": TEXT.encode(),
        "selector": state * 2,
        "table": bytes(disk),
        "fat": (folder / "fat").read_bytes()[: 192 << 10],
    }


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_read(name: str, seeds: dict[str, bytes]) -> None:
    """Without this, the other tests could prove nothing."""
    TARGETS[name](seeds[name])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=200)
@given(raw=st.binary(max_size=3000))
def test_noise(name: str, raw: bytes) -> None:
    harmless(TARGETS[name], raw)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=200)
@given(seed=st.integers(0, 1 << 32))
def test_good_inputs_with_some_bytes_changed(name: str, seed: int, seeds: dict[str, bytes]) -> None:
    luck = random.Random(seed)
    raw = bytearray(seeds[name])
    for _ in range(luck.choice([1, 1, 2, 5])):
        position = luck.randrange(len(raw) + 1)
        match luck.randrange(3):
            case 0:
                raw[position : position + 1] = bytes([luck.randrange(256)])
            case 1:
                del raw[position : position + luck.randrange(1, 20)]
            case _:
                raw[position:position] = raw[position : position + luck.randrange(1, 20)]
    harmless(TARGETS[name], bytes(raw))


@pytest.mark.skipif(not ATHERIS, reason="atheris has wheels for x86-64 Linux only; hypothesis runs everywhere")
@pytest.mark.parametrize("name", TARGETS)
def test_by_coverage(name: str, seeds: dict[str, bytes], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "good").write_bytes(seeds[name])
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz", name, str(corpus), f"-max_total_time={SECONDS}",
            f"-artifact_prefix={tmp_path}/", "-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1",
        ],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    left = [file for file in tmp_path.iterdir() if file.is_file()]
    assert done.returncode == 0, f"{[file.read_bytes()[:400] for file in left]}\n{done.stderr[-3000:]}"
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None
    assert int(runs[1]) > 100
