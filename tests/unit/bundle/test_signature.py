"""Whose signature a device takes: real CMS signatures, made in several ways, judged by the real openssl."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ovenbird.errors import OvenbirdError
from ovenbird.keys.certificates import fingerprint, pem
from ovenbird.keys.cms import check_usable, signed_data
from ovenbird.keys.signing import PrivateKey, sign_with
from ovenbird_device import openssl as program
from ovenbird_device.update.signature import SignatureError, VerifierError, verify

from .conftest import Owner, owner

TEXT = b'{"software": {}}\n'


def issue(
    name: str,
    key: PrivateKey,
    issuer: tuple[x509.Certificate, PrivateKey] | None = None,
    *,
    ca: bool = False,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    end: datetime = datetime(2100, 1, 1, tzinfo=UTC),
) -> x509.Certificate:
    """A certificate, by itself or by an issuer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2001, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def sign(certificate: x509.Certificate, key: PrivateKey, *more: x509.Certificate, data: bytes = TEXT) -> bytes:
    """A signature by the `cryptography` package, with signed attributes and further certificates."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(certificate, key, hashes.SHA256())
    for one in more:
        builder = builder.add_certificate(one)
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
    return builder.sign(Encoding.DER, options)


def test_ours_is_taken_and_told(us: Owner, stranger: Owner) -> None:
    signer = verify(TEXT, us.sign(TEXT), [stranger.pem, us.pem])
    assert signer.fingerprint == fingerprint(us.certificate)
    assert x509.load_pem_x509_certificate(signer.certificate.encode()) == us.certificate


def test_the_same_key_gives_the_same_signature(us: Owner) -> None:
    assert us.sign(TEXT) == us.sign(TEXT)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_elliptic_curves(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    certificate = issue("curve", key)
    check_usable(certificate, "here")
    assert verify(TEXT, signed_data(certificate, sign_with(key, TEXT)), [pem(certificate)])


def test_with_signed_attributes_as_others_make_them(us: Owner) -> None:
    assert verify(TEXT, sign(us.certificate, us.key), [us.pem])


def test_a_changed_text_is_refused(us: Owner) -> None:
    with pytest.raises(SignatureError, match="not what was signed"):
        verify(TEXT + b" ", us.sign(TEXT), [us.pem])
    with pytest.raises(SignatureError, match="not what was signed"):
        verify(TEXT + b" ", sign(us.certificate, us.key), [us.pem])


def test_line_ends_are_bytes(us: Owner) -> None:
    with pytest.raises(SignatureError):
        verify(TEXT.replace(b"\n", b"\r\n"), us.sign(TEXT), [us.pem])


def test_a_stranger_of_the_same_name_is_refused(us: Owner, stranger: Owner) -> None:
    with pytest.raises(SignatureError, match="stranger"):
        verify(TEXT, stranger.sign(TEXT), [us.pem])
    with pytest.raises(SignatureError):
        verify(TEXT, sign(stranger.certificate, stranger.key, us.certificate), [us.pem])


def test_a_stranger_s_signature_under_our_certificate_is_refused(us: Owner, stranger: Owner) -> None:
    with pytest.raises(SignatureError, match="not what was signed"):
        verify(TEXT, signed_data(us.certificate, sign_with(stranger.key, TEXT)), [us.pem])


def test_no_certificates_no_bundles(us: Owner) -> None:
    with pytest.raises(SignatureError, match="names no certificates"):
        verify(TEXT, us.sign(TEXT), [])
    with pytest.raises(SignatureError, match="names no certificates"):
        verify(TEXT, us.sign(TEXT), ["none here"])


def test_what_an_issuer_of_ours_issued_is_taken_but_not_further() -> None:
    root_key, leaf_key, middle_key = rsa_key(), rsa_key(), rsa_key()
    root = issue("root", root_key, ca=True)
    leaf = issue("leaf", leaf_key, (root, root_key))
    assert verify(TEXT, sign(leaf, leaf_key), [pem(root)]).fingerprint == fingerprint(leaf)
    middle = issue("middle", middle_key, (root, root_key), ca=True)
    below = issue("below", leaf_key, (middle, middle_key))
    assert verify(TEXT, sign(below, leaf_key), [pem(middle)])
    with pytest.raises(SignatureError):  # The signature brings the way to our root along: it is not gone.
        verify(TEXT, sign(below, leaf_key, middle), [pem(root)])


def test_an_issuer_that_the_signature_brings_along_counts_for_nothing(us: Owner) -> None:
    root_key, leaf_key = rsa_key(), rsa_key()
    root = issue("updates", root_key, ca=True)
    leaf = issue("leaf", leaf_key, (root, root_key))
    with pytest.raises(SignatureError, match="stranger"):
        verify(TEXT, sign(leaf, leaf_key, root, us.certificate), [us.pem])


def test_a_certificate_that_may_not_issue_issues_nothing(us: Owner) -> None:
    leaf_key = rsa_key()
    leaf = issue("leaf", leaf_key, (us.certificate, us.key))
    with pytest.raises(SignatureError, match="stranger"):
        verify(TEXT, sign(leaf, leaf_key, us.certificate), [us.pem])


def test_a_web_server_s_certificate_signs_no_bundles() -> None:
    root_key, leaf_key = rsa_key(), rsa_key()
    root = issue("root", root_key, ca=True)
    leaf = issue("www", leaf_key, (root, root_key), usage=ExtendedKeyUsageOID.SERVER_AUTH)
    with pytest.raises(SignatureError, match="stranger"):
        verify(TEXT, sign(leaf, leaf_key), [pem(root)])


def test_an_expired_certificate_is_taken_because_clocks_are_not_trusted() -> None:
    key = rsa_key()
    certificate = issue("old", key, end=datetime(2002, 1, 1, tzinfo=UTC))
    assert verify(TEXT, sign(certificate, key), [pem(certificate)])


def test_every_signer_must_be_trusted_and_there_is_just_one(us: Owner, stranger: Owner) -> None:
    second = owner("second")
    builder = pkcs7.PKCS7SignatureBuilder().set_data(TEXT)
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]

    def signed_by(*owners: Owner) -> bytes:
        both = builder
        for one in owners:
            both = both.add_signer(one.certificate, one.key, hashes.SHA256())
        return both.sign(Encoding.DER, options)

    with pytest.raises(SignatureError):
        verify(TEXT, signed_by(us, stranger), [us.pem])
    with pytest.raises(SignatureError, match="exactly one signer"):
        verify(TEXT, signed_by(us, second), [us.pem, second.pem])


def openssl(*words: str | Path, data: bytes = TEXT) -> bytes:
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True).stdout


@pytest.fixture
def files(tmp_path: Path, us: Owner) -> tuple[Path, Path]:
    """Our key and certificate as files."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    key.write_bytes(us.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_text(us.pem)
    return key, certificate


def test_openssl_s_own_signature_is_taken(files: tuple[Path, Path], us: Owner) -> None:
    made = openssl("cms", "-sign", "-binary", "-outform", "DER", "-signer", files[1], "-inkey", files[0])
    assert verify(TEXT, made, [us.pem])


def test_content_inside_of_the_signature_does_not_stand_for_the_text(files: tuple[Path, Path], us: Owner) -> None:
    made = openssl("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", files[1], "-inkey", files[0])
    with pytest.raises(SignatureError):
        verify(b'{"software": {"evil": 1}}', made, [us.pem])


def test_other_kinds_of_cms_are_no_signatures(files: tuple[Path, Path], us: Owner) -> None:
    digested = openssl("cms", "-digest_create", "-binary", "-outform", "DER")
    enveloped = openssl("cms", "-encrypt", "-binary", "-outform", "DER", files[1])
    plain = openssl("cms", "-data_create", "-binary", "-outform", "DER")
    certificates = openssl("crl2pkcs7", "-nocrl", "-certfile", files[1], "-outform", "DER")
    for made in (digested, enveloped, plain, certificates, us.certificate.public_bytes(Encoding.DER), b"", b"\0" * 99):
        with pytest.raises(SignatureError):
            verify(TEXT, made, [us.pem])


def test_a_signature_without_its_certificate_is_refused_clearly(files: tuple[Path, Path], us: Owner) -> None:
    made = openssl("cms", "-sign", "-binary", "-nocerts", "-outform", "DER", "-signer", files[1], "-inkey", files[0])
    with pytest.raises(SignatureError, match="names no signer"):
        verify(TEXT, made, [us.pem])


def test_the_system_s_own_trust_does_not_count(
    files: tuple[Path, Path], us: Owner, stranger: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files[1]))
    with pytest.raises(SignatureError):
        verify(TEXT, us.sign(TEXT), [stranger.pem])


def test_without_openssl_nothing_is_taken(us: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "PROGRAM", "no-such-openssl")
    with pytest.raises(VerifierError, match="cannot be run"):
        verify(TEXT, us.sign(TEXT), [us.pem])


def test_keys_of_no_use_are_told_early() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    with pytest.raises(OvenbirdError, match="cannot sign bundles"):
        check_usable(issue("weak", weak), "weak.pem")
