"""Where a base comes from: the other release, a mirror and key of one's own, further sources, answers, and proxies."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.archive import Proxy, keyrings, proxying, sign
from tests.tool import Project, Tool

pytestmark = pytest.mark.build
# A package that writes down what debconf was told before it was installed.
CONFIG = "#!/bin/sh\n. /usr/share/debconf/confmodule\ndb_input low ovenbird-probe/answer || true\ndb_go || true\n"
TEMPLATES = "Template: ovenbird-probe/answer\nType: string\nDefault: none\nDescription: Answer\n An answer.\n"
POSTINST = """#!/bin/sh
set -e
. /usr/share/debconf/confmodule
db_get ovenbird-probe/answer
echo "$RET" > /etc/ovenbird-probe
db_stop
"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A small signed package archive on the loopback: its URL and the file with its key."""
    folder = tmp_path_factory.mktemp("archive")
    pool = folder / "dists/nest/extra/binary-amd64"
    pool.mkdir(parents=True)
    (pool / "Packages").write_bytes(_package(folder))
    (pool / "Packages.gz").write_bytes(gzip.compress((pool / "Packages").read_bytes()))
    suite = folder / "dists/nest"
    sums = [
        f" {hashlib.sha256(file.read_bytes()).hexdigest()} {file.stat().st_size} {file.relative_to(suite)}"
        for file in sorted(pool.iterdir())
    ]
    head = "Origin: Nest\nSuite: nest\nCodename: nest\nArchitectures: amd64\nComponents: extra\n"
    date = "Date: Thu, 01 Jan 2026 00:00:00 UTC\n"
    (suite / "Release").write_text(f"{head}{date}SHA256:\n" + "\n".join(sums) + "\n")
    key = folder / "nest.gpg"
    sign([suite / "Release"], tmp_path_factory.mktemp("gnupg"), key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", key
    server.shutdown()


def _package(folder: Path) -> bytes:
    """Make the package below a folder and return its paragraph of the package list."""
    tree = folder / "tree"
    control = tree / "DEBIAN"
    control.mkdir(parents=True)
    fields = "Package: ovenbird-probe\nVersion: 1.0\nArchitecture: all\nMaintainer: Nest <nest@example.org>\n"
    fields += "Depends: debconf\nDescription: a probe\n"
    (control / "control").write_text(fields)
    (control / "templates").write_text(TEMPLATES)
    for script, text in (("config", CONFIG), ("postinst", POSTINST)):
        (control / script).write_text(text)
        (control / script).chmod(0o755)
    file = folder / "pool/ovenbird-probe_1.0_all.deb"
    file.parent.mkdir()
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", tree, file], check=True, capture_output=True)
    shutil.rmtree(tree)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{fields}Filename: pool/{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n".encode()


@pytest.fixture
def proxy() -> Iterator[str]:
    """The URL of the proxy."""
    with proxying() as url:
        yield url


def with_archive(project: Project, url: str, key: Path, *more: str) -> None:
    """Let the recipe take its probe from the archive."""
    shutil.copy(key, project.folder / "nest.gpg")
    lines = ["[base]", 'packages = ["ovenbird-probe"]', keyrings("nest.gpg"), *more]
    lines.append(f'sources = ["deb {url} nest extra"]')
    project.add("\n".join(lines))


def test_bookworm_with_a_source_a_key_an_answer_and_a_proxy(
    tool: Tool, project: Project, archive: tuple[str, Path], proxy: str
) -> None:
    url, key = archive
    (project.folder / "answers").write_text("ovenbird-probe ovenbird-probe/answer string forty-two\n")
    with_archive(project, url, key, 'release = "bookworm"', 'preseed = ["answers"]')
    through = {name: value for name, value in os.environ.items() if name.lower() == "http_proxy"}
    done = tool.run("build", project.recipe, env={**through, "http_proxy": proxy, "no_proxy": ""})
    assert done.code == 0, done.err
    assert any(asked.startswith(url) and asked.endswith("InRelease") for asked in Proxy.asked)
    assert any(urlsplit(asked).path.endswith(".deb") for asked in Proxy.asked)
    packages = {package.name: package.version for package in project.manifest().packages}
    assert packages["ovenbird-probe"] == "1.0"
    assert packages["base-files"].startswith("12.")
    command = ["unsquashfs", "-cat", str(project.out / "root.squashfs"), "etc/ovenbird-probe"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "forty-two\n"
    done = tool.run("shell", project.recipe, "-c", "cat", "-c", "/etc/debian_version")
    assert (done.code, done.out[:3]) == (0, "12."), done.err


def test_a_source_without_its_key_is_refused(tool: Tool, project: Project, archive: tuple[str, Path]) -> None:
    url, _ = archive
    project.add(f'[base]\nsources = ["deb {url} nest extra"]')
    done = tool.run("build", project.recipe)
    assert done.code == 4, done.err
    assert [line.startswith("error: ") for line in done.err.splitlines()].count(True) == 1
    assert "NO_PUBKEY" in done.err or "not signed" in done.err


def test_components_and_mirrors_reach_the_sources(tool: Tool, project: Project) -> None:
    """Security updates have an archive of their own, which a mirror of the distribution does not carry."""
    own = 'mirror = "http://127.0.0.1:9/debian"\nsecurity_mirror = "http://127.0.0.1:9/security"'
    project.add(f'[base]\n{own}\ncomponents = ["main", "contrib"]')
    done = tool.run("build", project.recipe)
    assert done.code == 4
    assert "127.0.0.1:9" in done.err
    [text] = [
        text
        for file in (tool.cache / "index").glob("*/sources.list")
        if "127.0.0.1:9/debian trixie main contrib" in (text := file.read_text())
    ]
    places = {line.split()[2]: line.split()[1] for line in text.splitlines()}
    assert places.pop("trixie-security") == "http://127.0.0.1:9/security"
    assert places == dict.fromkeys(("trixie", "trixie-updates"), "http://127.0.0.1:9/debian")
