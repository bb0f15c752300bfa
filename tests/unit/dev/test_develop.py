"""`ovenbird dev`: what is made here runs there, at each save; and what is refused before anything is sent."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.apps.conftest import AMD64, IMAGE
from tests.unit.dev.conftest import Bench
from tests.unit.device.conftest import PASSWORD, wait_for

from ovenbird.build.apps.workbench import Workbench, chosen, pack
from ovenbird.deliver import target as targets
from ovenbird.deliver.develop import Note, Session
from ovenbird.errors import BuildError, OvenbirdError, RecipeError, UsageError
from ovenbird.recipe.load import load
from ovenbird.recipe.problems import RecipeProblemsError

RECIPE = (
    IMAGE
    + """
[[app]]
name = "hello"
python = "./app"
development = true

[[app]]
name = "packed"
python = "./app"

[[app]]
name = "box"
container = "docker.io/library/nginx:1.27"
"""
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "recipe"
    (folder / "app").mkdir(parents=True)
    (folder / "app/main.py").write_text("print('one')\n")
    (folder / "ovenbird.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def workbench(recipe: Path, tmp_path: Path) -> Workbench:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Workbench(chosen(load(recipe).recipe, "hello"), AMD64, scratch)


@pytest.fixture
def session(bench: Bench, workbench: Workbench) -> Iterator[Session]:
    found = targets.parse(f"http://ovenbird:{PASSWORD}@127.0.0.1:{bench.device.port}/")
    running = Session(found, workbench)
    yield running
    running.end()


class Heard:
    """What a session has to tell, in a thread of its own."""

    def __init__(self, session: Session, *, watch: bool) -> None:
        self.notes: list[Note] = []
        self._session = session
        self._watch = watch
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for note in self._session.run(watch=self._watch):
            self.notes.append(note)

    def events(self, *names: str) -> list[Note]:
        """Those of some kinds."""
        return [note for note in self.notes if note.event in names]


def program(bench: Bench) -> str:
    """The text of what runs."""
    return (Path(bench.programs[-1]) / "main.py").read_text()


def test_from_save_to_running(bench: Bench, session: Session, recipe: Path) -> None:
    first = session.send()
    assert first is not None
    assert first.text.startswith("running after")
    assert program(bench) == "print('one')\n"
    heard = Heard(session, watch=True)
    (recipe / "app/main.py").write_text("print('two')\n")
    wait_for(lambda: program(bench) == "print('two')\n")
    bench.journal.say("app-hello.service", "it runs")
    wait_for(lambda: any(note.line and note.line.text == "it runs" for note in heard.notes))
    (recipe / "app/requirements.txt").write_text("no such requirement!\n")
    wait_for(lambda: heard.events("error"), 60)
    (recipe / "app/requirements.txt").unlink()
    (recipe / "app/main.py").write_text("print('three')\n")
    wait_for(lambda: program(bench) == "print('three')\n")
    assert heard.events("connection", "over") == []


def test_the_very_same_program_is_not_sent_twice(bench: Bench, session: Session) -> None:
    session.send()
    assert session.send(again=False) is None
    assert len(bench.programs) == 1


def test_the_end_puts_the_packed_one_back(bench: Bench, session: Session) -> None:
    session.send()
    session.end()
    assert bench.programs[-1] == "packed"


def test_a_device_that_forgot_gets_it_again(bench: Bench, session: Session) -> None:
    session.send()
    with bench.client() as client:
        client.delete("/dev", params={"app": "hello"})
    heard = Heard(session, watch=False)
    wait_for(lambda: len(bench.programs) == 3)
    assert program(bench) == "print('one')\n"
    wait_for(lambda: heard.events("sent"))


def test_a_wrong_password(bench: Bench, workbench: Workbench) -> None:
    wrong = targets.parse(f"http://ovenbird:wrong-password@127.0.0.1:{bench.device.port}/")
    with pytest.raises(OvenbirdError, match="password"):
        Session(wrong, workbench).send()
    assert bench.programs == []


def test_what_the_recipe_does_not_allow(recipe: Path) -> None:
    found = load(recipe).recipe
    with pytest.raises(UsageError, match="does not let packed be replaced") as caught:
        chosen(found, "packed")
    assert "development = true" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="container"):
        chosen(found, "box")
    with pytest.raises(UsageError, match="no app") as missing:
        chosen(found, "helo")
    assert "hello" in (missing.value.hint or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "a"\npython = "x==1"\nuser = "root"\ndevelopment = true', "does not run as root"),
        ('name = "a"\ncontainer = "docker.io/x:1"\ndevelopment = true', "only for `python` and `go` and `binary`"),
    ],
)
def test_recipes_that_contradict_themselves(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "ovenbird.toml").write_text(f"{IMAGE}\n[[app]]\n{text}\n")
    with pytest.raises(RecipeError) as caught:
        load(tmp_path)
    assert isinstance(caught.value, RecipeProblemsError)
    assert any(words in problem.message for problem in caught.value.problems)


def test_packing(workbench: Workbench, tmp_path: Path) -> None:
    folder = tmp_path / "program"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib/a.py").write_text("a")
    (folder / "same.py").hardlink_to(folder / "lib/a.py")
    (folder / "link").symlink_to("lib/a.py")
    (folder / "ovenbird_device").symlink_to("/usr/lib/ovenbird/ovenbird_device")
    first = pack(workbench.app, folder, tmp_path / "1.tar")
    (folder / "lib/a.py").touch()
    assert pack(workbench.app, folder, tmp_path / "2.tar").digest == first.digest
    with tarfile.open(first.archive) as tar:
        assert tar.getnames() == ["lib", "lib/a.py", "link", "same.py"]
        assert all(entry.mtime == entry.uid == 0 for entry in tar)
        assert tar.getmember("same.py").isreg()
    (folder / ("x" * 130)).write_text("")
    with pytest.raises(BuildError, match="cannot be sent"):
        pack(workbench.app, folder, tmp_path / "3.tar")
