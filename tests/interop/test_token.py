"""A key that lives in a PKCS#11 token: SoftHSM, reached by OpenSSL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ovenbird.errors import OvenbirdError
from ovenbird.keys.certificates import pem, read_certificates
from ovenbird.keys.signing import find_signing
from ovenbird_device.update.signature import verify
from tests.unit.bundle.conftest import Owner, owner

pytestmark = pytest.mark.interop
TEXT = b'{"software": {}}\n'


@pytest.fixture
def us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """Somebody whose key is in a token, and nowhere else."""
    someone = owner("token")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("OVENBIRD_KEYS", str(tmp_path / "keys"))
    module = next(
        path
        for path in (Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"), Path("/usr/lib/softhsm/libsofthsm2.so"))
        if path.exists()
    )
    monkeypatch.setenv("PKCS11_MODULE_PATH", str(module))
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "ovenbird", "--pin", "1234", "--so-pin", "5678"],
        check=True, capture_output=True,
    )  # fmt: skip
    raw = someone.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "import.key").write_bytes(raw)
    subprocess.run(
        [
            "softhsm2-util", "--import", tmp_path / "import.key", "--token", "ovenbird", "--label", "updates",
            "--id", "01", "--pin", "1234",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "import.key").unlink()
    (tmp_path / "token.pem").write_text(pem(someone.certificate))
    return someone


def test_a_token_signs(us: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVENBIRD_SIGNING_KEY", "pkcs11:token=ovenbird;object=updates;type=private?pin-value=1234")
    signing = find_signing(read_certificates([tmp_path / "token.pem"]))
    assert signing is not None
    assert verify(TEXT, signing.sign(TEXT), [us.pem])
    assert signing.sign(TEXT) == us.sign(TEXT)


def test_a_token_that_has_not_the_key_is_told(us: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVENBIRD_SIGNING_KEY", "pkcs11:token=ovenbird;object=other;type=private?pin-value=1234")
    signing = find_signing(read_certificates([tmp_path / "token.pem"]))
    assert signing is not None
    with pytest.raises(OvenbirdError, match="signing failed"):
        signing.sign(TEXT)
