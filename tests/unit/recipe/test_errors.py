"""Everything that can be wrong with a recipe: message, line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovenbird.errors import RecipeError
from ovenbird.recipe.load import load

from .conftest import IMAGE, Write, Wrong

# Text after the four lines of a good [image], line of the problem, message, hint.
AFTER_IMAGE = [
    ('verison = "2"', 5, "unknown key `verison` in [image]", "did you mean `version`?"),
    ("colour = 1", 5, "unknown key `colour` in [image]", "known are board, description, name, version"),
    ('description = "a\\nb"', 5, "`image.description`: this is one line", None),
    ("[dsik]\nroot = '1G'", 5, "unknown section `dsik`", "did you mean `disk`?"),
    ("[fleet]", 5, "unknown section `fleet`", "known are"),
    ("[update]\ndeadline = 300", 6, "`update.deadline` is a whole number, but must be a time", 'write "300s"'),
    ("[update]\ndeadline = '5 min'", 6, '"5 min" is not a time: write "5m"', None),
    ("[update]\ndeadline = '300'", 6, 'the unit is missing, write "300s"', None),
    ("[update]\ndeadline = 'soon'", 6, '"soon" is not a time', None),
    ("[update]\ndeadline = '1s'", 6, "`update.deadline` is 1s, but must be at least 30s", None),
    ("[update]\ndeadline = '25h'", 6, "must be at most 24h", None),
    ("[update]\ntries = 0", 6, "must be from 1 to 9", None),
    ("[update]\nkeys = ['no.pem']", 6, 'there is no file "no.pem"', None),
    ("[update]\nkeys = ['keys/a.pem']", 6, 'there is no file "keys/a.pem"', "ovenbird keys new a --to keys"),
    ("[update]\nkeys = ['ovenbird.toml']", 6, "is no certificate in PEM form", "ovenbird keys new"),
    ("[update]\ncompatible = ['my board']", 6, '"my board" is no hardware revision', None),
    ("[update]\nserver = 'ftp://x/'", 6, "is no web address", "http://HOST/PATH"),
    ("[update]\nserver = 'http://x:99999/'", 6, "is no web address", None),
    ("[[health]]\nunit = 'x.service'", 5, "`name` is missing in [health]", None),
    ("[[health]]\nname = 'x'", 5, 'the health check "x" looks at nothing', "exactly one of `command`"),
    ("[[health]]\nname = 'x'\nunit = 'a.service'\ntcp = 'b:1'", 5, "looks at `tcp` and `unit`", None),
    ("[[health]]\nname = 'x'\nunit = 'a'", 7, '"a" is no unit of systemd', 'write "a.service"'),
    ("[[health]]\nname = 'x'\ntcp = 'a'", 7, '"a" is no host and port', "localhost:80"),
    ("[[health]]\nname = 'x'\ntcp = '::1:80'", 7, "is no host and port", "[::1]:80"),
    ("[[health]]\nname = 'x'\ncommand = ' '", 7, "a command is one line", None),
    ("[[health]]\nname = 'x'\ncontainer = '-a'", 7, "is no name for a container", None),
    ("[[health]]\nname = ' x'\nunit = 'a.service'", 6, "is no name for a check", None),
    ("[[health]]\nname='x'\nunit='a.service'\n[[health]]\nname='x'\nunit='b.service'", 8, "two health checks", None),
    ("[health]\nname = 'x'", 5, "`health` is a table, but must be a list", None),
    ("[state]\nvar = 'volatile'\n[logs]\nkeep = 'data'", 8, "no place on data for the journal", 'keep = "memory"'),
    ("[logs]\nkeep = 'ram'", 6, '`logs.keep` cannot be "ram"', "possible are data, memory"),
    ("[[app]]\nname = 'x'", 5, 'the app "x" names no program', "exactly one of `python`"),
    ("[[apps]]\nname = 'x'", 5, "unknown section `apps`", "did you mean `app`?"),
    ("[base]\nrelease = 'trixy'", 6, 'there is no release "trixy"', "did you mean `trixie`?"),
    ("[base]\nrelease = '13'", 6, 'there is no release "13"', 'write "trixie"'),
    ("[base]\nrelease = 13", 6, "`base.release` is a whole number, but must be a text", 'write "13" in quotes'),
    ("[base]\ndistribution = 'debain'", 6, '`base.distribution` cannot be "debain"', "did you mean `debian`?"),
    ("[base]\ndistribution = 'fedora'", 6, '`base.distribution` cannot be "fedora"', "possible are arch, debian, tar"),
    ("[base]\npackages = 'htop'", 6, "`base.packages` is a text, but must be a list", 'write ["htop"]'),
    ("[base]\npackages = [\n'htop',\n7]", 8, "`base.packages` is a whole number, but must be a text", None),
    ("[base]\npackages = ['htop git']", 6, '"htop git" is more than one package', 'write "htop", "git"'),
    ("[base]\npackages = ['Htop']", 6, '"Htop" is no package name', 'write "htop"'),
    ("[base]\npackages = ['-x']", 6, '"-x" is no package name', None),
    ("[base]\npackages = ['']", 6, '"" is no package name', None),
    ("[base]\npackages = ['a1', 'a\\u0000']", 6, "no package name", None),
    ('[base]\npackages = ["a\\u0000"]', 6, "contains a zero character", None),
    ("[base]\nmirror = 'deb.example.org'", 6, "is no address of a mirror", "http://"),
    ("[base]\nmirror = 'http:/x'", 6, "names no host", "http://host/path"),
    ("[base]\nmirror = 'http://a b/'", 6, "is no address of a mirror", None),
    ("[base]\ncomponents = ['mian']", 6, "has no component `mian`", "did you mean `main`?"),
    ("[base]\nkeyrings = ['no.gpg']", 6, '`base.keyrings`: there is no file "no.gpg"', None),
    ("[base]\nkeyrings = ['ovenbird.tmol']", 6, "there is no file", "did you mean `ovenbird.toml`?"),
    ("[base]\nkeyrings = ['.']", 6, "is a folder, but must be a file", None),
    ("[base]\npreseed = ['no/where']", 6, 'there is no file "no/where"', "there is no folder no"),
    ("[base]\nsources = ['http://x/']", 6, "is no apt source", "deb ADDRESS SUITE COMPONENT"),
    ("[base]\nsources = ['Types: deb']", 6, "lacks `URIs:` and `Suites:`", None),
    ("[disk]\nroot = '512MB'", 6, '`disk.root`: "512MB" is not a size: write "512M"', None),
    ("[disk]\nroot = 512", 6, "`disk.root` is a whole number, but must be a size in quotes", 'write "512M"'),
    ("[disk]\nroot = '8M'", 6, "`disk.root` is 8M, but must be at least 16M", None),
    ("[disk]\nroot = '9T'", 6, "`disk.root` is 9T, but must be at most 64G", None),
    ("[disk]\nroot = '65537K'", 6, "not a whole number of mebibytes", 'write "65M"'),
    ("[disk]\ndata = '17M'", 6, "`disk.data` is 17M, but must be at least 18M", None),
    ("[disk]\nboot = '1M'", 6, "`disk.boot` is 1M, but must be at least 24M", None),
    ("[disk]\nroot = ['1G']", 6, "`disk.root` is a list, but must be a text", None),
    ("[disk]\ncompression_level = 23", 6, "`disk.compression_level` is 23, but must be from 1 to 22", None),
    ("[disk]\ncompression_level = '6'", 6, "must be a whole number", "write 6 without quotes"),
    ("[disk]\ncompression_level = true", 6, "is a boolean, but must be a whole number", None),
    ("[disk]\ncompression-level = 6", 6, "unknown key `compression-level`", "did you mean `compression_level`?"),
    ("[state]\nvar = 'volatil'", 6, '`state.var` cannot be "volatil"', "did you mean `volatile`?"),
    ("[state]\npersist = ['etc/x']", 6, '"etc/x" is not absolute', 'write "/etc/x"'),
    ("[state]\npersist = ['/etc']", 6, "belongs to the slot", "files or folders inside"),
    ("[state]\npersist = ['/etc/../x']", 6, "is not a plain path", None),
    ("[state]\npersist = ['/']", 6, "cannot be kept", None),
    ("[state]\npersist = ['/etc/a b']", 6, "cannot be kept", None),
    ("[state]\npersist = ['/data/x']", 6, "/data/x is kept anyway", None),
    ("[state]\npersist = ['/proc/x']", 6, "no part of the root", None),
    ("[state]\npersist = ['/var/lib/x']", 6, "/var is kept anyway", 'leave "/var/lib/x" out'),
    ("[state]\npersist = ['/home/me/']", 6, "/home is kept anyway", None),
    ("[state]\nvar = 'volatile'\npersist = ['/var']", 7, "all of /var is volatile", "persistent"),
    ("[network]\nhostname = 'Foo_Bar.lan'", 6, '"Foo_Bar.lan" is no host name', 'write "foo-bar.lan"'),
    ("[network]\nhostname = ''", 6, '"" is no host name', None),
    (f"[network]\nhostname = '{'a.' * 40}a'", 6, "has at most 64 characters, this one has 81", None),
    ("[network]\naddresses = ['192.168.1.7']", 6, "lacks the prefix length", 'write "192.168.1.7/24"'),
    ("[network]\naddresses = ['192.168.1.0/24']", 6, "is the network itself", 'write "192.168.1.1/24"'),
    ("[network]\naddresses = ['192.168.1.255/24']", 6, "broadcast", None),
    ("[network]\naddresses = ['192.168.1.300/24']", 6, "is no address", "192.168.1.7/24"),
    ("[network]\naddresses = ['10.0.0.1/33']", 6, "is no address", None),
    ("[network]\naddresses = ['224.0.0.1/24']", 6, "not an address that a device can have", None),
    ("[network]\ngateway = '192.168.1.1'", 6, "only for fixed addresses", "set `addresses`"),
    (
        "[network]\naddresses = ['192.168.1.7/24']\ngateway = '10.0.0.1'",
        7,
        "none of the device's networks (192.168.1.0/24)",
        None,
    ),
    ("[network]\naddresses = ['192.168.1.7/24']\ngateway = '192.168.1.7'", 7, "the device's own address", None),
    ("[network]\ndns = ['dns.example.org']", 6, "is no address of a machine", None),
    ("[network]\ndns = ['9.9.9.9/32']", 6, "is no address of a machine", 'write "9.9.9.9"'),
    ("[network]\nmdns = 'yes'", 6, "`network.mdns` is a text, but must be true or false", "write true, without quotes"),
    ("[network]\nmdns = 0", 6, "must be true or false", "write false, without quotes"),
    ("[network]\nmdns = 2024-01-01", 6, "is a date or time, but must be true or false", None),
    ("network = 'dhcp'", 5, "unknown key `network` in [image]", None),
    ("[boot]\ncmdline = ['quiet splash']", 6, "more than one argument", 'write "quiet", "splash"'),
    ("[boot]\ncmdline = 'quiet'", 6, "must be a list", 'write ["quiet"]'),
    ("[boot]\ncmdline = ['a=\"b\"']", 6, 'cannot be passed through the boot loader because of "', None),
    ("[boot]\ncmdline = ['a=$x']", 6, "because of $", None),
    ("[boot]\ncmdline = ['root=/dev/sda1']", 6, "`root` is set by Ovenbird", None),
    ("[boot]\ncmdline = ['ovenbird.debug']", 6, "is the key `debug`", "write `debug = true`"),
    ("[boot]\ncmdline = ['']", 6, "not empty", None),
    ("[boot]\nmodules = ['drivers/r8169.ko.xz']", 6, "is no kernel module", 'write "r8169"'),
    ("[build]\nstages = 'os'", 6, "`build.stages` is a text, but must be a list", 'write ["os"]'),
    ("[build]\nstages = [7]", 6, "a stage is a whole number, but must be a text or a table", None),
    ("[build]\nstages = [{ name = 'os' }]", 6, "has no `use`", None),
    ("[build]\nstages = [{ use = 7 }]", 6, "`use` is a whole number", None),
    ("[build]\nstages = [\n'os',\n'shh']", 8, "there is no stock stage `shh`", "did you mean `ssh`?"),
    ("[build]\nstages = ['nothing-like-it']", 6, "no stock stage `nothing-like-it`", "ssh, swap, usb-gadget, users"),
    ("[build]\nstages = ['']", 6, "no stock stage ``", None),
    ("[build]\nstages = ['cleanup', 'os']", 6, "always comes last", "leave it out"),
    ("[build]\nstages = ['./mine']", 6, 'there is no folder "./mine" for a stage', None),
    ('[build]\nstages = ["./mi\\u0000ne"]', 6, "no folder", None),
    (
        "[build]\nstages = [{ use = 'ssh', prot = 22 }]",
        6,
        "stage `ssh` has no parameter `prot`",
        "did you mean `port`?",
    ),
    ("[build]\nstages = [{ use = 'ssh', port = '22' }]", 6, "must be a whole number", "write 22 without quotes"),
    ("[build]\nstages = [{ use = 'ssh',\n keys = 'keys/*.pub' }]", None, "", None),
    ("[build]\nstages = [{ use = 'ssh', keys = 'keys/*.pub' }]", 6, 'no file matches "keys/*.pub"', None),
    ("[build]\nstages = [{ use = 'ssh', keys = 'me.pub' }]", 6, 'there is no file "me.pub"', None),
    ("[build]\nstages = ['users']", 6, "stage `users` needs its parameter `name`", None),
    ("[build]\nstages = [{ use = 'users', name = ['x'] }]", 6, "`name` is a list, but must be a text", None),
]


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [case for case in AFTER_IMAGE if case[1]],
    ids=[c[0] for c in AFTER_IMAGE if c[1]],
)
def test_one_clear_error(wrong: Wrong, text: str, line: int, message: str, hint: str | None) -> None:
    problems = wrong(IMAGE + text + "\n")
    assert len(problems) == 1, [str(problem) for problem in problems]
    [problem] = problems
    assert message in problem.message
    assert problem.line == line
    assert problem.file == Path.cwd() / "ovenbird.toml"
    assert problem.where == f"ovenbird.toml:{line}"
    if hint is not None:
        assert hint in (problem.hint or "")


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("", None, "the section [image] is missing", "it needs name, version, board"),
        ("[imgae]\nname = 'x'", 1, "unknown section `imgae`", "did you mean `image`?"),
        ("image = 'hello'", 1, "`image` is a text, but must be a table", "write it as [image]"),
        ("[[image]]\nname = 'x'", 1, "`image` is a list, but must be a table", None),
        (IMAGE.replace('"1.0"', "1.0"), 3, "`image.version` is a number, but must be a text", 'write "1.0" in quotes'),
        (IMAGE.replace('"1.0"', '"v1.0"'), 3, "is no version", 'write "1.0"'),
        (IMAGE.replace('"1.0"', '""'), 3, "is no version", None),
        (IMAGE.replace('"1.0"', '"1/0"'), 3, "is no version", None),
        (IMAGE.replace("hello", "My Device"), 2, "is no name for an image", 'write "my-device"'),
        (IMAGE.replace("hello", "-x"), 2, "is no name for an image", 'write "x"'),
        (IMAGE.replace("hello", "!"), 2, "is no name for an image", None),
        (IMAGE.replace("hello", "x" * 64), 2, "at most 63", None),
        (IMAGE.replace('"vm"', '"wm"'), 4, 'there is no board "wm"', "did you mean `vm`?"),
        (IMAGE.replace('"vm"', '"toaster"'), 4, 'there is no board "toaster"', "known are pc, rpi"),
        (IMAGE.replace("name", "nmae"), 2, "unknown key `nmae` in [image]", "did you mean `name`?"),
        (IMAGE.replace('name = "hello"\n', ""), 1, "`name` is missing in [image]", 'write `name = "hello"`'),
        (IMAGE + "x", 5, "not TOML: expected '=' after a key", None),
        ("include = 'x.toml'\n" + IMAGE, 1, "`include` is a text, but must be a list of files", 'write ["x.toml"]'),
        ("include = [\n'x.toml']\n" + IMAGE, 2, '`include`: there is no file "x.toml"', None),
        ("include = [7]\n" + IMAGE, 1, "`include` is a whole number", None),
        ("include = ['ovenbird.toml']\n" + IMAGE, 1, "cannot include itself: ovenbird.toml → ovenbird.toml", None),
    ],
)
def test_the_frame(wrong: Wrong, text: str, line: int | None, message: str, hint: str | None) -> None:
    problems = wrong(text)
    assert len(problems) == 1, [str(problem) for problem in problems]
    [problem] = problems
    assert message in problem.message
    assert problem.line == line
    if hint is not None:
        assert hint in (problem.hint or "")


def test_all_independent_errors_come_together(wrong: Wrong) -> None:
    problems = wrong(
        IMAGE.replace("hello", "Hello")
        + "[disk]\nroot = '1Q'\nbot = '1G'\n"
        + "[build]\nstages = ['oss', './mine', { use = 'ssh', port = 'x', user = 7 }]\n"
    )
    assert [problem.line for problem in problems] == [2, 6, 7, 9, 9, 9, 9]


def test_one_message_lists_all(write: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        load(write(IMAGE + "[disk]\nroot = '1Q'\nbot = '1G'\n"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 problems in the recipe"
    assert lines[1].startswith("  ovenbird.toml:6: `disk.root`")
    assert lines[2] == "  ovenbird.toml:7: unknown key `bot` in [disk] (did you mean `boot`?)"
    assert caught.value.where is None
    assert caught.value.exit_code == 2


def test_a_single_error_has_its_place_and_hint(write: Write) -> None:
    with pytest.raises(RecipeError) as caught:
        load(write(IMAGE + "[disk]\nbot = '1G'\n"))
    assert caught.value.where == "ovenbird.toml:6"
    assert caught.value.hint == "did you mean `boot`?"


def test_errors_in_an_included_file_name_it(write: Write, wrong: Wrong) -> None:
    write("[disk]\n\nroot = '1Q'\n", "parts/disk.toml")
    [problem] = wrong('include = ["parts/disk.toml"]\n' + IMAGE)
    assert problem.where == "parts/disk.toml:3"


def test_a_table_against_a_list(write: Write, wrong: Wrong) -> None:
    write("[base]\npackages = ['a1']\n", "part.toml")
    problems = wrong('include = ["part.toml"]\n' + IMAGE + "[base]\npackages = 'b1'\n")
    assert "`base.packages` is a text here, but a list in part.toml:2" in problems[0].message


def test_a_ring_of_includes(write: Write, wrong: Wrong) -> None:
    write("include = ['sub/two.toml']\n", "one.toml")
    write("include = [\n'../one.toml']\n", "sub/two.toml")
    [problem] = wrong("include = ['one.toml']\n" + IMAGE)
    assert problem.where == "sub/two.toml:2"
    assert problem.message == "a recipe cannot include itself: one.toml → sub/two.toml → one.toml"


def test_every_broken_included_file_is_told(write: Write, wrong: Wrong) -> None:
    write("x", "one.toml")
    write("[y", "two.toml")
    problems = wrong("include = ['one.toml', 'two.toml', 'three.toml']\n" + IMAGE)
    assert [problem.where for problem in problems] == ["one.toml:1", "two.toml:1", "ovenbird.toml:1"]


def test_unreadable_file(write: Write, wrong: Wrong) -> None:
    write("", "loop.toml").unlink()
    (Path.cwd() / "loop.toml").symlink_to("loop.toml")
    [problem] = wrong("include = ['loop.toml']\n" + IMAGE)
    assert 'there is no file "loop.toml"' in problem.message


def test_a_folder_of_ones_own_without_its_path(write: Write, wrong: Wrong) -> None:
    write("RUN true", "stages/mine/Containerfile.part")
    [problem] = wrong(IMAGE + "[build]\nstages = ['mine']\n")
    assert problem.hint == 'for your own folder, write "./stages/mine"'
    [problem] = wrong(IMAGE + "[build]\nstages = ['./stages/mime']\n")
    assert problem.hint == "did you mean `mine`?"


def test_a_huge_file_is_not_read(wrong: Wrong) -> None:
    [problem] = wrong("#" * (5 << 20))
    assert "far too large" in problem.message
