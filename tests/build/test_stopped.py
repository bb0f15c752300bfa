"""Builds that are killed, interrupted, or run beside each other: the store always works, and nothing is left over."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build.conftest import leftovers
from tests.tool import Done, Project, Tool, digests

pytestmark = pytest.mark.build
Orphans = Callable[[float], list[str]]
# Delays in seconds after which a build is stopped: in the stages, while the tree is packed, while the disk is written.
DELAYS = (0.8, 1.5, 2.5, 3.5, 4.5)


def edit_early(project: Project) -> None:
    """A change in the first stage: everything after it is made again."""
    (project.folder / "early").mkdir()
    (project.folder / "early/Containerfile.part").write_text(f"RUN sleep 1; echo {time.time_ns()} > /etc/early\n")
    project.change('["os"', '["./early", "os"')


def stop(process: subprocess.Popen[str], number: signal.Signals) -> Done:
    """Send a signal and wait for the end."""
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


@pytest.fixture(scope="module")
def own(cache: Path, hello: Path, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """The program with a store that nobody else uses; it is empty in the first of these tests."""
    folder = tmp_path_factory.mktemp("cache")
    for name in ("packages", "index"):
        (folder / name).symlink_to(cache / name)
    return Tool(folder)


def test_killed_while_the_base_is_made(own: Tool, project: Project, orphans: Orphans) -> None:
    before = set(Path("/tmp").glob("mmdebstrap.*"))
    for delay in (2.0, 6.0, 12.0):
        process = own.start("build", project.recipe)
        time.sleep(delay)
        stop(process, signal.SIGKILL)
        assert orphans(5.0) == []
    process = own.start("build", project.recipe)
    while not list(own.cache.glob(f"scratch/{process.pid}-*")):  # Then its sweep is over, and it has begun again.
        assert process.poll() is None, "the build was over before anybody saw it begin"
    assert stop(process, signal.SIGINT).code == 130
    assert leftovers(own.cache) == []
    assert set(Path("/tmp").glob("mmdebstrap.*")) <= before
    assert own.build(project.recipe)[-1] == "disk"


def test_two_builds_at_once_make_each_step_once(own: Tool, project: Project) -> None:
    edit_early(project)
    results: list[Done] = []

    def one(name: str) -> None:
        results.append(own.run("build", project.recipe, "--json", "--out", project.folder / name))

    threads = [threading.Thread(target=one, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.code for done in results] == [0, 0], "".join(done.err for done in results)
    lists = [[made["step"] for made in done.json()["made"]] for done in results]
    assert len(lists[0] + lists[1]) == len(set(lists[0] + lists[1]))
    assert "stage early" in lists[0] + lists[1]
    names = ["disk.img", "root.squashfs", "boot.vfat"]
    assert digests(project.folder / "one", names) == digests(project.folder / "two", names)


def test_killed_at_random_moments(own: Tool, project: Project, orphans: Orphans) -> None:
    own.build(project.recipe)
    former = digests(project.out, ["disk.img", "root.squashfs", "manifest.json"])
    edit_early(project)
    chance = random.Random(7)
    for delay in DELAYS:
        process = own.start("build", project.recipe)
        time.sleep(delay + chance.random() / 2)
        if stop(process, signal.SIGKILL).code == 0:  # It was over before.
            break
        assert orphans(5.0) == []
        assert digests(project.out, list(former)) == former
    own.build(project.recipe)  # Where the last kill came late, only the outputs are left to do.
    assert own.explain(project.recipe) == {}
    assert digests(project.out, list(former)) != former
    assert leftovers(own.cache) == []
    assert not list(project.out.glob(".*"))
    again = project.folder / "again"
    assert own.build(project.recipe, "--out", again) == []
    assert digests(project.out, list(former)) == digests(again, list(former))


def test_killed_while_the_outputs_are_written(own: Tool, project: Project) -> None:
    own.build(project.recipe)
    former = digests(project.out, ["disk.img", "root.squashfs", "manifest.json"])
    edit_early(project)
    process = own.start("build", project.recipe)
    while not list(project.out.glob(".disk.img.*")):
        assert process.poll() is None, "the build was over before anybody saw it write"
    assert stop(process, signal.SIGKILL).code < 0
    assert list(project.out.glob(".*"))
    assert digests(project.out, list(former)) == former
    assert own.build(project.recipe) == []
    assert not list(project.out.glob(".*"))
    assert digests(project.out, list(former)) != former


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_anywhere(own: Tool, project: Project, orphans: Orphans, number: signal.Signals) -> None:
    own.build(project.recipe)
    former = digests(project.out, ["disk.img", "root.squashfs", "manifest.json"])
    edit_early(project)
    for delay in DELAYS if number is signal.SIGINT else DELAYS[1:2]:
        process = own.start("build", project.recipe)
        time.sleep(delay)
        done = stop(process, number)
        if done.code == 0:  # It was over before.
            break
        assert done.code == 130, done.err
        assert done.err.strip().splitlines()[-1].startswith("Stopped.")
        assert "Traceback" not in done.err
        assert orphans(1.0) == []
        assert leftovers(own.cache) == []
        assert digests(project.out, list(former)) == former
        assert not list(project.out.glob(".*"))
