"""What the tests of bundles share: keys, small images, and a signed bundle of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ovenbird.image.bundle import Facts, Sign, write_bundle
from ovenbird.keys.certificates import pem
from ovenbird.keys.cms import signed_data
from ovenbird.keys.folder import self_signed
from ovenbird.keys.signing import sign_with
from ovenbird_device.format import bundle
from ovenbird_device.format.selector import Slot
from ovenbird_device.update.signature import verifier

FACTS = Facts("hello", "1.2.3", "vm", ("vm",))


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody with a key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return pem(self.certificate)

    def sign(self, data: bytes) -> bytes:
        return signed_data(self.certificate, sign_with(self.key, data))


def owner(name: str) -> Owner:
    key = rsa.generate_private_key(65537, 2048)
    return Owner(key, self_signed(key, name))


@pytest.fixture(scope="session")
def us() -> Owner:
    """Whom the device trusts."""
    return owner("updates")


@pytest.fixture(scope="session")
def stranger() -> Owner:
    """Somebody else, under the same name."""
    return owner("updates")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The two images' bytes."""
    return {"boot": b"kernel" * 50 + bytes(4096), "root": bytes(range(256)) * 4 + b"end"}


Make = Callable[..., bytes]


@pytest.fixture(scope="session")
def make(us: Owner, images: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a bundle of the small images: `make(sign=..., facts=...)`."""

    def _make(sign: Sign | None = None, facts: Facts = FACTS, **more: bytes) -> bytes:
        folder = tmp_path_factory.mktemp("bundle")
        for name, content in {**images, **more}.items():
            (folder / name).write_bytes(content)
        write_bundle(
            folder / "out.swu",
            facts=facts,
            boot=folder / "boot",
            root=folder / "root",
            sign=sign or us.sign,
            epoch=1_700_000_000,
            scratch=folder,
        )
        return (folder / "out.swu").read_bytes()

    return _make


@pytest.fixture(scope="session")
def good(make: Make) -> bytes:
    """A good bundle."""
    return make()


def install(raw: bytes, verify: bundle.Verify, slot: Slot = Slot.B) -> dict[str, bytes]:
    """What a device would write, by part ("boot", "root"), once everything was judged; raises as the reader does."""
    opened = bundle.open_bundle(io.BytesIO(raw), verify)
    written: dict[str, bytes] = {}
    for artefact in opened.artefacts(opened.description.for_slot(slot).images):
        target = artefact.image.target
        assert target is not None
        written[target[0]] = b"".join(artefact.unpacked(1 << 20))
    return written


@pytest.fixture(scope="session")
def trusting(us: Owner) -> bundle.Verify:
    """The device's own verifier, with our certificate."""
    return verifier([us.pem])


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of keys, and no other way to sign."""
    folder = tmp_path / "keys"
    monkeypatch.setenv("OVENBIRD_KEYS", str(folder))
    for name in ("OVENBIRD_SIGNING_KEY", "OVENBIRD_SIGN_COMMAND", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    return folder
