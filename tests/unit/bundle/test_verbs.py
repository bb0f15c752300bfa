"""`ovenbird keys`, `ovenbird bundle` and `ovenbird new --keys`, through the program's own entrance."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ovenbird.cli.app import main
from ovenbird.recipe.load import load

from .conftest import Owner

Ovenbird = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ovenbird(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, keys: Path
) -> Ovenbird:
    """Runs the program in the test's folder, with an empty folder of keys; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def _ovenbird(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ovenbird", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return _ovenbird


def test_new_prints_what_the_recipe_needs(ovenbird: Ovenbird, keys: Path) -> None:
    code, out, err = ovenbird("keys", "new", "--to", "keys-of-recipe")
    assert (code, err) == (0, "")
    assert '[update]\n    keys = ["keys-of-recipe/updates.pem"]' in out
    assert Path("keys-of-recipe/updates.pem").read_text() == (keys / "updates.pem").read_text()
    assert "PRIVATE" not in out
    assert ovenbird("keys", "new")[0] == 2


def test_show(ovenbird: Ovenbird, keys: Path) -> None:
    code, _, err = ovenbird("keys", "show")
    assert code == 2
    assert "`ovenbird keys new` makes one" in err
    ovenbird("keys", "new")
    ovenbird("keys", "new", "other")
    (keys / "other.key").unlink()
    _, out, _ = ovenbird("keys", "show")
    assert "updates  can sign" in out
    assert "other    certificate only" in out
    assert ovenbird("keys", "show", "updates", "--pem")[1] == (keys / "updates.pem").read_text()
    [one] = json.loads(ovenbird("keys", "show", "updates", "--json")[1])
    assert one["private"] == str(keys / "updates.key")
    assert len(one["fingerprint"]) == 64
    assert ovenbird("keys", "show", "nobody")[0] == 2


def test_rotate_tells_the_two_releases(ovenbird: Ovenbird) -> None:
    ovenbird("keys", "new", "--to", "certs")
    code, out, _ = ovenbird("keys", "rotate", "--to", "certs")
    assert code == 0
    assert 'keys = ["certs/updates.pem", "certs/updates-2.pem"]' in out
    assert 'keys = ["certs/updates-2.pem"]' in out
    old, new = json.loads(ovenbird("keys", "rotate", "updates-2", "--json")[1])
    assert (old["name"], new["name"]) == ("updates-2", "updates-3")


def test_new_recipe_with_keys(ovenbird: Ovenbird, keys: Path) -> None:
    code, out, _ = ovenbird("new", "--keys", "kiosk")
    assert code == 0
    assert "updates.key" in out
    assert load(Path("kiosk")).recipe.update.keys[0].read_text() == (keys / "updates.pem").read_text()
    key = (keys / "updates.key").read_bytes()
    assert ovenbird("new", "--keys", "second")[0] == 0
    assert (keys / "updates.key").read_bytes() == key, "one key serves all of a person's recipes"
    assert ovenbird("new", "plain")[0] == 0
    assert load(Path("plain")).recipe.update.keys == ()
    assert "signed for keys/updates.pem; healthy within 5m" in ovenbird("check", "kiosk")[1].replace("kiosk/", "")
    assert "refused" in ovenbird("check", "plain")[1]


def test_inspect(ovenbird: Ovenbird, good: bytes) -> None:
    Path("x.swu").write_bytes(good)
    code, out, _ = ovenbird("bundle", "inspect", "x.swu")
    assert code == 0
    assert "hello 1.2.3" in out
    assert "not verified" in out
    assert "stable,copy-2  root.squashfs  /dev/disk/by-partlabel/root-b" in out
    info = json.loads(ovenbird("bundle", "inspect", "--json", "x.swu")[1])
    assert info["compatible"] == ["vm"]
    assert [member["name"] for member in info["members"]][:2] == ["sw-description", "sw-description.sig"]
    Path("y.swu").write_bytes(b"no bundle")
    assert "no sound bundle" in ovenbird("bundle", "inspect", "y.swu")[2]
    assert ovenbird("bundle", "inspect", "missing.swu")[0] == 1


def test_verify(ovenbird: Ovenbird, good: bytes, us: Owner, stranger: Owner, keys: Path) -> None:
    Path("x.swu").write_bytes(good)
    Path("us.pem").write_text(us.pem)
    Path("stranger.pem").write_text(stranger.pem)
    code, out, _ = ovenbird("bundle", "verify", "x.swu", "--cert", "stranger.pem", "--cert", "us.pem")
    assert (code, "good, signed by updates" in out) == (0, True)
    verdict = json.loads(ovenbird("bundle", "verify", "x.swu", "--cert", "us.pem", "--json")[1])
    assert [image["name"] for image in verdict["images"]] == ["boot.vfat.gz", "root.squashfs"]
    code, _, err = ovenbird("bundle", "verify", "x.swu", "--cert", "stranger.pem")
    assert (code, "signed by a stranger" in err) == (1, True)
    code, _, err = ovenbird("bundle", "verify", "x.swu")
    assert (code, "--cert FILE" in err) == (2, True)
    keys.mkdir(parents=True)
    (keys / "ours.pem").write_text(us.pem)
    assert ovenbird("bundle", "verify", "x.swu")[0] == 0
    raw = bytearray(good)
    raw[raw.index(b"end", len(raw) - 1500)] ^= 1
    Path("x.swu").write_bytes(raw)
    code, _, err = ovenbird("bundle", "verify", "x.swu")
    assert (code, "'root.squashfs' is not what was signed" in err) == (1, True)
    Path("none.pem").write_text("x")
    assert ovenbird("bundle", "verify", "x.swu", "--cert", "none.pem")[0] == 2
