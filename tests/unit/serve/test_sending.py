"""Files over HTTP, fetched by the real curl: whole, in parts, gone on with, and by many at once."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from tests.unit.serve.making import Serving, make_out, serving

from ovenbird.deliver.serve.images import Images
from ovenbird.deliver.serve.live import Stage
from ovenbird.deliver.serve.sending import Part, wanted
from ovenbird.deliver.serve.settings import Book, Server, Settings
from ovenbird.progress import QuietProgress

ROOT = b"hsqs" + random.Random(7).randbytes((20 << 20) + 12345)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Serving]:
    """One image and one overlay, served."""
    folder = tmp_path_factory.mktemp("serve")
    Images(folder).add(make_out(folder / "out", root=ROOT), QuietProgress())
    (folder / "fonts.squashfs").write_bytes(b"hsqs overlay")
    everyone = Settings(overlays=(str(folder / "fonts.squashfs"),))
    with serving(folder, Book(Server(), everyone, {})) as answering:
        yield answering


def root(server: Serving) -> str:
    """Where the root is."""
    return f"{server.url}/images/thin/{server.desk.images.current('thin').id}/root.squashfs"


def curl(*words: str | Path) -> bytes:
    """What curl prints."""
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_whole_file_and_what_is_said_of_it(server: Serving, tmp_path: Path) -> None:
    """Its sum is its tag."""
    headers = curl("--dump-header", "-", "--output", tmp_path / "root", root(server)).decode().lower()
    assert (tmp_path / "root").read_bytes() == ROOT
    assert headers.startswith("http/1.1 200")
    assert f'etag: "{hashlib.sha256(ROOT).hexdigest()}"' in headers
    assert "accept-ranges: bytes" in headers
    assert curl("--head", root(server)).decode().lower().count(f"content-length: {len(ROOT)}") == 1


def test_ranges(server: Serving) -> None:
    """First bytes, last bytes, some in the middle over more than one step, none, and several at once (all of it)."""
    assert curl("--range", "0-99", root(server)) == ROOT[:100]
    assert curl("--range", "-50", root(server)) == ROOT[-50:]
    assert curl("--range", "7000000-18000000", root(server)) == ROOT[7000000:18000001]
    assert curl("--range", f"{len(ROOT) - 1}-", root(server)) == ROOT[-1:]
    code = ("--output", "/dev/null", "--write-out", "%{http_code} %header{content-range}")
    assert curl(*code, "--range", f"{len(ROOT)}-", root(server)).decode() == f"416 bytes */{len(ROOT)}"
    assert curl(*code, "--range", "5-8", root(server)).decode() == f"206 bytes 5-8/{len(ROOT)}"
    assert curl("--range", "0-1,5-6", root(server)) == ROOT
    assert curl(*code, "--range", "5-8", "--header", 'If-Range: "other"', root(server)).startswith(b"200")
    same = hashlib.sha256(ROOT).hexdigest()
    assert curl(*code, "--header", f'If-None-Match: "{same}"', root(server)).startswith(b"304")


def test_a_broken_download_goes_on(server: Serving, tmp_path: Path) -> None:
    """As the initrd does it."""
    (tmp_path / "root").write_bytes(ROOT[:9_000_001])
    curl("--continue-at", "-", "--output", tmp_path / "root", root(server))
    assert (tmp_path / "root").read_bytes() == ROOT


def test_several_requests_on_one_connection(server: Serving, tmp_path: Path) -> None:
    """What the kernel sends and what Python writes keep their order."""
    urls = [root(server), f"{server.url}/clients", root(server), f"{server.url}/boot/ipxe"]
    words = [word for number, url in enumerate(urls) for word in ("--output", str(tmp_path / str(number)), url)]
    counted = curl("--write-out", "%{num_connects}\n", *words).decode().split()
    assert counted == ["1", "0", "0", "0"]
    assert (tmp_path / "0").read_bytes() == (tmp_path / "2").read_bytes() == ROOT
    assert (tmp_path / "3").read_bytes().startswith(b"#!ipxe\n")


def test_many_at_once(server: Serving, tmp_path: Path) -> None:
    """Each gets all of it, one of them slowly."""
    slow, url = ["--limit-rate", "20M"], root(server)
    running = [
        subprocess.Popen(["curl", "-s", "--noproxy", "*", *(slow if n == 0 else []), "-o", tmp_path / str(n), url])
        for n in range(12)
    ]
    assert [process.wait(120) for process in running] == [0] * 12
    sums = {hashlib.sha256((tmp_path / str(n)).read_bytes()).hexdigest() for n in range(12)}
    assert sums == {hashlib.sha256(ROOT).hexdigest()}


def test_a_client_that_hangs_up_harms_nobody(server: Serving, tmp_path: Path) -> None:
    """In the middle of a file."""
    for _ in range(3):
        subprocess.run(
            [
                "curl",
                "--silent",
                "--noproxy",
                "*",
                "--limit-rate",
                "1M",
                "--max-time",
                "1",
                "-o",
                "/dev/null",
                root(server),
            ],
            check=False,
        )
    curl("--output", tmp_path / "root", root(server))
    assert (tmp_path / "root").read_bytes() == ROOT


def test_overlays_are_named_with_their_sums(server: Serving) -> None:
    """Under an address that names their content: other content is at another one."""
    menu = curl(f"{server.url}/boot/ipxe?mac=52:54:00:00:00:77&processor=i386").decode()
    address = menu.partition("ovenbird.overlays=")[2].split()[0]
    url, _, total = address.partition("#sha256=")
    assert curl(url) == b"hsqs overlay"
    assert total == hashlib.sha256(b"hsqs overlay").hexdigest()


@pytest.mark.parametrize(
    "path",
    ["/images/thin/../../kept.json", "/images/thin/NUMBER/manifest.json", "/images/thin/NUMBER/..%2f..%2fkept.json",
     "/images/other/NUMBER/kernel", "/images/thin//kernel", "/programs/..%2fclients.json", "/overlays/x/etc",
     "/static/x", "/boot/pxelinux", "/images/..%2f..%2fetc/passwd/x"],
)  # fmt: skip
def test_nothing_else_is_given_out(server: Serving, path: str) -> None:
    """Only what is in the tables."""
    number = server.desk.images.current("thin").id
    url = server.url + path.replace("NUMBER", number)
    assert curl("--path-as-is", "--output", "/dev/null", "--write-out", "%{http_code}", url) == b"404"


def test_a_client_is_seen_on_its_way(server: Serving) -> None:
    """By what it asks for."""
    curl(f"{server.url}/boot/ipxe?mac=52:54:00:00:00:01&processor=i386&serial=42")
    (client,) = [one for one in server.desk.clients.all(0) if one.mac == "52:54:00:00:00:01"]
    assert (client.stage, client.image, client.serial, client.size) == (Stage.MENU, "thin", "42", len(ROOT))
    curl("--range", "0-9", root(server))
    assert server.desk.clients.now("52:54:00:00:00:01").stage == Stage.ROOT  # type: ignore[union-attr] # it was there
    curl("--output", "/dev/null", root(server))
    listed = msgspec.json.decode(curl(f"{server.url}/clients"))["clients"]
    (shown,) = [one for one in listed if one["mac"] == "52:54:00:00:00:01"]
    assert (shown["stage"], shown["sent"]) == ("starting", len(ROOT))


@given(
    st.integers(0, 1 << 40),
    st.text("bytes=-0123456789, ", max_size=40) | st.from_regex(r"bytes=[0-9]{0,12}-[0-9]{0,12}", fullmatch=True),
)
def test_any_range_is_within_the_file(total: int, said: str) -> None:
    """Whatever was asked for."""
    part = wanted(Headers({"range": said}), total, '"x"')
    if part is None:
        return
    assert isinstance(part, Part)
    assert part.start >= 0
    assert part.start + part.count <= total
    assert part.count > 0 or total == 0
