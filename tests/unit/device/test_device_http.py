"""The real agent over real HTTP: what it tells, and all that it must refuse."""

import gzip
import re
import socket
import time
from pathlib import Path

import httpx
import pytest

from ovenbird_device.provision import password

from .conftest import PASSWORD, Device, stop

HTML = {"Accept": "text/html"}
BASIC = ("ovenbird", PASSWORD)


def exchange(device: Device, request: bytes) -> bytes:
    """Send bytes that no well-behaved client would, and take what comes back."""
    with socket.create_connection(("127.0.0.1", device.port), 10) as link:
        link.sendall(request)
        answer = b""
        while part := link.recv(65536):
            answer += part
        return answer


def sign_in(client: httpx.Client, password: str = PASSWORD, target: str = "/") -> httpx.Response:
    return client.post(
        "/login", data={"password": password, "next": target}, headers={**HTML, "Origin": str(client.base_url)}
    )


def test_overview_as_json(device: Device) -> None:
    with device.client() as client:
        about = client.get("/").json()
    assert about["hostname"] == socket.gethostname()
    assert about["image"] == {"name": "hello", "version": "1.4.0", "board": "vm", "description": ""}
    assert about["slot"] == "b"
    assert about["data"]["state"] == "ok"
    assert about["boot"]["switch_s"] == 1.923
    assert about["boot"]["ready_s"] > 0
    assert about["memory"]["total"] > about["memory"]["available"] > 0


def test_overview_as_a_page(device: Device) -> None:
    with device.client(headers=HTML) as client:
        answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "the light is on in slot b" in answer.text
    assert "This page answered" in answer.text
    assert "style=" not in answer.text  # the content policy forbids inline styles
    assert not re.search(r"<script(?![^>]*src=)", answer.text)


def test_overview_fragment_for_htmx(device: Device) -> None:
    with device.client() as client:
        answer = client.get("/", headers={"HX-Request": "true", "Accept": "*/*"})
    assert answer.text.lstrip().startswith('<div id="now"')
    assert "<html" not in answer.text


def test_a_writable_root_is_shown(fresh: Device) -> None:
    with fresh.client() as client:
        assert client.get("/").json()["writable"] is False
        assert "writable" not in client.get("/", headers=HTML).text
        fresh.note.with_name("writable-root").write_text("1700000000\n")
        time.sleep(1.1)  # one reading serves a second
        assert client.get("/").json()["writable"] is True
        page = client.get("/", headers=HTML).text
        assert "The root is writable, for an experiment" in page
        assert "with a writable root" in page


def test_degraded_and_repaired_data_are_shown(fresh: Device) -> None:
    fresh.note.write_text("slot=a\ntrial=1\ndata=degraded\ndata_reason=e2fsck said <b>no</b>\n")
    with fresh.client() as client:
        time.sleep(1.1)  # one reading serves a second
        page = client.get("/", headers=HTML).text
        assert "This device runs without its data" in page
        assert "e2fsck said &lt;b&gt;no&lt;/b&gt;" in page
        health = client.get("/health").json()
        assert health["status"] == "degraded"
        assert health["data"] == {"state": "degraded", "reason": "e2fsck said <b>no</b>"}
        fresh.note.write_text("slot=a\ndata=repaired\ndata_reason=journal replayed\n")
        time.sleep(1.1)
        page = client.get("/", headers=HTML).text
        assert "Data was repaired during this boot" in page
        assert client.get("/health").json()["status"] == "ok"


def test_weight_of_the_first_view(device: Device) -> None:
    with device.client(headers={**HTML, "Accept-Encoding": "gzip"}) as client:
        page = client.get("/")
        total = int(page.headers["content-length"])
        for url in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            asset = client.get(url)
            assert asset.status_code == 200
            assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert asset.headers["content-encoding"] == "gzip"
            total += int(asset.headers["content-length"])
    assert total < 40_000


def test_security_headers_on_everything(device: Device) -> None:
    with device.client() as client:
        answers = [client.get(path) for path in ("/", "/health", "/login", "/nothing", "/static/page.css")]
        answers.append(client.get("/", headers={"Host": "evil.example"}))
        answers.append(client.post("/reboot"))
        answers.append(client.put("/"))
    for answer in answers:
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 404, 403, 401, 405]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fagent.py",
        "/static//etc/passwd",
        "//etc/passwd",
        "/static/page.css",
        "/static/",
        "/../../etc/shadow",
        "/%00",
        "/reboot/",
    ],
)
def test_path_tricks(device: Device, path: str) -> None:
    answer = exchange(device, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"root:" not in answer


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example"])
def test_rebinding_is_refused(device: Device, host: str) -> None:
    with device.client() as client:
        assert client.get("/", headers={"Host": host}).status_code == 403
        assert client.post("/reboot", headers={"Host": host}, auth=BASIC).status_code == 403


def test_no_or_two_hosts_are_refused(device: Device) -> None:
    assert exchange(device, b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 403")
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert exchange(device, two)[9:12] in (b"400", b"403")


def test_oversized_requests(device: Device) -> None:
    with device.client() as client:
        assert client.post("/login", content=b"x" * 70_000).status_code == 413
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": device.url}
        answer = client.post("/login", content=(b"password=" + b"x" * 8192 for _ in range(20)), headers=form)
        assert answer.status_code == 413
        assert client.post("/login", content=b"&a=1" * 20, headers=form).status_code == 400
    long = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 100_000 + b"\r\nConnection: close\r\n\r\n"
    assert exchange(device, long)[9:12] in (b"400", b"431")
    lying = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\nConnection: close\r\n\r\n"
    assert exchange(device, lying)[9:12] in (b"400", b"413")
    with device.client() as client:
        assert client.get("/health").status_code == 200


def test_a_change_needs_the_password(fresh: Device) -> None:
    fresh.start_steward()
    with fresh.client() as client:
        answer = client.post("/reboot")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert client.post("/reboot", auth=("ovenbird", "wrong")).status_code == 401
        assert client.post("/reboot", auth=("root", PASSWORD)).status_code == 401
        for value in ("Basic", "Basic !", "Basic gA==", "Bearer x", "Basic \xe9"):
            raw = [(b"authorization", value.encode("latin-1"))]
            assert client.post("/reboot", headers=raw).status_code in (401, 429)
        assert fresh.orders == []


def test_reboot_and_power_off_by_basic(fresh: Device) -> None:
    fresh.start_steward()
    with fresh.client(auth=BASIC) as client:
        answer = client.post("/reboot")
        assert (answer.status_code, answer.json()) == (202, {"accepted": "reboot"})
        assert client.post("/poweroff").json() == {"accepted": "poweroff"}
        assert client.get("/reboot").status_code == 405
    assert fresh.orders == ["--no-block --no-wall reboot", "--no-block --no-wall poweroff"]


def test_a_cross_site_change_is_refused(fresh: Device) -> None:
    fresh.start_steward()
    with fresh.client(headers=HTML) as client:
        assert sign_in(client).status_code == 303
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{fresh.port + 1}"},
            {"Origin": fresh.url, "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://[broken"},
        ):
            assert client.post("/reboot", headers=headers).status_code == 403
            assert client.post("/reboot", headers=headers, auth=BASIC).status_code == 403
        # A cookie without any proof of origin is no browser of today: it is asked for the password.
        assert client.post("/reboot").status_code == 303
        assert fresh.orders == []
        assert client.post("/reboot", headers={"Origin": fresh.url}).status_code == 202
    assert fresh.orders == ["--no-block --no-wall reboot"]


def test_session(fresh: Device) -> None:
    with fresh.client(headers=HTML) as client:
        refused = sign_in(client, "wrong")
        assert refused.status_code == 403
        assert "not this device" in refused.text
        assert client.get("/reboot").headers["location"] == "/login?next=/reboot"
        answer = sign_in(client, target="/reboot")
        assert answer.headers["location"] == "/reboot"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Restart?" in client.get("/reboot").text
        assert client.get("/logout").status_code == 405
        assert client.post("/logout", headers={"Origin": fresh.url}).status_code == 303
        assert client.get("/reboot").status_code == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "http://evil.example", "/\\evil.example", "javascript:x", "/\n/x", ""]
)
def test_sign_in_leads_nowhere_else(device: Device, target: str) -> None:
    with device.client() as client:
        assert sign_in(client, target=target).headers["location"] == "/"


def test_a_new_password_ends_sessions(fresh: Device) -> None:
    with fresh.client(headers=HTML) as client:
        sign_in(client)
        assert client.get("/reboot").status_code == 200
        password.write(fresh.folder / "state/password.json", password.make("another", "credential"), group=None)
        assert client.get("/reboot").status_code == 303
        assert client.post("/reboot", auth=BASIC).status_code == 401


def test_guessing_is_slowed_down(fresh: Device) -> None:
    with fresh.client() as client:
        codes = [client.post("/reboot", auth=("ovenbird", f"guess{n}")).status_code for n in range(8)]
        assert codes[:5] == [401] * 5
        assert 429 in codes[5:]
        answer = client.post("/reboot", auth=BASIC)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/").status_code == 200
        page = sign_in(client)
        assert page.status_code == 429
        assert "Too many attempts" in page.text


def test_a_device_without_password_lets_nobody_in(fresh: Device) -> None:
    file = fresh.folder / "state/password.json"
    for content in (None, b"", b'{"algorithm": "none"}', b'{"algorithm":"scrypt","cost":1073741824,"block":8,'):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with fresh.client() as client:
            assert client.post("/reboot", auth=("ovenbird", "")).status_code in (401, 429)
            assert client.get("/health").status_code == 200


def test_no_steward_is_one_clear_answer(fresh: Device) -> None:
    with fresh.client(auth=BASIC) as client:
        answer = client.post("/reboot")
        assert answer.status_code == 503
        assert "steward cannot be reached" in answer.json()["error"]
        fresh.start_steward(code=1)
        answer = client.post("/reboot")
        assert (answer.status_code, answer.json()) == (503, {"error": "refused"})


def test_compression_is_only_for_those_who_take_it(device: Device) -> None:
    with device.client(headers={**HTML, "Accept-Encoding": "gzip;q=0"}) as client:
        assert "content-encoding" not in client.get("/").headers
    raw = exchange(
        device,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    )
    assert b"<!doctype html>" in gzip.decompress(raw.split(b"\r\n\r\n", 1)[1])


def test_head_and_unknown_methods(device: Device) -> None:
    with device.client() as client:
        assert client.head("/").content == b""
        assert client.request("BREW", "/").status_code == 405
        assert client.post("/login", json={"password": PASSWORD}).status_code == 415
        assert client.get("/nothing", headers=HTML).text.count("There is no such page on this device.") == 2


def test_memory_stays_small(fresh: Device) -> None:
    with fresh.client(headers=HTML) as client:
        for _ in range(30):
            client.get("/")
        sign_in(client)
    status = Path(f"/proc/{fresh.process.pid}/status").read_text()
    resident = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])
    assert resident < 44 * 1024


def test_an_idle_agent_does_nothing(fresh: Device) -> None:
    def ticks() -> int:
        fields = Path(f"/proc/{fresh.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    with fresh.client(headers=HTML) as client:
        client.get("/")
    time.sleep(2)
    before = ticks()
    time.sleep(3)
    assert ticks() - before <= 1  # hundredths of a second


def test_answers_do_not_wait_for_acknowledgements(device: Device) -> None:
    times: list[float] = []
    with device.client() as client:
        for _ in range(31):
            started = time.monotonic()
            assert client.get("/health").status_code == 200
            times.append(time.monotonic() - started)
    assert min(times[-10:]) < 0.035  # What waits for an acknowledgement waits for 40 ms.


def test_orderly_end(fresh: Device) -> None:
    stop(fresh)
    assert fresh.process.returncode in (0, -15)
