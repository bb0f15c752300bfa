"""Certificates by themselves: what the device makes, and what is read out of any text."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ovenbird_device.tls import certificate, store

from .conftest import paper

PAPER = paper()


def test_the_devices_own(tmp_path: Path) -> None:
    places = store.Places(tmp_path / "kept", tmp_path / "published")
    store.ensure(places, "oven", ("192.168.1.7", "fe80::1", "nonsense"), None)
    first = store.load(places.kept_file("own"))
    assert first is not None
    read = x509.load_pem_x509_certificate(first.chain.encode())
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["oven", "oven.local"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.7", "fe80::1"]
    assert (read.not_valid_before_utc.year, read.not_valid_after_utc.year) == (1970, 2099)
    store.ensure(places, "renamed", (), None)  # It is who this is, whatever it is called.
    assert store.load(places.kept_file("own")) == first == store.load(places.published_file("own"))
    places.kept_file("own").write_text("{")
    store.ensure(places, "oven", (), None)
    second = store.load(places.kept_file("own"))
    assert second is not None
    assert second.facts.fingerprint != first.facts.fingerprint


@given(st.text())
def test_any_text_is_a_certificate_or_is_not(text: str) -> None:
    for one in (text, PAPER.chain + text + PAPER.key, PAPER.chain + PAPER.key.replace("\n", text, 1)):
        with suppress(certificate.CertificateError):
            chain, key = certificate.split(one)
            assert all(part.isascii() for part in (*chain, key))
            assert certificate.split("".join(chain) + key) == (chain, key)


@given(st.text())
def test_whatever_openssl_says_is_borne(text: str) -> None:
    said = f"notBefore=1970-01-01 00:00:00Z\nnotAfter=2099-12-31 23:59:59Z\nsubject={text}\n"
    for one in (text, said):
        with suppress(certificate.CertificateError):
            assert certificate.told(one, "00").ends == 4102444799
