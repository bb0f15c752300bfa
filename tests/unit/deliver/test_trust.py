"""HTTPS between the installed program and a real agent: the first meeting, later ones, and a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.device import conftest as device
from tests.unit.tls.conftest import BASIC, begin, paper

from .test_verbs import run


def test_trusted_on_first_use_and_then_no_other(tmp_path: Path, remembered: Path) -> None:
    made = begin(tmp_path / "device")
    try:
        first = run("status", made.url, password=None)
        assert first.returncode == 0, first.stderr
        assert f"known by its certificate from now on: SHA-256 {made.own()}" in first.stderr
        file = remembered / f"127.0.0.1_{made.port}.toml"
        assert f'fingerprint = "{made.own()}"' in file.read_text()
        # From now on by HTTPS, also if nobody says so.
        again = run("status", f"127.0.0.1:{made.port}", password=None)
        assert (again.returncode, again.stderr) == (0, "")
        given = paper()
        with made.client(auth=BASIC) as client:
            assert client.post("/certificate", data={"chain": given.chain, "key": given.key}).status_code == 200
        stranger = run("logs", made.url)
        assert stranger.returncode == 1
        assert f"SHA-256 {given.fingerprint}, not {made.own()}" in stranger.stderr
        assert f"sed -i '/^fingerprint/d' {file}" in stranger.stderr
        file.unlink()
        assert run("status", made.url, password=None).returncode == 0
        assert given.fingerprint in file.read_text()
    finally:
        device.stop(made.running)


def test_a_chain_that_this_machine_vouches_for_needs_no_pin(
    tmp_path: Path, remembered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begin(tmp_path / "device")
    try:
        given = paper("localhost")
        (tmp_path / "authorities.pem").write_text(given.chain)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
        with made.client(auth=BASIC) as client:
            assert client.post("/certificate", data={"chain": given.chain, "key": given.key}).status_code == 200
        found = run("status", f"https://localhost:{made.port}", password=None)
        assert (found.returncode, found.stderr) == (0, "")
        assert not remembered.exists()
    finally:
        device.stop(made.running)


def test_a_device_that_wants_https_only_is_found(tmp_path: Path) -> None:
    made = begin(tmp_path / "device", "only")
    try:
        plain = f"127.0.0.1:{made.running.port}"
        done = run("password", "--stdin", plain, feed="morgen-abend-nacht\n")
        assert "certificate from now on" in done.stderr
        assert "plain" not in done.stdout
        refused = run("services", f"http://{plain}", password=None)
        assert "answers by HTTPS only" in refused.stderr
    finally:
        device.stop(made.running)
