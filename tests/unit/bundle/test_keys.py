"""Keys in the user's folder: made, shown, rotated; and what a build signs with."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from ovenbird.errors import HostError, OvenbirdError, RecipeError, UsageError
from ovenbird.keys.certificates import pem, read_certificates
from ovenbird.keys.folder import all_keys, copy_certificate, find_key, keys_folder, new_key, rotate_key
from ovenbird.keys.signing import Signing, find_signing, load_private_key
from ovenbird_device.update.signature import SignatureError, verify

from .conftest import Make, install, owner
from .test_signature import issue

TEXT = b'{"software": {}}\n'


def signing_for(*files: Path) -> Signing:
    found = find_signing(read_certificates(files))
    assert found is not None
    return found


def test_a_new_key(keys: Path) -> None:
    key = new_key("updates")
    assert stat.S_IMODE(key.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    certificate = key.load()
    assert certificate.not_valid_before_utc.year == 1970
    assert certificate.not_valid_after_utc.year == 9999
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert all_keys() == [key]
    assert find_key("updates") == key


def test_no_key_is_ever_overwritten(keys: Path) -> None:
    key = new_key("updates")
    before = key.private.read_bytes(), key.certificate.read_bytes()
    with pytest.raises(UsageError, match="already"):
        new_key("updates")
    key.certificate.unlink()
    with pytest.raises(UsageError, match="already"):
        new_key("updates")
    assert key.private.read_bytes() == before[0]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-x", "a b", "x" * 65, "a\n"])
def test_names_that_are_none(name: str, keys: Path) -> None:
    with pytest.raises(UsageError, match="no name for a key"):
        new_key(name)


def test_a_missing_key_is_told(keys: Path) -> None:
    with pytest.raises(UsageError, match="there is no key 'other'"):
        find_key("other")


def test_the_folder_is_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OVENBIRD_KEYS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keys_folder() == tmp_path / "ovenbird/keys"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys_folder() == tmp_path / ".config/ovenbird/keys"


def test_a_certificate_beside_the_recipe(keys: Path, tmp_path: Path) -> None:
    key = new_key("updates")
    copied = copy_certificate(key, tmp_path / "project/keys")
    assert copied.read_bytes() == key.certificate.read_bytes()
    assert copy_certificate(key, copied.parent) == copied
    copied.write_text("something else")
    with pytest.raises(UsageError, match="another certificate"):
        copy_certificate(key, copied.parent)


def test_rotation_counts_on(keys: Path) -> None:
    first = new_key("updates")
    old, second = rotate_key("updates")
    assert (old, second.name) == (first, "updates-2")
    assert rotate_key("updates-2")[1].name == "updates-3"
    with pytest.raises(UsageError, match="already"):
        rotate_key("updates")
    with pytest.raises(UsageError, match="no key"):
        rotate_key("other")


def test_rotation_leads_every_device_to_the_new_key(keys: Path, make: Make) -> None:
    """As docs/updates.md tells it: a release with both certificates, then one with the new key alone."""
    old = new_key("updates")
    first = [old.certificate]  # what devices in the field accept
    old, new = rotate_key("updates")
    between, last = [old.certificate, new.certificate], [new.certificate]

    def accepts(certificates: list[Path], raw: bytes) -> bool:
        texts = [file.read_text() for file in certificates]
        try:
            return bool(install(raw, lambda signed, signature: verify(signed, signature, texts)))
        except SignatureError:
            return False

    release_1 = make(sign=signing_for(*between).sign)
    assert accepts(first, release_1), "a device in the field takes the release that brings the new certificate"
    release_2 = make(sign=signing_for(*last).sign)
    assert accepts(between, release_2), "then it takes what the new key signs"
    assert not accepts(first, release_2), "one that has missed the release between does not"
    assert not accepts(last, make(sign=signing_for(*first).sign)), "and the old key is out"


def test_the_first_certificate_with_a_private_key_signs(keys: Path) -> None:
    first, second = new_key("a"), new_key("b")
    assert signing_for(second.certificate, first.certificate).who == str(second.private)
    second.private.unlink()
    assert signing_for(second.certificate, first.certificate).who == str(first.private)
    first.private.unlink()
    assert find_signing(read_certificates([second.certificate, first.certificate])) is None


def test_a_private_key_that_others_can_read_is_not_used(keys: Path) -> None:
    key = new_key("updates")
    key.private.chmod(0o640)
    with pytest.raises(UsageError, match="others can read"):
        signing_for(key.certificate)


def test_a_key_in_a_file(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key("updates")
    moved = key.private.rename(tmp_path / "elsewhere.key")
    monkeypatch.setenv("OVENBIRD_SIGNING_KEY", str(moved))
    made = signing_for(key.certificate)
    assert verify(TEXT, made.sign(TEXT), [key.certificate.read_text()])
    assert made.sign(TEXT) == made.sign(TEXT)


def test_a_key_that_fits_no_certificate_is_told(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = new_key("updates"), new_key("other")
    monkeypatch.setenv("OVENBIRD_SIGNING_KEY", str(other.private))
    with pytest.raises(OvenbirdError, match="fits none of the recipe's certificates"):
        signing_for(key.certificate).sign(TEXT)


def test_a_key_of_a_certificate_that_the_recipe_s_issuer_issued(keys: Path, tmp_path: Path) -> None:
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = issue("root", root_key, ca=True)
    keys.mkdir(mode=0o700)
    (keys / "leaf.pem").write_text(pem(issue("leaf", leaf_key, (root, root_key))))
    (keys / "leaf.key").write_bytes(leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (keys / "leaf.key").chmod(0o600)
    (tmp_path / "root.pem").write_text(pem(root))
    assert verify(TEXT, signing_for(tmp_path / "root.pem").sign(TEXT), [pem(root)])


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"nothing", "no private key in PEM form"), (b"", "no private key"), (None, "no such file")],
)
def test_files_that_are_no_keys(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load_private_key(tmp_path / "key")


def test_an_encrypted_key_is_for_an_agent(tmp_path: Path) -> None:
    raw = owner("x").key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "key").write_bytes(raw)
    with pytest.raises(UsageError, match="encrypted") as caught:
        load_private_key(tmp_path / "key")
    assert "ssh-add" in (caught.value.hint or "")


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    with pytest.raises(RecipeError, match="not a certificate"):
        read_certificates([tmp_path / "x.pem"])


def test_a_command_signs(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key("updates")
    moved = key.private.rename(tmp_path / "a key")
    monkeypatch.setenv("OVENBIRD_SIGN_COMMAND", f"openssl dgst -sha256 -sign {shlex.quote(str(moved))}")
    assert verify(TEXT, signing_for(key.certificate).sign(TEXT), [key.certificate.read_text()])
    monkeypatch.setenv("OVENBIRD_SIGN_COMMAND", "sh -c 'echo the token is locked >&2; exit 1'")
    with pytest.raises(OvenbirdError, match="the token is locked"):
        signing_for(key.certificate).sign(TEXT)
    monkeypatch.setenv("OVENBIRD_SIGN_COMMAND", "echo nonsense")
    with pytest.raises(OvenbirdError, match="fits none"):
        signing_for(key.certificate).sign(TEXT)


@pytest.fixture
def ssh_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A running ssh-agent."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        monkeypatch.setenv("OVENBIRD_SIGNING_KEY", "agent")
        yield socket
    finally:
        process.terminate()
        process.wait()


def add(file: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(file)], check=True, env=dict(os.environ))


def test_a_real_ssh_agent_signs(ssh_agent: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OVENBIRD_KEYS", str(tmp_path / "keys"))
    key = new_key("updates")
    by_file = find_signing(read_certificates([key.certificate]))
    with pytest.raises(HostError, match="the ssh-agent has no key for updates"):
        signing_for(key.certificate).sign(TEXT)
    add(key.private)
    key.private.unlink()
    assert by_file is not None
    made = signing_for(key.certificate).sign(TEXT)
    assert verify(TEXT, made, [key.certificate.read_text()])


def test_a_real_ssh_agent_signs_with_an_elliptic_curve(ssh_agent: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ec.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    (tmp_path / "ec.key").chmod(0o600)
    (tmp_path / "ec.pem").write_text(pem(issue("curve", key)))
    add(tmp_path / "ec.key")
    assert verify(TEXT, signing_for(tmp_path / "ec.pem").sign(TEXT), [(tmp_path / "ec.pem").read_text()])


def test_without_an_agent(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key("updates")
    monkeypatch.setenv("OVENBIRD_SIGNING_KEY", "agent")
    with pytest.raises(HostError, match="no ssh-agent"):
        signing_for(key.certificate).sign(TEXT)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nothing"))
    with pytest.raises(HostError, match="does not answer"):
        signing_for(key.certificate).sign(TEXT)
