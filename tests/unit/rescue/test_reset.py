"""Orders to reset, and what a reset of /etc takes away. With a real disk: tests/vm/test_rescue.py."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from ovenbird_device.rescue import reset


def data(folder: Path) -> Path:
    for slot in ("a", "b"):
        for name in ("etc/ssh", "work/work", "old"):
            (folder / "slots" / slot / name).mkdir(parents=True)
        (folder / "slots" / slot / "content").write_text("sha256:x\n")
        (folder / "slots" / slot / "etc/ssh/key").write_text("secret")
    (folder / "slots/last").write_text("a\n")
    (folder / "var").mkdir()
    return folder


def test_a_fresh_etc_leaves_everything_else(tmp_path: Path) -> None:
    reset.forget_etc(data(tmp_path))
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["slots", "slots/a", "slots/b", "slots/last", "var"]
    reset.forget_etc(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "slots/a").mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "slots/a/etc").symlink_to(tmp_path / "precious")
    reset.forget_etc(tmp_path)
    assert (tmp_path / "precious").is_dir()
    assert not (tmp_path / "slots/a/etc").is_symlink()


def test_the_password_survives_an_erased_data_partition(tmp_path: Path) -> None:
    mine, point = tmp_path / "mine", tmp_path / "point"
    mine.mkdir()
    (mine / "password.json").write_text("{}")
    did: list[str] = []

    def run(words: Sequence[str | Path]) -> None:
        did.append(str(words[0]))

    reset.reset("data", Path("/dev/x"), point, mine, run)
    assert did == ["mke2fs", "mount", "umount"]
    assert (point / "ovenbird/password.json").read_text() == "{}"
    assert (point / "ovenbird/password.json").stat().st_mode & 0o777 == 0o640


def test_an_order_is_followed_once_and_answered(tmp_path: Path) -> None:
    reset.order("data", tmp_path)
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(reset.wait(tmp_path, 20)))
    waiting.start()
    reset.follow(tmp_path, lambda: tmp_path / "no-such-device", tmp_path / "point")
    waiting.join()
    assert answers[0].startswith("The reset failed: mke2fs")
    assert not (tmp_path / reset.ORDER).exists()


@pytest.mark.parametrize("what", ["", "all", "etc; rm -rf /"])
def test_unknown_orders_do_nothing(what: str, tmp_path: Path) -> None:
    reset.order(what, tmp_path)
    assert "there is no reset" in reset.follow(tmp_path, lambda: tmp_path, tmp_path / "point")
    assert not (tmp_path / "point").exists()


def test_nobody_answers(tmp_path: Path) -> None:
    reset.order("etc", tmp_path)
    assert reset.wait(tmp_path, 0.3)
