"""HTTPS of the real agent, with certificates that the real steward takes: what is served, to whom, and what is not."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.unit.device import conftest as device
from tests.unit.services.test_http import HTML

from ovenbird_device.tls import certificate

from .conftest import BASIC, Paper, Secured, begin, paper


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_same_page_by_both(secured: Secured) -> None:
    with secured.client() as safe, secured.running.client() as plain:
        assert safe.get("/status").json() == plain.get("/status").json()
        told = plain.get("/health").json()["tls"]
        assert told == {
            "mode": "also", "port": secured.port, "certificate": "own", "fingerprint": secured.own(), "trouble": ""
        }  # fmt: skip
        assert plain.get("/status").json()["https_only"] is False
        facts = safe.get("/certificate").json()["certificate"]
        assert (facts["fingerprint"], facts["begins"]) == (secured.own(), 0)
        assert facts["names"] == ["oven", "oven.local", "127.0.0.1"]
        page = safe.get("/certificate", headers=HTML)
        assert secured.own()[:4] in page.text
    assert secured.fingerprint == secured.own()


def test_who_trusts_it_verifies_it_by_name(secured: Secured, tmp_path: Path) -> None:
    shown = ssl.get_server_certificate(("127.0.0.1", secured.port))
    trusting = ssl.create_default_context(cadata=shown)
    with httpx.Client(verify=trusting, trust_env=False) as client:
        assert client.get(f"{secured.url}/health").status_code == 200
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", secured.port)) as link, pytest.raises(ssl.SSLError):
        old.wrap_socket(link)


def test_keys_are_roots_alone(secured: Secured) -> None:
    with secured.client(auth=BASIC) as client:
        given = paper()
        assert client.post("/certificate", data={"chain": given.chain, "key": given.key}).status_code == 200
    places = secured.places
    assert mode(places.kept) == 0o700
    assert mode(places.published) == 0o750
    for which in ("own", "given"):
        assert mode(places.kept_file(which)) == 0o600
        assert mode(places.published_file(which)) == 0o640
    assert not [path for path in places.kept.iterdir() if path.suffix != ".json"]


def test_another_certificate_is_served_at_once_and_kept(secured: Secured) -> None:
    own, given = secured.own(), paper()
    with secured.client(auth=BASIC) as client:
        answer = client.post("/certificate", data={"chain": given.chain, "key": given.key})
        assert (answer.status_code, answer.json()["source"]) == (200, "given")
        assert secured.fingerprint == given.fingerprint == answer.json()["certificate"]["fingerprint"]
        secured.running.process.terminate()
        secured.running.process.wait(10)
        secured.provision()  # a restart keeps both
        secured.running.restart()
        assert secured.fingerprint == given.fingerprint
        assert client.post("/certificate/own").json()["source"] == "own"
        assert secured.fingerprint == own
        assert client.post("/certificate/own").status_code == 409
        changes = client.get("/changes").json()["changes"]
        told = [(one["what"], one["done"], one["message"]) for one in changes]
        assert told[-1] == ("Give the page a certificate", True, f"SHA-256 {given.fingerprint}")
        assert (told[1][0], told[1][1]) == ("Use the device's own certificate", True)
        assert given.key.splitlines()[1] not in client.get("/changes").text


def test_what_is_no_certificate(secured: Secured) -> None:
    good, other = paper(), paper()
    small = paper(key=rsa.generate_private_key(65537, 1024))
    old, early = paper(days=1, begin=-3), paper(begin=9)
    bad: dict[str, tuple[str, str]] = {
        "does not belong": (good.chain, other.key),
        "no certificate": ("hello", good.key),
        "no private key": (good.chain, good.chain),
        "more than one": (good.chain, good.key + other.key),
        "at most 8": (good.chain * 9, good.key),
        "damaged": (good.chain.replace("MII", "M*I", 1), good.key),
        "cannot be read": (good.chain.replace("\nMII", "\nMIJ", 1), good.key),
        "too short": (small.chain, small.key),
        "expired on": (old.chain, old.key),
        "valid from": (early.chain, early.key),
        "encrypted": (good.chain, good.key.replace(" PRIVATE", " ENCRYPTED PRIVATE")),
        "48 KiB": (good.chain + "a" * (49 << 10), good.key),
    }  # fmt: skip
    with secured.client(auth=BASIC) as client:
        for says, (chain, key) in bad.items():
            answer = client.post("/certificate", data={"chain": chain, "key": key})
            assert answer.status_code == 400, (says, answer.text)
            assert says in answer.json()["error"]
        huge = client.post("/certificate", data={"chain": good.chain, "key": "x" * (70 << 10)})
        assert huge.status_code == 413
        assert client.get("/certificate").json()["source"] == "own"
    with secured.client() as stranger:
        assert stranger.post("/certificate", data={"chain": good.chain, "key": good.key}).status_code == 401
    assert secured.fingerprint == secured.own()
    assert not secured.places.kept_file("given").exists()


def test_sessions_by_https_are_for_https(secured: Secured) -> None:
    form = {"password": device.PASSWORD, "next": "/"}
    with secured.client(headers=HTML) as safe:
        answer = safe.post("/login", data=form, headers={"Origin": secured.url})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-ovenbird-")
        assert {"Secure", "HttpOnly", "Path=/"} <= {one.strip() for one in cookie.split(";")}
        assert safe.get("/users").status_code == 200
        token = cookie.partition(";")[0].partition("=")[2]
        name = cookie.partition("=")[0].removeprefix("__Host-")
        # In clear the same session opens nothing, nor does a page that came in clear act for it.
        with secured.running.client(headers=HTML) as plain:
            for known in (name, f"__Host-{name}"):
                assert plain.get("/users", headers={"Cookie": f"{known}={token}"}).status_code == 303
        foreign = {"Origin": secured.url.replace("https", "http")}
        assert safe.post("/certificate/own", headers=foreign).status_code == 403
    with secured.running.client(headers=HTML) as plain:
        cookie = plain.post("/login", data=form, headers={"Origin": str(plain.base_url)}).headers["set-cookie"]
        assert "Secure" not in cookie


def test_only_sends_everybody_on(only: Secured) -> None:
    with only.running.client() as plain, only.client() as safe:
        for method, path in (("GET", "/"), ("POST", "/update?force=1"), ("PUT", "/update"), ("GET", "/none/%C3%A9")):
            answer = plain.request(method, path, content=b"x" if method != "GET" else None)
            assert (answer.status_code, answer.headers["location"]) == (308, f"{only.url}{path}")
        assert plain.get("/health", headers=HTML).headers["location"] == f"{only.url}/health"
        assert plain.get("/status").json()["https_only"] is True
        assert plain.get("/health").json()["status"] == "ok"
        assert plain.post("/health").status_code == 308
        assert plain.get("/", headers={"Host": "evil.example.com"}).status_code == 403
        assert safe.get("/").status_code == 200
        assert "strict-transport-security" not in safe.get("/").headers


@pytest.mark.parametrize("damage", ["missing", "broken", "mixed", "port"])
def test_what_is_wrong_with_https_costs_http_nothing(tmp_path: Path, damage: str) -> None:
    made = begin(tmp_path, "only", provisioned=False)
    device.stop(made.running)
    made.running.stewards.clear()
    taken = socket.create_server(("127.0.0.1", made.port)) if damage == "port" else None
    if damage in ("broken", "mixed"):
        made.provision()
        file = made.places.published_file("own")
        mixed = file.read_text().replace('"key":"', '"key":"x') if damage == "mixed" else "{"
        file.write_text(mixed)
    elif damage == "port":
        made.provision()
    made.start()
    try:
        with made.running.client(auth=BASIC) as plain:
            told = plain.get("/health").json()["tls"]
            assert (told["port"], bool(told["trouble"])) == (None, True)
            assert plain.get("/").status_code == 200
            assert "HTTPS is not served" in plain.get("/health", headers=HTML).text
            if damage == "missing":
                given = paper()
                answer = plain.post("/certificate", data={"chain": given.chain, "key": given.key})
                assert answer.json()["port"] == made.port
                assert made.fingerprint == given.fingerprint
                assert plain.get("/").status_code == 308
    finally:
        device.stop(made.running)
        if taken is not None:
            taken.close()


def test_a_given_one_that_went_bad_is_told_and_http_answers(tmp_path: Path) -> None:
    made = begin(tmp_path, "only")
    try:
        old = paper(days=1, begin=-3)
        identity = certificate.read(old.chain + old.key)
        from ovenbird_device.slots import files

        files.save(made.places.published_file("given"), identity)
        made.running.process.terminate()
        made.running.process.wait(10)
        made.running.restart()
        assert made.fingerprint == old.fingerprint
        with made.running.client() as plain:
            assert "expired on" in plain.get("/health").json()["tls"]["trouble"]
            assert plain.get("/").status_code == 200
    finally:
        device.stop(made.running)


def test_an_elliptic_chain_in_any_wrapping(secured: Secured) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    given = paper(key=key)
    wrapped = Paper(f"Bag Attributes\r\n{given.chain}".replace("\n", "\r\n"), given.key)
    with secured.client(auth=BASIC) as client:
        answer = client.post("/certificate", data={"chain": wrapped.chain + paper().chain, "key": wrapped.key})
        assert answer.status_code == 200, answer.text
    assert secured.fingerprint == given.fingerprint
