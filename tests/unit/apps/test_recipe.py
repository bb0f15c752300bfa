"""`[[app]]` in a recipe: what is understood, and one clear error for what is not."""

from __future__ import annotations

import pytest

from ovenbird.recipe.load import load
from ovenbird.recipe.schema import recipe_schema
from ovenbird.recipe.summary import data, lines

from .conftest import IMAGE, Load, Write, Wrong


@pytest.fixture(autouse=True)
def places(write: Write) -> None:
    """What the recipes below name."""
    write("app/main.py", "print('hello')\n")
    write("two/one.py")
    write("two/other.py")
    write("project/pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n")
    write("server/go.mod", "module example.com/server\n\ngo 1.19\n")
    write("server/cmd/hello/main.go", "package main\n")
    write("tool", "#!/bin/sh\n", 0o755)
    write("layout/index.json", "{}")
    write("empty/README.md")
    write("web.tar")


def test_every_kind_and_every_key(read: Load) -> None:
    recipe = read(
        """
        [[app]]
        name = "page"
        python = "./app"
        description = "A page"
        module = "uvicorn"
        arguments = ["-v", "-v", "main:app"]
        environment = { GREETING = "50 %%" }
        secrets = ["api-token"]
        groups = ["plugdev"]
        ports = [8000, "53/udp", "8000/udp"]
        devices = ["/dev/ttyUSB0"]
        files = { "/etc/page.conf" = "tool", "static" = "app" }
        start = "manual"
        after = ["server", "systemd-resolved.service"]
        wait_for_clock = true
        ready = "notify"
        ready_within = "5m"
        stop_within = "30s"
        restart = "on-failure"
        restart_delay = "2s"
        restart_delay_most = "10m"
        memory = "64M"
        cpu = 150
        health = [{ name = "page", http = "http://localhost:8000/" }]
        [[app]]
        name = "server"
        go = "./server/cmd/hello"
        build_flags = ["-ldflags=-X=main.a=b"]
        build_environment = { GOAMD64 = "v2" }
        [[app]]
        name = "tool"
        binary = "https://example.org/tool"
        sha256 = "%s"
        [[app]]
        name = "web"
        container = "oci:layout"
        options = ["--network=host"]
        ports = ["8080:80"]
        """
        % ("a" * 64)
    ).recipe
    page, server, tool, web = recipe.app
    assert page.arguments == ("-v", "-v", "main:app")
    assert page.ports == ("8000/tcp", "53/udp", "8000/udp")
    assert page.python is not None
    assert page.python.startswith("/")
    assert page.python.endswith("/app")
    assert page.files["static"].endswith("/recipe/app")
    assert page.health[0].http == "http://localhost:8000/"
    assert (page.memory, page.cpu, page.restart_delay_most) == (64 << 20, 150, 600)
    assert (page.kind, server.kind, tool.kind, web.kind) == ("python", "go", "binary", "container")
    assert (page.runs_as, page.unit) == ("app-page", "app-page.service")
    assert web.ports == ("8080:80/tcp",)
    assert web.container is not None
    assert web.container.startswith("oci:/")


def test_defaults(read: Load) -> None:
    [app] = read('[[app]]\nname = "a"\ngo = "example.com/cmd/a@v1.2.3"').recipe.app
    assert app.go == "example.com/cmd/a@v1.2.3"
    assert (app.start, app.restart, app.ready, app.wait_for_clock) == ("boot", "always", "started", False)
    assert app.arguments == app.ports == app.secrets == ()


def test_apps_of_included_files_come_first(write: Write) -> None:
    write("common/more.toml", '[[app]]\nname = "first"\nbinary = "../tool"\n')
    text = 'include = ["common/more.toml"]\n' + IMAGE + '[[app]]\nname = "second"\nbinary = "tool"\n'
    recipe = load(write("ovenbird.toml", text)).recipe
    assert [app.name for app in recipe.app] == ["first", "second"]
    assert recipe.app[0].binary == recipe.app[1].binary


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name = 'a'", "names no program", "exactly one of `python`, `go`"),
        ("name = 'a'\ngo = './server/cmd/hello'\nbinary = 'tool'", "names `go` and `binary`", "exactly one"),
        ("binary = 'tool'", "`name` is missing", None),
        ("name = 'A b'\nbinary = 'tool'", "is no name for an app", 'write "a-b"'),
        ("name = '1a'\nbinary = 'tool'", "is no name for an app", None),
        (f"name = '{'a' * 29}'\nbinary = 'tool'", "is no name for an app", f'write "{"a" * 28}"'),
        ("name = 'a'\nbinry = 'tool'", "unknown key `binry`", "did you mean `binary`?"),
        ("name = 'a'\nbinary = 'tol'", 'there is no file "tol"', "did you mean `tool`?"),
        ("name = 'a'\nbinary = 'app'", '"app" is a folder', None),
        ("name = 'a'\nbinary = 'https://x.org/t'", "needs its `sha256`", "sha256sum"),
        ("name = 'a'\nbinary = 'ftp://x.org/t'", "is no web address", None),
        ("name = 'a'\nbinary = 'tool'\nsha256 = 'ab'", "64 hexadecimal digits", None),
        (f"name = 'a'\nbinary = 'tool'\nsha256 = '{'a' * 64}'", "this one is a file", None),
        (f"name = 'a'\nbinary = 'https://x.org/t'\nsha256 = '{'A' * 64}'", "lower-case", f'"{"a" * 64}"'),
        ("name = 'a'\npython = './ap'", 'there is no folder "./ap"', "did you mean `app`?"),
        ("name = 'a'\npython = 'app'", "there is such a folder", 'write "./app"'),
        ("name = 'a'\npython = 'ap p'", "neither a folder nor a requirement", "NAME==VERSION"),
        ("name = 'a'\npython = './tool'", "is a file, but must be a folder", None),
        ("name = 'a'\npython = './empty'", "is no Python project", "pyproject.toml"),
        ("name = 'a'\npython = './two'", "which of its files to run (one.py, other.py)", "script"),
        ("name = 'a'\npython = './app'\nentry = 'main'", "is no function", "module = "),
        ("name = 'a'\npython = './app'\nmodule = 'main.py'", "is no module", 'script = "main.py"'),
        ("name = 'a'\npython = './app'\nmodule = 'a:b'", "is no module", 'entry = "a:b"'),
        ("name = 'a'\npython = './app'\nscript = '../x'", "neither a command nor a file", None),
        ("name = 'a'\npython = './app'\nscript = 'x'\nmodule = 'y'", "has `module` and `script`", "one of them"),
        ("name = 'a'\ngo = './app'", "is in no Go module", "go mod init"),
        ("name = 'a'\ngo = './server'", "has no Go files", "./server/cmd/hello"),
        ("name = 'a'\ngo = 'server'", "neither a folder nor a Go module", 'write "./server"'),
        ("name = 'a'\ngo = 'example.com/x'", "lacks its version", "example.com/x@v1.2.3"),
        ("name = 'a'\ngo = 'example.com/x@latest'", '"latest" moves', "@v1.2.3"),
        ("name = 'a'\ncontainer = 'nginx:1.27'", "is no container image", "docker.io/library/nginx:1.27"),
        ("name = 'a'\ncontainer = 'web.tar'", "is no container image", "oci-archive:web.tar"),
        ("name = 'a'\ncontainer = 'docker.io/library/nginx'", "lacks its version", ":VERSION"),
        ("name = 'a'\ncontainer = 'oci-archive:wab.tar'", 'no file "wab.tar"', "did you mean `web.tar`?"),
        ("name = 'a'\ncontainer = 'oci:app'", "is no OCI layout", None),
        ("name = 'a'\ncontainer = 'docker-archive:web.tar'", "Docker's own kind", "skopeo"),
        ("name = 'a'\ncontainer = 'oci:layout'\nuser = 'pi'", "its own user, or as root", "--user=NAME"),
        ("name = 'a'\nbinary = 'tool'\nentry = 'a:b'", "`app.entry` is only for `python`", None),
        ("name = 'a'\ncontainer = 'oci:layout'\nready = 'notify'", "`app.ready` is only for", None),
        ("name = 'a'\nbinary = 'tool'\nports = ['80000']", "from 1 to 65535", None),
        ("name = 'a'\nbinary = 'tool'\nports = ['http']", "is no port", 'write "8000"'),
        ("name = 'a'\nbinary = 'tool'\nports = ['80/tpc']", 'no protocol "tpc"', "did you mean `tcp`?"),
        ("name = 'a'\nbinary = 'tool'\nports = ['81:80']", "only a container can have two", None),
        ("name = 'a'\nbinary = 'tool'\nports = [80]", "80/tcp is taken by the device's own page", None),
        ("name = 'a'\nbinary = 'tool'\nports = 81", "must be a list", None),
        ("name = 'a'\nbinary = 'tool'\narguments = '-v x'", "must be a list", 'write ["-v", "x"]'),
        ('name = "a"\nbinary = "tool"\narguments = ["a\\nb"]', "one line", None),
        ("name = 'a'\nbinary = 'tool'\nenvironment = { '1a' = 'x' }", "no name of a variable", None),
        ("name = 'a'\nbinary = 'tool'\nenvironment = { OVENBIRD_APP = 'x' }", "set by Ovenbird", None),
        ("name = 'a'\nbinary = 'tool'\nenvironment = { A = 1 }", "must be a text", 'write "1" in quotes'),
        ("name = 'a'\nbinary = 'tool'\nenvironment = 'A=1'", "must be a table", "environment = {"),
        ("name = 'a'\nbinary = 'tool'\nsecrets = ['KEY=abc']", "only the name of a secret", 'write "KEY"'),
        ("name = 'a'\nbinary = 'tool'\nuser = 'Pi'", "is no name of a user", 'write "pi"'),
        ("name = 'a'\nbinary = 'tool'\ndevices = ['ttyUSB0']", "is no device file", 'write "/dev/ttyUSB0"'),
        ("name = 'a'\nbinary = 'tool'\ndevices = ['/dev/../etc']", "is no device file", None),
        ("name = 'a'\nbinary = 'tool'\nafter = ['b']", 'there is no app "b"', "b.service"),
        ("name = 'a'\nbinary = 'tool'\nafter = ['a']", "cannot come after itself", None),
        ("name = 'a'\nbinary = 'tool'\nstart = 'boots'", '`app.start` cannot be "boots"', "did you mean `boot`?"),
        ("name = 'a'\nbinary = 'tool'\nmemory = '1M'", "must be at least 4M", None),
        ("name = 'a'\nbinary = 'tool'\ncpu = 0", "must be from 1 to", None),
        ("name = 'a'\nbinary = 'tool'\nrestart_delay = '2m'", "shorter than", None),
        ("name = 'a'\nbinary = 'tool'\nfiles = { '/data/x' = 'tool' }", "not part of the image", None),
        ("name = 'a'\nbinary = 'tool'\nfiles = { '/usr/lib/ovenbird/x' = 'tool' }", "belongs to Ovenbird", None),
        ("name = 'a'\nbinary = 'tool'\nfiles = { '../x' = 'tool' }", 'may not contain "." or ".."', None),
        ("name = 'a'\nbinary = 'tool'\nfiles = { 'x' = 'tol' }", 'there is no file "tol"', "did you mean `tool`?"),
        ("name = 'a'\nbinary = 'tool'\nhealth = [{ name = 'x' }]", "looks at nothing", None),
        ("name = 'a'\nbinary = 'tool'\n[[app]]\nname = 'a'\nbinary = 'tool'", 'two apps "a"', "ovenbird.toml:5"),
    ],
)  # fmt: skip
def test_one_clear_error(wrong: Wrong, text: str, message: str, hint: str | None) -> None:
    [problem] = wrong(f"[[app]]\n{text}\n")
    assert message in problem.message
    assert problem.line is not None
    assert problem.line >= 5
    assert hint is None or (problem.hint and hint in problem.hint), problem.hint


def test_a_port_that_two_apps_take_is_told_with_both_places(wrong: Wrong) -> None:
    [problem] = wrong(
        "[[app]]\nname='a'\nbinary='tool'\nports=[81, 82]\n[[app]]\nname='b'\nbinary='tool'\nports=['82/tcp']\n"
    )
    assert problem.message == 'the port 82/tcp is taken by the app "a" (ovenbird.toml:5)'
    assert problem.line == 12


def test_ports_of_the_system_are_taken(wrong: Wrong) -> None:
    [first] = wrong("[build]\nstages=[{use='ssh', port=2222}]\n[[app]]\nname='a'\nbinary='tool'\nports=[2222]\n")
    assert "taken by the stage `ssh`" in first.message
    [second] = wrong("[update]\nswupdate_api = true\n[[app]]\nname='a'\nbinary='tool'\nports=[8080]\n")
    assert "SWUpdate" in second.message


def test_a_container_needs_a_release_with_quadlets(wrong: Wrong) -> None:
    [problem] = wrong("[base]\nrelease='bookworm'\n[[app]]\nname='a'\ncontainer='docker.io/library/nginx:1'\n")
    assert "newer podman than bookworm has" in problem.message
    assert problem.hint == 'write `release = "trixie"` in [base]'


def test_what_was_understood(read: Load) -> None:
    loaded = read("[[app]]\nname='a'\nbinary='tool'\nports=[81]\nstart='manual'\n")
    assert ("app", "a · binary tool · port 81/tcp · started by hand") in lines(loaded)
    assert data(loaded)["recipe"]["app"][0]["ports"] == ("81/tcp",)


def test_the_schema_has_apps() -> None:
    app = recipe_schema()["$defs"]["App"]
    assert app["required"] == ["name"]
    assert app["properties"]["ports"]["items"]["type"] == ["string", "integer"]
    assert app["properties"]["environment"]["type"] == "object"
    assert all(value.get("description") for value in app["properties"].values())
