"""Committing without an agent: the initrd's shell against `format/selector.py` and a real `select`, and the helper."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import pytest

from ovenbird.image.fat import write_fat
from ovenbird.image.initrd import AGENTLESS, INIT
from ovenbird.image.layout import SELECT_SIZE
from ovenbird_device.format import fat, selector
from ovenbird_device.format.selector import SelectorError, Slot, State

FUNCTIONS = INIT.read_text().partition("# --- the way through")[0]
NAMES = "active tried tries attempts good_a good_b failed_a failed_b"


def every_state() -> list[State]:
    subsets = [frozenset(group) for group in ((), (Slot.A,), (Slot.B,), tuple(Slot))]
    return [
        State(active, trial, tries, attempts, good, failed)
        for active, tries, attempts, good, failed in product(Slot, (0, 2), (0, 5), subsets, subsets)
        for trial in (None, active.other)
    ]


def values(state: State) -> list[str]:
    flags = [str(int(slot in group)) for group in (state.good, state.failed) for slot in Slot]
    return [state.active, state.trial or "-", str(state.tries), str(state.attempts), *flags]


def test_what_is_committed_is_the_same() -> None:
    cases = [(state, slot) for state in every_state() for slot in Slot]
    script = f"""
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        while read -r {NAMES} slot; do
            if committed; then echo "$active $tried $tries $attempts $good_a $good_b $failed_a $failed_b"
            else echo no; fi
        done
    """
    text = "".join(" ".join([*values(state), slot]) + "\n" for state, slot in cases)
    done = subprocess.run(["sh", "-c", FUNCTIONS + script], input=text, capture_output=True, text=True, check=True)
    for (state, slot), line in zip(cases, done.stdout.splitlines(), strict=True):
        try:
            assert line.split() == values(state.commit(slot)), (state, slot)
        except SelectorError:
            assert line == "no"


class Select:
    """A `select` partition in a file, and init's work on it."""

    def __init__(self, folder: Path, state: State) -> None:
        self.folder, self.file = folder, folder / "select"
        block = selector.encode(state)
        contents: dict[str, Path | bytes] = {
            "EFI/BOOT/BOOTX64.EFI": bytes(300_000),
            "grub/grub.cfg": bytes(9_000),
            **dict.fromkeys(selector.COPIES, block),
        }
        write_fat(self.file, contents, size=SELECT_SIZE, label="SELECT", epoch=1_700_000_000, bits=32)

    def places(self) -> list[int]:
        with self.file.open("rb") as stream:
            volume = fat.Volume(lambda offset, size: (stream.seek(offset), stream.read(size))[1])
            return [volume.find(path).extents[0].offset for path in selector.COPIES]

    def copies(self) -> tuple[bytes, bytes]:
        first, second = self.places()
        content = self.file.read_bytes()
        return content[first : first + 1024], content[second : second + 1024]

    def damage(self, number: int) -> None:
        with self.file.open("r+b") as stream:
            stream.seek(self.places()[number])
            stream.write(bytes(512))

    def keep(self, slot: str) -> subprocess.CompletedProcess[str]:
        """Init's part: what the helper gets."""
        text = FUNCTIONS.replace("/keep/", f"{self.folder}/").replace("/block", f"{self.folder}/block")
        text = text.replace("disk_of() {", "disk_of() { disk=x; return; ").replace('"/dev/$1"', '"$1"')
        text = text.replace("add_partition() {", f'add_partition() {{ devices=" {self.file}"; return; ')
        text = text.replace("${device#/dev/}", "$device")
        script = f"\nPATH=/usr/sbin:/usr/bin:/sbin:/bin; selector=grub; slot={slot}; keep_selector"
        return subprocess.run(["busybox", "sh", "-c", text + script], capture_output=True, text=True, check=False)

    def help(self, **environment: str) -> str:
        """The helper, whose root is the folder; it ends where it would wait for a wish, or restart the machine."""
        (self.folder / "checks").touch()
        text = AGENTLESS.read_text().replace("PATH=/bin\n", f"PATH={self.folder}/tools:/usr/bin:/bin\n")
        text = text.replace("system=/proc/1/root", "system=/").replace('"/dev/$CONSOLE"', "/dev/null")
        for name in ("from", "places", "was", "committed", "wish", "now", "checks"):
            text = text.replace(f" /{name}", f" {self.folder}/{name}").replace(f"</{name}", f"<{self.folder}/{name}")
            text = text.replace(f"of=/{name}", f"of={self.folder}/{name}")
        text = text.replace(": >/ready", "")
        text = text.replace('"/dev/$device"', '"$device"').replace(">/dev/kmsg", f">>{self.folder}/said")
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        for name, does in {"sleep": f"exit $(cat {self.folder}/over 2>/dev/null || echo 0)", "reboot": "kill $PPID",
                           "chroot": 'shift; exec "$@"'}.items():  # fmt: skip
            (tools / name).write_text(f"#!/bin/sh\n{does}\n")
            (tools / name).chmod(0o755)
        (tools / "sleep").write_text('#!/bin/sh\n[ "$1" != 5 ] || exit 1\n')
        words = {"PATH": "/usr/bin:/bin", "SLOT": "a", "CONSOLES": "null", **environment}
        subprocess.run(["sh", "-c", text], env=words, check=False, capture_output=True, timeout=60)
        said = self.folder / "said"
        return said.read_text() if said.exists() else ""


@pytest.fixture(params=[State(attempts=5), State().arm(Slot.B, 2), State(rescue=True)], ids=["active", "trial", "wish"])
def state(request: pytest.FixtureRequest) -> State:
    """What GRUB left."""
    found: State = request.param
    return found


def test_on_a_real_select(tmp_path: Path, state: State) -> None:
    select = Select(tmp_path, state)
    done = select.keep("b" if state.trial else "a")
    assert (done.returncode, done.stderr) == (0, "")
    found = [line.split() for line in (tmp_path / "places").read_text().splitlines()]
    assert found == [[str(select.file), str(place // 512)] for place in select.places()]
    assert (tmp_path / "was").read_bytes() == selector.encode(state)[:512]
    after = state.commit(state.trial or Slot.A)
    assert (tmp_path / "committed").read_bytes() == selector.encode(after)[:512]
    assert (tmp_path / "wish").read_bytes() == selector.encode(after.ask_rescue())[:512]
    assert "is committed" in select.help()
    assert select.copies() == (selector.encode(after), selector.encode(after))


def test_a_slot_that_nobody_chose_is_not_committed(tmp_path: Path) -> None:
    assert Select(tmp_path, State()).keep("b").returncode != 0


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_copy_is_written_anew(tmp_path: Path, number: int) -> None:
    select = Select(tmp_path, State(attempts=3))
    select.damage(number)
    assert select.keep("a").returncode == 0
    assert "is committed" in select.help()
    first, second = select.copies()
    assert (first, second) == (selector.encode(State()),) * 2


def test_both_damaged(tmp_path: Path) -> None:
    select = Select(tmp_path, State())
    select.damage(0)
    select.damage(1)
    assert select.keep("b").returncode == 0
    assert "is committed" in select.help()
    assert selector.decode(select.copies(), Slot.B).state == State(active=Slot.B, good=frozenset({Slot.B}))


def test_somebody_else_has_written_meanwhile(tmp_path: Path) -> None:
    """Then this boot knows nothing of the state: it stays as it is."""
    select = Select(tmp_path, State(attempts=4))
    assert select.keep("a").returncode == 0
    other = selector.encode(State().arm(Slot.B, 3))
    with select.file.open("r+b") as stream:
        stream.seek(select.places()[0])
        stream.write(other[:512])
    assert "cannot be written" in select.help()
    assert select.copies()[0] == other


def test_a_check_that_fails_ends_a_trial(tmp_path: Path) -> None:
    select = Select(tmp_path, state := State().arm(Slot.B, 2))
    assert select.keep("b").returncode == 0
    (tmp_path / "checks").write_text("true\nfalse # on purpose\n")
    said = select.help(SLOT="b", TRIAL="1", DEADLINE="5")
    assert "not healthy: false # on purpose" in said
    assert "Its trial is over" in said
    assert select.copies()[0] == selector.encode(state)
