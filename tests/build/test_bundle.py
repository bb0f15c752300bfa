"""A build's bundle: written where a key is at hand, told where not, and gone with the image that it belonged to."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ovenbird_device.format.manifest import load_image, load_manifest
from ovenbird_device.format.settings import load as load_settings
from tests.tool import HELLO, ROOT, Tool

pytestmark = pytest.mark.build


def in_root(out: Path, name: str) -> bytes:
    """A file of the built tree."""
    return subprocess.run(
        ["unsquashfs", "-cat", str(out / "root.squashfs"), name], check=True, capture_output=True
    ).stdout


def test_the_example_with_updates(tool: Tool, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its README: make a key, build; then without the key, and with it again."""
    monkeypatch.setenv("OVENBIRD_KEYS", str(tmp_path / "keys"))
    for name in ("OVENBIRD_SIGNING_KEY", "OVENBIRD_SIGN_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    kept = shutil.ignore_patterns("out", "keys")
    shutil.copytree(HELLO, tmp_path / "hello", ignore=kept)
    shutil.copytree(ROOT / "examples/updates", tmp_path / "updates", ignore=kept)
    recipe = tmp_path / "updates/ovenbird.toml"
    out = tmp_path / "updates/out"

    missing = tool.run("build", recipe)
    assert missing.code == 2
    assert 'there is no file "keys/updates.pem"' in missing.err

    assert tool.run("keys", "new", "--to", tmp_path / "updates/keys").code == 0
    assert tool.build(recipe)[-1] == "bundle"
    manifest = load_manifest((out / "manifest.json").read_bytes())
    assert "updates.swu" in manifest.outputs
    verdict = tool.run("bundle", "verify", out / "updates.swu", "--json")
    assert verdict.code == 0, verdict.err
    assert json.loads(verdict.out)["compatible"] == ["vm"]
    first = (out / "updates.swu").read_bytes()

    settings = load_settings(in_root(out, "usr/lib/ovenbird/update.json"))
    assert settings.certificates == ((tmp_path / "updates/keys/updates.pem").read_text(),)
    assert (settings.deadline_s, settings.compatible) == (180, ("vm",))
    assert [check.name for check in settings.checks] == ["name service", "greeting"]
    assert in_root(out, "etc/hwrevision") == b"ovenbird vm\n"
    assert load_image(in_root(out, "usr/lib/ovenbird/image.json")).compatible == ("vm",)

    private = (tmp_path / "keys/updates.key").rename(tmp_path / "elsewhere.key")
    told = tool.run("build", recipe)
    assert told.code == 0
    assert "no private key of updates.pem" in told.err
    assert not (out / "updates.swu").exists(), "a bundle that is not of this build would mislead"
    demanded = tool.run("build", recipe, "--bundle")
    assert (demanded.code, "no private key of updates.pem" in demanded.err) == (2, True)

    by_file = {"OVENBIRD_SIGNING_KEY": str(private)}
    assert tool.build(recipe, "--bundle", env=by_file) == ["bundle"]
    assert (out / "updates.swu").read_bytes() == first, "the same bytes again"


def test_a_recipe_without_keys_has_no_bundle(tool: Tool, hello: Path) -> None:
    done = tool.run("build", HELLO, "--out", hello, "--bundle")
    assert (done.code, "names no certificates" in done.err) == (2, True)
    assert not list(hello.glob("*.swu"))
