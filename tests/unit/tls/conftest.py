"""Devices that serve HTTPS, and certificates of an owner."""

from __future__ import annotations

import datetime
import hashlib
import os
import pwd
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from tests.unit.device import conftest as device

from ovenbird_device.format import page
from ovenbird_device.tls import store

BASIC = ("ovenbird", device.PASSWORD)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Paper:
    """A certificate and its key, as PEM."""

    chain: str
    key: str

    @property
    def fingerprint(self) -> str:
        """Of the certificate."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.chain)).hexdigest()


def paper(name: str = "oven.example.com", *, key: Key | None = None, days: int = 90, begin: int = -1) -> Paper:
    """A self-signed one, valid from `begin` days from now on for `days`."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    begins = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=begin)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Paper(made.public_bytes(encoding).decode(), secret.decode())


@dataclass
class Secured:
    """A device whose image has HTTPS."""

    folder: Path
    port: int
    places: store.Places
    mode: page.Tls
    running: device.Device = field(init=False)

    @property
    def url(self) -> str:
        """Where it answers by HTTPS."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def fingerprint(self) -> str:
        """Of what it shows."""
        shown = ssl.get_server_certificate(("127.0.0.1", self.port), timeout=20)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).hexdigest()

    def own(self) -> str:
        """The fingerprint of its own certificate."""
        found = store.load(self.places.kept_file("own"))
        assert found is not None
        return found.facts.fingerprint

    def provision(self) -> None:
        """What each boot does."""
        store.ensure(self.places, "oven", ("127.0.0.1",), None)

    def start(self) -> None:
        """Start agent and steward."""
        (self.folder / "page.json").write_bytes(page.dump(page.PageSettings(tls=self.mode)))
        self.running = device.start(
            self.folder, "--page-settings", str(self.folder / "page.json"), "--secure-port", str(self.port)
        )
        path = self.folder / "run/ovenbird/steward.sock"
        command = [sys.executable, "-P", "-s", "-m", "ovenbird_device.steward", "--socket", str(path)]
        command += ["--user", pwd.getpwuid(os.geteuid()).pw_name, "--state", str(self.folder / "state")]
        command += ["--certificates", str(self.places.published)]
        self.running.stewards.append(subprocess.Popen(command))
        device.wait_for(lambda: device.listens(path))

    def client(self, **options: object) -> httpx.Client:
        """A program that speaks to it by HTTPS, and takes any certificate."""
        return httpx.Client(base_url=self.url, verify=False, trust_env=False, timeout=30, **options)  # type: ignore[arg-type] # passed on


def begin(folder: Path, mode: page.Tls = "also", *, provisioned: bool = True) -> Secured:
    """A device that runs, on which provisioning has been, or has failed."""
    places = store.Places(folder / "state/tls", folder / "run/ovenbird/tls")
    made = Secured(folder, device.free_port(), places, mode)
    if provisioned:
        made.provision()
    made.start()
    return made


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """A device with HTTPS beside HTTP."""
    made = begin(tmp_path)
    yield made
    device.stop(made.running)


@pytest.fixture
def only(tmp_path: Path) -> Iterator[Secured]:
    """A device with HTTPS in place of HTTP."""
    made = begin(tmp_path, "only")
    yield made
    device.stop(made.running)
