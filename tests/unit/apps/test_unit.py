"""What systemd is told: units, quadlets, users, and the words of each."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ovenbird.boards import board
from ovenbird.build import tree
from ovenbird.build.apps import step, unit
from ovenbird.build.apps.kind import Target
from ovenbird.recipe.model import Recipe
from ovenbird.run import CommandError, Completed
from ovenbird_device.format import apps

from .conftest import AMD64, Load, Write


@pytest.fixture(autouse=True)
def places(write: Write) -> None:
    write("tool", "#!/bin/sh\n", 0o755)
    write("app/main.py")


def lines(recipe: Recipe, name: str, target: Target = AMD64) -> list[str]:
    """The lines of an app's unit."""
    app = next(app for app in recipe.app if app.name == name)
    return step.unit_file(app, target)[1].splitlines()


def test_an_app_is_shut_in_by_default(read: Load) -> None:
    found = lines(read("[[app]]\nname='a'\nbinary='tool'\n").recipe, "a")
    for line in (
        "User=app-a", "ExecStart=/usr/lib/ovenbird-apps/a/a", "Type=exec", "Restart=always",
        "WantedBy=multi-user.target",
        "ExecStartPre=+/bin/sh /usr/lib/ovenbird/app-state a app-a", "ReadWritePaths=-/data/apps/a",
        "ProtectSystem=strict", "PrivateDevices=yes", "CapabilityBoundingSet=", "NoNewPrivileges=yes",
        "SuccessExitStatus=125", "RestartPreventExitStatus=125", "StartLimitIntervalSec=0",
        "Environment=OVENBIRD_APP=a", "Environment=OVENBIRD_STATE=/data/apps/a",
    ):  # fmt: skip
        assert line in found
    assert not any(line.startswith(("MemoryMax", "CPUQuota", "LoadCredential", "Supplementary")) for line in found)


def test_delays_grow_where_systemd_can(read: Load) -> None:
    recipe = read("[[app]]\nname='a'\nbinary='tool'\nrestart_delay='2s'\nrestart_delay_most='5m'\n").recipe
    assert {"RestartSec=2", "RestartSteps=8", "RestartMaxDelaySec=300"} <= set(lines(recipe, "a"))
    older = lines(recipe, "a", Target("amd64", "bookworm", "3.11"))
    assert "RestartSec=2" in older
    assert not any("RestartSteps" in line or "RestartMaxDelay" in line for line in older)


def test_what_is_asked_for_is_opened(read: Load) -> None:
    found = lines(
        read(
            "[[app]]\nname='a'\nbinary='tool'\nports=[443]\ndevices=['/dev/ttyUSB0','/dev/dri/card0']\n"
            "groups=['plugdev']\nsecrets=['token']\nmemory='64M'\ncpu=50\nafter=['b','x.service']\nready='notify'\n"
            "wait_for_clock=true\nstart='manual'\nrestart='never'\n[[app]]\nname='b'\nbinary='tool'\nuser='root'\n"
        ).recipe,
        "a",
    )
    for line in (
        "AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "DevicePolicy=closed", "DeviceAllow=/dev/ttyUSB0 rw", "SupplementaryGroups=plugdev dialout render video",
        "LoadCredential=token:/data/ovenbird/secrets/a/token", "ConditionPathExists=/data/ovenbird/secrets/a/token",
        "MemoryMax=67108864", "CPUQuota=50%", "After=network.target app-b.service x.service",
        "Wants=app-b.service x.service", "Type=notify", "NotifyAccess=all", "TimeoutStartSec=infinity",
        "Environment=OVENBIRD_WAIT_FOR_CLOCK=1", "Restart=no",
        "ExecStart=/bin/sh /usr/lib/ovenbird/app-clock /usr/lib/ovenbird-apps/a/a",
    ):  # fmt: skip
        assert line in found
    assert "PrivateDevices=yes" not in found
    assert "[Install]" not in found


def test_root_is_trusted(read: Load) -> None:
    found = lines(read("[[app]]\nname='a'\nbinary='tool'\nuser='root'\ndevices=['/dev/ttyS0']\n").recipe, "a")
    assert "User=root" in found
    assert not any(line.startswith(("Protect", "Capability", "Supplementary", "Device")) for line in found)


@pytest.mark.parametrize(
    ("text", "plain", "command"),
    [
        ("plain-1.0", "plain-1.0", "plain-1.0"),
        ("", '""', '""'),
        ("two words", '"two words"', '"two words"'),
        ("50 %", '"50 %%"', '"50 %%"'),
        ("$HOME", "$HOME", "$$HOME"),
        ('say "hi" \\ bye', '"say \\"hi\\" \\\\ bye"', '"say \\"hi\\" \\\\ bye"'),
        ("it's; a|b", '"it\'s; a|b"', '"it\'s; a|b"'),
        ("a\tb", '"a\\tb"', '"a\\tb"'),
        ("ä", '"ä"', '"ä"'),
    ],
)
def test_words_arrive_as_they_are(text: str, plain: str, command: str) -> None:
    assert unit.quoted(text) == plain
    assert unit.quoted(text, command=True) == command


def test_a_container_is_a_quadlet(read: Load) -> None:
    recipe = read(
        "[[app]]\nname='web'\ncontainer='docker.io/library/nginx:1.27'\nports=['8080:80', 81]\narguments=['a b']\n"
        "secrets=['k']\noptions=['--network=host']\ndevices=['/dev/ttyS0']\nmemory='64M'\n"
    ).recipe
    place, _ = step.unit_file(recipe.app[0], AMD64)
    assert place == "usr/share/containers/systemd/app-web.container"
    found = lines(recipe, "web")
    for line in (
        "Image=docker.io/library/nginx:1.27", "Pull=missing", "PublishPort=8080:80/tcp", "PublishPort=81:81/tcp",
        'Exec="a b"', "Secret=app-web-k,target=k", "PodmanArgs=--network=host", "AddDevice=/dev/ttyS0",
        "Volume=/data/apps/web:/data/apps/web:U", "MemoryMax=67108864", "NoNewPrivileges=true",
        "Environment=CREDENTIALS_DIRECTORY=/run/secrets", "Restart=always",
    ):  # fmt: skip
        assert line in found
    assert any(line.startswith("UIDMap=0:") for line in found)
    assert not any("125" in line or "AutoUpdate" in line for line in found)
    assert not any(line.startswith("UIDMap") for line in lines(
        read("[[app]]\nname='web'\ncontainer='docker.io/library/nginx:1.27'\nuser='root'\n").recipe, "web"
    ))  # fmt: skip


def test_what_the_tree_gets(read: Load) -> None:
    loaded = read(
        "[[app]]\nname='a'\nbinary='tool'\nports=[81]\ndescription='A tool'\nhealth=[{name='up',tcp='localhost:81'}]\n"
        "[[app]]\nname='p'\npython='./app'\nuser='daemon'\nstart='manual'\n"
        "[[app]]\nname='web'\ncontainer='docker.io/library/nginx:1.27'\n"
    )
    files = step.app_files(loaded.recipe, AMD64)
    listed = apps.load(files[apps.PATH].encode()).apps
    assert [app.name for app in listed] == ["a", "p", "web"]
    assert (listed[0].unit, listed[0].user, listed[0].ports) == ("app-a.service", "app-a", ("81/tcp",))
    assert (listed[1].start, listed[1].user, listed[2].user) == ("manual", "daemon", "")
    users = [line for line in files["usr/lib/sysusers.d/ovenbird-apps.conf"].splitlines() if line.startswith("u ")]
    assert users == ['u app-a - "App a" /data/apps/a /usr/sbin/nologin']
    assert 'graphroot = "/data/containers/storage"' in files["etc/containers/storage.conf"]
    assert files[step.REMEMBERING].endswith("[Unit]\nAfter=app-p.service\n")
    run = step.instructions(loaded.recipe)
    assert "systemctl enable app-a.service\n" in run
    assert "/usr/lib/ovenbird-apps/p || true" in run
    assert 'there is no user "daemon" in the image' in run
    assert subprocess.run(["sh", "-n", "-c", run.removeprefix("RUN ")], check=False).returncode == 0
    [check] = tree.update_settings(loaded.recipe, board("vm")).checks
    assert (check.name, check.tcp) == ("a: up", "localhost:81")
    assert step.packages(loaded.recipe.app).count("podman") == 1


def test_a_recipe_without_apps_adds_nothing(read: Load) -> None:
    recipe = read("").recipe
    assert step.app_files(recipe, AMD64) == {}
    assert step.instructions(recipe) == ""
    assert step.packages(recipe.app) == []


def test_apps_are_laid_over_the_tree(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for name in ("program/bin/tool", "files/etc/tool.conf"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    (made / "program/link").symlink_to("/usr/lib")
    step.lay_out_apps(tmp_path / "root", {"a": made})
    assert (tmp_path / "root/usr/lib/ovenbird-apps/a/bin/tool").read_text() == "program/bin/tool"
    assert (tmp_path / "root/etc/tool.conf").is_file()
    assert (tmp_path / "root/usr/lib/ovenbird-apps/a/link").is_symlink()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Storage=persistent\nSystemMaxUse=67108864"),
        ("[logs]\nkeep='memory'\nlimit='16M'\n", "Storage=volatile\nRuntimeMaxUse=16777216"),
        ("[state]\nvar='volatile'\n", "Storage=volatile\nRuntimeMaxUse=67108864"),
    ],
)
def test_logs_are_kept_within_bounds(read: Load, text: str, words: str) -> None:
    assert tree.journal_file(read(text).recipe) == f"[Journal]\n{words}\n"


def test_a_user_that_the_image_lacks_is_one_error(read: Load) -> None:
    """The tree's own instructions, run by this machine's shell without the programs that change a system."""
    run = step.instructions(read("[[app]]\nname='a'\nbinary='tool'\nuser='no-such-user'\n").recipe)
    script = run.removeprefix("RUN ").replace("systemd-sysusers", "true")
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    told = step.complaint(CommandError(Completed(("sh",), ended.returncode, "STEP 4/4\n", ended.stderr), "tree"))
    assert told is not None
    assert str(told) == 'app a: there is no user "no-such-user" in the image'
    assert step.complaint(CommandError(Completed(("sh",), 1, "", "something else"), "tree")) is None
